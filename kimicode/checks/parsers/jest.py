"""jest and vitest: their JSON report (one form for both), else their printed text."""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

from kimicode.checks.parsers.common import MAX_DETAIL, Parsed, Place, Results, lines_of
from kimicode.core.checks import TestOutcome

_STATES: dict[str, TestOutcome] = {
    "passed": "passed",
    "failed": "failed",
    "pending": "skipped",
    "skipped": "skipped",
    "todo": "skipped",
    "disabled": "skipped",
}
_FILE = re.compile(
    r"^ {0,3}(PASS|FAIL) {1,3}(?:\|[^|]{1,60}\| )?([^\s>]{1,500}\.[cm]?[jt]sx?)(?: \([\d.]+ m?s\))?$"
)
_TEST = re.compile(r"^( {2,80})([✓✕○√×✎]) (?:skipped |todo )?(.{1,900}?)(?: \([\d.]+ m?s\))?$")
_SUITE = re.compile(r"^( {2,80})(\S.{0,500})$")
_BULLET = re.compile(r"^ {2}● (.{1,900})$")
_VITEST = re.compile(
    r"^ {0,3}([✓↓□]|FAIL) {1,3}(?:\|[^|]{1,60}\| )?([^\s>]{1,500}\.[cm]?[jt]sx?)"
    r"(?: > (.{1,900}?))?(?: \d{1,9}m?s)?(?: \[[^\[\]]{0,500}\])?$"
)
_MARKS: dict[str, TestOutcome] = {
    "✓": "passed", "√": "passed", "✕": "failed", "×": "failed", "FAIL": "failed",
    "○": "skipped", "↓": "skipped", "□": "skipped", "✎": "skipped",
}  # fmt: skip
_COUNT = re.compile(r"^ {0,8}Tests:? {1,8}.*?(?:(\d{1,9}) total|\((\d{1,9})\))\s*$")


def parse(output: str, report: bytes | None, place: Place) -> Parsed:
    """Results with ids "<file>::<describe> > <test>".

    A file that cannot be loaded is an `error` whose id is its path: it stands for all its tests.
    """
    if report:
        found = _read_report(report, place)
        if found is not None:
            return found
    return _read_text(output, place)


def _read_report(report: bytes, place: Place) -> Parsed | None:
    try:
        document = json.loads(report)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("testResults"), list):
        return None
    results = Results(place)
    for suite in document["testResults"]:
        if isinstance(suite, dict):
            _read_suite(suite, results, place)
    return Parsed(results.tests())


def _read_suite(suite: dict[str, Any], results: Results, place: Place) -> None:
    name = suite.get("name")
    if not isinstance(name, str):
        return
    file = place.relative(name) or name
    tests = suite.get("assertionResults")
    tests = tests if isinstance(tests, list) else []
    for test in tests:
        if not isinstance(test, dict):
            continue
        title, state, ancestors = test.get("title"), test.get("status"), test.get("ancestorTitles")
        outcome = _STATES.get(state) if isinstance(state, str) else None
        if not isinstance(title, str) or outcome is None:
            continue
        above = [a for a in ancestors if isinstance(a, str) and a] if isinstance(ancestors, list) else []
        messages = test.get("failureMessages")
        detail = "\n".join(m for m in messages if isinstance(m, str)) if isinstance(messages, list) else ""
        detail = detail[:MAX_DETAIL]
        results.add(
            f"{file}::{' > '.join([*above, title])}",
            outcome,
            file=file,
            detail=detail,
            message=_message(detail),
        )
    if not tests and suite.get("status") == "failed":
        message = suite.get("message")
        detail = message[:MAX_DETAIL] if isinstance(message, str) else ""
        results.add(file, "error", file=file, detail=detail, message=_message(detail))


def _message(detail: str) -> str:
    """Everything before the stack."""
    kept: list[str] = []
    for line in lines_of(detail):
        if re.match(r"^\s{0,20}(?:at |❯ )\S", line):
            break
        if line.strip() != "● Test suite failed to run":
            kept.append(line)
    return textwrap.dedent("\n".join(line for line in kept if line.strip()))


def _read_text(output: str, place: Place) -> Parsed:
    reader = _Text(place)
    for line in lines_of(output):
        reader.line(line)
    reader.close()
    tests = reader.results.tests()
    named = sum("::" in test.id for test in tests)  # files that could not be loaded are no tests in the total
    return Parsed(tests, complete=reader.total is None or reader.total <= named)


class _Text:
    """jest's tree below "PASS file" (--verbose), its "● suite › test" blocks, vitest's "file > test" lines."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.results = Results(place)
        self.total: int | None = None
        self._file = ""
        self._suites: list[tuple[int, str]] = []
        self._failed: tuple[str, str] | None = None
        self._lines: list[str] = []

    def line(self, line: str) -> None:
        file = _FILE.match(line)
        vitest = _VITEST.match(line)
        count = _COUNT.match(line)
        bullet = _BULLET.match(line)
        if count is not None:
            self.close()
            self.total = int(count[1] or count[2])
        elif vitest is not None and (vitest[3] or " [ " in line):
            self.close()
            self._start(vitest)
        elif line.startswith("⎯"):
            self.close()
        elif file is not None:
            self.close()
            self._file, self._suites = self.place.relative(file[2]) or file[2], []
        elif bullet is not None and self._file:
            self.close()
            if bullet[1] == "Test suite failed to run":
                self._failed = (self._file, self._file)
            else:
                self._failed = (f"{self._file}::{bullet[1].replace(' › ', ' > ')}", self._file)
        elif self._failed is not None:
            if len(self._lines) < 400:
                self._lines.append(line)
        elif self._file:
            self._tree(line)

    def _start(self, match: re.Match[str]) -> None:
        file = self.place.relative(match[2]) or match[2]
        if match[1] == "FAIL":
            self._failed = (f"{file}::{match[3]}" if match[3] else file, file)
        elif match[3]:
            self.results.add(f"{file}::{match[3]}", _MARKS[match[1]], file=file)

    def _tree(self, line: str) -> None:
        test = _TEST.match(line)
        if test is not None:
            above = [name for depth, name in self._suites if depth < len(test[1])]
            outcome = _MARKS[test[2]]
            if outcome != "failed":
                id = f"{self._file}::{' > '.join([*above, test[3]])}"
                self.results.add(id, outcome, file=self._file)
            return
        suite = _SUITE.match(line)
        if suite is not None:
            self._suites = [entry for entry in self._suites if entry[0] < len(suite[1])]
            self._suites.append((len(suite[1]), suite[2]))

    def close(self) -> None:
        """End the block of a failure."""
        if self._failed is None:
            return
        id, file = self._failed
        detail = "\n".join(self._lines)
        outcome: TestOutcome = "error" if id == file else "failed"
        self.results.add(id, outcome, file=file, detail=detail, message=_message(detail))
        self._failed, self._lines = None, []
