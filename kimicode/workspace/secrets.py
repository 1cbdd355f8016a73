"""Finds files that look like secrets in a tree and among changed files of a work tree."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from kimicode.text.redact import SCAN_LIMIT, SCAN_PREFILTER, SCANNER_VERSION, secret_content, secret_name
from kimicode.workspace.git import Git
from kimicode.workspace.objects import GITLINK, SYMLINK, Entry, decode, diff_trees, read_blobs
from kimicode.workspace.store import read_json, write_json

CACHE_FROM: Final = 500
"""Files from which the result for a tree is kept: below, looking again is as fast as looking it up."""

NOT_READABLE: Final = "not readable"

_FIXTURE_FOLDERS: Final = frozenset(
    {
        "test", "tests", "testing", "testdata", "test_data", "test-data", "__tests__", "spec", "specs", "fixtures",
        "fixture", "mocks", "__mocks__", "e2e", "example", "examples", "sample", "samples", "doc", "docs", "demo",
    }
)  # fmt: skip


def is_fixture(path: str) -> bool:
    """Whether a *committed* file of this path may look like a secret and stay.

    Test suites carry keys made for them (a TLS server's private key, a sample `.env`); without them the tests
    would fail for no reason. An uncommitted file is none, except for a change of one that was committed as one.
    """
    *folders, name = path.casefold().split("/")
    return not _FIXTURE_FOLDERS.isdisjoint(folders) or name.startswith("test_") or "_test." in name


async def scan_tree(
    git: Git, tree: str, entries: Sequence[Entry], *, cache: Path | None = None
) -> dict[str, str]:
    """Path and reason of each committed file that looks like a secret, fixtures included (`is_fixture`).

    `cache`: a folder for results of large trees; only what changed since the last tree is then read again.
    """
    files = [entry for entry in entries if entry.mode != GITLINK]
    found = {entry.path: reason for entry in files if (reason := secret_name(entry.path))}
    searched = [
        entry for entry in files if entry.path not in found and entry.size >= 0 and entry.mode != SYMLINK
    ]
    hits = await _contents(git, tree, searched, cache if len(entries) >= CACHE_FROM else None)
    return found | hits


def scan_file(root: Path, path: str) -> str | None:
    """Why a file of the work tree stays out: it looks like a secret, or cannot be read. None: it may go in."""
    reason = secret_name(path)
    if reason:
        return reason
    try:
        fd = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return NOT_READABLE
    except OSError:  # a symlink, or gone meanwhile: git decides
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with open(fd, "rb") as file:
        return secret_content(file.read(SCAN_LIMIT))


async def _contents(git: Git, tree: str, files: Sequence[Entry], cache: Path | None) -> dict[str, str]:
    if cache is None:
        return await _search(git, tree, files)
    name = hashlib.sha256(os.fsencode(str(git.worktree or git.gitdir))).hexdigest()[:16]
    place = cache / f"secrets-{name}.json"
    kept = read_json(place)
    paths = {entry.path for entry in files}
    if kept is None or kept.get("version") != SCANNER_VERSION:
        hits = await _search(git, tree, files)
    elif kept["tree"] == tree:
        hits = {path: reason for path, reason in kept["hits"].items() if path in paths}
    else:
        hits = await _update(git, tree, files, kept["tree"], kept["hits"])
    cache.mkdir(parents=True, exist_ok=True)
    write_json(place, {"version": SCANNER_VERSION, "tree": tree, "hits": hits})
    return hits


async def _update(
    git: Git, tree: str, files: Sequence[Entry], old_tree: str, old_hits: dict[str, str]
) -> dict[str, str]:
    exists = await git.probe("cat-file", "-e", old_tree)
    if exists.returncode != 0:
        return await _search(git, tree, files)
    changed = {change.path for change in await diff_trees(git, old_tree, tree)}
    hits = await _judge(git, [entry for entry in files if entry.path in changed])
    paths = {entry.path for entry in files}
    return {p: reason for p, reason in old_hits.items() if p in paths and p not in changed} | hits


async def _search(git: Git, tree: str, files: Sequence[Entry]) -> dict[str, str]:
    """All files of a tree: `git grep` sieves (fast, in C), then Python looks closely at what is left."""
    if len(files) <= 8:
        return await _judge(git, files)
    for engine in ("-P", "-E"):  # PCRE is ten times faster, and an option of git's build
        out = await git.probe("grep", "-l", "-z", "-a", "--no-textconv", engine, "-e", SCAN_PREFILTER, tree)
        if out.returncode in (0, 1) and not out.stderr:
            names = {decode(name)[len(tree) + 1 :] for name in out.stdout.split(b"\0")[:-1]}
            return await _judge(git, [entry for entry in files if entry.path in names])
    return await _judge(git, files)


async def _judge(git: Git, files: Iterable[Entry]) -> dict[str, str]:
    paths: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for entry in files:
        paths.setdefault(entry.oid, []).append(entry.path)
        sizes[entry.oid] = entry.size
    # A blob of hundreds of megabytes is data, and would have to be read whole to look at its beginning.
    wanted = [(oid, size) for oid, size in sizes.items() if size <= 16 * SCAN_LIMIT]
    hits: dict[str, str] = {}
    async for oid, data in read_blobs(git, wanted):
        reason = secret_content(data)
        if reason:
            hits |= dict.fromkeys(paths[oid], reason)
    return hits
