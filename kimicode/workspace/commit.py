"""Makes the one commit of a session and puts it, under one new ref, into the user's repository."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from kimicode.errors import NotApplicable, RepositoryError, UsageError
from kimicode.workspace import folder
from kimicode.workspace.base import Base
from kimicode.workspace.git import Git
from kimicode.workspace.merge import Side, merge_blobs
from kimicode.workspace.objects import ABSENT, GITLINK, Entry, diff_trees, lines, list_tree
from kimicode.workspace.repository import Identity, Repository
from kimicode.workspace.store import Store

TITLE_LENGTH: Final = 72
SLUG_LENGTH: Final = 40
BODY_LENGTH: Final = 20_000

SESSION_TRAILER: Final = "Kimicode-Session"


# --- words ---------------------------------------------------------------------------------------------


def compose_message(title: str, body: str, trailers: Sequence[tuple[str, str]]) -> str:
    """Commit message: title line, body, trailers. Control characters go; lines that pose as ours go, too."""
    words = " ".join(_printable(title).split())
    body_lines = [line.rstrip() for line in _printable(body[:BODY_LENGTH]).splitlines()]
    body_lines = [line for line in body_lines if not line.lower().startswith("kimicode-")]
    text = "\n".join(body_lines).strip("\n")
    if len(words) > TITLE_LENGTH:
        cut = words[: TITLE_LENGTH - 1].rsplit(" ", 1)[0] or words[: TITLE_LENGTH - 1]
        text = (words + "\n\n" + text).strip("\n")
        words = cut + "…"
    parts = [
        words or "Change by kimicode",
        text,
        "\n".join(f"{key}: {' '.join(v.split())}" for key, v in trailers),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def slug(text: str) -> str:
    """A title as a piece of a branch name: a-z, 0-9 and single hyphens, at most SLUG_LENGTH characters."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", ascii_text)
    name = ""
    for word in words:
        if len(name) + len(word) + 1 > SLUG_LENGTH:
            break
        name = f"{name}-{word}" if name else word
    return name or (words[0][:SLUG_LENGTH] if words else "change")


def branch_name(title: str, short_id: str, prefix: str = "kimicode/") -> str:
    """`kimicode/<slug>-<short id>`."""
    return check_branch(f"{prefix}{slug(title)}-{short_id}")


def check_branch(name: str) -> str:
    """The name, when it may become a branch; UsageError else.

    Stricter than git, which accepts `x;$(id)`: branch names end up in other people's scripts.
    """
    name = name.removeprefix("refs/heads/")
    good = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/+@=-]{0,199}", name) is not None
    bad = (".." in name, "//" in name, "@{" in name, name.endswith(("/", ".")), "/." in name, name == "HEAD")
    if (
        not good
        or any(bad)
        or any(part.endswith(".lock") or part.startswith("-") for part in name.split("/"))
    ):
        raise UsageError(
            f"{name!r} cannot be a branch name here.",
            hint="Use letters, digits and . _ / + = - and begin with a letter or digit.",
        )
    return name


def _printable(text: str) -> str:
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs", "Cf", "Co"))


# --- tree and commit -----------------------------------------------------------------------------------


async def tree_on_head(store: Store, base: Base, result: str) -> str:
    """HEAD's tree plus the agent's difference (base tree to `result`), and nothing else of the user's changes.

    File by file: where HEAD has what the base had, the result's file is taken; where the user had changed it,
    the difference is merged onto HEAD's version. Raises NotApplicable, naming the files, when that does not fit.
    This is the tree that is committed, and so the tree that the last checks have to run on.
    """
    if base.tree == base.head_tree:
        return result
    git = store.git(user=True)
    head = {entry.path: entry for entry in await list_tree(git, base.head_tree)}
    taken: dict[str, Side | None] = {}
    conflicts: dict[str, str] = {}
    for change in await diff_trees(git, base.tree, result):
        before = Side.of(change.old_mode, change.old)
        after = Side.of(change.new_mode, change.new)
        entry = head.get(change.path)
        now = Side(entry.mode, entry.oid) if entry else None
        if now == before:
            taken[change.path] = after
        elif now != after:
            merged = await merge_blobs(git, store.folder, before, now, after)
            if isinstance(merged, str):
                conflicts[change.path] = merged
            else:
                taken[change.path] = merged
    conflicts |= _overlaps(head, taken)
    if conflicts:
        named = "; ".join(f"{path!r} {why}" for path, why in sorted(conflicts.items())[:5])
        more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
        raise NotApplicable(
            f"The change does not fit the commit {base.head[:12]} without your uncommitted changes: {named}{more}.",
            hint="The patch is kept. Put it into your working tree with --apply, or commit first and run again.",
        )
    return await _tree_with(store, git, base.head_tree, taken)


