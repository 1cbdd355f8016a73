"""The one commit of a session: its words, its tree, its id, and what enters the user's repository."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from kimicode.errors import NotApplicable, RepositoryError, UsageError
from kimicode.workspace.commit import (
    branch_name,
    build_commit,
    check_branch,
    compose_message,
    publish,
    slug,
    tree_on_head,
)
from kimicode.workspace.repository import Identity

from .support import ENV, Session, commit_all, fingerprint, git, make_repository, write

ADA = Identity("Ada Ü", "ada@example.org")
LINES = "".join(f"{n}\n" for n in range(1, 21))


def test_message() -> None:
    text = compose_message(
        "Fix  the\x1b[31m parser\n",
        "Why.\r\n\r\nKimicode-Session: forged\nMore ‮.\n",
        [("Kimicode-Session", "s1\nX: y")],
    )
    assert text == "Fix the[31m parser\n\nWhy.\n\nMore .\n\nKimicode-Session: s1 X: y\n"
    long = compose_message("word " * 40, "", [])
    first, blank, rest = long.split("\n", 2)
    assert len(first) <= 72 and first.endswith("…") and blank == "" and rest.startswith("word word")
    assert compose_message("", "", []) == "Change by kimicode\n"


def test_branch_names() -> None:
    assert branch_name("Fix: the Ärger with `$(x)`!", "a1b2") == "kimicode/fix-the-arger-with-x-a1b2"
    assert slug("日本語") == "change" and len(slug("word " * 50)) <= 40 and slug("x" * 99) == "x" * 40
    for name in ("main", "feature/x-1", "a.b_c+d=e@f"):
        assert check_branch(name) == name
        subprocess.run(
            ["git", "check-ref-format", "--branch", name], check=True, env=ENV, capture_output=True
        )
    for name in ("", "-x", "a..b", "a b", "a;$(id)", "a/", "a//b", ".a", "a/.b", "x.lock", "a.lock/b", "@{1}", "a@{",
                 "HEAD", "a\n", "ü", "a~1", "a^", "a:b", "x" * 300):  # fmt: skip
        with pytest.raises(UsageError):
            check_branch(name)


async def finish(session: Session, tree: str, branch: str = "kimicode/x") -> str:
    final = await tree_on_head(session.store, session.base, tree)
    commit = await build_commit(
        session.store, session.base, final, message="title\n\nbody\n", identity=ADA, when=1_700_000_000
    )
    await publish(session.repository, session.store, session.base, commit, branch)
    return commit


@pytest.mark.parametrize("kind", ["plain", "shallow", "partial", "linked"])
def test_only_the_commit_enters_the_repository(tmp_path: Path, kind: str) -> None:
    user = make_repository(tmp_path / "r", {"a": LINES, "d/b": "b\n", "gone": "g\n"})
    write(user, {"a": LINES + "21\n"})
    commit_all(user, "second")
    if kind in ("shallow", "partial"):
        git(user, "config", "uploadpack.allowFilter", "true")
        how = "--depth=1" if kind == "shallow" else "--filter=blob:none"
        git(tmp_path, "clone", "-q", how, f"file://{user}", "clone")
        user = tmp_path / "clone"
    elif kind == "linked":
        git(user, "worktree", "add", "-q", str(tmp_path / "clone"))
        user = tmp_path / "clone"
    write(user, {"untracked": "u\n", "d/b": "user's change\n"})
    git(user, "stash", "push", "-q", "d/b")
    git(user, "stash", "apply", "-q")
    before, refs = fingerprint(user), git(user, "for-each-ref")
    objects_before = set(git(user, "cat-file", "--batch-all-objects", "--batch-check").splitlines())

    async def work() -> None:
        session = await Session.start(user, tmp_path / "s")
        write(session.work, {"a": "0\n" + LINES + "21\n", "new/file": "n\n"})
        (session.work / "gone").unlink()
        await session.checkout.snapshot()
        write(session.work, {"temporary": "never to be seen outside"})
        await session.checkout.snapshot()
        (session.work / "temporary").unlink()
        tree = await session.checkout.snapshot()
        commit = await finish(session, tree)
        assert await finish(session, tree) == commit  # idempotent and the same id
        assert git(user, "rev-parse", "kimicode/x") == commit
        assert git(user, "log", "-1", "--format=%P %an %ae %at %s", commit) == (
            f"{session.base.head} Ada Ü ada@example.org 1700000000 title"
        )
        assert git(user, "diff", "--name-status", "HEAD", commit).split() == [
            "M",
            "a",
            "D",
            "gone",
            "A",
            "new/file",
        ]
        if kind != "partial":
            assert git(user, "fsck", "--full", "--no-dangling") in (
                "",
                "notice: HEAD points to an unborn branch",
            )
        added = (
            set(git(user, "cat-file", "--batch-all-objects", "--batch-check").splitlines()) - objects_before
        )
        kinds = sorted(row.split()[1] for row in added)
        assert kinds == ["blob", "blob", "commit", "tree", "tree"]  # a, new/file, the commit, top, new/
        # Another commit under the same name is refused, and nothing moves.
        write(session.work, {"more": "m"})
        with pytest.raises(RepositoryError, match="names another commit"):
            await finish(session, await session.checkout.snapshot())
        assert git(user, "rev-parse", "kimicode/x") == commit

    asyncio.run(work())
    assert [
        row for row in git(user, "for-each-ref").splitlines() if "kimicode/" not in row
    ] == refs.splitlines()

    def stable(found: dict[str, str]) -> dict[str, str]:
        changing = (".git/objects", ".git/refs/heads/kimicode", ".git/logs/refs/heads/kimicode")
        return {
            k: v
            for k, v in found.items()
            if not k.startswith(changing) and k not in (".git/logs/refs/heads", ".git")
        }

    assert stable(fingerprint(user)) == stable(before)


def test_same_inputs_same_commit(tmp_path: Path) -> None:
    ids = set()
    for number in range(2):
        user = make_repository(tmp_path / f"r{number}", {"a": LINES})
        write(user, {"b": "user\n"})
        session = asyncio.run(Session.start(user, tmp_path / f"s{number}"))
        write(session.work, {"a": LINES + "more\n"})
        ids.add((session.base.commit, asyncio.run(finish(session, asyncio.run(session.checkout.snapshot())))))
    assert len(ids) == 1


def test_commit_holds_only_the_agents_difference(tmp_path: Path) -> None:
    """Changes of user and agent in one file, far apart: the commit has the agent's alone."""
    user = make_repository(tmp_path / "r", {"a": LINES, "tool": "x\n", "same": "1\n", ".env": "A=1\n"})
    write(user, {"a": "user\n" + LINES, "same": "2\n", "untracked": "u\n"})
    git(user, "rm", "-q", "--cached", "tool")
    session = asyncio.run(Session.start(user, tmp_path / "s"))
    write(session.work, {"a": "user\n" + LINES + "agent\n", "new": "n\n", "same": "1\n"})
    (session.work / "tool").chmod(0o755)
    commit = asyncio.run(finish(session, asyncio.run(session.checkout.snapshot())))
    assert git(user, "show", f"{commit}:a") == (LINES + "agent").strip()
    assert git(user, "ls-tree", "-r", "--name-only", commit).split() == [".env", "a", "new", "same", "tool"]
    assert git(user, "show", f"{commit}:same") == "1"
    assert git(user, "ls-tree", commit, "tool").startswith("100755")


