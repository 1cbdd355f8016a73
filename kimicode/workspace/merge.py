"""Merges one file three ways, as blobs."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path

from kimicode.workspace import folder
from kimicode.workspace.git import Git
from kimicode.workspace.objects import ABSENT, EXECUTABLE, REGULAR, read_blob


@dataclass(frozen=True, slots=True)
class Side:
    """A file in one of the three versions; None stands for no file."""

    mode: str
    oid: str

    @classmethod
    def of(cls, mode: str, oid: str) -> Side | None:
        return None if mode == ABSENT else cls(mode, oid)


async def merge_blobs(
    git: Git, scratch: Path, base: Side | None, ours: Side | None, theirs: Side | None
) -> Side | str:
    """What `ours` becomes when the change from `base` to `theirs` is made to it; or why that is impossible.

    The callers have dealt with the simple cases (ours is base, ours is theirs). New blobs go where `git` writes.
    """
    if base is None:
        return "is there already, with another content"
    if ours is None:
        return "is not there"
    if theirs is None:
        return "was changed, and the result removes it"
    if not {base.mode, ours.mode, theirs.mode} <= {REGULAR, EXECUTABLE}:
        return "is not the same kind of file"
    mode = theirs.mode if ours.mode == base.mode else ours.mode
    if len({base.oid, ours.oid, theirs.oid}) < 3:
        oid = theirs.oid if ours.oid == base.oid else ours.oid
        return Side(mode, oid)
    place = scratch / f"merge-{secrets.token_hex(6)}"
    try:
        place.mkdir(mode=0o700)
        for name, side in (("ours", ours), ("base", base), ("theirs", theirs)):
            data = await read_blob(git, side.oid)
            await asyncio.to_thread((place / name).write_bytes, data)
        files = [str(place / name) for name in ("ours", "base", "theirs")]
        merged = await git.probe("merge-file", "-p", "-q", *files)
        if merged.returncode != 0:
            return (
                "was changed in the same places"
                if 0 < merged.returncode < 128
                else "cannot be merged line by line"
            )
        oid = (await git.run("hash-object", "-w", "--stdin", stdin=merged.stdout)).decode().strip()
        return Side(mode, oid)
    finally:
        await asyncio.to_thread(folder.remove, place)
