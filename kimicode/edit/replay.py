"""Replays line operations over a file's own lines: what is kept keeps its bytes, new lines take the line end beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kimicode.edit.document import Document, Line
from kimicode.edit.ops import Placement

AROUND = 25
"""Lines before and after a place that say which line end new lines take there, in a file that mixes them."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where an edit stands: lines from 0, `end` excluded, in the old and in the new document."""

    old_start: int
    old_end: int
    start: int
    end: int


def replay(document: Document, placements: Sequence[Placement]) -> tuple[Document, list[Region]]:
    """The document after all `placements`, which do not overlap, and where each one stands (in their order)."""
    order = sorted(range(len(placements)), key=lambda i: (placements[i].start, placements[i].end, i))
    lines: list[Line] = []
    regions: dict[int, Region] = {}
    at = 0
    for index in order:
        p = placements[index]
        lines += document.lines[at : p.start]
        begin = len(lines)
        _replay_one(document, p, lines)
        regions[index] = Region(p.start, p.end, begin, len(lines))
        at = p.end
    lines += document.lines[at:]
    final = next((p.final_newline for p in reversed(placements) if p.final_newline is not None), None)
    if final is None:
        final = bool(document.lines[-1].eol) if document.lines else True
    result = Document(tuple(_close(lines, final, document.eol)), document.bom, document.encoding)
    return result, [regions[i] for i in range(len(placements))]


def _replay_one(document: Document, placement: Placement, out: list[Line]) -> None:
    eol = eol_around(document, placement.start, placement.end)
    at = placement.start
    for kind, text in placement.ops:
        if kind == "+":
            out.append(Line(text, eol))
            continue
        if kind == " ":
            out.append(document.lines[at])
        at += 1


def eol_around(document: Document, start: int, end: int) -> str:
    """The line end of most lines around a place; a file with one kind of line end has only that one to give."""
    near = document.lines[max(0, start - AROUND) : end + AROUND]
    crlf = sum(line.eol == "\r\n" for line in near)
    other = sum(line.eol == "\n" for line in near)
    return document.eol if crlf == other else "\r\n" if crlf > other else "\n"


def _close(lines: list[Line], final_newline: bool, eol: str) -> list[Line]:
    """Every line but the last has a line end; the last one as `final_newline` says."""
    for index, line in enumerate(lines[:-1]):
        if not line.eol:
            before = lines[index - 1].eol if index else ""
            lines[index] = Line(line.text, before or eol)
    if lines:
        last = lines[-1]
        if final_newline and not last.eol:
            lines[-1] = Line(last.text, (lines[-2].eol if len(lines) > 1 else "") or eol)
        elif not final_newline and last.eol:
            lines[-1] = Line(last.text, "")
    return lines
