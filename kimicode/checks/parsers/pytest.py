"""pytest: from its JUnit XML where there is one, else from its printed text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from kimicode.checks.parsers.common import (
    MAX_DETAIL,
    MAX_TESTS,
    Parsed,
    Place,
    Results,
    clean,
    join,
    lines_of,
    stable_id,
)
from kimicode.checks.parsers.junit import Case, read_cases
from kimicode.core.checks import TestOutcome

_WORDS: dict[str, TestOutcome] = {
    "PASSED": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
    "XFAIL": "xfailed",
    "XPASS": "xpassed",
}
_WORD = "PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS"
_PROGRESS = re.compile(r" {0,3}\d{1,3}%| {0,7}\d{1,7}/\d{1,7}")
_WORKER = re.compile(rf"^\[gw\d+\] (?:\[[ \d%/]{{1,20}}\] )?({_WORD}) (.+)$")
_SUMMARY = re.compile(rf"^({_WORD}|SUBFAILED\[.{{0,200}}?\]) (\S.*)$")
_TOTAL = re.compile(
    r"^=* ?((?:\d+ [a-z]+(?: [a-z]+)?, )*\d+ [a-z]+(?: [a-z]+)?) in [\d.]+s(?: \([\d:, day]+\))? ?=*$"
)
_COUNTED = {
    "passed",
    "failed",
    "error",
    "errors",
    "xfailed",
    "xpassed",
}  # skipped modules have no line of their own
_HEADLINE = re.compile(r"^_{2,} (.+?) _{2,}$")
_CONFTEST = re.compile(r"^ImportError while loading conftest '([^']{1,1000})'\.")
_ROOTDIR = re.compile(r"^rootdir: (.+?)(?:, (?:configfile|inifile|testpaths).*)?$")


def parse(output: str, report: bytes | None, place: Place) -> Parsed:
    """Results with node ids relative to the checkout ("sub/test_a.py::TestX::test_b[1]").

    A file that could not be collected is an `error` whose id is the path of the file; a conftest.py that could
    not be imported likewise. Ids equal those that pytest takes on its command line at the top of the checkout.
    """
    printed = _Printed(place)
    printed.read(output)
    cases, whole = read_cases(report) if report else ([], False)
    results = Results(place)
    if not cases:
        printed.fill(results)
        _add_conftest(output, results, place)
        return Parsed(results.tests(), complete=printed.complete(), running=printed.running)
    prefix = _prefix(printed.rootdir, place)
    names = _Names(cases, printed.ids(), prefix, place)
    for case in cases:
        id, file = names.resolve(case)
        outcome = _outcome(case)
        if outcome == "passed" and printed.outcomes.get(id) == "xpassed":
            outcome = "xpassed"
        detail = case.text or "\n".join(message for _, _, message in case.kinds)
        message = _message(case, outcome)
        results.add(
            id, outcome, file=file, detail=detail if outcome in ("failed", "error") else "", message=message
        )
    if not whole:
        printed.fill(results)
    _add_conftest(output, results, place)
    return Parsed(results.tests(), running=printed.running)


def _outcome(case: Case) -> TestOutcome:
    tags = {tag for tag, _, _ in case.kinds}
    if "error" in tags:
        return "error"
    if "failure" in tags:
        return "failed"
    if "skipped" in tags:
        return "xfailed" if any(type == "pytest.xfail" for _, type, _ in case.kinds) else "skipped"
    return "passed"


def _message(case: Case, outcome: TestOutcome) -> str:
    if outcome in ("failed", "error"):
        return (
            assertion(case.text) or next((m for tag, _, m in case.kinds if tag != "skipped"), "") or case.text
        )
    message = next((message for _, _, message in case.kinds), "")
    if message == "collection skipped":
        reason = re.search(r"'Skipped: (.{0,400}?)'\)?$", case.text)
        return reason[1] if reason else message
    return message


def assertion(text: str) -> str:
    """The lines that pytest marks with E, without the mark; the last block when errors are chained."""
    block: list[str] = []
    ended = True
    for line in lines_of(text[:MAX_DETAIL]):
        if line == "E" or line.startswith("E  "):
            if ended:
                block = []
            ended = False
            block.append(line[4:] if line.startswith("E   ") else line[1:].strip())
        else:
            ended = True
    return "\n".join(block)


def _prefix(rootdir: str, place: Place) -> str:
    """Path of pytest's rootdir relative to the checkout: node ids in the report are relative to it."""
    root = place.root.rstrip("/")
    if not rootdir or not root:
        return place.cwd
    if rootdir == root:
        return ""
    if rootdir.startswith(root + "/"):
        return rootdir[len(root) + 1 :]
    return posixpath.relpath(rootdir, root) if rootdir.startswith("/") else place.cwd


