"""A tree made of two: some paths of one tree put over another."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from kimicode.workspace.objects import GITLINK, Entry, encode, list_tree
from kimicode.workspace.store import Store


async def compose(store: Store, tree: str, over: Mapping[str, Entry | None]) -> str:
    """Tree oid of `tree` with each path of `over` replaced by its entry, or removed where that is None."""
    if not over:
        return tree
    with tempfile.TemporaryDirectory(dir=store.folder, prefix="compose-") as folder:
        git = store.git(index=Path(folder) / "index")
        await git.run("read-tree", tree)
        # Removals first: a file may give way to a folder of its name.
        rows = [b"0 " + b"0" * len(tree) + b"\t" + encode(p) for p, e in over.items() if e is None]
        rows += [f"{e.mode} {e.oid}\t".encode() + encode(p) for p, e in over.items() if e is not None]
        await git.run("update-index", "-z", "--index-info", stdin=b"".join(r + b"\0" for r in rows))
        return (await git.run("write-tree")).decode().strip()


async def write_blob(store: Store, content: bytes) -> str:
    """Keep content in the session's store; its blob oid."""
    return (await store.git().run("hash-object", "-w", "--stdin", stdin=content)).decode().strip()


async def adopt(store: Store, tree: str) -> None:
    """Copy what a tree of the user's repository needs into the session's store, so that it can be checked out.

    Only what the store lacks is copied: next to a base that was captured from the same commit, very little.
    """
    user = store.git(user=True)
    listing = await user.run("ls-tree", "-r", "-t", "-z", "--object-only", tree)
    oids = dict.fromkeys([tree, *listing.decode().split("\0")[:-1]])
    for entry in await list_tree(user, tree):
        if entry.mode == GITLINK:
            oids.pop(entry.oid, None)
    ask = "".join(f"{oid}\n" for oid in oids).encode()
    known = await store.git().run("cat-file", "--batch-check", stdin=ask)
    missing = [row.split()[0].decode() for row in known.splitlines() if row.endswith(b" missing")]
    if missing:
        wanted = "".join(f"{oid}\n" for oid in missing).encode()
        pack = await user.run("pack-objects", "--stdout", "-q", stdin=wanted)
        await store.git().run("unpack-objects", "-q", stdin=pack)
