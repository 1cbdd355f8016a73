"""`cargo test`: its printed text."""

from __future__ import annotations

import re

from kimicode.checks.parsers.common import MAX_DETAIL, Parsed, Place, Results, lines_of
from kimicode.core.checks import TestOutcome

_RUNNING = re.compile(
    r"^\s{0,10}Running (?:unittests )?(\S{1,500}) \((?:.*[/\\])?([\w-]{1,300}?)(?:-[0-9a-f]{16})?(?:\.exe)?\)$"
)
_DOCTESTS = re.compile(r"^\s{0,10}Doc-tests (\S{1,300})$")
_TEST = re.compile(r"^test (.{1,900}?)(?: - (?:should panic|compile fail|compile))? \.\.\. ?(.*)$")
_SECTION = re.compile(r"^---- (.{1,900}?) (?:stdout|stderr) ----$")
_BROKEN = re.compile(
    r"^error(?:\[E\d+\])?: could not compile `([\w-]{1,300})`"
    r"(?: \((lib|lib test|bin|test|example|bench)(?: \"([\w-]{1,300})\")?.*\))?"
)
_LINE = re.compile(r" \(line \d{1,9}\)$")
_SUMMARY = re.compile(r"^test result: ")
_ENDS: tuple[tuple[str, TestOutcome], ...] = (("ok", "passed"), ("FAILED", "failed"), ("ignored", "skipped"))


def parse(output: str, report: bytes | None, place: Place) -> Parsed:
    """Results with ids "<crate>::<path>" ("calc::tests::adds", "it::adds" for tests/it.rs, "calc::doc::…").

    `file` is the root of the test binary relative to its package ("src/lib.rs", "tests/it.rs"). A crate or test
    binary that does not compile is an `error` whose id is its name: it stands for all its tests.
    """
    reader = _Reader(place)
    for line in lines_of(output):
        reader.line(line)
    return reader.parsed()


class _Reader:
    def __init__(self, place: Place) -> None:
        self.results = Results(place)
        self.outcomes: dict[str, tuple[TestOutcome, str, str]] = {}
        self.details: dict[str, list[str]] = {}
        self.binary = ""
        self.file = ""
        self.pending = ""
        self.compiler: list[str] = []
        self._section: list[str] | None = None
        self._size = 0

    def line(self, line: str) -> None:
        running, doctests = _RUNNING.match(line), _DOCTESTS.match(line)
        if running is not None:
            self.file, self.binary = running[1], running[2].replace("-", "_")
            self._section = None
        elif doctests is not None:
            self.file, self.binary = "", doctests[1].replace("-", "_") + "::doc"
            self._section = None
        elif _SUMMARY.match(line) or line == "failures:":
            self._section = None
            self.pending = ""
        elif (section := _SECTION.match(line)) is not None:
            self._section = self.details.setdefault(self._id(section[1]), [])
            self._size = 0
        elif self._section is not None:
            if self._size < MAX_DETAIL:
                self._section.append(line)
                self._size += len(line) + 1
        elif (broken := _BROKEN.match(line)) is not None:
            self._broken(broken, line)
        elif (test := _TEST.match(line)) is not None:
            self.pending = self._id(test[1])
            self._end(test[2])
        elif self.pending and line in ("ok", "FAILED"):
            self._end(line)  # the test printed something between "..." and its outcome
        elif len(self.compiler) < 200 and (
            line.startswith("error") or (self.compiler and line.startswith(" "))
        ):
            self.compiler.append(line)

    def _id(self, name: str) -> str:
        name = _LINE.sub("", name)  # documentation tests are named by line, which any edit above them moves
        return f"{self.binary}::{name}" if self.binary else name

    def _end(self, text: str) -> None:
        text = text.strip()
        for word, outcome in _ENDS:
            if text == word or text.startswith((word + " ", word + ",")) or text.endswith(" " + word):
                reason = text[len(word) :].lstrip(", ") if outcome == "skipped" else ""
                self.outcomes[self.pending] = (outcome, self.file, reason)
                self.pending = ""
                return

    def _broken(self, match: re.Match[str], line: str) -> None:
        name = match[3] if match[2] == "test" and match[3] else match[1]
        detail = "\n".join([*self.compiler, line])
        frame = re.search(r"--> ([^:\s]{1,500}:\d{1,9})", detail)
        message = "\n".join([*self.compiler[:12], line])
        located = f"{frame[1]}: in {name}\n" if frame else ""
        self.results.add(name.replace("-", "_"), "error", detail=located + detail, message=message)
        self.compiler = []

    def parsed(self) -> Parsed:
        for id, (outcome, file, reason) in self.outcomes.items():
            detail = "\n".join(self.details.get(id, ()))
            self.results.add(id, outcome, file=file, detail=detail, message=_message(detail) or reason)
        return Parsed(self.results.tests(), running=self.pending)


def _message(detail: str) -> str:
    lines = [line for line in detail.split("\n") if line.strip() and not line.startswith("note: ")]
    return re.sub(r"(?m)^(thread '.{0,300}?') \(\d{1,20}\) panicked", r"\1 panicked", "\n".join(lines))
