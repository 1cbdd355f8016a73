"""Running a check in a sandbox and reading its results: the harness does this, never the model."""

from __future__ import annotations

import asyncio
import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from time import monotonic

from kimicode.checks.command import folder_of, reporting, runner_of, script_runner, select
from kimicode.checks.find import test_script
from kimicode.checks.outcomes import exit_id
from kimicode.checks.parse import Parser, guess_parser, parse
from kimicode.checks.parsers.common import Parsed, Place, clean, shows_network
from kimicode.checks.paths import is_test_file, is_test_module
from kimicode.core.checks import CheckCommand, CheckRun, TestResult
from kimicode.core.ports import ExecResult, FileChange, Sandbox
from kimicode.errors import FileError

OUTPUT_LIMIT = 65_536
"""Bytes of CheckRun.output: head and tail."""
READ_LIMIT = 64 * 1024 * 1024
"""Bytes of a report or of a whole output that are read for parsing."""

_PYTEST_OPTIONS = (
    "-o junit_family=xunit1 -o junit_logging=no --color=no --tb=short --verbosity=1 -rpfEsxX --maxfail=0"
    " --continue-on-collection-errors"
)
_REFUSED = re.compile(r"unrecognized arguments: .*(?:--junitxml|--continue-on|--maxfail|--color|--verbosity)")
_MISSING = re.compile(
    r"^(?:collecting \.\.\. )?ERROR: (?:not found|file or directory not found): (.+?)\r?$", re.M
)


