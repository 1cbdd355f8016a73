"""Reading a check's shell line: which runner it starts, how to make it report, how to make it run named tests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import basename
from typing import Literal

Runner = Literal["pytest", "unittest", "go", "cargo", "jest", "vitest"]
ParserName = Literal["pytest", "unittest", "go", "cargo", "jest"]

MAX_SELECTION = 100_000
"""Linux takes at most 131,072 bytes for one argument, and the whole line is one."""

_COMPOUND = re.compile(r"[;&|<>`\n()]|\$\(|\$\{")
_CD = re.compile(r"^\s*cd\s+([\w./-]+)\s*&&\s*(.+)$", re.S)
_ENV = re.compile(r"^[A-Za-z_]\w*=")
_PYTEST_VALUES = frozenset(
    {  # options of which the next word is the value
        "-k", "-m", "-p", "-c", "-n", "-o", "-W", "-r", "--rootdir", "--confcutdir", "--ignore",
        "--ignore-glob", "--deselect", "--maxfail", "--durations", "--tb", "--color", "--cov",
        "--cov-config", "--cov-report", "--junitxml", "--numprocesses", "--dist", "--timeout",
        "--import-mode", "--basetemp", "--log-level",
    }
)  # fmt: skip
_CARGO_VALUES = frozenset(
    {  # options of which the next word is the value
        "-p", "--package", "--features", "-F", "--test", "--bench", "--example", "--bin", "--target",
        "--profile", "-j", "--jobs",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Invocation:
    """A shell line that is one plain command, perhaps after `cd folder &&`."""

    tokens: tuple[str, ...]
    raw: tuple[str, ...]
    """The same tokens as they were written, with their quotes."""
    cwd: str
    runner: Runner | None
    at: int
    """Index of the token that names the runner ("pytest", "unittest", "test" of go and cargo, "jest")."""

    def line(self, raw: Sequence[str]) -> str:
        command = " ".join(raw)
        return f"cd {shlex.quote(self.cwd)} && {command}" if self.cwd else command


def read_command(command: str) -> Invocation | None:
    """The one plain command of a line; None when it is compound (pipes, lists, substitutions)."""
    cwd, rest = "", command.strip()
    match = _CD.match(rest)
    if match is not None:
        cwd, rest = match[1].rstrip("/"), match[2]
    if _COMPOUND.search(_without_quotes(rest)):
        return None
    try:
        tokens = shlex.split(rest)
        lexer = shlex.shlex(rest, posix=False, punctuation_chars=False)
        lexer.whitespace_split, lexer.commenters = True, ""
        raw = list(lexer)
    except ValueError:
        return None
    if not tokens or len(tokens) != len(raw) or cwd.startswith(("/", "..")):
        return None
    runner, at = _find_runner(tokens)
    return Invocation(tuple(tokens), tuple(raw), cwd.removeprefix("./"), runner, at)


def folder_of(command: str) -> str:
    """The folder, relative to the checkout, that the names in the command's output start from."""
    invocation = read_command(command)
    if invocation is None:
        return ""
    folder, tokens = invocation.cwd, invocation.tokens
    if invocation.runner == "unittest" and "-t" not in tokens and "--top-level-directory" not in tokens:
        for index, token in enumerate(tokens[:-1]):
            if token in ("-s", "--start-directory") and not tokens[index + 1].startswith(("/", ".")):
                return f"{folder}/{tokens[index + 1]}".strip("/")
    return folder


def runner_of(command: str) -> ParserName | None:
    """The parser for what the command runs, when its text names the runner; compound lines included."""
    for piece in re.split(r"&&|\|\||[;|&\n]", command):
        try:
            runner, _ = _find_runner(shlex.split(piece))
        except ValueError:
            continue
        if runner is not None:
            return "jest" if runner == "vitest" else runner
    return None


def _without_quotes(line: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"$`]*\"", "", line)


def _find_runner(tokens: Sequence[str]) -> tuple[Runner | None, int]:
    for index, token in enumerate(tokens):
        if _ENV.match(token):
            continue
        name = basename(token)
        before = tokens[index - 1] if index else ""
        if before == "-m" and name in ("pytest", "unittest"):
            return ("pytest" if name == "pytest" else "unittest"), index
        if before == "-m" or (before.startswith("-") and index == 1):
            continue
        if name in ("pytest", "py.test"):
            return "pytest", index
        if name in ("jest", "vitest"):
            return ("jest" if name == "jest" else "vitest"), index
        if name == "jest.js":
            return "jest", index
        if name in ("go", "cargo"):
            for later in range(index + 1, min(index + 3, len(tokens))):
                if tokens[later] == "test" or (name == "cargo" and tokens[later] == "t"):
                    return ("go" if name == "go" else "cargo"), later
        if name == "react-scripts" and tokens[index + 1 : index + 2] == ["test"]:
            return "jest", index + 1
    return None, -1


