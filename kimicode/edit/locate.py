"""Finds where an edit goes: tiers from exact to indentation, each of which must match exactly once.

A tier that matches more than once ends the search: a looser tier would only choose at random.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Sequence

from kimicode.edit.document import Document, plain_lines
from kimicode.edit.errors import EditError
from kimicode.edit.indent import Indentation, indent_of, learn
from kimicode.edit.ops import Op, Placement, Tier, compare, place
from kimicode.edit.unicode import fold
from kimicode.text.numbered import MARKER

Key = Callable[[str], str]
TIERS: tuple[tuple[Tier, Key], ...] = (
    ("trailing blanks", str.rstrip),
    ("unicode", lambda line: fold(line).rstrip()),
    ("indentation", lambda line: fold(line).strip()),
)
_word = re.compile(r"\w", re.ASCII)


class Missing(Exception):
    """No tier matched. Turned into an EditError by those who can show the nearest lines."""


class Applied(Exception):
    """The file already reads as the edit wants it: lines `first` to `last`, from 1."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"lines {first}-{last}")
        self.first, self.last = first, last


class Located:
    """A document prepared for being searched many times."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.texts = document.texts
        self.text = "".join(line.text + ("\n" if line.eol else "") for line in document.lines)
        self.starts = [0]
        for line in document.lines:
            self.starts.append(self.starts[-1] + len(line.text) + bool(line.eol))
        self._keys: dict[Tier, list[str]] = {}

    def keys(self, tier: Tier, key: Key) -> list[str]:
        if tier not in self._keys:
            self._keys[tier] = [key(text) for text in self.texts]
        return self._keys[tier]

    def before(self, start: int) -> str:
        """The last line before index `start` that is not blank."""
        return next((self.texts[i] for i in range(start - 1, -1, -1) if self.texts[i].strip()), "")

    def line_at(self, offset: int) -> int:
        return bisect.bisect_right(self.starts, offset, hi=max(1, len(self.texts))) - 1

    def occurrences(self, part: str) -> list[int]:
        found: list[int] = []
        at = self.text.find(part)
        while at >= 0:
            found.append(at)
            at = self.text.find(part, at + 1)
        return found


def locate_text(where: Located, old: str, new: str, path: str, *, exact_only: bool = False) -> Placement:
    """Where `old` stands and what becomes of it. Raises EditError, Missing or Applied."""
    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    hits = where.occurrences(old)
    if len(hits) > 1:
        raise ambiguous(path, "old", [where.line_at(h) for h in hits], where.texts)
    if hits:
        _refuse_applied(where, hits[0], old, new)
        _refuse_part_of_word(where, hits[0], old, path)
        return replace_exact(where, hits[0], old, new)
    if exact_only or not old.strip():
        raise Missing
    old_lines, new_lines = drop_markers(where, plain_lines(old)), drop_markers(where, plain_lines(new))
    try:
        start, tier = find_block(where, old_lines, path, "old")
    except Missing:
        inner = trim_blank_ends(old_lines, new_lines)
        if inner == (old_lines, new_lines):
            raise
        old_lines, new_lines = inner
        start, tier = find_block(where, old_lines, path, "old")
        tier = "blank lines" if tier == "exact" else tier
    ops = compare(old_lines, new_lines)
    if tier == "indentation":
        ops = shift(ops, learn(old_lines, where.texts[start : start + len(old_lines)], path))
    return place(start, ops, tier)


def locate_every(where: Located, old: str, new: str, path: str) -> list[Placement]:
    """Every exact occurrence of `old`. Raises EditError or Missing."""
    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    hits: list[int] = []
    for hit in where.occurrences(old):
        if not hits or hit >= hits[-1] + len(old):
            hits.append(hit)
    if not hits:
        raise Missing
    inside = [h for h in hits if _cuts_word(where.text, h, h + len(old))]
    if inside and len(inside) < len(hits):
        lines = ", ".join(str(where.line_at(h) + 1) for h in inside[:8])
        raise EditError(
            f"{path}: {len(inside)} of the {len(hits)} places where old stands are inside longer words (line {lines}). "
            "Nothing was changed. Make old longer, or edit the places one by one.",
            kind="ambiguous",
            path=path,
        )
    groups: list[list[int]] = []
    for hit in hits:
        if groups and where.line_at(hit) <= where.line_at(groups[-1][-1] + len(old) - 1):
            groups[-1].append(hit)
        else:
            groups.append([hit])
    placements: list[Placement] = []
    for group in groups:
        begin, end = group[0], group[-1] + len(old)
        placements.append(
            replace_exact(where, begin, where.text[begin:end], where.text[begin:end].replace(old, new))
        )
    return placements


def replace_exact(where: Located, at: int, old: str, new: str) -> Placement:
    """Whole-line operations for the text `old` at offset `at`, wherever on its lines it begins and ends."""
    end = at + len(old)
    first, last = where.line_at(at), where.line_at(end - 1)
    before = where.text[where.starts[first] : at]
    whole = old.endswith("\n")
    after = "" if whole else where.text[end : where.starts[last] + len(where.texts[last])]
    at_end = last == len(where.texts) - 1 and not where.document.lines[last].eol
    final: bool | None = None
    note = ""
    if whole and new and not new.endswith("\n"):
        note = "the line break after old was kept"
    elif at_end and not after and new.endswith("\n"):
        final, new = True, new[:-1]
    if whole and new.endswith("\n"):
        new = new[:-1]
        body = (before + new).split("\n")
    elif not new and not before and not after:
        body = []
    else:
        body = (before + new + after).split("\n")
    return place(first, compare(where.texts[first : last + 1], body), "exact", final_newline=final, note=note)


def locate_span(where: Located, first: str, last: str, new: str, path: str) -> Placement:
    """The block between two quoted ends. Raises EditError or Missing."""
    heads, tails = drop_markers(where, plain_lines(first)), drop_markers(where, plain_lines(last))
    for name, lines in (("from_line", heads), ("to_line", tails)):
        if not any(line.strip() for line in lines):
            raise EditError(
                f"{path}: {name} is blank. Quote the whole text of that line.", kind="malformed", path=path
            )
        if (
            len(lines) == 1
            and lines[0].strip().isdecimal()
            and lines[0].strip() not in map(str.strip, where.texts)
        ):
            raise EditError(_number(where, name, int(lines[0]), path), kind="malformed", path=path)
    start, tier = find_block(where, heads, path, "from_line")
    begin, loose = _find_end(where, tails, start, len(heads), path)
    end = begin + len(tails)
    block, lines = where.texts[start:end], drop_markers(where, plain_lines(new))
    if "indentation" in (tier, loose) and _first_indent(lines) != _first_indent(block):
        indentation = learn([*heads, *tails], [*block[: len(heads)], *block[-len(tails) :]], path)
        lines = [indentation.apply(line) for line in lines]
    order: list[Tier] = ["exact", *(name for name, _ in TIERS)]
    return place(start, compare(block, lines), max(tier, loose, key=order.index))


def _first_indent(lines: Sequence[str]) -> str:
    return next((indent_of(line) for line in lines if line.strip()), "")


def find_block(where: Located, lines: Sequence[str], path: str, name: str) -> tuple[int, Tier]:
    """Index of the only place that reads `lines`, and the tier that says so. Raises EditError or Missing."""
    hits, tier = _hits(where, lines)
    if len(hits) > 1:
        raise ambiguous(path, name, hits, where.texts)
    if not hits:
        raise Missing
    return hits[0], tier


def _hits(where: Located, lines: Sequence[str]) -> tuple[list[int], Tier]:
    """All places of the first tier that has any."""
    hits = windows(where.texts, lines)
    if hits:
        return hits, "exact"
    for tier, key in TIERS:
        if hits := windows(where.keys(tier, key), [key(line) for line in lines]):
            return hits, tier
    return [], "exact"


def _find_end(where: Located, tails: Sequence[str], start: int, heads: int, path: str) -> tuple[int, Tier]:
    """Where the last lines of a block stand: the only place in the block that `start` opens, else in the file."""
    hits, tier = _hits(where, tails)
    hits = [h for h in hits if h >= start and h + len(tails) >= start + heads]
    if not hits:
        raise Missing
    limit = scope_end(where.texts, start)
    inner = [h for h in hits if h + len(tails) <= limit]
    chosen = inner or hits
    if len(chosen) > 1:
        raise ambiguous(path, "to_line", chosen, where.texts)
    return chosen[0], tier


def scope_end(texts: Sequence[str], start: int) -> int:
    """Index after the block that the line `start` opens by indentation, its closing line included."""
    own = len(texts[start]) - len(texts[start].lstrip())
    for index in range(start + 1, len(texts)):
        text = texts[index]
        if text.strip() and len(text) - len(text.lstrip()) <= own:
            return index + 1
    return len(texts)


def windows(texts: Sequence[str], lines: Sequence[str]) -> list[int]:
    """Every index at which `texts` reads `lines`."""
    if not lines:
        return []
    # The longest line is the rarest: only its places are looked at.
    anchor = max(range(len(lines)), key=lambda i: len(lines[i]))
    found: list[int] = []
    for index, text in enumerate(texts):
        start = index - anchor
        if text == lines[anchor] and start >= 0 and list(texts[start : start + len(lines)]) == list(lines):
            found.append(start)
    return found


def shift(ops: Sequence[Op], indentation: Indentation) -> list[Op]:
    """The operations with the file's indentation on added lines."""
    return [(kind, indentation.apply(text) if kind == "+" else text) for kind, text in ops]


