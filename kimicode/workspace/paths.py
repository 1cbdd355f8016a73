"""Judges path names: what some file system would take for `.git`, what collides, what cannot be shown."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Code points that HFS+ leaves out when it compares names (git's utf8.c, next_hfs_char).
_IGNORED: Final = dict.fromkeys(
    [0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
_NTFS_TAIL: Final = re.compile(r"(:.*|[ .]*)$")
_SHORT_NAME: Final = re.compile(r"git~\d+\Z")


def folded(component: str) -> str:
    """A name as a file system that ignores case, ignorable characters and compositions compares it."""
    stripped = component.translate(_IGNORED)
    stripped = "".join(c for c in stripped if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", stripped).casefold())


def is_dot_git(component: str) -> bool:
    """Whether some file system opens `.git` by it: `.GIT`, `.git `, `git~1`, `.g<U+200C>it`, `.git::$DATA`."""
    name = _NTFS_TAIL.sub("", folded(component).split("\\")[0])
    return name == ".git" or _SHORT_NAME.match(name) is not None


def names_dot_git(path: str) -> bool:
    return any(is_dot_git(part) for part in re.split(r"[/\\]", path))


def quoted_pattern(path: str) -> str:
    """A path as a line of an ignore file that matches exactly it, at the top of the tree."""
    return "/" + re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
