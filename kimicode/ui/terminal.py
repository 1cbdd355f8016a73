"""The place where progress is written: what it can show, and writes that never raise."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

_NARROW = "·●✗✓…→−│▸"
"""Our own signs that are not ASCII but one column wide."""

STYLES = {"dim": "2", "bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a stream can show."""

    live: bool
    """Lines may be rewritten: a terminal that moves its cursor, and nobody asked for plain output."""
    color: bool
    unicode: bool


def find_abilities(stream: TextIO, environ: Mapping[str, str], *, color: bool = True) -> Abilities:
    """Plain, append-only output for pipes, TERM=dumb, CI and NO_COLOR."""
    tty = is_tty(stream)
    plain = (
        not tty
        or environ.get("TERM", "") in ("dumb", "")
        or environ.get("CI", "").lower() not in ("", "0", "false")
        or bool(environ.get("NO_COLOR"))
    )
    encoding = (getattr(stream, "encoding", "") or "").lower().replace("-", "")
    return Abilities(live=not plain, color=color and not plain, unicode=encoding in ("utf8", "utf8sig"))


def is_tty(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def paint(text: str, style: str, *, color: bool) -> str:
    """`text` in one of STYLES, or as it is."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if color and text else text


def text_width(text: str) -> int:
    """Columns of `text`, which must hold no control characters."""
    if text.isascii():
        return len(text)
    foreign = [c for c in text if not c.isascii() and c not in _NARROW]
    if not foreign:
        return len(text)
    from wcwidth import wcswidth

    width = wcswidth(text)
    return width if width >= 0 else len(text)


def cut_text(text: str, width: int) -> str:
    """At most `width` columns of `text`, with "…" where something was left out."""
    if width <= 0:
        return ""
    if text_width(text) <= width:
        return text
    used, kept = 0, []
    for part in _clusters(text):
        used += text_width(part)
        if used > width - 1:
            break
        kept.append(part)
    return "".join(kept) + "…"


def _clusters(text: str) -> list[str]:
    """Characters with the marks that belong to them, so that no cut falls between the two."""
    if text.isascii():
        return list(text)
    from wcwidth import wcwidth

    parts: list[str] = []
    for c in text:
        joined = bool(parts) and (wcwidth(c) == 0 or parts[-1].endswith("\u200d"))
        if joined:
            parts[-1] += c
        else:
            parts.append(c)
    return parts


class Screen:
    """Appends lines to a stream, with at most one line at the bottom that is rewritten.

    Never raises: a terminal that has gone away, or a closed pipe, must not end a run.
    """

    def __init__(self, stream: TextIO, abilities: Abilities) -> None:
        self.stream = stream
        self.abilities = abilities
        self.gone = False
        self._footer = ""
        self._drawn = False

    @property
    def width(self) -> int:
        """Columns; at least 20, and 80 where it cannot be found out."""
        try:
            columns = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):
            columns = shutil.get_terminal_size((80, 24)).columns
        return max(20, columns) if columns else 80

    def write_lines(self, *lines: str) -> None:
        """Put lines above the footer. Their text must be safe already (text.safe)."""
        if lines:
            self._put(self._erase() + "".join(f"{self._fit(line)}\n" for line in lines) + self._draw())

    def write_open(self, text: str) -> None:
        """Put `text` at the bottom and leave the cursor behind it, for an answer."""
        self._put(self._erase() + self._fit(text))

    def set_footer(self, text: str) -> None:
        """Show `text` (no styles, one line) at the bottom; "" takes it away. Nothing on plain streams."""
        if not self.abilities.live or (text == self._footer and self._drawn == bool(text)):
            return
        erase = self._erase()
        self._footer = text
        self._put(erase + self._draw())

    def close(self) -> None:
        """Leave the cursor at the start of an empty line."""
        self.set_footer("")

    def _erase(self) -> str:
        drawn, self._drawn = self._drawn, False
        return "\r\x1b[K" if drawn else ""

    def _draw(self) -> str:
        if not self._footer or not self.abilities.live:
            return ""
        self._drawn = True
        text = self._fit(cut_text(self._footer, self.width - 1))
        return paint(text, "dim", color=self.abilities.color)

    def _fit(self, text: str) -> str:
        """What the stream's encoding cannot say is replaced, our own signs by ASCII."""
        return text if self.abilities.unicode else to_ascii(text)

    def _put(self, text: str) -> None:
        if self.gone or not text:
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            self.gone = True


_ASCII = str.maketrans(
    {"·": "|", "●": "*", "✗": "x", "✓": "+", "…": "~", "→": ">", "−": "-", "│": "|", "▸": ">"}
)


def to_ascii(text: str) -> str:
    """For streams that cannot say more: our signs by likenesses, all else by "?"."""
    return text.translate(_ASCII).encode("ascii", "replace").decode("ascii")


def stderr_screen(environ: Mapping[str, str], *, color: bool = True) -> Screen:
    """The screen of progress and questions."""
    stream = sys.stderr or io.StringIO()
    return Screen(stream, find_abilities(stream, environ, color=color))
