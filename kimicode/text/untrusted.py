"""Text from strangers: what people cannot see in it is removed and counted, and it is framed as data."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MAX_PASSES = 50
"""Removing a comment can make another one; beyond this many the text is hostile and loses its "<" and "&"."""

_open = r"(?:<|&lt;?|&#0*60;?|&#x0*3c;?)"
_close = r"(?:>|&gt;?|&#0*62;?|&#x0*3e;?)"
_comment = re.compile(rf"{_open}!--(?:-?{_close}|.*?(?:--!?{_close}|\Z))", re.DOTALL | re.IGNORECASE)
_invisible_link = re.compile(
    r"^[ \t]{0,3}\[[^\]\n]*\]:[ \t]*<?#>?[ \t]*(?:\(.*\)|\".*\"|'.*')[ \t]*$", re.MULTILINE
)
_entity = re.compile(
    r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(ZeroWidthSpace|shy|zwj|zwnj|lrm|rlm|NoBreak|ic|it|af));?"
)
_named = {
    "ZeroWidthSpace": "\u200b",
    "shy": "\xad",
    "zwj": "\u200d",
    "zwnj": "\u200c",
    "lrm": "\u200e",
    "rlm": "\u200f",
    "NoBreak": "\u2060",
    "ic": "\u2063",
    "it": "\u2062",
    "af": "\u2061",
}
_flag = re.compile(
    "\U0001f3f4\U000e0067\U000e0062"
    "(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)\U000e007f"
)
"""The flags of England, Scotland and Wales: the only tag sequences in use."""
_visible_format = frozenset(
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
_blank_letters = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_suspect = re.compile(
    "[^\t\n\r -~\xa0-\xac\xae-\u02ff\u0370-\u05ff\u2010-\u2027\u2030-\u205e\u20a0-\u27ff\u3000-\u3163\u3165-\ud7ff]"
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A text of which people see every character."""

    text: str
    removed: int
    """Characters that people would not have seen."""


def clean_untrusted(text: str) -> Cleaned:
    """Remove hidden characters and comments until none is left. Idempotent; flags, emoji, CJK, Persian stay."""
    start = len(text)
    for _ in range(MAX_PASSES):
        before = text
        text = _entity.sub(_reveal, text)
        text = _remove_hidden(text)
        text = _invisible_link.sub("", _comment.sub("", text))
        if text == before:
            return Cleaned(text, start - len(text))
    text = _remove_hidden(text.translate({ord("<"): "‹", ord("&"): "＆"}))
    return Cleaned(_invisible_link.sub("", text), start - len(text))


def frame(text: str, label: str, delimiter: str) -> str:
    """`text` as a block of data for a prompt. `delimiter`: random, made by the caller for this one text.

    Raises ValueError when the delimiter is short or occurs in the text.
    """
    if len(delimiter) < 8 or not delimiter.isalnum():
        raise ValueError("a delimiter has at least 8 letters and digits")
    if delimiter in text or delimiter in label or "\n" in label:
        raise ValueError("the delimiter occurs in what it is to frame")
    return f"<data-{delimiter} {label}>\n{text}\n</data-{delimiter}>"


def _reveal(match: re.Match[str]) -> str:
    """An entity that stands for a hidden character vanishes; any other stays as it was written."""
    if match[3]:
        char = _named[match[3]]
    else:
        code = int(match[1]) if match[1] else int(match[2], 16)
        if code > 0x10FFFF:
            return match[0]
        char = chr(code)
    return "" if _hidden(char) or char in "\u200c\u200d" else match[0]


def _remove_hidden(text: str) -> str:
    if not _suspect.search(text):
        return text
    parts: list[str] = []
    at = 0
    for flag in _flag.finditer(text):
        parts += [_strip(text[at : flag.start()]), flag[0]]
        at = flag.end()
    return "".join([*parts, _strip(text[at:])])


def _strip(text: str) -> str:
    out: list[str] = []
    for index, char in enumerate(text):
        if char in "\u200c\u200d\ufe0e\ufe0f":
            after = text[index + 1] if index + 1 < len(text) else ""
            if out and _joins(char, out[-1], after):
                out.append(char)
        elif not _hidden(char):
            out.append(char)
    return "".join(out)


def _joins(char: str, before: str, after: str) -> bool:
    """Whether a joiner or an emoji selector does its work between these two."""
    if char in "\ufe0e\ufe0f":
        return unicodedata.category(before) in ("So", "Sm", "Po", "Pd", "Nd")
    if not after:
        return False
    pictures = {"So", "Sk", "Mn"}
    if char == "\u200d" and unicodedata.category(after) in ("So", "Sm"):
        return unicodedata.category(before) in pictures
    return min(before, after) >= "\u0600" and all(unicodedata.category(c)[0] in "LM" for c in (before, after))


def _hidden(char: str) -> bool:
    if char in "\t\n\r" or char in _visible_format:
        return False
    kind = unicodedata.category(char)
    return (
        kind in ("Cc", "Cf", "Cs")
        or char in _blank_letters
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0000" <= char <= "\U000e0fff"
    )