def script_runner(command: str) -> str | None:
    """The package manager when the line runs package.json's test script: "npm", "pnpm" or "yarn"."""
    invocation = read_command(command)
    if invocation is None:
        return None
    words = [token for token in invocation.tokens if not token.startswith("-") and not _ENV.match(token)]
    if words[:1] and basename(words[0]) in ("npm", "pnpm", "yarn"):
        rest = words[1:2] if words[1:2] != ["run"] else words[2:3]
        if rest == ["test"] or (rest == ["t"] and words[0] != "yarn"):
            return basename(words[0])
    return None


def reporting(command: str, report: str, script: str = "") -> tuple[str, bool]:
    """The line, changed so that the runner names every test; and whether it writes `report` (an absolute path).

    `script`: scripts.test of package.json, for lines that run it. pytest is not changed here: it is told
    through PYTEST_ADDOPTS, which also reaches it below make and shell scripts.
    """
    manager = script_runner(command)
    if manager is not None:
        inner = read_command(script)
        if inner is None or inner.runner not in ("jest", "vitest") or inner.at == -1:
            return command, False
        # npm and yarn's newer versions stop at "--"; pnpm and yarn 1 hand everything on.
        dashes = " --" if manager == "npm" and " -- " not in command else ""
        return command + dashes + _json_options(inner.runner, report), True
    invocation = read_command(command)
    if invocation is None or invocation.runner is None:
        return command, False
    raw, at = list(invocation.raw), invocation.at
    if invocation.runner == "unittest":
        return invocation.line(_verbose_unittest(raw, at)), False
    if invocation.runner == "go" and "-json" not in raw:
        return invocation.line([*raw[: at + 1], "-json", *raw[at + 1 :]]), False
    if invocation.runner in ("jest", "vitest") and not any(t.startswith("--outputFile") for t in raw):
        return invocation.line(raw) + _json_options(invocation.runner, report), True
    return command, False


def _verbose_unittest(raw: list[str], at: int) -> list[str]:
    if any(token in ("-v", "--verbose") for token in raw[at:]):
        return raw
    at += 1 if raw[at + 1 : at + 2] == ["discover"] else 0
    return [*raw[: at + 1], "-v", *raw[at + 1 :]]


def _json_options(runner: Runner, report: str) -> str:
    if runner == "vitest":
        return f" --reporter=default --reporter=json --outputFile.json={shlex.quote(report)}"
    return f" --json --outputFile={shlex.quote(report)}"


def select(command: str, tests: Sequence[str], script: str = "") -> str | None:
    """The line that runs only `tests` (ids of results, or test files); None when that cannot be said.

    pytest and jest take their files and ids, unittest patterns, go and cargo names. A line that is compound,
    or a runner that is not known, gives None: run the whole check then.
    """
    if not tests:
        return command
    manager = script_runner(command)
    if manager is not None:
        inner = read_command(script)
        if inner is None or inner.runner not in ("jest", "vitest"):
            return None
        dashes = " --" if manager == "npm" and " -- " not in command else ""
        return _bounded(command + dashes + _jest_selection(tests))
    invocation = read_command(command)
    if invocation is None or invocation.runner is None:
        return None
    raw, at = list(invocation.raw), invocation.at
    if invocation.runner == "pytest":
        return _select_pytest(invocation, tests)
    if invocation.runner == "unittest":
        return _bounded(invocation.line(raw) + _unittest_selection(invocation, tests))
    if invocation.runner == "go":
        return _select_go(invocation, tests)
    if invocation.runner == "cargo":
        return _select_cargo(invocation, tests)
    return _bounded(invocation.line(_without_paths(raw, at, frozenset())) + _jest_selection(tests))


def _bounded(line: str) -> str | None:
    return line if len(line.encode("utf-8", "replace")) <= MAX_SELECTION else None


def _quoted(words: Sequence[str]) -> str:
    return "".join(" " + shlex.quote(word) for word in words)


def _without_paths(raw: Sequence[str], at: int, with_value: frozenset[str]) -> list[str]:
    """The tokens without the paths that follow the runner: named tests take their place."""
    kept = list(raw[: at + 1])
    for index in range(at + 1, len(raw)):
        token, before = raw[index], raw[index - 1]
        if token.startswith("-") or before in with_value:
            kept.append(token)
    return kept


