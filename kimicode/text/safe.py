"""Text that is safe to show: no terminal sequence, no control character, no bidi override. For the render boundary.

The only escape sequences on a terminal are then kimicode's own, whatever a model, a tool or a file name says.
"""

from __future__ import annotations

import re
from typing import Literal

MAX_STRING = 4_096
"""Characters of an OSC, DCS, SOS, PM or APC string that are swallowed; what follows is shown as text."""

_unsafe = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_introducers: dict[str, Literal["csi", "string"]] = {
    "[": "csi",
    "]": "string",
    "P": "string",
    "X": "string",
    "^": "string",
    "_": "string",
}
_c1: dict[str, Literal["csi", "string"]] = {
    "\x9b": "csi",
    "\x90": "string",
    "\x98": "string",
    "\x9d": "string",
    "\x9e": "string",
    "\x9f": "string",
}

State = Literal["text", "escape", "intermediate", "csi", "string"]


class SafeStream:
    """safe_text for text that comes in chunks: feeding them one by one gives what the whole would give."""

    def __init__(self) -> None:
        self._state: State = "text"
        self._swallowed = 0
        self._return = False

    def feed(self, chunk: str) -> str:
        """The safe part of what came so far and was not given back yet."""
        out: list[str] = []
        at = 0
        while at < len(chunk):
            at = self._text(chunk, at, out) if self._state == "text" else self._sequence(chunk[at], at)
        return "".join(out)

    def close(self) -> str:
        """The rest. An unfinished sequence is dropped; a carriage return at the very end too."""
        self._state, self._return = "text", False
        return ""

    def _text(self, chunk: str, at: int, out: list[str]) -> int:
        """Take over text up to the next character that is not; returns where to go on."""
        match = _unsafe.search(chunk, at)
        end = match.start() if match else len(chunk)
        if end > at:
            if self._return:
                # A lone carriage return lets later text hide earlier text: both stay visible.
                out.append("" if chunk[at] == "\n" else "\n")
                self._return = False
            out.append(chunk[at:end])
        if match is None:
            return end
        char = match[0]
        if char == "\r":
            self._return = True
        elif char == "\x1b":
            self._state = "escape"
        elif char in _c1:
            self._begin(_c1[char])
        elif "\ud800" <= char <= "\udfff":
            out.append("\ufffd")
        return end + 1

    def _begin(self, state: State) -> None:
        self._state, self._swallowed = state, 0

    def _sequence(self, char: str, at: int) -> int:
        """One character inside a sequence; returns `at` when it is to be read again as text."""
        if char == "\x1b":
            self._state = "escape"
            return at + 1
        if char in "\x18\x1a":
            self._state = "text"
            return at + 1
        if self._state == "escape" and char in _introducers:
            self._begin(_introducers[char])
            return at + 1
        if self._state == "string":
            return self._string(char, at)
        last = "@" if self._state == "csi" else "0"
        middle = "0123456789:;<=>?" if self._state == "csi" else ""
        if char in middle or " " <= char <= "/":
            self._state = "intermediate" if self._state == "escape" else self._state
            self._swallowed += 1
            if self._swallowed <= MAX_STRING:
                return at + 1
        self._state = "text"
        return at + 1 if last <= char <= "~" else at

    def _string(self, char: str, at: int) -> int:
        """Inside OSC, DCS, SOS, PM or APC: up to BEL or ST, at most to the end of the line."""
        self._swallowed += 1
        if char in "\x07\x9c":
            self._state = "text"
            return at + 1
        if char == "\n" or self._swallowed > MAX_STRING:
            self._state = "text"
            return at
        return at + 1


def safe_text(text: str) -> str:
    """`text` without terminal sequences, control characters other than tab and newline, and bidi controls."""
    if not _unsafe.search(text):
        return text
    stream = SafeStream()
    return stream.feed(text) + stream.close()
