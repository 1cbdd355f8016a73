"""Ignored files of the user that a checkout needs: what `.worktreeinclude` names, minus what looks like a secret.

The file has gitignore syntax and stands at the top of the repository; git worktree tools know it by that name. What it
names is copied once into the session and from there into each checkout, where it can be changed without effect on the
original, and where snapshots leave it out.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from kimicode.workspace.base import LeftOut
from kimicode.workspace.fill import copy_file
from kimicode.workspace.git import Git
from kimicode.workspace.repository import Repository
from kimicode.workspace.secrets import scan_file
from kimicode.workspace.store import Store, read_json, write_json, write_text

NAME: Final = ".worktreeinclude"
MAX_FILES: Final = 20_000
MAX_BYTES: Final = 1024**3
MAX_PATTERNS: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Included:
    """What was taken over, by path relative to the repository."""

    paths: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


async def collect(repository: Repository, store: Store) -> Included:
    """Copy the named files into the session; what a former process copied serves again."""
    kept = read_json(store.folder / "include.json")
    if kept is not None:
        return Included(tuple(kept["paths"]), tuple(LeftOut(**item) for item in kept["left_out"]))
    patterns = await asyncio.to_thread(_patterns, repository.root)
    names = await _find(repository, store, patterns) if patterns else []
    result = await asyncio.to_thread(_copy, repository.root, store.folder / "include", names)
    write_json(store.folder / "include.json", asdict(result))
    return result


async def place(store: Store, included: Included, work: Path) -> None:
    """Copy the files into a checkout that nothing uses yet. What stands there already stays."""
    await asyncio.to_thread(_place, store.folder / "include", included.paths, work)


def _patterns(root: Path) -> str:
    try:
        fd = os.open(root / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(fd, "rb") as file:
        return file.read(MAX_PATTERNS).decode("utf-8", "surrogateescape")


async def _find(repository: Repository, store: Store, patterns: str) -> list[str]:
    """Untracked files that a pattern names and git ignores, sorted."""
    index, wanted = store.folder / "include.index", store.folder / "include.patterns"
    if repository.index.exists():
        await asyncio.to_thread(shutil.copyfile, repository.index, index)
    write_text(wanted, patterns)
    git: Git = replace(
        store.git(index=index, user=True),
        worktree=repository.root,
        config=(f"core.excludesFile={store.excludes}",),
    )
    try:
        named = await git.run("ls-files", "-z", "--others", "--ignored", f"--exclude-from={wanted}")
        if not named:
            return []
        # check-ignore takes no literal paths, so ignored is what is named and not among the others.
        others = await git.run("ls-files", "-z", "--others", "--exclude-standard")
    finally:
        index.unlink(missing_ok=True)
    return sorted(os.fsdecode(n) for n in set(named.split(b"\0")[:-1]) - set(others.split(b"\0")[:-1]))


def _copy(root: Path, target: Path, names: Sequence[str]) -> Included:
    taken: list[str] = []
    left_out: list[LeftOut] = []
    size = 0
    for name in names:
        source = root / name
        reason = (
            "not a regular file" if not source.is_file() or source.is_symlink() else scan_file(root, name)
        )
        if not reason:
            size += source.stat().st_size
            if len(taken) >= MAX_FILES or size > MAX_BYTES:
                reason = f"more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB in {NAME}"
        if reason:
            left_out.append(LeftOut(name, reason))
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).unlink(missing_ok=True)
        copy_file(source, target / name)
        taken.append(name)
    return Included(tuple(taken), tuple(left_out))


def _place(source: Path, names: Sequence[str], work: Path) -> None:
    for name in names:
        target = work / name
        # A fresh checkout holds what the tree says: a link there may lead anywhere, so nothing is put below one.
        if any((work / part).is_symlink() for part in _parents(name)) or os.path.lexists(target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(source / name, target)


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]
