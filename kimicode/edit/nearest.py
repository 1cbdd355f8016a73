"""The region of a file that comes nearest to a quotation that was not found, with the exact first difference."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from kimicode.edit.unicode import fold
from kimicode.text.limit import cut_line
from kimicode.text.numbered import number_lines

MAX_LINES = 40
MAX_SCANNED = 5_000
"""Lines of a file that are compared by similarity."""
AROUND = (2, 12, 30)
"""Lines shown around the region after the first, second and later failures."""


def describe_nearest(texts: Sequence[str], quoted: Sequence[str], *, failures: int = 0) -> str:
    """What the file has where `quoted` may have been meant, as text for the model; "" when nothing comes near."""
    start = find_nearest(texts, quoted)
    if start is None:
        return ""
    around = AROUND[min(failures, len(AROUND) - 1)]
    first = max(0, start - around)
    last = min(len(texts), start + min(len(quoted), MAX_LINES) + around)
    region = number_lines([cut_line(text, 500) for text in texts[first:last]], first + 1)
    difference = first_difference(texts[start:], quoted, start)
    return f"{difference}Nearest, lines {first + 1}-{last} as they are:\n{region}".rstrip("\n")


def find_nearest(texts: Sequence[str], quoted: Sequence[str]) -> int | None:
    """Index of the line where the quotation most likely begins."""
    where: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        if key := _key(text):
            where.setdefault(key, []).append(index)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(quoted):
        places = where.get(_key(line), [])
        for place in places[:20]:
            votes[max(0, place - offset)] += max(1, len(_key(line)) // len(places))
    if votes:
        return min(votes, key=lambda start: (-votes[start], start))
    lines = [(offset, _key(line)) for offset, line in enumerate(quoted) if len(_key(line)) > 3]
    for offset, line in sorted(lines, key=lambda pair: -len(pair[1]))[:3]:
        if near := difflib.get_close_matches(
            line[:300], [k[:300] for k in list(where)[:MAX_SCANNED]], 1, 0.6
        ):
            place = next(v[0] for k, v in where.items() if k[:300] == near[0])
            return max(0, place - offset)
    return None


def first_difference(texts: Sequence[str], quoted: Sequence[str], start: int) -> str:
    """A sentence on the first line that differs, with both forms spelled out."""
    for index, line in enumerate(quoted):
        if index >= len(texts):
            return f"The file ends at line {start + index}. "
        text = texts[index]
        if text == line:
            continue
        kind = ""
        if text.rstrip() == line.rstrip():
            kind = " (blanks at the end)"
        elif text.strip() == line.strip():
            kind = " (indentation: the file has tabs there)" if "\t" in text[:1] else " (indentation)"
        elif fold(text).strip() == fold(line).strip():
            kind = " (other quotes, dashes or blanks)"
        return f"Line {start + index + 1} differs{kind}: file {cut_line(text, 160)!r}, old {cut_line(line, 160)!r}. "
    return ""


def _key(line: str) -> str:
    return fold(line).strip()
