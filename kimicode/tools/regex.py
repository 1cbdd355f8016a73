"""The regular expressions of `search`: what Python and Rust share, and a looser form that ripgrep may filter by."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kimicode.errors import ToolError

_POSIX = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "word": r"\w",
    "blank": r" \t",
}
_token = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\{\d+(?:,\d*)?\}|\{,\d+\}|\(\?P?<?[^)]?|.", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Regex:
    """One pattern in two forms."""

    python: str
    quick: str
    """Rust pattern that matches every line that `python` matches, and perhaps more; "" when there is none."""


def translate(pattern: str, *, literal: bool, ignore_case: bool = False) -> Regex:
    """Both forms of what the model wrote. Raises ToolError that says what is wrong and what to send instead."""
    if not pattern:
        raise ToolError("search: `pattern` is empty. Use list_files to see which files there are.")
    if "\n" in pattern or (not literal and re.search(r"(?<!\\)(?:\\\\)*\\n", pattern)):
        raise ToolError(
            "search: matches are found within one line, so a newline never matches. "
            "Search for the first line and set `context` to see those after it."
        )
    if literal:
        return Regex(re.escape(pattern), _quote(pattern) if pattern.isascii() or not ignore_case else "")
    python = _pythonic(pattern)
    try:
        re.compile(python)
    except (re.error, OverflowError, RecursionError) as e:
        raise ToolError(_complain(pattern, e)) from None
    return Regex(python, _quick(pattern) if pattern.isascii() or not ignore_case else "")


def hint(pattern: str, *, literal: bool) -> str:
    """Why a pattern that found nothing may not mean what the model meant, or ""."""
    if literal:
        return ""
    if re.search(r"\\[|()+?{}]", pattern) and not re.search(r"(?<!\\)[|()+?{}]", pattern):
        return r" In this dialect `|`, `(` and `+` are operators and `\|` is a literal bar: send them without `\`."
    if pattern != re.escape(pattern) and re.search(r"(?<!\\)[.()\[\]{}*+?^$|]", pattern):
        return " If you mean the text itself, set `literal`."
    return ""


def _complain(pattern: str, error: Exception) -> str:
    where = f" at character {error.pos}" if isinstance(error, re.error) and error.pos is not None else ""
    reason = error.msg if isinstance(error, re.error) else str(error)
    extra = ""
    if re.search(r"\\[pP]", pattern):
        extra = r" There is no \p{…}: [^\W\d_] is any letter."
    return (
        f"search: {pattern!r} is not a regular expression: {reason}{where}.{extra} "
        "Escape it with a backslash, or set `literal` to search for the text as it is."
    )


def _pythonic(pattern: str) -> str:
    """Rust's spelling of named groups, `\\z` and POSIX classes in Python's."""

    def change(match: re.Match[str]) -> str:
        text = match[0]
        if text == r"\z":
            return r"\Z"
        if text.startswith("[") and "[:" in text:
            return re.sub(r"\[:(\w+):\]", lambda m: _POSIX.get(m[1], m[0]), text)
        if text.startswith("(?<") and text[3:] not in ("=", "!", ""):
            return "(?P<" + text[3:]
        return text

    return _token.sub(change, pattern)


def _quick(pattern: str) -> str:
    """A Rust pattern that matches at least what Python's does; "" for anything beyond the plain subset.

    The two differ in what a letter, digit or blank beyond ASCII is, at word boundaries, and in bytes that are
    not UTF-8: all of that is let through, for the exact matcher decides.
    """
    parts: list[str] = []
    for match in _token.finditer(pattern):
        part = _quick_token(match[0], pattern, match.end())
        if part is None:
            return ""
        parts.append(part)
    return "".join(parts)


def _quick_token(text: str, pattern: str, end: int) -> str | None:
    if text[0] == "\\":
        return _end(pattern, end) if text in (r"\Z", r"\z") else _quick_escape(text[1:])
    if text[0] == "[" and len(text) > 1:
        return _quick_class(text)
    if text.startswith("(?"):
        return text if text == "(?:" else None
    if text == ".":
        return _open(".")
    if text == "$":
        return _end(pattern, end)
    if text == "^" and pattern[: end - 1] and not pattern[: end - 1].endswith(("|", "(", "(?:")):
        return None
    if text[0] == "{":
        return text if len(text) > 1 and text[1] != "," else (_quote(text) if len(text) == 1 else None)
    if text == "+" and pattern[end - 2 : end - 1] in ("+", "*", "?", "}"):
        return None  # possessive in Python 3.11, a repetition of it in Rust
    return text if text in "^|()*+?" else _quote(text)


def _end(pattern: str, end: int) -> str | None:
    """The end of a line, before a carriage return too; only where nothing can follow it."""
    return r"\r?$" if pattern[end : end + 1] in ("", "|", ")") else None


def _quick_escape(name: str) -> str | None:
    if name in "wWdDsS":
        return _open(f"\\{name}" if name != "s" else r"[\s\x1c-\x1f]")
    if name in "bB":
        return "(?:)"
    if name in "tfvr":
        return f"\\{name}"
    return None if name.isalnum() else _quote(name)


def _quick_class(text: str) -> str | None:
    """A bracket expression. Only plain members: Rust nests classes and knows && -- ~~ in them."""
    inner = re.sub(r"\\[wWdDsStfvr]|\\[^\w]", "", text[1:-1])
    if "\\" in inner or re.search(r"\[|&&|--|~~", inner) or text[1:3] == "^]" or text[1] == "]":
        return None
    return _open(text)


def _open(text: str) -> str:
    """What matches `text`, or anything beyond ASCII, or a byte that is not UTF-8."""
    return rf"(?:{text}|[^\x00-\x7F]|(?-u:[\x80-\xFF]))"


def _quote(text: str) -> str:
    return re.sub(r"([\\.+*?()|\[\]{}^$#&\-~])", r"\\\1", text)