class _Names:
    """Node ids of test cases: JUnit flattens "a/b.py::X::t" to classname "a.b.X" and name "t"."""

    def __init__(self, cases: list[Case], printed: list[str], prefix: str, place: Place) -> None:
        self._prefix, self._place = prefix, place
        self._printed = {key: id for id in printed for key in _keys(id, prefix)}
        self._files = {_dotted(case.file): case.file for case in cases if case.file and _owns(case)}

    def resolve(self, case: Case) -> tuple[str, str]:
        """(node id, path of its file), relative to the checkout."""
        collected = not any(message.startswith("collection ") for _, _, message in case.kinds)
        if case.file and collected and (not case.classname or case.classname.startswith(".")):
            # A file outside pytest's rootdir has no path in its node id: "::TestX::test_y".
            path = posixpath.normpath(join(self._prefix, case.file))
            names = [part for part in case.classname.split(".") if part]
            return stable_id("::".join([path, *names, case.name])), path
        if not case.classname:
            path = join(self._prefix, case.file or case.name.replace(".", "/") + ".py")
            if not case.file and not case.name:
                module = re.search(r"test module '([^'\n]{1,1000})'", case.text)
                path = self._place.relative(module[1]) if module else ""
            path = posixpath.normpath(path) if path else ""
            return stable_id(path), path
        found = self._printed.get(f"{case.classname}::{_bare(case.name)}")
        if found is not None:
            path = found.partition("::")[0]
            return stable_id(found.split("[", 1)[0] + _params(case.name)), path
        file = case.file if case.file and _owns(case) else self._guess(case.classname)
        classes = case.classname[len(_dotted(file)) :].strip(".").split(".")
        path = posixpath.normpath(join(self._prefix, file))
        return stable_id("::".join([path, *filter(None, classes), case.name])), path

    def _guess(self, classname: str) -> str:
        """The file of an inherited test, whose `file` is that of the base class: the longest known file."""
        parts = classname.split(".")
        for end in range(len(parts), 0, -1):
            known = self._files.get(".".join(parts[:end]))
            if known is not None:
                return known
        modules = [part for part in parts if not part[:1].isupper()] or parts
        return "/".join(modules) + ".py"


def _owns(case: Case) -> bool:
    dotted = _dotted(case.file)
    return not case.classname or case.classname == dotted or case.classname.startswith(dotted + ".")


def _dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def _bare(name: str) -> str:
    return name.split("[", 1)[0]


def _params(name: str) -> str:
    _, bracket, rest = name.partition("[")
    return bracket + rest


def _keys(id: str, prefix: str) -> Iterator[str]:
    """How JUnit would name a printed node id, seen from the checkout and from pytest's rootdir."""
    path, _, rest = id.split("[", 1)[0].partition("::")
    names = rest.split("::")
    paths = [path]
    if prefix and path.startswith(prefix + "/"):
        paths.append(path[len(prefix) + 1 :])
    for one in paths:
        yield ".".join([_dotted(one), *names[:-1]]) + "::" + names[-1]


