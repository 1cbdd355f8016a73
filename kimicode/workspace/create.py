"""A new repository with one commit, for the demonstration."""

from __future__ import annotations

from pathlib import Path

from kimicode.workspace.git import Git
from kimicode.workspace.store import make_gitdir, write_text

CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"


async def create_repository(folder: Path, message: str) -> str:
    """Make a repository of the files in `folder`, with one commit on main; returns its id."""
    gitdir = folder / ".git"
    make_gitdir(gitdir, config=CONFIG, head="ref: refs/heads/main", alternates=())
    write_text(gitdir / "description", "kimicode's demonstration\n")
    git = Git(gitdir=gitdir, worktree=folder, index=gitdir / "index")
    await git.run("add", "-A")
    tree = (await git.run("write-tree")).decode().strip()
    person = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "kimicode"), ("EMAIL", "kimicode@localhost"))
    }
    commit = (await git.run("commit-tree", tree, stdin=message.encode(), env=person)).decode().strip()
    await git.run("update-ref", "refs/heads/main", commit)
    return commit
