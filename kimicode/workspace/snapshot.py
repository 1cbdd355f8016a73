"""Turns a working tree that an agent wrote into a tree object: fast on ordinary trees, careful on odd ones.

A small tree in which nothing has changed is recognised without git (footprint.py). Else the fast way is `git add -A`
and `git write-tree`. When git complains, or a gitlink has appeared, the careful way looks at every file, makes nested
repositories plain folders for git, and accounts for each file that still could not be added.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from kimicode.workspace.base import LfsFile
from kimicode.workspace.folder import Survey, remove_blocking, survey
from kimicode.workspace.footprint import Footprint, look
from kimicode.workspace.git import Git, GitError, Output
from kimicode.workspace.lfs import Pointer, describe_file
from kimicode.workspace.objects import REGULAR, decode, lines
from kimicode.workspace.paths import names_dot_git
from kimicode.workspace.store import make_gitdir, write_text

T = TypeVar("T")

_GITLINK_BYTES: Final = b"\x00\x00\xe0\x00"
"""Mode 160000 as the index file (version 2) stores it; may also be part of another number."""

_ATTEMPTS: Final = 3
"""A background process may remove a file while git adds it."""

PATIENCE_S: Final = 0.5
"""After so many seconds of `git add` the tree is searched for what may block it."""


@dataclass(slots=True)
class Known:
    """What the last snapshot found, so that an unchanged index costs no second command."""

    signature: tuple[int, int, int] | None = None
    """inode, mtime and size of the index file when `tree` was written from it."""
    tree: str = ""
    left_out: dict[str, str] = field(default_factory=dict)
    footprint: Footprint | None = None
    """The working tree just before `tree` was made of it, when that look was settled."""
    large: bool = False
    """The tree was found too large to look at."""

    def forget(self) -> None:
        self.signature = self.footprint = None


async def take(git: Git, known: Known) -> str:
    """Tree oid of the working tree of `git`, by its index. Raises GitError, DiskFull.

    In a small tree that looks as it did at the last snapshot nothing is run (footprint.py).
    """
    assert git.worktree is not None
    now = None if known.large else look(git.worktree)
    known.large = known.large or now is None
    if now is not None and known.footprint is not None and now.entries == known.footprint.entries:
        return known.tree
    known.footprint = None
    tree = await _take(git, known)
    # Taken before git looked: what changed since shows in the next look, or made this one unsettled.
    known.footprint = now if now is not None and now.settled else None
    return tree


async def _take(git: Git, known: Known) -> str:
    outputs = await _patiently(git, _fast(git, known))
    if len(outputs) == 2:
        return _remember(git, known, outputs[1].stdout)
    if outputs[0].returncode == 0 and not outputs[0].stderr:
        if known.signature is not None and _signature(git) == known.signature:
            return known.tree
        if not await _gitlinks(git):
            return await _write(git, known)
    for attempt in range(_ATTEMPTS):
        try:
            known.left_out = await _add_carefully(git)
            return await _write(git, known)
        except GitError:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.05)
    raise AssertionError("unreachable")


async def _fast(git: Git, known: Known) -> list[Output]:
    """`add`, and `write-tree` when there is something to write and nothing odd."""

    def ordinary(added: Output) -> bool:
        if added.stderr or (known.signature is not None and _signature(git) == known.signature):
            return False
        assert git.index is not None
        known.left_out = {}
        return _GITLINK_BYTES not in git.index.read_bytes()

    return await git.run_all([("add", "-A"), ("write-tree",)], check=False, proceed=ordinary)


async def _add(git: Git) -> Output:
    return await _patiently(git, git.probe("add", "-A", "--ignore-errors"))


async def _patiently(git: Git, work: Coroutine[Any, Any, T]) -> T:
    """Wait for a `git add`, which may hang: it opens .gitignore even when an agent has made that a FIFO."""
    assert git.worktree is not None
    task = asyncio.create_task(work)
    patience = PATIENCE_S
    try:
        while not (await asyncio.wait([task], timeout=patience))[0]:
            await asyncio.to_thread(remove_blocking, git.worktree)
            patience *= 2
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


def unfaithful(work: Path, tree: str) -> GitError:
    return GitError(
        f"The checkout {work} could not be brought back to {tree}.",
        hint="Some file in it can neither be written nor removed: check who owns it.",
    )


async def _write(git: Git, known: Known) -> str:
    return _remember(git, known, await git.run("write-tree"))


def _remember(git: Git, known: Known, written: bytes) -> str:
    known.tree = written.decode().strip()
    # write-tree stores the trees it computed in the index, so the signature is taken afterwards.
    known.signature = _signature(git)
    return known.tree


def _signature(git: Git) -> tuple[int, int, int] | None:
    assert git.index is not None
    try:
        facts = git.index.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


async def _gitlinks(git: Git) -> list[str]:
    """Nested repositories in the index; a base never has any (capture.py leaves submodules out)."""
    assert git.index is not None
    if _GITLINK_BYTES not in await asyncio.to_thread(git.index.read_bytes):
        return []
    rows = (await git.run("ls-files", "-z", "-s")).split(b"\0")[:-1]
    return [decode(row.partition(b"\t")[2]) for row in rows if row.startswith(b"160000 ")]


# --- the careful way -----------------------------------------------------------------------------------


async def _add_carefully(git: Git) -> dict[str, str]:
    """Add everything that can be added; path and reason of the rest. Raises GitError for a file lost otherwise."""
    assert git.worktree is not None
    work = git.worktree
    found = await asyncio.to_thread(survey, work)
    nested = list(dict.fromkeys([*found.nested, *await _gitlinks(git)]))
    nested = [path for path in nested if not names_dot_git(path)]
    if nested:
        # Git enters a nested repository only when its index has a file in there: such a file is pretended.
        # `add` then removes the pretence with the other vanished files.
        empty = (await git.run("hash-object", "-w", "--stdin")).decode().strip()
        rows = (f"{REGULAR} {empty}\t{path}/.kimicode-seed" for path in nested)
        await git.run("update-index", "-z", "--replace", "--index-info", stdin=lines(rows))
    special = set(found.special)
    if special:
        await git.run("update-index", "--force-remove", "-z", "--stdin", stdin=lines(special))
    added = await _add(git)
    if "to encode" in added.stderr or "encoding" in added.stderr:
        # The agent's .gitattributes ask for an encoding that does not fit the file: take the bytes as they are.
        added = await _add(await asyncio.to_thread(_without_encodings, git))
    return await _account(git, work, found, added)


def _without_encodings(git: Git) -> Git:
    """Git with a directory of its own whose info/attributes, which win over all others, name no encoding."""
    assert git.gitdir is not None and git.index is not None
    place = git.index.parent.parent / "plain"
    objects = git.gitdir / "objects"
    config = (git.gitdir / "config").read_text()
    make_gitdir(place, config=config, head="ref: refs/heads/none", alternates=())
    write_text(place / "info" / "attributes", "* !working-tree-encoding\n")
    return replace(git, gitdir=place, objects=objects)


async def _account(git: Git, work: Path, found: Survey, added: Output) -> dict[str, str]:
    said = added.stderr
    if added.returncode not in (0, 1):
        raise GitError(
            f"The checkout cannot be read: {said.strip()[-1000:]}", returncode=added.returncode, stderr=said
        )
    left_out = dict.fromkeys(found.special, "not a regular file")
    left_out |= dict.fromkeys(found.too_deep, "a path too long for git")
    rest = (await git.run("ls-files", "-z", "--others", "--modified", "--exclude-standard")).split(b"\0")[:-1]
    for path in dict.fromkeys(map(decode, rest)):
        reason = _reason(work, path)
        if reason is None:
            raise GitError(
                f"The file {path!r} of the checkout cannot be added: {said.strip()[-1000:]}",
                hint="Check who owns it and whether it can be read.",
                stderr=said,
            )
        left_out[path] = reason
    return left_out


def _reason(work: Path, path: str) -> str | None:
    """Why a file may be missing from a snapshot; None when it may not."""
    if names_dot_git(path):
        return "a name that some file systems take for .git"
    try:
        mode = (work / path).lstat().st_mode
    except FileNotFoundError:
        return "vanished meanwhile"
    except OSError:
        return None
    if stat.S_ISDIR(mode):
        return "nested git repository without files"
    return None if stat.S_ISREG(mode) or stat.S_ISLNK(mode) else "not a regular file"


# --- Git LFS -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class LfsState:
    """Filled LFS files: the index holds their pointers and does not look at them ("assume unchanged")."""

    files: dict[str, LfsFile] = field(default_factory=dict)
    seen: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    """inode, size, mtime and ctime of the content when it was last known to be unchanged."""


async def adopt_lfs(git: Git, work: Path, files: Sequence[LfsFile], state: LfsState) -> None:
    """Let the index hold the pointer for every LFS file whose content stands in the work tree."""
    state.files = {file.path: file for file in files if file.filled}
    state.seen = {}
    await sync_lfs(git, work, state)


async def sync_lfs(git: Git, work: Path, state: LfsState) -> None:
    """Before a snapshot: content that is unchanged counts as its pointer, other content as itself."""
    if not state.files:
        return
    same, changed = await asyncio.to_thread(_compare, work, state)
    if same:
        rows = (f"{state.files[path].mode} {state.files[path].blob}\t{path}" for path in same)
        await git.run("update-index", "-z", "--replace", "--index-info", stdin=lines(rows))
        await git.run("update-index", "--assume-unchanged", "-z", "--stdin", stdin=lines(same))
    await _look_again(git, changed)


async def release_lfs(git: Git, state: LfsState) -> None:
    """Before a restore: let git look at these files again, or it refuses to replace them."""
    await _look_again(git, list(state.seen))
    state.seen = {}


async def _look_again(git: Git, paths: Sequence[str]) -> None:
    if not paths:
        return
    known = await git.run("ls-files", "-z", "--", *paths)
    if known:
        await git.run("update-index", "--no-assume-unchanged", "-z", "--stdin", stdin=known)


def _compare(work: Path, state: LfsState) -> tuple[list[str], list[str]]:
    """Paths whose content is newly found unchanged, and paths whose content is (newly) another one."""
    same: list[str] = []
    changed: list[str] = []
    for path, file in state.files.items():
        try:
            facts = (work / path).lstat()
            signature = (facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
        except OSError:
            signature = None
        if signature is not None and state.seen.get(path) == signature:
            continue
        if signature is not None and describe_file(work / path) == Pointer(file.oid, file.size):
            state.seen[path] = signature
            same.append(path)
        else:
            state.seen.pop(path, None)
            changed.append(path)
    return same, changed
