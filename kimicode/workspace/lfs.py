"""Git LFS without git-lfs: knows a pointer, finds its content in the user's checkout, tells whether it changed.

Source of the pointer format: the LFS specification v1 (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kimicode.workspace.git import Git
from kimicode.workspace.objects import REGULAR, Entry, read_blobs

POINTER_LIMIT: Final = 1024
"""The specification's bound for a pointer, in bytes."""

_POINTER: Final = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-[^\n]*\n)*oid sha256:([0-9a-f]{64})\nsize (\d{1,18})\n\Z"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    oid: str
    """sha256 of the content, hexadecimal."""
    size: int

    def text(self) -> bytes:
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n".encode()
        )


def parse_pointer(data: bytes) -> Pointer | None:
    if len(data) >= POINTER_LIMIT:
        return None
    found = _POINTER.match(data)
    return Pointer(found[1].decode(), int(found[2])) if found else None


async def find_pointers(git: Git, entries: Sequence[Entry], attributes: str) -> dict[str, Pointer]:
    """The pointers of a tree by path; nothing is searched when no attributes file names the lfs filter."""
    rules = [
        (e.oid, e.size) for e in entries if e.path == ".gitattributes" or e.path.endswith("/.gitattributes")
    ]
    uses = "filter=lfs" in attributes
    async for _, data in read_blobs(git, rules):
        uses = uses or b"filter=lfs" in data
    if not uses:
        return {}
    small = [e for e in entries if 100 < e.size < POINTER_LIMIT and e.mode.startswith(REGULAR[:3])]
    paths: dict[str, list[str]] = {}
    for entry in small:
        paths.setdefault(entry.oid, []).append(entry.path)
    found: dict[str, Pointer] = {}
    async for oid, data in read_blobs(git, {(e.oid, e.size) for e in small}):
        pointer = parse_pointer(data)
        if pointer:
            found |= dict.fromkeys(paths[oid], pointer)
    return found


def describe_file(path: Path) -> Pointer | None:
    """The pointer that a regular file would have, by reading all of it; None when there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode):
        os.close(fd)
        return None
    with open(fd, "rb") as file:
        return Pointer(hashlib.file_digest(file, "sha256").hexdigest(), facts.st_size)


def find_content(pointer: Pointer, work: Path | None, common_dir: Path) -> Path | None:
    """A file that holds what `pointer` stands for: the one in the user's work tree, or in their LFS store."""
    oid = pointer.oid
    for path in (work, common_dir / "lfs" / "objects" / oid[:2] / oid[2:4] / oid):
        if path is None:
            continue
        try:
            same_size = path.lstat().st_size == pointer.size
        except OSError:
            continue
        if same_size and describe_file(path) == pointer:
            return path
    return None
