"""Reading the JUnit XML of pytest, which untrusted code wrote: no DOCTYPE, no entities, bounded, partial when cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from kimicode.checks.parsers.common import MAX_DETAIL, MAX_ID, MAX_TESTS


@dataclass(slots=True)
class Case:
    """One <testcase> with its children failure, error, skipped."""

    classname: str
    name: str
    file: str
    kinds: list[tuple[str, str, str]] = field(default_factory=list)
    """(tag, type, message) of each child."""
    text: str = ""
    """Text of the first child that has one."""


class _Refused(Exception):
    """The document holds a DOCTYPE or is deeper than any report."""


@dataclass(slots=True)
class _Reader:
    cases: list[Case] = field(default_factory=list)
    case: Case | None = None
    inside: bool = False
    kept: int = 0
    depth: int = 0
    done: bool = False
    pieces: list[str] = field(default_factory=list)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > 64:
            raise _Refused
        if tag == "testcase" and len(self.cases) < MAX_TESTS:
            get = attributes.get
            self.case = Case(
                get("classname", "")[:MAX_ID], get("name", "")[:MAX_ID], get("file", "")[:MAX_ID]
            )
            self.cases.append(self.case)
        elif self.case is not None and tag in ("failure", "error", "skipped") and len(self.case.kinds) < 16:
            message = attributes.get("message", "")[:MAX_DETAIL]
            self.case.kinds.append((tag, attributes.get("type", "")[:200], message))
            self.inside = not self.case.text
            self.kept = 0

    def data(self, text: str) -> None:
        if self.inside and self.kept < MAX_DETAIL:
            self.pieces.append(text[: MAX_DETAIL - self.kept])
            self.kept += len(text)

    def end(self, tag: str) -> None:
        self.depth -= 1
        if tag in ("failure", "error", "skipped"):
            if self.case is not None and self.pieces:
                self.case.text = "".join(self.pieces)
            self.pieces.clear()
            self.inside = False
        elif tag == "testcase":
            self.case = None
        self.done = self.done or self.depth == 0


def read_cases(report: bytes) -> tuple[list[Case], bool]:
    """The test cases of a report in its order, and whether the document was whole.

    A cut or damaged document gives the cases before the damage; one with a DOCTYPE gives none.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise _Refused

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = lambda *_: 0
    parser.StartElementHandler = reader.start
    parser.CharacterDataHandler = reader.data
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(report, True)
    except _Refused:
        return [], False
    except (expat.ExpatError, ValueError, LookupError):
        pass  # what came before the damage is still good
    if reader.case is not None:
        reader.cases.pop()
    return reader.cases, reader.done