class _Printed:
    """What pytest's text says, in any verbosity."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.outcomes: dict[str, TestOutcome] = {}
        self.messages: dict[str, str] = {}
        self.sections: dict[str, list[str]] = {}
        self.rootdir = ""
        self.running = ""
        self.total: int | None = None
        self._named: set[tuple[str, str]] = set()

    def complete(self) -> bool:
        """Whether each result that the last line counts was named somewhere."""
        return self.total is None or self.total <= len(self._named)

    def ids(self) -> list[str]:
        return [id for id in self.outcomes if "::" in id]

    def read(self, output: str) -> None:
        section: list[str] | None = None
        size = 0
        last = ""
        for line in lines_of(output):
            if line.startswith("rootdir: ") and not self.rootdir:
                match = _ROOTDIR.match(line)
                self.rootdir = match[1] if match else ""
            headline = _HEADLINE.match(line) if line.startswith("__") else None
            if headline is not None:
                section, size = self.sections.setdefault(headline[1], []), 0
                continue
            if line.startswith("====") or line.startswith("----"):
                section = None
            if section is not None:
                if size < MAX_DETAIL:
                    section.append(line)
                    size += len(line) + 1
                continue
            self._line(line)
            if line.strip():
                last = line
        if "::" in last and self.total is None and not _WORKER.match(last):
            candidate = self._id(last.split(" ", 1)[0] if "[" not in last else last.rstrip())
            self.running = candidate if candidate not in self.outcomes else ""

    def _line(self, line: str) -> None:
        worker = _WORKER.match(line)
        if worker is not None:
            self._set(worker[2], worker[1])
            return
        summary = _SUMMARY.match(line)
        if summary is not None:
            word = summary[1]
            if not (word == "SKIPPED" and summary[2].startswith("[")):
                id, _, message = _split_message(summary[2])
                if "::" in id or word == "ERROR":
                    self._set(id, word, message)
            return
        total = _TOTAL.match(line) if " in " in line else None
        if total is not None:
            counts = (part.split(" ", 1) for part in total[1].split(", "))
            self.total = sum(int(number[:9]) for number, word in counts if word in _COUNTED)
            return
        if "::" in line:
            self._verbose(line)

    def _verbose(self, line: str) -> None:
        line = line.rstrip()
        at = line.rfind(" [")
        if line.endswith("]") and at >= 0 and _PROGRESS.fullmatch(line[at + 2 : -1]):
            line = line[:at].rstrip()
        for word in _WORDS:
            if line.endswith(" " + word):
                self._set(line[: -len(word) - 1], word)
                return
            if line.endswith(")") and f" {word} (" in line:
                self._set(line[: line.index(f" {word} (")], word)
                return

    def _id(self, id: str) -> str:
        path, sep, rest = id.strip().partition("::")
        return stable_id(posixpath.normpath(join(self.place.cwd, path)) + sep + rest)

    def _set(self, id: str, word: str, message: str = "") -> None:
        id = id.partition(" <- ")[0]  # where an inherited test is written
        path = id.partition("::")[0]
        if not path or len(path) > 500 or (" " in path and "::" not in id):
            return
        id = self._id(id)
        if len(self.outcomes) >= MAX_TESTS:
            return
        if word != "SKIPPED":
            self._named.add((id, word))
        outcome = _WORDS.get(word, "failed")
        if outcome == "passed" and self.outcomes.get(id) in ("error", "failed"):
            return
        self.outcomes[id] = outcome
        if message:
            self.messages[id] = message

    def fill(self, results: Results) -> None:
        """Add what the text knows, with the detail of its failure sections."""
        by_headline: Mapping[str, list[str]] = self.sections
        for id, outcome in self.outcomes.items():
            path, _, rest = id.partition("::")
            detail = ""
            if outcome in ("failed", "error"):
                domain = rest.split("[", 1)[0].replace("::", ".") + _params(rest)
                wanted = [domain, f"ERROR at setup of {domain}", f"ERROR at teardown of {domain}"]
                wanted += [f"ERROR collecting {path}"] if not rest else []
                detail = "\n".join(next((by_headline[name] for name in wanted if name in by_headline), []))
            message = assertion(detail) or self.messages.get(id, "")
            results.add(id, outcome, file=path, detail=detail, message=message)


def _split_message(text: str) -> tuple[str, str, str]:
    """Split "id - message"; parameters of the id may hold " - " themselves."""
    bracket = text.find("[")
    dash = text.find(" - ")
    if 0 <= bracket < dash:
        close = text.find("] - ", bracket)
        if close >= 0:
            return text[: close + 1], " - ", text[close + 4 :]
        if text.endswith("]"):
            return text, "", ""
    return text.partition(" - ")


def _add_conftest(output: str, results: Results, place: Place) -> None:
    """A conftest.py that cannot be imported stops pytest before any test: an error of everything beneath it."""
    if "ImportError while loading conftest" not in output:
        return
    lines = list(lines_of(output[: MAX_DETAIL * 8]))
    for number, line in enumerate(lines):
        match = _CONFTEST.match(line)
        if match is None:
            continue
        path = place.relative(clean(match[1]))
        if path:
            detail = "\n".join(lines[number : number + 200])
            results.add(path, "error", file=path, detail=detail, message=assertion(detail) or line)
        return