def _select_pytest(invocation: Invocation, tests: Sequence[str]) -> str | None:
    prefix = invocation.cwd + "/" if invocation.cwd else ""
    if any(not test.startswith(prefix) for test in tests):
        return None
    wanted = list(dict.fromkeys(test[len(prefix) :] for test in tests))
    head = invocation.line(_without_paths(invocation.raw, invocation.at, _PYTEST_VALUES))
    # Parameters whose ids had an address in them no longer name one test: take all of the function.
    wanted = list(
        dict.fromkeys(test.split("[", 1)[0] if re.search(r"\b0x\b", test) else test for test in wanted)
    )
    line = _bounded(head + _quoted(wanted))
    if line is None:
        line = _bounded(head + _quoted(list(dict.fromkeys(test.partition("::")[0] for test in wanted))))
    return line


def _unittest_selection(invocation: Invocation, tests: Sequence[str]) -> str:
    patterns = []
    for test in tests:
        if test.endswith(".py"):
            module = test.removeprefix(invocation.cwd + "/" if invocation.cwd else "").removesuffix(".py")
            # `discover -s tests` names modules from the start folder on, so only the last part is sure.
            patterns.append(f"*{module.rsplit('/', 1)[-1]}.*")
        else:
            patterns.append(f"*{test}" if not test.startswith("*") else test)
    return "".join(f" -k {shlex.quote(pattern)}" for pattern in dict.fromkeys(patterns))


def _select_go(invocation: Invocation, tests: Sequence[str]) -> str | None:
    """One -run pattern over the packages of the tests; subtests select their parent."""
    packages: dict[str, None] = {}
    names: dict[str, None] = {}
    whole = False
    for test in tests:
        if test.endswith(".go"):
            folder = test.rpartition("/")[0]
            packages["./" + folder if folder else "."] = None
            whole = True
            continue
        match = re.fullmatch(r"(.*?)\.(\w+)(/.*)?", test[test.rfind("/", 0, _go_dot(test)) + 1 :])
        if match is None:
            packages[test] = None
            whole = True
            continue
        packages[test[: _go_dot(test)]] = None
        names[match[2]] = None
    raw = list(invocation.raw)
    options = [
        token for token in raw[invocation.at + 1 :] if token.startswith("-") and not token.startswith("-run")
    ]
    run = [] if whole else ["-run", "^(" + "|".join(re.escape(name) for name in names) + ")$"]
    line = invocation.line([*raw[: invocation.at + 1], *options])
    return _bounded(line + _quoted([*run, *packages]))


def _go_dot(test: str) -> int:
    """Where "<import path>.<TestName>" is parted: the dot before the first exported test name."""
    match = re.search(r"\.(?=(?:Test|Example|Fuzz|Benchmark)[^/.]*(?:/|$))", test)
    return match.start() if match else len(test)


def _select_cargo(invocation: Invocation, tests: Sequence[str]) -> str | None:
    """libtest takes several name filters after "--"; --exact keeps "a" from running "ab"."""
    names: dict[str, None] = {}
    binaries: dict[str, None] = {}
    for test in tests:
        if test.endswith(".rs"):
            binaries[basename(test).removesuffix(".rs")] = None
            continue
        _, _, name = test.partition("::")
        if not name or name.startswith("doc::"):
            return None
        names[name] = None
    if binaries and names:
        return None
    raw = list(invocation.raw)
    rest = raw[invocation.at + 1 :]
    if "--" in rest:
        return None
    head = _without_paths(raw, invocation.at, _CARGO_VALUES)
    if binaries:
        return _bounded(invocation.line(head) + "".join(f" --test {shlex.quote(name)}" for name in binaries))
    return _bounded(invocation.line(head) + " -- --exact" + _quoted(list(names)))


def _jest_selection(tests: Sequence[str]) -> str:
    """Files as arguments, names as one -t pattern over "describe test"."""
    files: dict[str, None] = {}
    names: dict[str, None] = {}
    whole = False
    for test in tests:
        file, sep, name = test.partition("::")
        files[file] = None
        whole = whole or not sep
        if sep:
            names["^" + re.escape(name.replace(" > ", " ")) + "$"] = None
    pattern = "|".join(names)
    chosen = "" if whole or not names else f" -t {shlex.quote(pattern)}"
    return _quoted(list(files)) + chosen
