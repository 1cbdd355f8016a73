"""Line operations and where they go: the one form that every kind of edit becomes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Op = tuple[Literal[" ", "-", "+"], str]
""" " " keeps and "-" drops the next line of the file; "+" adds the text as a line."""
Tier = Literal["exact", "blank lines", "trailing blanks", "unicode", "indentation"]
"""What was ignored to find a place, from nothing to most."""
MAX_PRODUCT = 4_000_000
"""Lines times lines up to which two blocks are compared; beyond it only their common ends are found."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Operations on the lines `start` to `end` (excluded, from 0) of a document."""

    start: int
    end: int
    ops: tuple[Op, ...]
    tier: Tier = "exact"
    final_newline: bool | None = None
    """Whether the file ends with a newline afterwards; None: as before."""
    note: str = ""

    @property
    def added(self) -> list[str]:
        return [text for kind, text in self.ops if kind == "+"]

    def added_after(self, before: str) -> list[tuple[str, str]]:
        """Each added line with the line before it that is not blank; `before` stands before the placement."""
        found: list[tuple[str, str]] = []
        for kind, text in self.ops:
            if kind == "+":
                found.append((before, text))
            if kind != "-" and text.strip():
                before = text
        return found

    def overlaps(self, other: Placement) -> bool:
        """Whether both touch the same lines. Two insertions at one place do not: they keep their order."""
        return self.start < other.end and other.start < self.end


def compare(old: Sequence[str], new: Sequence[str]) -> list[Op]:
    """Operations that turn `old` into `new`."""
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    ops: list[Op] = [(" ", text) for text in old[:head]]
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(a) * len(b) > MAX_PRODUCT:
        blocks = [(len(a), len(b), 0)]
    else:
        matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
        blocks = [(m.a, m.b, m.size) for m in matcher.get_matching_blocks()]
    i = j = 0
    for at, to, size in blocks:
        ops += [("-", text) for text in a[i:at]]
        ops += [("+", text) for text in b[j:to]]
        ops += [(" ", text) for text in a[at : at + size]]
        i, j = at + size, to + size
    return ops + [(" ", text) for text in old[len(old) - tail :]]


def place(
    start: int, ops: Sequence[Op], tier: Tier, *, final_newline: bool | None = None, note: str = ""
) -> Placement:
    """A placement without the unchanged lines at its ends, so that edits that share context do not collide."""
    first, last = 0, len(ops)
    while first < last and ops[first][0] == " ":
        first += 1
    while last > first and ops[last - 1][0] == " ":
        last -= 1
    inner = tuple(ops[first:last])
    begin = start + first
    return Placement(begin, begin + sum(k != "+" for k, _ in inner), inner, tier, final_newline, note)
