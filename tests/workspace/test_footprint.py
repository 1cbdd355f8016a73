"""Looks that spare a snapshot its git: every change shows, and what may have changed meanwhile is not trusted."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kimicode.workspace.checkout import Checkout
from kimicode.workspace.footprint import LIMIT, MARGIN_NS, look

from .support import Session, make_repository, write

FILES: dict[str, str | bytes] = {"a": "1\n", "b/c": "2\n", ".gitignore": "*.tmp\n", "b/i.tmp": "x"}


def rewrite(top: Path) -> None:
    """Another content of the same size, with the time put back."""
    status = (top / "a").stat()
    (top / "a").write_text("9\n")
    os.utime(top / "a", ns=(status.st_atime_ns, status.st_mtime_ns))


def exchange(top: Path) -> None:
    """Another file of the same content, size, mode and time in its place."""
    status = (top / "b/c").stat()
    (top / "b/new").write_text("2\n")
    os.utime(top / "b/new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (top / "b/new").replace(top / "b/c")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": rewrite,
    "another file": exchange,
    "mode": lambda top: (top / "a").chmod(0o755),
    "new": lambda top: (top / "b/new").touch(),
    "gone": lambda top: (top / "b/c").unlink(),
    "renamed": lambda top: (top / "a").rename(top / "A"),
    "link": lambda top: ((top / "a").unlink(), (top / "a").symlink_to("b/c")),
    "folder": lambda top: (top / "empty").mkdir(),
    "ignored": lambda top: (top / "b/i.tmp").write_text("y"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_shows(tmp_path: Path, name: str) -> None:
    write(tmp_path, FILES)
    time.sleep(2 * MARGIN_NS / 1e9)
    before = look(tmp_path)
    assert before is not None and before.settled
    assert look(tmp_path) == before
    CHANGES[name](tmp_path)
    after = look(tmp_path)
    assert after is not None and after.entries != before.entries and not after.settled


def test_a_large_tree_is_left_to_git(tmp_path: Path) -> None:
    for i in range(LIMIT):
        (tmp_path / f"{i}").touch()
    assert look(tmp_path) is None
    (tmp_path / "0").unlink()
    assert look(tmp_path) is not None
    assert look(tmp_path / "missing") is None


def test_snapshots_in_quick_succession_miss_nothing(tmp_path: Path) -> None:
    """The same file written again and again with the same size, faster than the clock of files moves."""

    async def act() -> None:
        session = await Session.start(make_repository(tmp_path / "r", FILES), tmp_path / "s")
        checkout, path = session.checkout, session.work / "a"
        seen: dict[str, str] = {}
        for i in range(60):
            content = str(i % 10)
            path.write_text(content)
            tree = await checkout.snapshot()
            assert seen.setdefault(content, tree) == tree
            if i % 7 == 0:
                await asyncio.sleep(2 * MARGIN_NS / 1e9)
            assert await checkout.snapshot() == tree
        assert len(set(seen.values())) == 10
        await asyncio.sleep(2 * MARGIN_NS / 1e9)
        last = await checkout.snapshot()
        again = await Checkout.open(session.store, "main")
        assert last == await again.snapshot()

    asyncio.run(act())


def test_paths_that_are_excluded_from_now_on_leave_the_next_snapshot(tmp_path: Path) -> None:
    async def act() -> None:
        session = await Session.start(make_repository(tmp_path / "r", FILES), tmp_path / "s")
        (session.work / "layer").write_text("x")
        await asyncio.sleep(2 * MARGIN_NS / 1e9)
        first = await session.checkout.snapshot()
        await session.checkout.exclude(["other"])
        assert await session.checkout.snapshot() == first
        (session.work / "other").write_text("x")
        assert await session.checkout.snapshot() == first

    asyncio.run(act())