def trim_blank_ends(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    """Both without the blank lines that they have in common at their ends: those were context, and not there."""
    while len(old) > 1 and len(new) > 1 and not old[0].strip() and not new[0].strip():
        old, new = old[1:], new[1:]
    while len(old) > 1 and len(new) > 1 and not old[-1].strip() and not new[-1].strip():
        old, new = old[:-1], new[:-1]
    return old, new


def drop_markers(where: Located, lines: list[str]) -> list[str]:
    """`lines` without the "[line 20]" that read_file puts between lines, unless the file itself has such lines."""
    if any(MARKER.match(line) for line in lines) and not any(MARKER.match(text) for text in where.texts):
        return [line for line in lines if not MARKER.match(line)]
    return lines


def ambiguous(path: str, name: str, hits: Sequence[int], texts: Sequence[str]) -> EditError:
    """Several places: their line numbers, with the line before each, which tells them apart."""
    numbers = ", ".join(str(h + 1) for h in hits[:10]) + (", …" if len(hits) > 10 else "")
    shown = []
    for hit in hits[:4]:
        before = next(
            (texts[i].strip() for i in range(hit - 1, -1, -1) if texts[i].strip()), "the start of the file"
        )
        shown.append(f"\n  line {hit + 1}, after: {before[:80]}")
    remedy = "Add a line of context" + (" or set replace_all" if name == "old" else " to it")
    return EditError(
        f"{path}: {name} occurs {len(hits)} times, at lines {numbers}. Nothing was changed. {remedy}.{''.join(shown)}",
        kind="ambiguous",
        path=path,
    )


def _number(where: Located, name: str, number: int, path: str) -> str:
    reads = f" Line {number} reads: {where.texts[number - 1]!r}." if 0 < number <= len(where.texts) else ""
    return (
        f"{path}: {name} is the text of a line, not its number.{reads} Nothing was changed. Send that text."
    )


def _refuse_applied(where: Located, at: int, old: str, new: str) -> None:
    """An insertion beside `old` that is already there would be made twice."""
    offset = new.find(old)
    while offset >= 0:
        begin = at - offset
        if begin >= 0 and where.text.startswith(new, begin):
            raise Applied(where.line_at(begin) + 1, where.line_at(begin + len(new) - 1) + 1)
        offset = new.find(old, offset + 1)


def _cuts_word(text: str, begin: int, end: int) -> bool:
    left = begin > 0 and _word.match(text[begin - 1]) and _word.match(text[begin])
    right = end < len(text) and _word.match(text[end - 1]) and _word.match(text[end])
    return bool(left or right)


def _refuse_part_of_word(where: Located, at: int, old: str, path: str) -> None:
    if _cuts_word(where.text, at, at + len(old)):
        index = where.line_at(at)
        raise EditError(
            f"{path}: the only place where old stands begins or ends inside a longer word, on line {index + 1}: "
            f"{where.texts[index]!r}. Nothing was changed. Quote whole words, or the whole line.",
            kind="ambiguous",
            path=path,
        )
