"""One working tree that an agent may change, checkpointed as git trees by a git it cannot influence.

    slots/<name>/w        working tree, seen by the sandbox; w/.git is a file that names gd
    slots/<name>/gd       the agent's own git directory, seen by the sandbox, never trusted by the host
    slots/<name>/scratch  for the launcher
    slots/<name>/index/   the host's index of w, with the ignore patterns beside it

Snapshots run with the session's store as git directory and the index of the slot: whatever the agent writes (a
`.git` folder, a configuration, attributes that name filters, hooks) is data to that git.

Which files a snapshot leaves out: those that the tree's own .gitignore files say, and the user's excludes. An agent
that edits .gitignore can so hide *new* files from the result. That gains it nothing: changes of tracked files are
seen in any case, and checks run on checkouts made from the snapshot, where hidden files are not.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from kimicode.core.ports import Slot
from kimicode.errors import ConfigError
from kimicode.workspace import folder, snapshot
from kimicode.workspace.base import Base
from kimicode.workspace.fill import place, place_lfs
from kimicode.workspace.git import Git
from kimicode.workspace.objects import list_tree
from kimicode.workspace.paths import quoted_pattern
from kimicode.workspace.store import Store, make_gitdir, read_json, write_json, write_text

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
        self._folder = store.slots / name
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
        await asyncio.to_thread(self._make_folders)
        self._use_index("first")
        self._write_excludes(exclude)
        await self._git.run("read-tree", "--reset", "-u", self._tree)
        await asyncio.to_thread(place, store, self.slot.work, base.submodules, base.lfs)
        await self._make_gitdir()
        if owner is not None:
            await asyncio.to_thread(self._give_away)
        await snapshot.adopt_lfs(self._git, self.slot.work, base.lfs, self._lfs)
        facts = {"tree": self._tree, "root": self._root, "owner": owner, "exclude": list(exclude)}
        write_json(self._folder / "slot.json", facts)
        return self

    @classmethod
    async def open(cls, store: Store, name: str, base: Base | None = None) -> Checkout:
        """A slot that an earlier process made, whatever state it was left in. Raises ConfigError when incomplete."""
        _check_name(name)
        facts = read_json(store.slots / name / "slot.json")
        base = base or Base.load(store)
        if facts is None or base is None:
            raise ConfigError(f"The checkout {name!r} of this session is incomplete.", hint="Make it again.")
        owner = tuple(facts["owner"]) if facts["owner"] else None
        self = cls(store, name, base, facts["tree"], facts["root"], owner)
        # A git that outlived its process may still wait at a FIFO.
        await asyncio.to_thread(folder.remove_blocking, self.slot.work)
        await asyncio.to_thread(self._take_over_index)
        await asyncio.to_thread(self._mend_gitdir)
        await snapshot.adopt_lfs(self._git, self.slot.work, base.lfs, self._lfs)
        return self

    # --- core.ports.Checkout --------------------------------------------------------------------------

    @property
    def slot(self) -> Slot:
        return Slot(
            work=self._folder / "w",
            gitdir=self._folder / "gd",
            objects=self._store.base_objects,
            root=self._root,
            scratch=self._folder / "scratch",
        )

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
            facts = read_json(self._folder / "slot.json") or {}
            merged = list(dict.fromkeys([*facts.get("exclude", ()), *paths]))
            self._write_excludes(merged)
            info = self.slot.gitdir / "info"
            if info.is_dir() and not info.is_symlink():  # the agent may write here
                folder.remove(info / "exclude")
                shutil.copyfile(self._excludes, info / "exclude")
            write_json(self._folder / "slot.json", {**facts, "exclude": merged})

    async def remove(self) -> None:
        """Delete the slot from the disk."""
        async with self._lock:
            await asyncio.to_thread(folder.remove, self._folder)

    # --- snapshot and restore -------------------------------------------------------------------------

    async def _snapshot(self) -> str:
        await snapshot.sync_lfs(self._git, self.slot.work, self._lfs)
        return await snapshot.take(self._git, self._known)

    async def _restore(self, tree: str) -> None:
        work = self.slot.work
        for attempt in range(2):
            await asyncio.to_thread(folder.remove_unseen, work)
            await snapshot.release_lfs(self._git, self._lfs)
            await self._git.probe("read-tree", "--reset", "-u", tree)
            await self._remove_leftovers()
            await self._refill_lfs(tree)
            await asyncio.to_thread(self._mend_gitdir)
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
        work = self.slot.work
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
                await asyncio.to_thread(place_lfs, self._store, self.slot.work, file)

    # --- files of the slot ----------------------------------------------------------------------------

    def _make_folders(self) -> None:
        folder.remove(self._folder)
        for name in ("w", "gd", "scratch", "index"):
            (self._folder / name).mkdir(parents=True, mode=0o755)

    def _use_index(self, name: str) -> None:
        config = (f"core.excludesFile={self._excludes}",)
        git = self._store.git(index=self._folder / "index" / name)
        self._git = replace(git, worktree=self.slot.work, config=config)

    def _take_over_index(self) -> None:
        """Go on with a copy of the index: a git that outlived its killed parent may still write the old one."""
        place = self._folder / "index"
        old = sorted((p for p in place.iterdir() if p.suffix != ".lock"), key=lambda p: p.lstat().st_mtime_ns)
        name = secrets.token_hex(8)
        if old:
            shutil.copy2(old[-1], place / name)
        for path in place.iterdir():
            if path.name != name:
                path.unlink(missing_ok=True)
        self._use_index(name)

    @property
    def _excludes(self) -> Path:
        return self._folder / "excludes"

    def _write_excludes(self, paths: Sequence[str]) -> None:
        user = self._store.excludes.read_bytes().decode("utf-8", "surrogateescape")
        own = [module.path for module in self._base.submodules] + list(paths)
        write_text(
            self._excludes, user + "".join(quoted_pattern(path) + "\n" for path in own if "\n" not in path)
        )

    async def _make_gitdir(self) -> None:
        """The agent's git directory: the base as its only commit, so that status, log, diff and commit work."""
        gitdir, base = self.slot.gitdir, self._base
        refs = [(f"refs/heads/{base.branch}", base.commit)]
        if base.tag:
            refs.append((f"refs/tags/{base.tag}", base.commit))
        make_gitdir(
            gitdir,
            config=self._store.config(),
            head=f"ref: refs/heads/{base.branch}",
            alternates=(self._store.base_objects,),
            refs=refs,
        )
        for source, name in (
            (self._excludes, "exclude"),
            (self._store.gitdir / "info" / "attributes", "attributes"),
        ):
            shutil.copyfile(source, gitdir / "info" / name)
        assert self._git.index is not None
        if self._tree == base.tree:
            shutil.copy2(self._git.index, gitdir / "index")
        else:
            await self._store.git(index=gitdir / "index").run("read-tree", base.tree)
        write_text(self.slot.work / ".git", f"gitdir: {gitdir}\n")

    def _mend_gitdir(self) -> None:
        """Put back the `.git` file and take away the locks that a killed command left."""
        work, gitdir = self.slot.work, self.slot.gitdir
        folder.remove(work / ".git")
        fd = os.open(
            work / ".git", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
        with open(fd, "wb") as file:
            file.write(os.fsencode(f"gitdir: {gitdir}\n"))
            if self.owner is not None:
                os.fchown(fd, *self.owner)
        for name in ("index.lock", "HEAD.lock", "config.lock", "packed-refs.lock"):
            (gitdir / name).unlink(missing_ok=True)

    def _give_away(self) -> None:
        assert self.owner is not None
        for path in (self.slot.work, self.slot.gitdir, self.slot.scratch):
            folder.change_owner(path, *self.owner)


def _check_name(name: str) -> None:
    if not name or name in (".", "..") or not all(c.isalnum() or c in "-_." for c in name):
        raise ValueError(f"a slot cannot be named {name!r}")
