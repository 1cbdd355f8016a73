"""One working tree that an agent may change, checkpointed as git trees by a git it cannot influence.

Snapshots run with the session's store as git directory and the index of the slot: whatever the agent writes (a
`.git` folder, a configuration, attributes that name filters, hooks) is data to that git.

Which files a snapshot leaves out: those that the tree's own .gitignore files say, and the user's excludes. An agent
that edits .gitignore can so hide *new* files from the result. That gains it nothing: changes of tracked files are
seen in any case, and checks run on checkouts made from the snapshot, where hidden files are not.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Final

from kimicode.core.ports import Slot
from kimicode.errors import ConfigError
from kimicode.workspace import folder, renewal, snapshot
from kimicode.workspace.base import Base
from kimicode.workspace.fill import place, place_lfs
from kimicode.workspace.git import Git
from kimicode.workspace.objects import list_tree
from kimicode.workspace.slot import SlotFolder
from kimicode.workspace.store import Store

DIFF_OPTIONS: Final = (
    "-r", "-p", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


class Checkout:
    """Implements core.ports.Checkout. Made by `create` or `open`; its methods may be called concurrently."""

    def __init__(
        self, store: Store, name: str, base: Base, tree: str, root: str, owner: tuple[int, int] | None
    ) -> None:
        self._store = store
        self._base = base
        self._tree = tree
        self._root = root
        self._folder = SlotFolder(store, base, store.slots / name)
        self._lock = asyncio.Lock()
        self._git = Git()
        self._lfs = snapshot.LfsState()
        self._known = snapshot.Known()
        self.owner = owner
        """uid and gid that files must belong to, None to leave them; what is filled or restored gets it."""

    # --- making and opening ---------------------------------------------------------------------------

    @classmethod
    async def create(
        cls,
        store: Store,
        name: str,
        base: Base,
        *,
        tree: str | None = None,
        root: str | None = None,
        owner: tuple[int, int] | None = None,
        exclude: Sequence[str] = (),
    ) -> Checkout:
        """Fill a new slot with `tree` (default: the base's). A slot of this name that exists is replaced.

        `root`: path inside the sandbox, default the user's work tree. `exclude`: paths that snapshots leave
        out beside the ignored ones, e.g. those of the environment layer.
        """
        _check_name(name)
        self = cls(store, name, base, tree or base.tree, root or store.root, owner)
        at = self._folder
        await asyncio.to_thread(at.make)
        self._git = at.git("first")
        at.write_excludes(exclude)
        await self._git.run("read-tree", "--reset", "-u", self._tree)
        await asyncio.to_thread(place, store, at.work, base.submodules, base.lfs)
        same = self._tree == base.tree
        await asyncio.to_thread(at.write_gitdir, self._git.index if same else None)
        if not same:
            await store.git(index=at.gitdir / "index").run("read-tree", base.tree)
        at.mend(owner)
        if owner is not None:
            await asyncio.to_thread(at.give_away, owner)
        await snapshot.adopt_lfs(self._git, at.work, base.lfs, self._lfs)
        at.save({"tree": self._tree, "root": self._root, "owner": owner, "exclude": list(exclude)})
        return self

    @classmethod
    async def open(cls, store: Store, name: str, base: Base | None = None) -> Checkout:
        """A slot that an earlier process made, whatever state it was left in. Raises ConfigError when incomplete."""
        _check_name(name)
        base = base or Base.load(store)
        facts = SlotFolder(store, base, store.slots / name).facts() if base is not None else None
        if facts is None or base is None:
            raise ConfigError(f"The checkout {name!r} of this session is incomplete.", hint="Make it again.")
        owner = tuple(facts["owner"]) if facts["owner"] else None
        self = cls(store, name, base, facts["tree"], facts["root"], owner)
        # A git that outlived its process may still wait at a FIFO.
        await asyncio.to_thread(folder.remove_blocking, self._folder.work)
        self._git = await asyncio.to_thread(self._folder.take_over)
        await asyncio.to_thread(self._folder.mend, owner)
        await snapshot.adopt_lfs(self._git, self._folder.work, base.lfs, self._lfs)
        return self

    # --- core.ports.Checkout --------------------------------------------------------------------------

    @property
    def slot(self) -> Slot:
        at = self._folder
        return Slot(at.work, at.gitdir, self._store.base_objects, self._root, at.scratch)

    @property
    def base(self) -> str:
        return self._tree

    async def snapshot(self) -> str:
        """Tree oid of the working tree now. Raises GitError when a file cannot be read, DiskFull.

        Nested git repositories are taken as plain folders, without their `.git`. Files whose names some file
        system takes for `.git` are not taken, nor are FIFOs, sockets and devices: `left_out` names them.
        """
        async with self._lock:
            return await self._snapshot()

    async def restore(self, tree: str) -> None:
        """Make the working tree equal to `tree`. Ignored files stay; new files, empty folders and `.git`s go."""
        async with self._lock:
            await self._restore(tree)

    async def diff(self, old: str, new: str) -> bytes:
        return await self._store.git().run("diff-tree", *DIFF_OPTIONS, old, new)

    # --- more -----------------------------------------------------------------------------------------

    @property
    def left_out(self) -> dict[str, str]:
        """Path and reason of what the last snapshot could not take."""
        return dict(self._known.left_out)

    async def exclude(self, paths: Sequence[str]) -> None:
        """Leave these paths out of snapshots from now on (files of the environment layer)."""
        async with self._lock:
            facts = self._folder.facts() or {}
            merged = list(dict.fromkeys([*facts.get("exclude", ()), *paths]))
            self._folder.write_excludes(merged)
            self._known.forget()
            self._folder.copy_excludes()
            self._folder.save({**facts, "exclude": merged})

    async def renew(self) -> None:
        """Bring back what no snapshot holds: ignored files go, submodules are filled again, scratch is empty.

        No sandbox may use the slot. The paths of the environment layer go too: place it again afterwards.
        """
        async with self._lock:
            await renewal.renew(self._git, self._folder, self.owner)

    async def remove(self) -> None:
        """Delete the slot from the disk."""
        async with self._lock:
            await asyncio.to_thread(folder.remove, self._folder.path)

    # --- snapshot and restore -------------------------------------------------------------------------

    async def _snapshot(self) -> str:
        await snapshot.sync_lfs(self._git, self._folder.work, self._lfs)
        return await snapshot.take(self._git, self._known)

    async def _restore(self, tree: str) -> None:
        work = self._folder.work
        for attempt in range(2):
            await asyncio.to_thread(folder.remove_unseen, work)
            await snapshot.release_lfs(self._git, self._lfs)
            await self._git.probe("read-tree", "--reset", "-u", tree)
            await self._remove_leftovers()
            await self._refill_lfs(tree)
            await asyncio.to_thread(self._folder.mend, self.owner)
            if self.owner is not None:
                await asyncio.to_thread(folder.change_owner, work, *self.owner)
            await snapshot.adopt_lfs(self._git, work, self._base.lfs, self._lfs)
            self._known.forget()
            if await self._snapshot() == tree:
                return
            if attempt == 0:
                await asyncio.to_thread(folder.make_writable, work)
        raise snapshot.unfaithful(work, tree)

    async def _remove_leftovers(self) -> None:
        work = self._folder.work
        rest = await self._git.run("ls-files", "-z", "--others", "--exclude-standard")
        names = [os.fsdecode(name) for name in rest.split(b"\0")[:-1]]
        for name in names:
            await asyncio.to_thread(folder.remove, work / name.rstrip("/"))
            folder.remove_empty(work, name.rstrip("/").rpartition("/")[0])
        await asyncio.to_thread(folder.remove_unseen, work)
        folders = await self._git.run("ls-files", "-z", "--others", "--exclude-standard", "--directory")
        for raw in folders.split(b"\0")[:-1]:
            name = os.fsdecode(raw)
            if name.endswith("/"):
                await asyncio.to_thread(folder.remove_empty_below, work / name.rstrip("/"))
                folder.remove_empty(work, name.rstrip("/").rpartition("/")[0])

    async def _refill_lfs(self, tree: str) -> None:
        """Put contents where the restored tree holds the pointers that the base holds."""
        if not self._base.lfs:
            return
        paths = [file.path for file in self._base.lfs]
        now = {entry.path: entry.oid for entry in await list_tree(self._store.git(), tree, paths=paths)}
        for file in self._base.lfs:
            if now.get(file.path) == file.blob:
                await asyncio.to_thread(place_lfs, self._store, self._folder.work, file)


def _check_name(name: str) -> None:
    if not name or name in (".", "..") or not all(c.isalnum() or c in "-_." for c in name):
        raise ValueError(f"a slot cannot be named {name!r}")
