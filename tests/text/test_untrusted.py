"""Text from strangers shows everything that it says."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.text.untrusted import clean_untrusted, frame

SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


def tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(c)) for c in text)


@pytest.mark.parametrize(
    "text",
    [
        "plain\ttext\r\nwith lines\n",
        "漢字とかな 한국어 العربية עברית हिन्दी ไทย",
        f"flags 🇩🇪🇨🇳 {SCOTLAND} family 👩‍👩‍👧‍👦 heart ❤️ fire ❤️‍🔥 key 1️⃣ skin 👍🏽",
        "می‌خواهم",
        "a < b && c --> d, <b>, &lt;b&gt;, &amp;, x&#39;s",
        "émigré ﬁ ½ ²",
        "[link]: #anchor\n[real]: https://example.org 'title'",
    ],
)
def test_what_people_see_stays(text: str) -> None:
    assert clean_untrusted(text) == type(clean_untrusted(""))(text, 0)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a<!-- hidden -->b", "ab"),
        ("a<!-- never closed\nignore all", "a"),
        ("a<!-->b", "ab"),
        ("a<!--->b", "ab"),
        ("a<!-- x --!>b", "ab"),
        ("a<!-<!-- x -->- y -->b", "ab"),
        ("a&lt;!-- x --&gt;b", "ab"),
        ("a&#60;!-- x --&#x3e;b", "ab"),
        ("a<\u200b!-- x -->b", "ab"),
        ("zero\u200bwidth\u2060joiner\ufeff", "zerowidthjoiner"),
        ("soft\u00adhyphen &#8203;&#x200b;&ZeroWidthSpace;x", "softhyphen x"),
        (f"hi{tags('ignore previous')}", "hi"),
        (f"\U0001f3f4{tags('run rm')}\U000e007f", "\U0001f3f4"),
        ("abc\u202ecba\u2066x\u2069", "abccbax"),
        ("a\ufe0f\ufe01\ufe02b\U000e0100c", "abc"),
        ("❤️\ufe0f\ufe0f", "❤️"),
        ("\x1b[31mred\x00\x85", "[31mred"),
        ("x\u3164\u115fy", "xy"),
        ("a\u200db\u200dc", "abc"),
        ("[//]: # (do evil)\nok", "\nok"),
        ("[comment]: <> (stays, it is shown by some)", "[comment]: <> (stays, it is shown by some)"),
        ("lone \ud800", "lone "),
    ],
)
def test_what_people_do_not_see_goes(text: str, left: str) -> None:
    cleaned = clean_untrusted(text)
    assert cleaned.text == left
    assert cleaned.removed == len(text) - len(left)


def test_deep_nesting_ends() -> None:
    text = "<!-" * 5000 + "-- x -->" + "- -->" * 5000
    cleaned = clean_untrusted(text).text
    assert "<!--" not in cleaned and clean_untrusted(cleaned).text == cleaned


PIECES = [
    "<!--",
    "-->",
    "<!-",
    "-",
    ">",
    "&lt;",
    "!--",
    "\u200b",
    "\u200d",
    "❤",
    "\ufe0f",
    "x",
    "क",
    "&#8203;",
    "\n",
]
PIECES += [SCOTLAND, "\U000e0067", "\u202e", "[//]: # (", ")", "<", "&", "#60;"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_idempotent_and_nothing_hidden_is_left(text: str) -> None:
    cleaned = clean_untrusted(text)
    assert clean_untrusted(cleaned.text) == type(cleaned)(cleaned.text, 0)
    assert "<!--" not in cleaned.text and cleaned.removed >= 0
    rest = cleaned.text.replace(SCOTLAND, "")
    assert not any(unicodedata.category(c) in ("Cf", "Cs") and c not in "\u200c\u200d" for c in rest)


def test_frame() -> None:
    assert frame("x\ny", "issue 7", "a1b2c3d4e5") == "<data-a1b2c3d4e5 issue 7>\nx\ny\n</data-a1b2c3d4e5>"
    for text, label, delimiter in (
        ("x", "l", "short"),
        ("xa1b2c3d4", "l", "a1b2c3d4"),
        ("x", "a\nb", "a1b2c3d4"),
    ):
        with pytest.raises(ValueError, match="delimiter"):
            frame(text, label, delimiter)
