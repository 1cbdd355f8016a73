"""Reads trees, differences and blobs as values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kimicode.workspace.git import Git

REGULAR: Final = "100644"
EXECUTABLE: Final = "100755"
SYMLINK: Final = "120000"
GITLINK: Final = "160000"
ABSENT: Final = "000000"

BATCH_BYTES: Final = 32 * 1024 * 1024
"""About how much blob content is held in memory at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree. `path` is relative, with "/"; bytes that are not UTF-8 are surrogates (os.fsencode)."""

    path: str
    mode: str
    oid: str
    size: int = 0
    """Of the blob, in bytes; -1 when it is not there (partial clone); 0 when sizes were not asked for."""


@dataclass(frozen=True, slots=True)
class Change:
    """One row of `git diff-tree -r --raw`: modes are six digits, ABSENT on the side without the file."""

    path: str
    old_mode: str
    new_mode: str
    old: str
    new: str
    status: str
    """A, M, D or T (another kind of file)."""


def decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def lines(names: Iterable[str]) -> bytes:
    """Names as NUL-ended input for `-z --stdin`."""
    return b"".join(encode(name) + b"\0" for name in names)


def within(path: str, roots: Sequence[str]) -> bool:
    """Whether `path` is one of `roots` or beneath one. No roots: everything is."""
    return not roots or any(path == root or path.startswith(root + "/") for root in roots)


async def list_tree(git: Git, tree: str, *, paths: Sequence[str] = (), sizes: bool = False) -> list[Entry]:
    """Every file of a tree, gitlinks included, in git's order."""
    options = ["-r", "-z", "--full-tree", *(["-l"] if sizes else [])]
    out = await git.run("ls-tree", *options, tree, "--", *paths)
    entries: list[Entry] = []
    for row in out.split(b"\0")[:-1]:
        facts, _, name = row.partition(b"\t")
        mode, _, oid, *rest = facts.decode().split()
        size = int(rest[0]) if rest and rest[0].isdigit() else -1 if rest and rest[0] == "BAD" else 0
        entries.append(Entry(decode(name), mode, oid, size))
    return entries


async def diff_trees(git: Git, old: str, new: str) -> list[Change]:
    """How two trees differ, file by file; a rename is a removal and an addition."""
    out = await git.run(
        "diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", "--no-abbrev", old, new
    )
    parts = out.split(b"\0")
    changes: list[Change] = []
    for facts, name in zip(parts[0:-1:2], parts[1::2], strict=False):
        old_mode, new_mode, old_oid, new_oid, status = facts.decode().lstrip(":").split()
        changes.append(Change(decode(name), old_mode, new_mode, old_oid, new_oid, status[0]))
    return changes


async def read_blob(git: Git, oid: str) -> bytes:
    return await git.run("cat-file", "blob", oid)


async def read_blobs(git: Git, wanted: Iterable[tuple[str, int]]) -> AsyncIterator[tuple[str, bytes]]:
    """(oid, content) of each blob that is there; `wanted` are (oid, size). Memory stays near BATCH_BYTES."""
    batch: list[str] = []
    held = 0
    for oid, size in wanted:
        if batch and held + size > BATCH_BYTES:
            for pair in await _batch(git, batch):
                yield pair
            batch, held = [], 0
        batch.append(oid)
        held += max(size, 0)
    if batch:
        for pair in await _batch(git, batch):
            yield pair


async def _batch(git: Git, oids: Sequence[str]) -> list[tuple[str, bytes]]:
    out = await git.run("cat-file", "--batch", stdin="".join(oid + "\n" for oid in oids).encode())
    blobs: list[tuple[str, bytes]] = []
    at = 0
    for oid in oids:
        end = out.index(b"\n", at)
        facts = out[at:end].split()
        at = end + 1
        if len(facts) != 3:  # "<oid> missing"
            continue
        size = int(facts[2])
        blobs.append((oid, out[at : at + size]))
        at += size + 1
    return blobs
