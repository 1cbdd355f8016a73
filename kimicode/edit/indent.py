"""Learns how a model's indentation maps to the file's, from the lines that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from kimicode.edit.errors import EditError


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


@dataclass(frozen=True, slots=True)
class Line:
    """Widths on a straight line: another unit and another depth at once, e.g. two blanks here, tabs there."""

    theirs: str
    ours: str
    slope: Fraction
    offset: Fraction

    def apply(self, own: str) -> str | None:
        width = len(own) * self.slope + self.offset
        if set(own) - {self.theirs} or width < 0 or width.denominator != 1:
            return None
        return self.ours * int(width)


@dataclass(frozen=True, slots=True)
class Indentation:
    """A mapping from the model's indentation to the file's that holds for every line of the match."""

    known: dict[str, str]
    add: str | None = None
    cut: str | None = None
    tab: int = 0
    """Blanks that stand for one tab of the file; negative: one tab stands for that many blanks."""
    line: Line | None = None
    path: str = ""

    def apply(self, line: str) -> str:
        """A line of the model with the file's indentation. Raises EditError when it cannot be told."""
        body = line.lstrip(" \t")
        own = indent_of(line)
        if not body:
            return ""
        return self._map(own, line) + body

    def _rule(self, own: str) -> str | None:
        if own in self.known:
            return self.known[own]
        if self.add is not None:
            return self.add + own
        if self.cut is not None and own.startswith(self.cut):
            return own[len(self.cut) :]
        if self.tab > 0 and not own.strip(" "):
            return "\t" * (len(own) // self.tab) + " " * (len(own) % self.tab)
        if self.tab < 0 and not own.strip("\t"):
            return " " * (len(own) * -self.tab)
        return self.line.apply(own) if self.line else None

    def _map(self, own: str, line: str) -> str:
        found = self._rule(own)
        if found is not None and (own in self.known or len(set(found)) < 2):
            return found
        raise EditError(
            f"{self.path}: old matches except for its indentation, and how {line.strip()[:60]!r} should be indented "
            "cannot be told from it. Nothing was changed. Send old and new with the file's own indentation.",
            kind="indentation",
            path=self.path,
        )


def learn(model: Sequence[str], file: Sequence[str], path: str) -> Indentation:
    """The mapping of matched lines. Raises EditError when one indentation would mean two."""
    known: dict[str, str] = {}
    for theirs, ours in zip(model, file, strict=True):
        if not theirs.strip():
            continue
        own, real = indent_of(theirs), indent_of(ours)
        if known.setdefault(own, real) != real:
            raise EditError(
                f"{path}: old matches except for its indentation, which is uneven there: the same indentation in old "
                f"stands for {known[own]!r} and for {real!r}. Nothing was changed. Send the file's own indentation.",
                kind="indentation",
                path=path,
            )
    pairs = list(known.items())
    add = _one({real[: len(real) - len(own)] if real.endswith(own) else None for own, real in pairs})
    cut = _one({own[: len(own) - len(real)] if own.endswith(real) else None for own, real in pairs})
    return Indentation(known, add, cut if add is None else None, _tab(pairs), _line(pairs), path)


def _line(pairs: Sequence[tuple[str, str]]) -> Line | None:
    """The straight line through all widths; None when there is none, or when tabs and blanks mix."""
    theirs, ours = set("".join(own for own, _ in pairs)), set("".join(real for _, real in pairs))
    points = sorted({(len(own), len(real)) for own, real in pairs})
    if len(theirs) != 1 or len(ours) != 1 or len(points) < 2 or points[0][0] == points[1][0]:
        return None
    (x, y), (x2, y2) = points[:2]
    slope = Fraction(y2 - y, x2 - x)
    if slope <= 0 or any(b - y != slope * (a - x) for a, b in points):
        return None
    return Line(theirs.pop(), ours.pop(), slope, y - slope * x)


def _one(values: set[str | None]) -> str | None:
    return values.pop() if len(values) == 1 else None


def _tab(pairs: Sequence[tuple[str, str]]) -> int:
    """How many blanks stand for a tab, the same for every pair; 0 when that is not what happened."""
    found: set[int] = set()
    for own, real in pairs:
        if not own and not real:
            continue
        blanks, tabs, sign = (own, real, 1) if "\t" in real else (real, own, -1)
        if not tabs or tabs.strip("\t") or blanks.strip(" ") or len(blanks) % len(tabs) or not blanks:
            return 0
        found.add(sign * len(blanks) // len(tabs) if sign > 0 else -(len(blanks) // len(tabs)))
    return found.pop() if len(found) == 1 else 0
