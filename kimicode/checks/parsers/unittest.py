"""unittest's printed text, as `python -m unittest -v` writes it."""

from __future__ import annotations

import re

from kimicode.checks.parsers.common import MAX_DETAIL, Parsed, Place, Results, join, lines_of, stable_id
from kimicode.core.checks import TestOutcome

_START = re.compile(r"^([\w.]{1,300}) \(([\w.]{1,600})\)(?: \[.{1,300}\]| \(.{1,300}\))?( \.\.\. ?)?(.*)$")
_HEAD = re.compile(r"^(ERROR|FAIL|UNEXPECTED SUCCESS): ([\w.]{1,300}) \(([\w.]{1,600})\)")
_RAN = re.compile(r"^Ran (\d{1,9}) tests? in ")
_FAILED_TEST = "unittest.loader._FailedTest"
_ENDS: tuple[tuple[str, TestOutcome], ...] = (
    ("ok", "passed"),
    ("FAIL", "failed"),
    ("ERROR", "error"),
    ("expected failure", "xfailed"),
    ("unexpected success", "xpassed"),
)


def parse(output: str, report: bytes | None, place: Place) -> Parsed:
    """Results with dotted ids ("tests.test_a.TestX.test_b").

    A module that cannot be imported is an `error` whose id is the module, a setUpClass that fails one whose id
    is the class: both stand for every test beneath them.
    """
    reader = _Reader(place)
    for line in lines_of(output):
        reader.line(line)
    reader.close_section()
    for id, outcome in reader.outcomes.items():
        detail = reader.details.get(id, "")
        message = _message(detail) or reader.reasons.get(id, "")
        file = id.replace(".", "/") + ".py" if id in reader.modules else module_file(id)
        reader.results.add(id, outcome, file=join(place.cwd, file), detail=detail, message=message)
    complete = reader.ran is None or reader.ran <= reader.named
    running = reader.pending if reader.ran is None else ""
    return Parsed(reader.results.tests(), complete=complete, running=running)


def module_file(id: str) -> str:
    """Path of the module of a dotted id, as far as names tell: classes begin with a capital letter."""
    parts = id.split(".")
    for number, part in enumerate(parts):
        if part[:1].isupper() or (number == len(parts) - 1 and number > 0 and part.startswith("test")):
            if part.startswith("test") and not any(p.startswith("test") for p in parts[:number]):
                continue
            parts = parts[:number]
            break
    return "/".join(parts) + ".py" if parts else ""


def _join(name: str, owner: str) -> str:
    if owner.startswith(_FAILED_TEST):
        return name if owner == _FAILED_TEST else owner[len(_FAILED_TEST) + 1 :]
    if name in ("setUpClass", "tearDownClass", "setUpModule", "tearDownModule"):
        return owner
    # Python 3.11 repeats the name of the method in the parentheses, older versions do not.
    return owner if owner == name or owner.endswith("." + name) else f"{owner}.{name}"


class _Reader:
    def __init__(self, place: Place) -> None:
        self.results = Results(place)
        self.outcomes: dict[str, TestOutcome] = {}
        self.reasons: dict[str, str] = {}
        self.details: dict[str, str] = {}
        self.modules: set[str] = set()
        self.pending = ""
        self.ran: int | None = None
        self.named = 0
        self._section = ""
        self._lines: list[str] = []
        self._size = 0
        self._rule = False

    def line(self, line: str) -> None:
        if line.startswith("=" * 70):
            self.close_section()
            self._rule = True
            self.pending = self.pending if self.ran is None else ""
            return
        if self._rule:
            self._rule = False
            head = _HEAD.match(line)
            if head is not None:
                self._open(head)
                return
        ran = _RAN.match(line)
        if ran is not None:
            self.close_section()
            self.ran, self.pending = int(ran[1]), ""
        elif self._section:
            if self._size < MAX_DETAIL:
                self._lines.append(line)
                self._size += len(line) + 1
        else:
            self._progress(line)

    def _open(self, head: re.Match[str]) -> None:
        id = stable_id(_join(head[2], head[3]))
        if head[3].startswith(_FAILED_TEST):
            self.modules.add(id)
        outcome: TestOutcome = {"FAIL": "failed", "ERROR": "error"}.get(head[1], "xpassed")  # type: ignore[assignment]
        if self.outcomes.get(id) not in ("failed", "error"):
            if id not in self.outcomes:
                self.named += 1
            self.outcomes[id] = outcome
        self.pending = ""
        self._section, self._lines, self._size = id, [], 0

    def close_section(self) -> None:
        if self._section:
            self.details.setdefault(self._section, "\n".join(self._lines))
        self._section = ""

    def _progress(self, line: str) -> None:
        start = _START.match(line)
        if start is not None and (start[3] or not start[4]):
            self.pending = stable_id(_join(start[1], start[2]))
            rest = start[4] if start[3] else ""
        else:
            rest = line.rpartition(" ... ")[2] if " ... " in line else line
        if self.pending:
            self._end(rest.strip())

    def _end(self, rest: str) -> None:
        outcome: TestOutcome | None = None
        for word, value in _ENDS:
            if rest == word or rest.endswith(" " + word):
                outcome = value
        skipped = rest.rfind("skipped ")
        if outcome is None and skipped >= 0 and rest[skipped + 8 : skipped + 9] in ("'", '"'):
            outcome = "skipped"
            self.reasons[self.pending] = rest[skipped + 8 :].strip("'\"")
        if outcome is None:
            return
        if self.pending not in self.outcomes:
            self.named += 1
            self.outcomes[self.pending] = outcome
        elif outcome in ("failed", "error"):
            self.outcomes[self.pending] = outcome
        self.pending = ""


def _message(detail: str) -> str:
    """What follows the traceback: from the exception's line on."""
    lines = [line for line in detail.split("\n") if not line.startswith("-" * 70)]
    detail = "\n".join(lines)
    found = 0
    for number, line in enumerate(lines):
        if line.startswith(("  File ", "    ", "Traceback ")):
            found = number + 1
    tail = [line for line in lines[found:] if line.strip() and line.strip("^~ ")]
    return "\n".join(tail) if tail else detail.strip()[-1_000:]