@pytest.mark.parametrize("case", ["same line", "untracked", "removed", "binary", "folder", "left out"])
def test_what_does_not_fit_head_makes_no_commit(tmp_path: Path, case: str) -> None:
    user = make_repository(tmp_path / "r", {"a": LINES, "bin": b"\0\1", "f": "f\n", ".env": "A=1"})
    write(user, {"a": LINES.replace("5\n", "user\n"), "untracked": "u\n", "bin": b"\0\2"})
    (user / "f").unlink()
    session = asyncio.run(Session.start(user, tmp_path / "s"))
    work = session.work
    if case == "same line":
        write(work, {"a": LINES.replace("5\n", "agent\n")})
    elif case == "untracked":
        write(work, {"untracked": "u\nagent\n"})
    elif case == "removed":
        (work / "a").unlink()
    elif case == "binary":
        write(work, {"bin": b"\0\3"})
    elif case == "folder":
        write(work, {"f/inner": "needs a folder"})
    else:
        write(work, {".env": "B=2"})
    before, refs = fingerprint(user), git(user, "for-each-ref")
    with pytest.raises(NotApplicable) as error:
        asyncio.run(finish(session, asyncio.run(session.checkout.snapshot())))
    assert error.value.exit_code == 4 and "--apply" in error.value.hint
    assert fingerprint(user) == before and git(user, "for-each-ref") == refs


def test_submodules_stay_in_the_commit(tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", {"lib.py": "1"})
    user = make_repository(tmp_path / "r", {"a": "1\n"})
    git(user, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    commit_all(user, "sub")
    session = asyncio.run(Session.start(user, tmp_path / "s"))
    write(session.work, {"a": "2\n", "sub/lib.py": "2"})
    commit = asyncio.run(finish(session, asyncio.run(session.checkout.snapshot())))
    assert git(user, "diff", "--name-only", "HEAD", commit) == "a"


def test_branch_and_folder_of_the_same_name(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1\n"})
    git(user, "branch", "kimicode")
    session = asyncio.run(Session.start(user, tmp_path / "s"))
    write(session.work, {"a": "2\n"})
    with pytest.raises(RepositoryError, match="cannot be created"):
        asyncio.run(finish(session, asyncio.run(session.checkout.snapshot())))
