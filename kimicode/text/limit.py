"""Cuts long text by lines: head and tail stay, the range left out is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_CHARS = 20_000
MAX_LINES = 600
MAX_LINE = 2_000
"""Characters of one line."""
HEAD = 0.4
"""Share of what is kept that comes from the start: errors and summaries stand at the end."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A text within limits, and what was left out of it."""

    text: str
    lines: int
    """Of the whole text."""
    first: int = 0
    """First line left out, counted from 1; 0 when no whole line is missing."""
    last: int = 0
    """Last line left out."""
    shortened: int = 0
    """Characters left out inside lines that are shown."""

    @property
    def whole(self) -> bool:
        return not self.first and not self.shortened


def cut_line(line: str, limit: int = MAX_LINE) -> str:
    """A line of about `limit` characters: both ends, and how much is missing between them."""
    if len(line) <= limit:
        return line
    tail = limit // 4
    head = limit - tail
    return f"{line[:head]} [{len(line) - limit:,} characters left out] {line[-tail:]}"


def cut_lines(
    text: str,
    *,
    max_chars: int = MAX_CHARS,
    max_lines: int = MAX_LINES,
    max_line: int = MAX_LINE,
    where: str = "",
) -> Cut:
    """`text` within limits. `where`: how to see the rest, put into the line that names the range left out.

    The result may exceed `max_chars` by that line.
    """
    lines = text.split("\n")
    ended = lines[-1] == "" and len(lines) > 1
    if ended:
        lines.pop()
    max_line = min(max_line, max_chars)
    shown = [cut_line(line, max_line) for line in lines]
    shortened = sum(max(0, len(line) - max_line) for line in lines)
    head, tail = _ends(shown, max_chars, max_lines)
    end = "\n" if ended else ""
    if head + tail >= len(shown):
        return Cut("\n".join(shown) + end, len(lines), shortened=shortened)
    first, last = head + 1, len(lines) - tail
    parts = [*shown[:head], gap(first, last, len(lines), where), *shown[len(shown) - tail :]]
    kept = lines[:head] + lines[len(lines) - tail :]
    shortened = sum(max(0, len(line) - max_line) for line in kept)
    return Cut("\n".join(parts) + end, len(lines), first, last, shortened)


def gap(first: int, last: int, total: int, where: str = "") -> str:
    """The line that stands for lines left out."""
    span = f"line {first:,}" if first == last else f"lines {first:,}-{last:,}"
    return f"[{span} of {total:,} left out{': ' + where if where else ''}]"


def _ends(lines: Sequence[str], max_chars: int, max_lines: int) -> tuple[int, int]:
    """How many lines to keep at either end; together all of them when they fit."""
    if len(lines) <= max_lines and sum(map(len, lines)) + len(lines) <= max_chars:
        return len(lines), 0
    head = _fit(lines, int(max_chars * HEAD), max(1, int(max_lines * HEAD)))
    used = sum(len(line) + 1 for line in lines[:head])
    tail = _fit(lines[head:][::-1], max_chars - used, max(1, max_lines - head))
    return head, tail


def _fit(lines: Sequence[str], chars: int, count: int) -> int:
    """How many of the first lines fit into `chars` and `count`."""
    used = 0
    for index, line in enumerate(lines[:count]):
        used += len(line) + 1
        if used > chars:
            return index
    return min(len(lines), count)
