"""A repository whose every setting names a command: kimicode reads it and nothing of it runs."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from kimicode.workspace.apply import apply_result
from kimicode.workspace.commit import build_commit, publish, tree_on_head
from kimicode.workspace.repository import open_repository

from .support import ENV, Session, commit_all, contents, fingerprint, git, make_repository, write


def poison(user: Path, marker: Path) -> None:
    """Settings, hooks, attributes, includes: each would create the marker."""
    bomb = user / "bomb.sh"
    bomb.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ncat\n')
    bomb.chmod(0o755)
    write(user, {".gitattributes": "* filter=evil diff=evil merge=evil\n*.txt text=auto\n"})
    commit_all(user, "attributes")
    included = user / ".git/included"
    included.write_text(f'[core]\n\tfsmonitor = "{bomb}"\n[filter "evil"]\n\tclean = "{bomb}"\n')
    settings = {
        "core.fsmonitor": bomb, "core.hooksPath": user / "hooks", "core.pager": bomb, "core.editor": bomb,
        "core.sshCommand": bomb, "core.askPass": bomb, "core.gitProxy": bomb, "core.alternateRefsCommand": bomb,
        "gpg.program": bomb, "log.showSignature": "true", "commit.gpgSign": "true", "diff.external": bomb,
        "diff.evil.textconv": bomb, "diff.evil.command": bomb, "filter.evil.clean": bomb, "filter.evil.smudge": bomb,
        "filter.evil.process": bomb, "filter.evil.required": "true", "merge.evil.driver": bomb,
        "credential.helper": f"!{bomb}", "alias.status": f"!{bomb}", "alias.rev-parse": f"!{bomb}",
        "alias.cat-file": f"!{bomb}", "url.ext::sh.insteadOf": "https://", "uploadpack.packObjectsHook": bomb,
        "includeIf.gitdir:/.path": included, "include.path": included, "pager.config": bomb, "pager.status": bomb,
        "sequence.editor": bomb, "interactive.diffFilter": bomb, "trailer.x.command": bomb, "gc.auto": "1",
        "receive.procReceiveRefs": "refs/", "remote.origin.uploadpack": bomb, "remote.origin.url": f"ext::{bomb}",
        "remote.origin.promisor": "true", "extensions.worktreeConfig": "true",
    }  # fmt: skip
    for key, value in settings.items():
        git(user, "config", key, str(value))
    (user / ".git/config.worktree").write_text(f'[core]\n\tfsmonitor = "{bomb}"\n')
    for folder in (user / "hooks", user / ".git/hooks"):
        folder.mkdir(exist_ok=True)
        for hook in (
            "pre-commit", "post-commit", "post-checkout", "post-merge", "post-index-change", "reference-transaction",
            "fsmonitor-watchman", "pre-auto-gc", "post-rewrite", "prepare-commit-msg", "commit-msg", "update",
        ):  # fmt: skip
            (folder / hook).write_text(f"#!/bin/sh\necho hook-{hook} >> {marker}\n")
            (folder / hook).chmod(0o755)


def test_nothing_of_a_poisoned_repository_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "PWNED"
    user = make_repository(tmp_path / "r", {"a.txt": "1\n2\n3\n", "b.txt": "b\n"})
    nested = make_repository(user / "nested", {"x": "1"})
    poison(nested, marker)
    subprocess.run(["rm", "-rf", str(nested)], check=True)
    poison(user, marker)
    git(user, "diff", "HEAD~1", check=False)
    marker.unlink()  # the user's own git does run it
    write(user, {"a.txt": "1\n2\nthree\n", "new.txt": "n\n"})
    decoy = user / "git"
    decoy.write_text(f"#!/bin/sh\ntouch {marker}\n")
    decoy.chmod(0o755)
    monkeypatch.chdir(user)
    monkeypatch.setenv("PATH", f".:{ENV['PATH']}")
    for name in (
        "GIT_SSH_COMMAND",
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "GIT_EDITOR",
        "GIT_ASKPASS",
        "GIT_PROXY_COMMAND",
    ):
        monkeypatch.setenv(name, str(user / "bomb.sh"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(user / "bomb.sh"))
    before = fingerprint(user)

    async def everything() -> None:
        session = await Session.start(user, tmp_path / "s")
        assert contents(session.work)["a.txt"] == ("file", b"1\n2\nthree\n")
        await session.repository.resolve_base("HEAD~1")
        write(session.work, {"b.txt": "changed\n"})
        tree = await session.checkout.snapshot()
        await session.checkout.diff(session.base.tree, tree)
        final = await tree_on_head(session.store, session.base, tree)
        commit = await build_commit(
            session.store,
            session.base,
            final,
            message="m\n",
            identity=session.repository.identity,
            when=1_700_000_000,
        )
        await publish(session.repository, session.store, session.base, commit, "kimicode/x")
        assert fingerprint_without_result(user) == {k: v for k, v in before.items() if not volatile(k)}
        applied = await apply_result(session.repository, session.store, session.base.tree, tree)
        assert applied.written == ("b.txt",)
        await session.checkout.restore(session.base.tree)
        await open_repository(user)

    asyncio.run(everything())
    assert not marker.exists(), marker.read_text()


def volatile(key: str) -> bool:
    return key.startswith((".git/objects", ".git/refs/heads", ".git/logs"))


def fingerprint_without_result(user: Path) -> dict[str, str]:
    return {key: value for key, value in fingerprint(user).items() if not volatile(key)}
