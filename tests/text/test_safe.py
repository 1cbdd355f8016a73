"""Nothing that a model, tool or file name says may steer the terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.text.safe import MAX_STRING, SafeStream, safe_text

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
PIECES = [
    "\x1b",
    "[",
    "]",
    "P",
    "\\",
    "\x07",
    "\x9b",
    "\x9c",
    "\x9d",
    "\x90",
    "0;1",
    "m",
    "x",
    "\n",
    "\r",
    "\r\n",
]
PIECES += ["\u202e", " ", "\x18", "?25", "#8", "é", "\x00", "\ud800", "(B", "~"]
hostile = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 漢字 👍🏽\ttab\n", "plain ünïcode 漢字 👍🏽\ttab\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]52;c;ZXZpbA==\x07after", "after"),
        ("\x1b]0;title\x1b\\after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2;0\x1b\\after", "after"),
        ("\x9b31mred \x9d0;t\x9cafter \x90x\x9c.", "red after ."),
        ("\x1b_apc\x1b\\a\x1b^pm\x1b\\b\x1bXsos\x1b\\c", "abc"),
        ("unfinished \x1b]0;title", "unfinished "),
        ("\x1b]0;ends at the line\nnext", "\nnext"),
        ("\x1b[2\x1b[1mx", "x"),
        ("\x1b[31", ""),
        ("\x1b(Bx\x1b=y\x1bcz", "xyz"),
        ("\x1b[1;漢x", "漢x"),
        ("rm -rf /\rls       ", "rm -rf /\nls       "),
        ("a\r\nb\r\r\nc\r", "a\nb\nc"),
        ("abc\u202etxt.exe\u2066", "abctxt.exe"),
        ("nul\0bell\x07back\x08", "nulbellback"),
        ("lone \udc9b surrogate", "lone \ufffd surrogate"),
    ],
)
def test_safe_text(text: str, shown: str) -> None:
    assert safe_text(text) == shown


def test_an_endless_string_is_not_swallowed_for_ever() -> None:
    assert safe_text("\x1b]0;" + "a" * (MAX_STRING + 50) + "end").endswith("end")


@settings(max_examples=200, deadline=None)
@given(hostile, st.lists(st.integers(1, 5), max_size=30))
def test_no_forbidden_character_and_chunks_equal_the_whole(text: str, sizes: list[int]) -> None:
    whole = safe_text(text)
    assert not FORBIDDEN.search(whole)
    assert safe_text(whole) == whole
    stream, parts, at = SafeStream(), [], 0
    for size in sizes:
        parts.append(stream.feed(text[at : at + size]))
        at += size
    parts += [stream.feed(text[at:]), stream.close()]
    assert "".join(parts) == whole


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    assert not FORBIDDEN.search(safe_text(text))
