"""What must hold for every file and every edit."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.edit.document import Document, Line, decode, encode, split
from kimicode.edit.envelope import plan_patch
from kimicode.edit.errors import EditError
from kimicode.edit.ops import compare
from kimicode.edit.parse import Append, Edit, Replace, Span, parse_edit
from kimicode.edit.patch import parse_patch
from kimicode.edit.plan import Source, plan

WORDS = [
    "alpha",
    "beta = 1",
    "    gamma()",
    "\tdelta",
    "é",
    "漢字",
    "",
    "  ",
    "x\x0cy",
    "a\u2028b",
    "lone\rreturn",
    "}",
]
line_texts = st.one_of(
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_characters="\n\0\ufeff", codec="utf-8"), max_size=8),
).filter(lambda text: "..." not in text and "…" not in text)
"""Without dots: a line of nothing else is a placeholder, and refused."""
eols = st.sampled_from(["\n", "\r\n"])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Text files with mixed line ends, perhaps a BOM, perhaps no newline at the end."""
    lines = [Line(draw(line_texts).rstrip("\r"), draw(eols)) for _ in range(draw(st.integers(0, 12)))]
    if lines and draw(st.booleans()) and lines[-1].text:
        lines[-1] = Line(lines[-1].text, "")
    return encode(Document(tuple(lines), draw(st.booleans())))


def normal(data: bytes) -> list[str]:
    return decode(data).texts


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60).filter(lambda b: b"\0" not in b))
def test_decoding_loses_nothing(data: bytes) -> None:
    assert encode(decode(data)) == data


@settings(max_examples=150, deadline=None)
@given(files(), st.lists(line_texts, max_size=8), st.data())
def test_a_cleanly_rendered_replacement_gives_after(
    before: bytes, new: list[str], data: st.DataObject
) -> None:
    """Replace a block of lines, quoted with as much context as it takes to be unique."""
    document = decode(before)
    total = len(document.lines)
    if not total:
        return
    start = data.draw(st.integers(0, total - 1))
    end = data.draw(st.integers(start + 1, total))
    new = [text.rstrip("\r") for text in new]
    texts = document.texts
    lead, tail = texts[:start], texts[end:]
    old_text = "".join(t + "\n" for t in texts)
    new_text = "".join(t + "\n" for t in [*lead, *new, *tail])
    if old_text == new_text or (not document.lines[-1].eol) or not new_text:
        return
    done = plan({"f": Source(before)}, [Replace("f", old_text, new_text)])[0]
    assert normal(done.after) == [*lead, *new, *tail]
    after = decode(done.after)
    assert after.bom == document.bom
    # Untouched lines keep their line ends: those around what really differs.
    same = 0
    while same < min(len(texts), len(after.texts)) and texts[same] == after.texts[same]:
        same += 1
    assert after.lines[:same] == document.lines[:same]


@settings(max_examples=150, deadline=None)
@given(files(), line_texts, line_texts)
def test_appending_keeps_everything_before(before: bytes, one: str, two: str) -> None:
    text = f"{one}\n{two}\n".replace("\r", "")
    done = plan({"f": Source(before)}, [Append("f", text)])[0]
    assert normal(done.after) == [*normal(before), *(line.text for line in split(text))]
    if before.endswith(b"\n") or not before:
        assert done.after.startswith(before)


edits_strategy = st.lists(
    st.one_of(
        st.builds(Replace, st.just("f"), line_texts.filter(bool), st.text(max_size=6), st.booleans()),
        st.builds(Span, st.just("f"), line_texts, line_texts, st.text(max_size=6)),
        st.builds(Append, st.just("f"), st.text(min_size=1, max_size=6)),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=250, deadline=None)
@given(files(), edits_strategy)
def test_any_edits_are_made_or_refused_and_order_does_not_matter(before: bytes, edits: list[Edit]) -> None:
    results = []
    for order in (edits, edits[::-1]):
        try:
            results.append(plan({"f": Source(before)}, order)[0].after)
        except EditError as e:
            assert "Nothing was changed" in str(e) or e.kind == "malformed"
            results.append(None)
    first, second = results
    appends = sum(isinstance(e, Append) for e in edits)
    if first is not None and second is not None and appends < 2:
        assert first == second


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["path", "old", "new", "replace_all", "from_line", "to_line", "append", "x"]),
        st.one_of(st.none(), st.text(max_size=4), st.booleans()),
    )
)
def test_parse_edit_raises_only_its_own_error(item: dict[str, Any]) -> None:
    with contextlib.suppress(EditError):
        parse_edit(item)


PATCH = [
    "*** Begin Patch",
    "*** End Patch",
    "*** Update File: f",
    "*** Add File: g",
    "*** Delete File: h",
    "*** Move to: m",
]
PATCH += [
    "@@",
    "@@ alpha",
    "@@ -1,2 +1,2 @@",
    " alpha",
    "-alpha",
    "+beta",
    "",
    "+",
    "-",
    "junk",
    "*** End of File",
    "```",
]


@settings(max_examples=250, deadline=None)
@given(st.lists(st.sampled_from(PATCH), max_size=12), files())
def test_parse_patch_raises_only_its_own_error(lines: list[str], before: bytes) -> None:
    text = "\n".join(["*** Begin Patch", *lines, "*** End Patch"])
    with contextlib.suppress(EditError):
        patches = parse_patch(text)
        paths = {p for patch in patches for p in (patch.path, patch.move_to) if p}
        plan_patch({path: Source(before) if path in "fh" else None for path in paths}, patches)


@settings(max_examples=100, deadline=None)
@given(files(), st.lists(line_texts, min_size=1, max_size=8))
def test_a_cleanly_rendered_patch_gives_after(before: bytes, new: list[str]) -> None:
    new = [text.rstrip("\r") for text in new]
    texts = normal(before)
    ops = compare(texts, new)
    if texts == new or not texts or ops[-1] == (" ", "") or "" in (texts[-1], new[-1]):
        return
    body = "\n".join(kind + text for kind, text in ops)
    patch = f"*** Begin Patch\n*** Update File: f\n@@\n{body}\n*** End Patch"
    result = plan_patch({"f": Source(before)}, parse_patch(patch))[0].edit
    assert result is not None and normal(result.after) == new
