"""Cutting by lines."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.text.limit import cut_line, cut_lines
from kimicode.text.numbered import MARKER, number_lines


def test_short_text_is_left_alone() -> None:
    cut = cut_lines("a\nb\n")
    assert (cut.text, cut.lines, cut.whole) == ("a\nb\n", 2, True)
    assert cut_lines("").text == ""
    assert cut_lines("\n").text == "\n"


def test_the_middle_goes_and_is_named() -> None:
    cut = cut_lines("".join(f"{i}\n" for i in range(1, 101)), max_lines=10, where="the whole is in /tmp/x")
    assert (
        cut.text
        == "1\n2\n3\n4\n[lines 5-94 of 100 left out: the whole is in /tmp/x]\n95\n96\n97\n98\n99\n100\n"
    )
    assert (cut.first, cut.last, cut.lines, cut.whole) == (5, 94, 100, False)


def test_a_long_line_keeps_both_ends() -> None:
    assert cut_line("a" * 90 + "b" * 10, 20) == "a" * 15 + " [80 characters left out] " + "b" * 5
    cut = cut_lines("x" * 5000 + "\nend\n", max_line=100)
    assert cut.shortened == 4900 and cut.text.endswith("\nend\n") and not cut.whole


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\n"), max_size=30), max_size=60), st.integers(1, 20)
)
def test_what_is_kept_is_verbatim_and_within_limits(lines: list[str], limit: int) -> None:
    text = "\n".join(lines)
    cut = cut_lines(text, max_lines=limit, max_chars=200, max_line=1000)
    assert len(cut.text) <= 200 + 60
    if cut.whole:
        assert cut.text == text
    elif cut.first:
        shown = cut.text.split("\n")
        whole = text.split("\n")
        assert shown[: cut.first - 1] == whole[: cut.first - 1]
        tail = len(whole) - cut.last
        assert tail == 0 or shown[-tail:] == whole[cut.last :]


def test_every_tenth_line_has_its_number() -> None:
    text = number_lines([f"l{i}" for i in range(5, 25)], 5)
    marked = [line for line in text.split("\n") if MARKER.match(line)]
    assert marked == ["[line 10]", "[line 20]"]
    assert "[line 10]\nl10\n" in text
    assert number_lines(["a", "b"], 10) == "a\nb\n"
