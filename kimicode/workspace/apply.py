"""Puts a result into the user's working tree: every touched file or none, and never over something of theirs.

A file that still is what the snapshot took is replaced; one that the user changed meanwhile is merged three
ways; if that does not work for a single file, nothing is written. Index, stash and refs are not touched.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kimicode.workspace import folder
from kimicode.workspace.git import Git
from kimicode.workspace.merge import Side, merge_blobs
from kimicode.workspace.objects import Change, decode, diff_trees, lines
from kimicode.workspace.placing import FOLDER, Conflict, Placing, State, look
from kimicode.workspace.repository import Repository
from kimicode.workspace.store import Store


@dataclass(frozen=True, slots=True)
class Applied:
    """What happened. With conflicts, nothing was written."""

    written: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    """Those of `written` that are a merge with changes of the user."""
    conflicts: tuple[Conflict, ...] = ()


async def apply_result(repository: Repository, store: Store, base_tree: str, result: str) -> Applied:
    """Make the difference between two trees of the session in the user's working tree."""
    scratch = store.folder / f"apply-{secrets.token_hex(6)}"
    scratch.mkdir(mode=0o700)
    try:
        return await _apply(repository, store, scratch, base_tree, result)
    finally:
        await asyncio.to_thread(folder.remove, scratch)


async def _apply(repository: Repository, store: Store, scratch: Path, base_tree: str, result: str) -> Applied:
    git = _git(repository, store, scratch / "index")
    changes = await diff_trees(git, base_tree, result)
    states = await asyncio.to_thread(_look_at_all, repository.root, changes)
    ours = await _users_files(
        git, [path for path, state in states.items() if state.kind in ("file", "symlink")]
    )
    planned, merged, conflicts = await _plan(git, scratch, changes, states, ours)
    if conflicts:
        return Applied(conflicts=tuple(conflicts))
    await _write_out(replace(git, index=scratch / "out-index"), planned, scratch / "out")
    placing = Placing(repository.root, scratch / "out", scratch / "kept", states)
    conflicts = await asyncio.to_thread(placing.run, planned)
    if conflicts:
        return Applied(conflicts=tuple(conflicts))
    return Applied(
        written=tuple(sorted(path for path, side in planned.items() if side is not None)),
        removed=tuple(sorted(path for path, side in planned.items() if side is None)),
        merged=tuple(sorted(merged)),
    )


def _git(repository: Repository, store: Store, index: Path) -> Git:
    """Git on the user's work tree that uses neither their index nor their configuration, only its plain settings."""
    settings = tuple(f"{key}={value}" for key, value in repository.settings)
    return replace(store.git(index=index, user=True), worktree=repository.root, config=settings)


def _look_at_all(root: Path, changes: Sequence[Change]) -> dict[str, State]:
    return {change.path: look(root, change.path) for change in changes}


async def _users_files(git: Git, paths: Sequence[str]) -> dict[str, Side]:
    """Mode and blob of the user's files as git would store them (line endings converted)."""
    if not paths:
        return {}
    await git.run("update-index", "--add", "-z", "--stdin", stdin=lines(paths))
    found: dict[str, Side] = {}
    for row in (await git.run("ls-files", "-z", "-s")).split(b"\0")[:-1]:
        facts, _, name = row.partition(b"\t")
        mode, oid, _ = facts.decode().split()
        found[decode(name)] = Side(mode, oid)
    return found


async def _plan(
    git: Git, scratch: Path, changes: Sequence[Change], states: Mapping[str, State], ours: Mapping[str, Side]
) -> tuple[dict[str, Side | None], set[str], list[Conflict]]:
    """What to put where. A path whose file already is as wanted is not in it."""
    planned: dict[str, Side | None] = {}
    merged: set[str] = set()
    conflicts: list[Conflict] = []
    going = {change.path for change in changes if Side.of(change.new_mode, change.new) is None}
    for change in changes:
        path, state = change.path, states[change.path]
        before, after = Side.of(change.old_mode, change.old), Side.of(change.new_mode, change.new)
        now = ours.get(path)
        if after is None and state.reason == FOLDER:
            continue  # the file to remove is gone already
        if state.kind == "other":
            # A folder may give way when everything that git knows in it goes; Placing finds out about the rest.
            if before is None and any(gone.startswith(path + "/") for gone in going):
                planned[path] = after
            else:
                conflicts.append(Conflict(path, state.reason))
        elif now == before:
            planned[path] = after
        elif now != after:
            side = await merge_blobs(git, scratch, before, now, after)
            if isinstance(side, str):
                conflicts.append(Conflict(path, side))
            else:
                planned[path] = side
                merged.add(path)
    return planned, merged, conflicts


async def _write_out(git: Git, planned: Mapping[str, Side | None], target: Path) -> None:
    """Write the planned files below `target` as they have to look in a work tree (line endings converted)."""
    target.mkdir()
    sides = {path: side for path, side in planned.items() if side is not None}
    if not sides:
        return
    rows = (f"{side.mode} {side.oid}\t{path}" for path, side in sides.items())
    await git.run("update-index", "-z", "--index-info", stdin=lines(rows))
    # One after another: with several workers git refuses a prefix outside of the work tree.
    plain = replace(git, config=(*git.config, "checkout.workers=1"))
    await plain.run("checkout-index", "--all", f"--prefix={target}/")
