"""Streamed text as finished lines."""

from __future__ import annotations

from kimicode.text.safe import SafeStream

LINE_LIMIT = 4000
"""Characters after which text is shown without waiting for the end of its line."""


class TextFlow:
    """Collects pieces of text and gives back lines that are whole, safe, and never change again.

    An escape sequence that the stream cuts in two is still found.
    """

    def __init__(self) -> None:
        self._safe = SafeStream()
        self._open = ""
        self.begun = False
        """Something was fed."""
        self.shown = False
        """Something was given back."""

    def feed(self, text: str) -> list[str]:
        """The lines that `text` finishes."""
        self.begun = self.begun or bool(text)
        self._open += self._safe.feed(text)
        head, newline, rest = self._open.rpartition("\n")
        if not newline:
            if len(self._open) <= LINE_LIMIT:
                return []
            head, rest = self._open, ""
        self._open = rest
        return self._give(head)

    def rest(self) -> list[str]:
        """What is still open, as the last lines."""
        text, self._open = self._open + self._safe.close(), ""
        return self._give(text) if text.strip() else []

    def _give(self, text: str) -> list[str]:
        self.shown = True
        return text.split("\n")
