"""Builds real repositories and looks at them byte by byte."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

from kimicode.workspace.base import Base
from kimicode.workspace.capture import capture
from kimicode.workspace.checkout import Checkout
from kimicode.workspace.repository import Repository, open_repository
from kimicode.workspace.store import Store

ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0100",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_COMMITTER_DATE": "1700000000 +0100",
}


def git(folder: Path, *args: str, stdin: bytes = b"", check: bool = True) -> str:
    """The user's own git, unhardened."""
    done = subprocess.run(["git", *args], cwd=folder, env=ENV, input=stdin, capture_output=True, check=False)
    assert not check or done.returncode == 0, (args, done.stdout, done.stderr)
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def make_repository(folder: Path, files: dict[str, str | bytes], *, options: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main", *options)
    write(folder, files)
    commit_all(folder, "first")
    return folder


def commit_all(folder: Path, message: str) -> str:
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def fingerprint(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, str]:
    """Every file below a folder with kind, mode, content and time.

    Except the times of object files: git renews that of an object it would otherwise have to write again.
    """
    found: dict[str, str] = {}
    for top, folders, files in os.walk(folder):
        for name in sorted(folders + files):
            path = Path(top) / name
            key = str(path.relative_to(folder))
            if key.startswith(without) and without:
                continue
            facts = path.lstat()
            value = f"{stat.filemode(facts.st_mode)}"
            if stat.S_ISLNK(facts.st_mode):
                value += " -> " + os.readlink(path)
            elif stat.S_ISREG(facts.st_mode):
                value += " " + hashlib.sha256(path.read_bytes()).hexdigest()
                value += "" if "/objects/" in key else f" {facts.st_mtime_ns}"
            found[key] = value
    return found


def contents(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Working tree without git's own: path -> (kind and exec bit, content)."""
    found: dict[str, tuple[str, bytes]] = {}
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git" or Path(top) != folder]
        for name in [*files, *(f for f in folders if (Path(top) / f).is_symlink())]:
            path = Path(top) / name
            key = str(path.relative_to(folder))
            if key == ".git":
                continue
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                found[key] = ("link", os.fsencode(os.readlink(path)))
            elif stat.S_ISREG(mode):
                found[key] = ("exec" if mode & 0o100 else "file", path.read_bytes())
            else:
                found[key] = ("special", b"")
    return found


def listing(store: Store, tree: str) -> dict[str, str]:
    """path -> "mode content" of a tree in the session's store."""
    out = subprocess.run(
        ["git", "--git-dir", str(store.gitdir), "ls-tree", "-r", "-z", tree],
        env=ENV,
        capture_output=True,
        check=True,
    ).stdout
    found = {}
    for row in out.split(b"\0")[:-1]:
        facts, _, name = row.partition(b"\t")
        found[name.decode("utf-8", "surrogateescape")] = facts.decode().split()[0]
    return found


def blob(store: Store, tree: str, path: str) -> bytes:
    argv = ["git", "--git-dir", str(store.gitdir), "cat-file", "blob", f"{tree}:{path}"]
    return subprocess.run(argv, env=ENV, capture_output=True, check=True).stdout


class Session:
    """An opened repository, its store, its base and one checkout."""

    repository: Repository
    store: Store
    base: Base
    checkout: Checkout

    @property
    def work(self) -> Path:
        return self.checkout.slot.work

    @classmethod
    async def start(cls, repository: Path, folder: Path, **options: Any) -> Session:
        self = cls()
        self.repository = await open_repository(repository)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store = Store.create(folder, self.repository)
        self.base = await capture(self.repository, self.store, **options)
        self.checkout = await Checkout.create(self.store, "main", self.base)
        return self
