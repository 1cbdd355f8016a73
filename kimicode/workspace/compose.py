"""A tree made of two: some paths of one tree put over another."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from kimicode.workspace.objects import Entry, encode
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