async def run_check(
    sandbox: Sandbox,
    command: CheckCommand,
    tree: str,
    *,
    timeout: float,
    tests: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> CheckRun:
    """Run a check on the checkout that the sandbox shows, and parse what it says.

    `tree` is recorded, not verified. `tests` (ids of earlier results, or test files) narrows the run where the
    runner can do that, else everything runs (`selected` says which). Files that hold no tests of their own
    (data, conftest.py) are left out of `tests`; a named test that does not exist becomes an `error` result.
    Nothing is written into the checkout by the harness: reports and caches go to a folder in `sandbox.tmp`.
    Raises SandboxError when the sandbox fails; a check that fails or exceeds `timeout` seconds is a result.
    """
    run = _Run(sandbox, command, tree, timeout, env or {})
    return await run.go([test for test in dict.fromkeys(tests) if not _is_data(test)])


class _Run:
    def __init__(
        self, sandbox: Sandbox, command: CheckCommand, tree: str, timeout: float, env: Mapping[str, str]
    ) -> None:
        self.sandbox = sandbox
        self.command = command.command
        self.tree = tree
        self.deadline = monotonic() + timeout
        self.timeout = timeout
        self.env = env
        self.folder = f"{sandbox.tmp.rstrip('/')}/check-{secrets.token_hex(6)}"
        self.script = ""
        self.shell = ["bash", "-o", "pipefail", "-c"]

    async def go(self, tests: list[str]) -> CheckRun:
        started = monotonic()
        if script_runner(self.command) is not None:
            self.script = test_script({"package.json": await self._small_file("package.json")}.get)
        # The folder must exist: not every runner makes the parents of its report.
        await self.sandbox.write([FileChange(f"{self.folder}/.keep", b"")])
        missing: list[str] = []
        plain = False
        while True:
            wanted = [test for test in tests if test not in missing]
            line = select(self.command, wanted, self.script) if wanted else self.command
            if missing and not wanted:
                return self._nothing(missing, monotonic() - started)
            result, report, output = await self._once(line or self.command, plain)
            if result.exit_code == 4 and not plain and _REFUSED.search(output[-20_000:]):
                plain = True  # this pytest, or this project, cannot take our options: read the text instead
                continue
            new = self._not_found(output, wanted, result) if line is not None else []
            if not new:
                break
            missing += new
        # In a thread: a large output takes seconds to parse, and the agent may be at work beside this check.
        seconds = monotonic() - started
        run = await asyncio.to_thread(self._value, result, report, output, missing, seconds)
        return _narrowed(run, tests) if line is not None and tests else run

    async def _once(self, line: str, plain: bool) -> tuple[ExecResult, bytes | None, str]:
        report = f"{self.folder}/{secrets.token_hex(4)}"
        told, writes = (line, False) if plain else reporting(line, report + ".json", self.script)
        env = self._environment("" if plain else report + ".xml")
        left = max(1.0, self.deadline - monotonic())
        result = await self._exec(told, left, env)
        if result.exit_code == 127 and self.shell[0] == "bash":
            probe = await self.sandbox.exec(["bash", "-c", ":"], timeout=60, effect="read")
            if probe.exit_code == 127:
                self.shell = ["sh", "-c"]  # slim images have only sh, without pipefail
                result = await self._exec(told, left, env)
        whole = await self._read(result.spill) if result.spill else None
        output = (result.output if whole is None else whole).decode("utf-8", "replace")
        data = await self._read(report + ".json") if writes else None
        return result, data or await self._read(report + ".xml"), output

    async def _exec(self, line: str, timeout: float, env: Mapping[str, str]) -> ExecResult:
        argv = [*self.shell, line]
        return await self.sandbox.exec(argv, timeout=timeout, env=env, limit=OUTPUT_LIMIT, spill=True)

    def _environment(self, junit: str) -> dict[str, str]:
        """Settings that make two runs of one tree alike and keep caches out of the checkout."""
        env = {
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "HYPOTHESIS_STORAGE_DIRECTORY": f"{self.folder}/hypothesis",
            "COVERAGE_FILE": f"{self.folder}/coverage",
            "MYPY_CACHE_DIR": f"{self.folder}/mypy",
            "RUFF_CACHE_DIR": f"{self.folder}/ruff",
            "CARGO_TERM_COLOR": "never",
        }
        if self.script or runner_of(self.command) == "jest":
            env |= {"CI": "true", "FORCE_COLOR": "0"}  # no watch mode, no new snapshots
        env |= self.env
        if junit:
            cache = shlex.quote(f"cache_dir={self.folder}/pytest")
            own = f"--junitxml={shlex.quote(junit)} -o {cache} {_PYTEST_OPTIONS}"
            env["PYTEST_ADDOPTS"] = f"{own} {self.env.get('PYTEST_ADDOPTS', '')}".strip()
        return env

    async def _small_file(self, path: str) -> bytes | None:
        try:
            return (await self.sandbox.read(path, limit=1_000_000)).data
        except FileError:
            return None

    async def _read(self, path: str) -> bytes | None:
        """A file of the scratch folder; None when it is not there or too large to be a report."""
        data = b""
        try:
            while len(data) < READ_LIMIT:
                part = await self.sandbox.read(path, offset=len(data))
                data += part.data
                if not part.data or len(data) >= part.size:
                    break
        except FileError:
            return None
        return data

    def _not_found(self, output: str, wanted: list[str], result: ExecResult) -> list[str]:
        """Named tests that pytest does not know: it then runs none of them, so they are left out and said."""
        if result.exit_code != 4 or result.timed_out:
            return []
        place = self._place()
        lost = {place.relative(match.strip()) for match in _MISSING.findall(output[-200_000:])}
        return [
            test
            for test in wanted
            if any(test == one or test.startswith((one + "::", one + "[")) for one in lost if one)
        ]

    def _place(self) -> Place:
        return Place(root=self.sandbox.root, cwd=folder_of(self.command))

    def _value(
        self, result: ExecResult, report: bytes | None, output: str, missing: list[str], seconds: float
    ) -> CheckRun:
        parser = self._parser(output)
        if parser == "exit" and report and report.lstrip()[:5] == b"<?xml":
            parser = "pytest"  # below make or a script: pytest heard PYTEST_ADDOPTS
        parsed = parse(parser, output, report, self._place())
        tests = [*parsed.tests, *(_lost(test) for test in missing)]
        if result.timed_out and parsed.running:
            tests = [test for test in tests if test.id != parsed.running]
            tests.append(_unfinished(parsed.running, self.timeout))
        failed = [test for test in tests if test.outcome in ("failed", "error")]
        return CheckRun(
            command=self.command,
            tree=self.tree,
            exit_code=result.exit_code,
            parser=parser if parsed.complete else "exit",
            tests=tuple(tests),
            output=_shown(parsed, output),
            seconds=round(seconds, 3),
            timed_out=result.timed_out,
            needs_network=any(test.needs_network for test in failed)
            or (not failed and result.exit_code != 0 and shows_network(output[-200_000:])),
        )

    def _parser(self, output: str) -> Parser:
        if self.script:
            return guess_parser(self.script, output)
        return guess_parser(self.command, output)

    def _nothing(self, missing: list[str], seconds: float) -> CheckRun:
        return CheckRun(
            command=self.command,
            tree=self.tree,
            exit_code=4,
            parser=self._parser(""),
            tests=tuple(_lost(test) for test in missing),
            output="None of the named tests exists.",
            selected=tuple(missing),
            seconds=round(seconds, 3),
        )


def _is_data(test: str) -> bool:
    if test.startswith(exit_id("")[:-1]):
        return True  # the pseudo test of an exit code: only the whole check tells
    return "::" not in test and is_test_file(test) and not is_test_module(test)


def _narrowed(run: CheckRun, wanted: list[str]) -> CheckRun:
    """Without the tests that are "skipped" because they were not asked for, as jest lists them."""
    names = set(wanted)
    kept = tuple(
        test for test in run.tests if test.outcome != "skipped" or test.id in names or test.file in names
    )
    return run.model_copy(update={"tests": kept, "selected": tuple(wanted)})


def _lost(test: str) -> TestResult:
    return TestResult(id=test, outcome="error", file=test.partition("::")[0], message="no test has this name")


def _unfinished(test: str, timeout: float) -> TestResult:
    message = f"still running when the time limit of {timeout:g} s ended it"
    file = test.partition("::")[0] if "::" in test else ""
    return TestResult(id=test, outcome="error", file=file, message=message)


def _shown(parsed: Parsed, output: str) -> str:
    """Head and tail of what a person would want to read."""
    text = clean(parsed.text if parsed.text else output)
    if len(text) <= OUTPUT_LIMIT:
        return text
    head, tail = text[: OUTPUT_LIMIT // 4], text[-OUTPUT_LIMIT * 3 // 4 :]
    left = len(text) - len(head) - len(tail)
    return f"{head}\n[... {left} characters left out ...]\n{tail}"
