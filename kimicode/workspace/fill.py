"""Contents that git does not hold, taken over from the user's own checkout: submodules and Git LFS files.

They are copied once into the session (`<session>/fill`) and from there into every checkout, so that a resumed
session and the check runs see the same bytes whatever the user does meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from kimicode.workspace.base import LfsFile, Submodule
from kimicode.workspace.git import Git
from kimicode.workspace.lfs import Pointer, find_content
from kimicode.workspace.objects import GITLINK, Entry, decode
from kimicode.workspace.repository import Repository
from kimicode.workspace.secrets import is_fixture, scan_file
from kimicode.workspace.store import Store

_CLONE_FILE = 0x40049409
"""FICLONE of linux/fs.h: a copy that shares its blocks until one side is written."""


async def collect(
    repository: Repository,
    store: Store,
    work: Path | None,
    links: Sequence[Entry],
    pointers: Mapping[Entry, Pointer],
) -> tuple[tuple[Submodule, ...], tuple[LfsFile, ...]]:
    """Copy what the user has of these gitlinks and pointers into `store.fill`.

    `work` None: the base is another commit than the one checked out; LFS contents then come from the user's LFS
    store only, submodules from the checkout where it stands at the right commit.
    """
    submodules = [await _submodule(repository, store, link, strict=work is None) for link in links]
    lfs = await asyncio.to_thread(_contents, repository, store, work, pointers)
    return tuple(submodules), tuple(lfs)


def place(store: Store, work: Path, submodules: Sequence[Submodule], lfs: Sequence[LfsFile]) -> None:
    """Copy the collected contents into a freshly filled working tree. LFS pointers are replaced."""
    for module in submodules:
        target = work / module.path
        target.mkdir(parents=True, exist_ok=True)
        if module.files:
            shutil.copytree(
                store.fill / module.path, target, symlinks=True, dirs_exist_ok=True, copy_function=copy_file
            )
    for file in lfs:
        place_lfs(store, work, file)


def place_lfs(store: Store, work: Path, file: LfsFile) -> None:
    """Put the content of one LFS file where its pointer stands, unless the tree has no pointer there."""
    target = work / file.path
    if not file.filled or not os.path.lexists(target):
        return
    mode = stat.S_IMODE(target.lstat().st_mode)
    target.unlink()
    copy_file(store.fill / file.path, target)
    target.chmod(mode)


def copy_file(source: str | Path, target: str | Path) -> None:
    """Copy a regular file with its mode, sharing blocks where the file system can. Never writes through a link."""
    import fcntl

    with open(source, "rb") as read:
        mode = stat.S_IMODE(os.fstat(read.fileno()).st_mode) & 0o777 | 0o600
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as write:
            try:
                fcntl.ioctl(fd, _CLONE_FILE, read.fileno())
            except OSError:
                shutil.copyfileobj(read, write, 1024 * 1024)
            os.fchmod(fd, mode)


def _contents(
    repository: Repository, store: Store, work: Path | None, pointers: Mapping[Entry, Pointer]
) -> list[LfsFile]:
    files: list[LfsFile] = []
    for entry, pointer in pointers.items():
        path = entry.path
        source = find_content(pointer, work / path if work else None, repository.common_dir)
        if source is not None:
            target = store.fill / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            copy_file(source, target)
        files.append(LfsFile(path, pointer.oid, pointer.size, source is not None, entry.mode, entry.oid))
    return files


async def _submodule(repository: Repository, store: Store, link: Entry, *, strict: bool) -> Submodule:
    folder = repository.root / link.path
    if not os.path.lexists(folder / ".git") or folder.is_symlink():
        return Submodule(link.path, link.oid, 0, "not checked out")
    # Only here git looks for a repository by itself: in the user's own submodule, whose place is known.
    found = await Git(cwd=folder).probe(
        "rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir", "HEAD"
    )
    facts = os.fsdecode(found.stdout).split("\n")
    if found.returncode != 0 or len(facts) != 4 or Path(facts[0]).resolve() != folder.resolve():
        return Submodule(link.path, link.oid, 0, "cannot be read")
    if strict and facts[2] != link.oid:
        return Submodule(link.path, link.oid, 0, f"the user's checkout stands at {facts[2][:12]}")
    note = "" if facts[2] == link.oid else f"the user's checkout stands at {facts[2][:12]}"
    out = await Git(gitdir=Path(facts[1]), worktree=folder).run("ls-files", "-z", "-s")
    count, inner = await asyncio.to_thread(_copy_tracked, store, folder, link.path, out)
    for nested in inner:
        module = await _submodule(repository, store, nested, strict=False)
        count += module.files
    return Submodule(link.path, link.oid, count, note)


def _copy_tracked(store: Store, folder: Path, path: str, listing: bytes) -> tuple[int, list[Entry]]:
    """Copy a submodule's tracked files as they stand in its work tree; secrets stay out as everywhere."""
    count = 0
    inner: list[Entry] = []
    for row in listing.split(b"\0")[:-1]:
        facts, _, raw = row.partition(b"\t")
        mode, oid, _ = facts.decode().split()
        name = decode(raw)
        if mode == GITLINK:
            inner.append(Entry(f"{path}/{name}", mode, oid))
            continue
        source, target = folder / name, store.fill / path / name
        if not is_fixture(name) and scan_file(folder, name):
            continue
        try:
            kind = source.lstat().st_mode
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            if stat.S_ISLNK(kind):
                target.symlink_to(source.readlink())
            elif stat.S_ISREG(kind):
                copy_file(source, target)
            else:
                continue
        except OSError:  # removed by the user, or not readable
            continue
        count += 1
    return count, inner
