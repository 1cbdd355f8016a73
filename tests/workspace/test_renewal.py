"""After a lost sandbox: ignored files are those of the beginning again, everything else stays as it is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from .support import Session, contents, git, make_repository, write

FILES: dict[str, str | bytes] = {
    "a": "1\n",
    "b/c": "2\n",
    "deep/d/e": "3\n",
    ".gitignore": "*.tmp\ncache/\n",
}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return asyncio.run(Session.start(make_repository(tmp_path / "r", FILES), tmp_path / "s"))


def renew(session: Session) -> None:
    asyncio.run(session.checkout.renew())


def test_ignored_files_go_and_nothing_else(session: Session, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, {"keep.tmp": "mine"})
    asyncio.run(session.checkout.exclude([".venv", "b/built.so"]))
    work = session.work
    wanted: dict[str, str | bytes] = {"a": "changed\n", "new/file": "n", "ü\n/x": "odd"}
    write(work, wanted)
    ignored: dict[str, str | bytes] = {
        "x.tmp": "",
        "b/y.tmp": "",
        "new/z.tmp": "",
        "only/deeper/z.tmp": "",
        "cache/1/2": "",
        ".venv/bin/python": "",
        "b/built.so": "",
    }
    write(work, ignored)
    (work / "cache" / "link").symlink_to(outside)
    (work / "link.tmp").symlink_to(outside)
    git(work / "cache", "init", "-q", "nested")
    os.mkfifo(work / "cache" / ".gitignore")
    (work / "cache" / "1").chmod(0o500)
    scratch = session.checkout.slot.scratch
    write(scratch, {"home/.bashrc": "alias ls=false\n"})
    before = asyncio.run(session.checkout.snapshot())
    renew(session)
    left = set(contents(work))
    assert {"a", "b/c", "deep/d/e", ".gitignore", *wanted} <= left
    assert not [
        path for path in left if path.endswith((".tmp", ".so")) or path.startswith(("cache", ".venv"))
    ]
    assert not (work / "only").exists() and not (work / "cache").exists()
    assert (outside / "keep.tmp").read_text() == "mine"
    assert scratch.is_dir() and not list(scratch.iterdir())
    assert asyncio.run(session.checkout.snapshot()) == before


def test_submodules_are_filled_again_and_never_through_a_link(tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", {"lib.py": "x = 1\n", "sub/y.py": "y = 1\n"})
    user = make_repository(tmp_path / "r", FILES)
    for name in ("libs/one", "libs/two", "other/three"):
        git(user, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), name)
    git(user, "commit", "-qm", "with submodules")
    session = asyncio.run(Session.start(user, tmp_path / "s"))
    work, outside = session.work, tmp_path / "outside"
    outside.mkdir()
    write(work, {"libs/one/lib.py": "x = 2\n", "libs/one/new.py": ""})
    for path in sorted((work / "libs/two").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for path in sorted((work / "other").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (work / "other").rmdir()
    (work / "other").symlink_to(outside)
    renew(session)
    assert (work / "libs/one/lib.py").read_text() == "x = 1\n" and not (work / "libs/one/new.py").exists()
    assert (work / "libs/two/sub/y.py").read_text() == "y = 1\n"
    assert (work / "other").is_symlink() and not list(outside.iterdir())
