"""Takes the state that a session starts from out of the user's repository, without writing anything there.

HEAD plus the uncommitted, non-ignored changes, minus what looks like a secret, becomes a tree in the session's
own store. A private copy of the user's index makes this as fast as `git status`; their index, work tree, stash and
refs are only read. Their repository's configuration is not read at all here: git works in the store's directory,
with plain settings (line endings, file modes) taken over by value, so no filter or hook of theirs can run.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from kimicode.errors import ConfigError, RepositoryError, UsageError
from kimicode.workspace.base import Base
from kimicode.workspace.fill import collect
from kimicode.workspace.git import Git
from kimicode.workspace.lfs import find_pointers
from kimicode.workspace.objects import (
    GITLINK,
    Entry,
    decode,
    lines,
    list_tree,
    within,
)
from kimicode.workspace.plan import Changed, Plan
from kimicode.workspace.repository import Commit, Repository, read_commit
from kimicode.workspace.secrets import is_fixture, scan_tree
from kimicode.workspace.store import Store, write_text

MAX_FILES: Final = 200_000
MAX_BYTES: Final = 5 * 1024**3

BASE_AUTHOR: Final = "kimicode <kimicode@localhost>"


async def capture(
    repository: Repository,
    store: Store,
    *,
    base: str | None = None,
    paths: Sequence[str] = (),
    keep: Sequence[str] = (),
    cache: Path | None = None,
) -> Base:
    """Capture the base and keep it in the session (`Base.load`).

    base: None, "HEAD" or "@" mean HEAD with the uncommitted changes; any other revision means that commit alone.
    paths: files and folders relative to the root; the rest is left out of checkout and index.
    keep: files that stay although they look like secrets. cache: folder for results of the secret scan.
    Raises RepositoryError (no such base, unmerged files), UsageError (no such path), ConfigError (too large).
    """
    roots = _roots(paths)
    with_changes = base in (None, "HEAD", "@")
    head = repository.head if with_changes else await repository.resolve_base(base or "")
    git = replace(
        store.git(index=store.folder / "capture.index", user=True),
        worktree=repository.root,
        config=_settings(repository, store),
    )
    write_text(store.gitdir / "HEAD", head + "\n")
    changed, (parent, entries, secrets), tag = await asyncio.gather(
        _changes(git, repository, roots) if with_changes else _nothing(),
        _committed(git, head, roots, cache),
        _tag(repository, head),
    )
    _check_paths(roots, entries, changed)
    size = _check_size(repository.root, entries, changed, roots)
    plan, kept = Plan(), frozenset([*keep, *(path for path in secrets if is_fixture(path))])
    plan.judge_tree(entries, secrets, kept)
    pointers = await find_pointers(git, entries, repository.attributes)
    await asyncio.to_thread(plan.judge_changes, repository.root, entries, changed, pointers, kept)
    tree = await _write_tree(git, repository, parent.tree, plan, entries, roots, with_changes)
    links = [entry for entry in entries if entry.mode == GITLINK]
    work = repository.root if with_changes else None
    (submodules, lfs), commit = await asyncio.gather(
        collect(repository, store, work, links, plan.lfs(entries, pointers)),
        _base_commit(git, store, parent, tree),
    )
    result = Base(
        head=head,
        head_tree=parent.tree,
        tree=tree,
        commit=commit,
        dirty=plan.dirty,
        branch=repository.branch or "main",
        tag=tag,
        files=len(entries) + sum(1 for change in changed if change.untracked),
        size=size,
        paths=roots,
        left_out=plan.named(),
        submodules=submodules,
        lfs=lfs,
    )
    result.save(store)
    return result


def _settings(repository: Repository, store: Store) -> tuple[str, ...]:
    own = tuple(f"{key}={value}" for key, value in repository.settings)
    return (*own, f"core.excludesFile={store.excludes}")


async def _nothing() -> list[Changed]:
    return []


# --- what the user changed -----------------------------------------------------------------------------


async def _changes(git: Git, repository: Repository, roots: Sequence[str]) -> list[Changed]:
    """Files whose index entry or content differs from HEAD, and untracked ones."""
    assert git.index is not None
    if not await asyncio.to_thread(_copy_index, repository, git.index):
        return []
    out = await git.run(
        "status", "--porcelain=v2", "-z", "--untracked-files=all", "--ignore-submodules=all", "--no-renames",
        "--", *roots,
    )  # fmt: skip
    changed: list[Changed] = []
    for row in out.split(b"\0")[:-1]:
        kind, name = row[:1], row
        if kind == b"u":
            raise RepositoryError(
                f"{repository.root} has files with merge conflicts, e.g. {decode(row.split(b' ', 10)[10])}.",
                hint="Finish or abort the merge, or start from a commit alone: --base "
                + repository.head[:12],
            )
        name = row.split(b" ", 8)[8] if kind == b"1" else row[2:]
        changed.append(Changed(decode(name), kind == b"?"))
    return changed


def _copy_index(repository: Repository, target: Path) -> bool:
    """Copy the user's index with its times: git compares them with those of the files (racy entries)."""
    try:
        shutil.copy2(repository.index, target)
    except FileNotFoundError:  # a clone without checkout
        return False
    for shared in repository.git_dir.glob("sharedindex.*"):
        shutil.copy2(shared, target.parent / "store" / shared.name)
    return True


# --- what is committed ---------------------------------------------------------------------------------


