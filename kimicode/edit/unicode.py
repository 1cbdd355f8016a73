"""Folds the characters that models and editors exchange for one another: quotes, dashes, blanks, ligatures."""

from __future__ import annotations

import unicodedata

_same = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛′‵", "'"),
        **dict.fromkeys("“”„‟″‶«»", '"'),
        **dict.fromkeys("‐‑‒–—―−﹘﹣－", "-"),
        **dict.fromkeys(
            "\xa0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
        ),
        **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
        "…": "...",
    }
)


def fold(line: str) -> str:
    """A form in which look-alikes are equal. Only for comparing: nothing folded is ever written."""
    if line.isascii():
        return line
    return unicodedata.normalize("NFKC", line.translate(_same)).translate(_same)