async def build_commit(
    store: Store, base: Base, tree: str, *, message: str, identity: Identity, when: int
) -> str:
    """The commit object, in the session's store. Same arguments, same oid.

    `tree`: from tree_on_head. `when`: seconds since 1970, frozen in the session's log; the zone is UTC.
    """
    date = f"{when} +0000"
    env = {
        "GIT_AUTHOR_NAME": identity.name,
        "GIT_AUTHOR_EMAIL": identity.email,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": identity.name,
        "GIT_COMMITTER_EMAIL": identity.email,
        "GIT_COMMITTER_DATE": date,
    }
    out = await store.git(user=True).run(
        "commit-tree", tree, "-p", base.head, stdin=message.encode("utf-8", "replace"), env=env
    )
    return out.decode().strip()


async def publish(repository: Repository, store: Store, base: Base, commit: str, ref: str) -> None:
    """Bring the commit into the user's repository and create `ref` (a branch name or refs/...) for it.

    Only objects that HEAD does not have are copied. The ref is created, never moved; when it already names this commit,
    nothing happens, so publishing twice is fine. Raises RepositoryError when it names another one.
    """
    ref = ref if ref.startswith("refs/") else f"refs/heads/{check_branch(ref)}"
    user = repository.git()
    now = await _ref(user, ref)
    if now == commit:
        return
    if now is None:
        await _copy_objects(store, user, base, commit)
        zero = "0" * len(commit)
        made = await user.probe("update-ref", "-m", "kimicode", ref, commit, zero)
        if made.returncode == 0:
            return
        now = await _ref(user, ref)
        if now == commit:  # another kimicode of the same session was faster
            return
        if now is None:
            raise RepositoryError(
                f"The branch {ref.removeprefix('refs/heads/')!r} cannot be created: {made.stderr.strip()[-500:]}",
                hint="Name another one with --branch.",
            )
    raise RepositoryError(
        f"The branch {ref.removeprefix('refs/heads/')!r} exists and names another commit ({now[:12]}).",
        hint="Name another one with --branch; kimicode never moves a branch.",
    )


async def need_free_branch(repository: Repository, name: str) -> None:
    """Raises UsageError when no branch of that name can be made."""
    if await _ref(repository.git(), f"refs/heads/{check_branch(name)}") is not None:
        raise UsageError(
            f"the branch {name!r} exists already; kimicode never moves a branch",
            hint="name another one with --branch, or leave it out",
        )


async def _ref(git: Git, ref: str) -> str | None:
    out = await git.probe("rev-parse", "--verify", "--quiet", "--end-of-options", ref)
    return out.stdout.decode().split()[-1] if out.returncode == 0 else None


async def _copy_objects(store: Store, user: Git, base: Base, commit: str) -> None:
    """Copy the commit and the trees and blobs in which it differs from its parent."""
    git = store.git(user=True)
    tree = (await git.run("rev-parse", "--verify", f"{commit}^{{tree}}")).decode().strip()
    out = await git.run(
        "diff-tree", "-r", "-t", "-z", "--raw", "--no-renames", "--no-abbrev", base.head_tree, tree
    )
    oids = [commit, tree]
    for facts in out.split(b"\0")[0:-1:2]:
        _, new_mode, _, new, _ = facts.decode().split()
        if new_mode not in (ABSENT, GITLINK):
            oids.append(new)
    pack = await git.run(
        "pack-objects", "--stdout", "-q", stdin="".join(f"{o}\n" for o in dict.fromkeys(oids)).encode()
    )
    await user.run("unpack-objects", "-q", stdin=pack)


def _overlaps(head: dict[str, Entry], taken: dict[str, Side | None]) -> dict[str, str]:
    """Added files that need a folder where HEAD has a file, or stand where HEAD has a folder."""
    added = {path for path, side in taken.items() if side is not None and path not in head}
    if not added:
        return {}
    kept = {path for path in head if taken.get(path, head[path]) is not None}
    folders = {path[:i] for path in kept for i, c in enumerate(path) if c == "/"}
    found: dict[str, str] = {}
    for path in added:
        if path in folders:
            found[path] = "is a folder there"
        elif any(path[:i] in kept for i, c in enumerate(path) if c == "/"):
            found[path] = "needs a folder where there is a file"
    return found


async def _tree_with(store: Store, git: Git, tree: str, taken: dict[str, Side | None]) -> str:
    if not taken:
        return tree
    index: Path = store.folder / f"commit-{secrets.token_hex(6)}.index"
    working = replace(git, index=index)
    try:
        await working.run("read-tree", tree)
        removed = (f"{ABSENT} {'0' * len(tree)}\t{path}" for path, side in taken.items() if side is None)
        set_to = (f"{side.mode} {side.oid}\t{path}" for path, side in taken.items() if side is not None)
        await working.run("update-index", "-z", "--index-info", stdin=lines([*removed, *set_to]))
        return (await working.run("write-tree", "--missing-ok")).decode().strip()
    finally:
        folder.remove(index)