async def _committed(
    git: Git, head: str, roots: Sequence[str], cache: Path | None
) -> tuple[Commit, list[Entry], dict[str, str]]:
    """The commit, its files, and those that look like secrets."""
    commit = await read_commit(git, head)
    if commit is None:
        raise RepositoryError(
            f"The commit {head} cannot be read.", hint="git fsck in the repository says more."
        )
    entries = await list_tree(git, commit.tree, sizes=True)
    entries = [entry for entry in entries if within(entry.path, roots)]
    if len(entries) > MAX_FILES:  # refused anyway, with the estimate
        return commit, entries, {}
    return commit, entries, await scan_tree(git, commit.tree, entries, cache=cache)


async def _tag(repository: Repository, head: str) -> str:
    """The tag `git describe` would name: version tools ask for it, and builds fail without one."""
    out = await repository.git().probe("describe", "--tags", "--abbrev=0", head)
    name = out.stdout.decode("utf-8", "replace").strip()
    return name if out.returncode == 0 and "\n" not in name else ""


def _roots(paths: Sequence[str]) -> tuple[str, ...]:
    roots: list[str] = []
    for given in paths:
        path = PurePosixPath(given)
        if path.is_absolute() or ".." in path.parts or "\0" in given:
            raise UsageError(
                f"--paths {given!r} is not beneath the repository.",
                hint="Give paths relative to its top folder.",
            )
        if str(path) == ".":
            return ()
        roots.append(str(path))
    return tuple(sorted(set(roots)))


def _check_paths(roots: Sequence[str], entries: Sequence[Entry], changed: Sequence[Changed]) -> None:
    names = [entry.path for entry in entries] + [change.path for change in changed]
    for root in roots:
        if not any(within(name, (root,)) for name in names):
            raise UsageError(
                f"--paths {root!r}: no such file or folder in the repository.",
                hint="git ls-files lists them.",
            )


def _check_size(
    root: Path, entries: Sequence[Entry], changed: Sequence[Changed], roots: Sequence[str]
) -> int:
    size = sum(max(entry.size, 0) for entry in entries)
    untracked = [change.path for change in changed if change.untracked]
    for path in untracked:
        try:
            size += (root / path).lstat().st_size
        except OSError:
            continue
    files = len(entries) + len(untracked)
    if not roots and (size > MAX_BYTES or files > MAX_FILES):
        raise ConfigError(
            f"The repository has {files:,} files and {size / 1024**3:.1f} GiB (untracked ones included: "
            f"{len(untracked):,} files); each checkout would copy all of that. "
            f"The limit is {MAX_FILES:,} files and {MAX_BYTES // 1024**3} GiB.",
            hint="Name the folders that matter: --paths src --paths tests. Or let git ignore what does not belong.",
        )
    return size


# --- what comes out ---------------------------------------------------------------------------------------


async def _write_tree(
    git: Git,
    repository: Repository,
    head_tree: str,
    plan: Plan,
    entries: Sequence[Entry],
    roots: Sequence[str],
    with_changes: bool,
) -> str:
    assert git.index is not None
    try:
        if plan.empty and not roots:
            return head_tree
        if not (with_changes and git.index.exists()):
            await git.run("read-tree", head_tree)
        outside = []
        if roots:
            known = (await git.run("ls-files", "-z")).split(b"\0")[:-1]
            outside = [name for name in map(decode, known) if not within(name, roots)]
        for path, pointer in plan.pointers.items():
            oid = await git.run("hash-object", "-w", "--stdin", stdin=pointer.text())
            plan.written[path] = oid.decode().strip()
        rows = plan.index_rows(head_tree, entries, outside)
        if rows:
            await git.run("update-index", "-z", "--index-info", stdin=lines(rows))
        if plan.update:
            # Without the user's objects, git writes its own copies and does not renew the times of theirs. A
            # sparse index holds folders as trees, which have to be read.
            own = git if repository.sparse else replace(git, alternates=())
            options = ("--add", "--remove", "--replace", "-z", "--stdin")
            await own.run("update-index", *options, stdin=lines(plan.update))
        return (await git.run("write-tree", "--missing-ok")).decode().strip()
    finally:
        for leftover in (git.index, git.index.with_name(git.index.name + ".lock")):
            leftover.unlink(missing_ok=True)


async def _base_commit(git: Git, store: Store, parent: Commit, tree: str) -> str:
    """A commit without parents and a pack of it alone: what is only in the history stays unreadable inside."""
    text = (
        f"tree {tree}\nauthor {BASE_AUTHOR} {parent.time}\ncommitter {BASE_AUTHOR} {parent.time}\n\n"
        f"{parent.subject or 'base'}\n\n"
        f"kimicode starts from {parent.oid}. Earlier history is not part of this checkout.\n"
    )
    stdin = text.encode("utf-8", "replace")
    commit = (await git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=stdin)).decode().strip()
    pack = store.base_objects / "pack" / "pack"
    # Window 0: what the user's packs have compressed already is copied, nothing is compared anew.
    options = ("--revs", "-q", "--window=0", "--compression=1", "--delta-base-offset", str(pack))
    # Not forced to the disk: that takes longer than all the rest, and a session that a power cut ends this early
    # is started anew.
    quick = replace(git, config=(*git.config, "core.fsync=none"))
    await quick.run("pack-objects", *options, stdin=commit.encode() + b"\n")
    # Readable for the user that a sandbox runs as, whatever the umask.
    for folder in (store.base_objects, pack.parent, store.base_objects / "info"):
        folder.chmod(0o755)
    for file in pack.parent.iterdir():
        file.chmod(0o444)
    return commit
