"""`.worktreeinclude`: ignored files that a checkout needs are copied in, and secrets are not."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from kimicode.workspace.capture import capture
from kimicode.workspace.checkout import Checkout
from kimicode.workspace.include import collect, place
from kimicode.workspace.repository import open_repository
from kimicode.workspace.store import Store


def make_repository(repo: Path) -> None:
    files = {
        ".gitignore": "data/\n*.cfg\n.env\nbig/\n",
        ".worktreeinclude": "data/*.csv\n*.cfg\n.env\nnot-ignored.txt\n",
        "data/one.csv": "1\n",
        "data/two.bin": "2\n",
        "sub/local.cfg": "x=1\n",
        ".env": "TOKEN=abc\n",
        "not-ignored.txt": "plain\n",
        "main.py": "print(1)\n",
    }
    for name, text in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    (repo / "link.cfg").symlink_to("/etc/hostname")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(repo)]
    for args in (
        ["init", "-q"],
        ["add", ".gitignore", ".worktreeinclude", "main.py"],
        ["commit", "-qm", "base"],
    ):
        subprocess.run([*git, *args], check=True)


def test_named_ignored_files_come_along_and_secrets_do_not(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    make_repository(repo)

    async def work() -> None:
        repository = await open_repository(repo)
        store = Store.create(tmp_path / "session", repository)
        base = await capture(repository, store)
        included = await collect(repository, store)
        assert included.paths == ("data/one.csv", "sub/local.cfg")
        assert {item.path for item in included.left_out} == {".env", "link.cfg"}
        (repo / "data" / "one.csv").write_text("changed later\n")
        assert await collect(repository, store) == included, "a resumed session gets what it had"
        checkout = await Checkout.create(store, "agent", base)
        await place(store, included, checkout.slot.work)
        assert (checkout.slot.work / "data" / "one.csv").read_text() == "1\n"
        (checkout.slot.work / "data" / "one.csv").write_text("the agent's\n")
        await checkout.exclude(included.paths)
        assert await checkout.snapshot() == base.tree
        assert (repo / "data" / "one.csv").read_text() == "changed later\n"
        assert not (checkout.slot.work / ".env").exists()

    asyncio.run(work())


def test_nothing_is_put_below_a_link_of_the_tree(tmp_path: Path) -> None:
    repo, outside = tmp_path / "repo", tmp_path / "outside"
    outside.mkdir()
    make_repository(repo)

    async def work() -> None:
        repository = await open_repository(repo)
        store = Store.create(tmp_path / "session", repository)
        base = await capture(repository, store)
        included = await collect(repository, store)
        checkout = await Checkout.create(store, "agent", base)
        (checkout.slot.work / "data").symlink_to(outside)
        await place(store, included, checkout.slot.work)

    asyncio.run(work())
    assert list(outside.iterdir()) == []
