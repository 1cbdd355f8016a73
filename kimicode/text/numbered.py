"""Lines of a file as the model sees them: verbatim, with a marker line before every tenth."""

from __future__ import annotations

import re
from collections.abc import Sequence

EVERY = 10
MARKER = re.compile(r"^\[line \d+\]$")
"""A marker line. The edit engine drops one that the model copied into a quotation."""


def number_lines(lines: Sequence[str], first: int, *, every: int = EVERY) -> str:
    """`lines` from line number `first` on, each ended by "\\n". Up to twelve lines need no marker."""
    mark = len(lines) > 12
    parts: list[str] = []
    for number, line in enumerate(lines, first):
        if mark and number % every == 0 and number != first:
            parts.append(f"[line {number}]\n")
        parts.append(line + "\n")
    return "".join(parts)
