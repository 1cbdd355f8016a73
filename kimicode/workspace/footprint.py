"""What a small working tree looks like from outside: two equal looks with nothing between them need no git.

A look holds path, type, inode, size and both times of every entry, ignored ones and folders included. It has the
guarantee of git's own index and one more: a change of a file's content or mode sets its change time, which no program
can set back. What may have changed in the very moment of the look (git calls such an entry racy) makes the look
unsettled, and only settled ones may be compared with later ones.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIMIT: Final = 1_000
"""Entries beyond which git is asked in any case: it looks at many files faster than Python does."""
MARGIN_NS: Final = 20_000_000
"""The kernel's clock for files moves in steps of up to 10 ms."""
COARSE_NS: Final = 2_100_000_000
"""The same on file systems that keep whole seconds."""

Facts = tuple[int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Footprint:
    """One look."""

    entries: dict[str, Facts]
    """mode, inode, size, mtime and ctime by path; "" is the top folder."""
    settled: bool
    """Every change after this look will show in the next one."""


def look(top: Path) -> Footprint | None:
    """The tree beneath `top` now; None when it has more than LIMIT entries or cannot be read."""
    begin = time.time_ns()
    try:
        entries = _entries(str(top))
    except OSError:
        return None
    if entries is None:
        return None
    coarse = all(facts[4] % 1_000_000_000 == 0 for facts in entries.values())
    last = max(facts[4] for facts in entries.values())
    return Footprint(entries, last < begin - (COARSE_NS if coarse else MARGIN_NS))


def _entries(top: str) -> dict[str, Facts] | None:
    found = {"": _facts(os.lstat(top))}
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(f"{top}/{folder}") as listing:
            for entry in listing:
                path = f"{folder}{entry.name}"
                found[path] = _facts(entry.stat(follow_symlinks=False))
                if len(found) > LIMIT:
                    return None
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path + "/")
    return found


def _facts(status: os.stat_result) -> Facts:
    return status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
