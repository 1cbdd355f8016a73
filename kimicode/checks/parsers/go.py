"""`go test -json`, and its printed text with -v."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

from kimicode.checks.parsers.common import MAX_DETAIL, MAX_TESTS, Parsed, Place, Results, lines_of, shorten
from kimicode.core.checks import TestOutcome

_RESULT = re.compile(r"^ {0,200}--- (PASS|FAIL|SKIP): (\S{1,900})(?: \([\d.]+s\))?$")
_PACKAGE = re.compile(r"^(ok  |FAIL|---|\?   )\t(\S{1,900})(?:\s(.*))?$")
_RUN = re.compile(r"^=== (RUN|CONT|PAUSE|NAME) {1,5}(\S{1,900})$")
_OUTCOMES: dict[str, TestOutcome] = {
    "PASS": "passed", "FAIL": "failed", "SKIP": "skipped", "pass": "passed", "fail": "failed", "skip": "skipped",
}  # fmt: skip
_NOISE = ("=== ", "--- ", "FAIL", "PASS", "exit status", "ok  \t")


def parse(output: str, report: bytes | None, place: Place) -> Parsed:
    """Results with ids "<import path>.<TestName>" ("example.com/m/pkg.TestX/sub").

    A package that does not build is an `error` whose id is the import path: it stands for all its tests.
    """
    if any(line.startswith('{"') for line in output[:200_000].split("\n")):
        return _Stream(place).read(output)
    return _read_text(output, place)


class _Stream:
    """One reading of the event stream."""

    def __init__(self, place: Place) -> None:
        self.results = Results(place)
        self.printed: dict[tuple[str, str], list[str]] = defaultdict(list)
        self.sizes: dict[tuple[str, str], int] = defaultdict(int)
        self.started: dict[tuple[str, str], None] = {}
        self.failed: set[str] = set()
        self.build: list[str] = []
        self.text: list[str] = []
        self.text_size = 0

    def read(self, output: str) -> Parsed:
        for line in output.split("\n"):
            if not line.startswith("{"):
                self._keep(self.build, line.rstrip("\r")[:2_000])
                continue
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                self._event(event)
        running = next((f"{package}.{test}" for package, test in reversed(self.started) if test), "")
        return Parsed(self.results.tests(), running=running, text="".join(self.text))

    def _keep(self, target: list[str], line: str) -> None:
        if len(target) < 2_000:
            target.append(line)

    def _event(self, event: dict[str, Any]) -> None:
        action, package = event.get("Action"), event.get("Package", "")
        test, printed = event.get("Test", ""), event.get("Output", "")
        if not (isinstance(package, str) and isinstance(test, str) and isinstance(printed, str)):
            return
        key = (package, test)
        if action == "build-output":
            self._keep(self.build, printed.rstrip("\n")[:2_000])
        elif action == "run" and len(self.started) < MAX_TESTS:
            self.started[key] = None
        elif action == "output":
            if self.sizes[key] < MAX_DETAIL:
                self.sizes[key] += len(printed)
                self.printed[key].append(printed[:MAX_DETAIL])
        elif isinstance(action, str) and action in _OUTCOMES:
            self.started.pop(key, None)
            text = "".join(self.printed.pop(key, []))
            if test:
                self._test(package, test, _OUTCOMES[action], text)
            elif action == "fail" and package not in self.failed:
                self._package(package, text)
        if action == "fail":
            self.failed.add(package)

    def _test(self, package: str, test: str, outcome: TestOutcome, text: str) -> None:
        if outcome == "failed":
            self._show(text)
        self.results.add(f"{package}.{test}", outcome, detail=text, message=_message(text))

    def _package(self, package: str, text: str) -> None:
        """A package that failed without a failed test: it did not build, or it ended before its tests."""
        running = [test for name, test in self.started if name == package and test]
        detail = (
            "\n".join(self.build)
            if "[build failed]" in text or "[setup failed]" in text or not text
            else text
        )
        self._show(detail + "\n")
        for test in running:
            own = "".join(self.printed.pop((package, test), []))
            self.started.pop((package, test), None)
            self.results.add(
                f"{package}.{test}", "failed", detail=own + detail, message=_message(own + detail)
            )
        if not running:
            self.results.add(package, "error", detail=detail, message=_message(detail) or text.strip())

    def _show(self, text: str) -> None:
        if self.text_size < MAX_DETAIL * 4:
            self.text.append(text)
            self.text_size += len(text)


def _message(text: str) -> str:
    lines = [
        line.strip() for line in text.split("\n") if line.strip() and not line.lstrip().startswith(_NOISE)
    ]
    return shorten("\n".join(lines))


def _read_text(output: str, place: Place) -> Parsed:
    """Plain text: test lines first, then the line of their package. Without -v passing tests are not named."""
    results = Results(place)
    pending: list[tuple[str, TestOutcome, str]] = []
    section: list[str] = []
    running: dict[str, None] = {}
    named, quiet = False, False
    for line in lines_of(output):
        result, package, run = _RESULT.match(line), _PACKAGE.match(line), _RUN.match(line)
        if run is not None:
            named = True
            if run[1] == "RUN":
                running[run[2]] = None
                section = []
        elif result is not None:
            running.pop(result[2], None)
            pending.append((result[2], _OUTCOMES[result[1]], "\n".join(section)))
            section = []
        elif package is not None:
            note = package[3] or ""
            for test, outcome, text in pending:
                results.add(f"{package[2]}.{test}", outcome, detail=text, message=_message(text))
            if package[1] == "FAIL" and not any(outcome == "failed" for _, outcome, _ in pending):
                detail = "\n".join(section)
                results.add(package[2], "error", detail=detail, message=_message(detail) or note)
            quiet = quiet or (package[1] == "ok  " and not named and "no test" not in note)
            pending, section, running = [], [], {}
        elif len(section) < 400:
            section.append(line)
            if pending and pending[-1][1] == "failed" and not pending[-1][2] and line.startswith("    "):
                # Without -v the lines of a failure follow its "--- FAIL" line.
                test, outcome, _ = pending.pop()
                pending.append((test, outcome, line))
            elif pending and pending[-1][1] == "failed" and line.startswith("    "):
                test, outcome, text = pending.pop()
                pending.append((test, outcome, (text + "\n" + line)[:MAX_DETAIL]))
    return Parsed(results.tests(), complete=not quiet, running=next(reversed(running), ""))
