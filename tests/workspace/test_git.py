"""The one place that runs git."""

from __future__ import annotations

import ast
import asyncio
import os
import sys
from pathlib import Path

import pytest

from kimicode.errors import ConfigError
from kimicode.workspace.git import Git, GitError, Output, git_program, quote_alternate

from .support import git, make_repository

PACKAGE = Path(__file__).parents[2] / "kimicode"


def test_nobody_else_starts_git_on_the_host() -> None:
    """Whoever can start a process names no git; commands inside a sandbox go through Sandbox.exec."""
    for path in PACKAGE.rglob("*.py"):
        if path == PACKAGE / "workspace" / "git.py" or "demo/repository" in str(path):
            continue
        tree = ast.parse(path.read_text())
        names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imports = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
        starts = "subprocess" in imports or names & {
            "asyncio.create_subprocess_exec", "os.posix_spawn", "os.system", "os.execvp", "os.execvpe", "os.popen",
        }  # fmt: skip
        words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert not (starts and "git" in words), path
        assert "asyncio.create_subprocess_shell" not in names, path


def test_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("KIMI_API_KEY", "CANARY")
    show = Git(config=("alias.show-env=!env",))  # our own configuration may name a command
    text = asyncio.run(show.run("show-env")).decode()
    given = {line.split("=")[0] for line in text.splitlines()}
    assert "GIT_EXTERNAL_DIFF" not in given and "GIT_DIR" not in given and "CANARY" not in text
    assert "GIT_CONFIG_GLOBAL=/dev/null" in text and "GIT_TERMINAL_PROMPT=0" in text and "LC_ALL=C" in text


def test_failures_and_answers(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1\n"})
    here = Git(gitdir=user / ".git")

    async def steps() -> None:
        with pytest.raises(
            GitError, match="git cat-file failed: fatal: Not a valid object name nothing"
        ) as error:
            await here.run("cat-file", "-t", "nothing")
        assert error.value.returncode == 128 and "nothing" in error.value.stderr
        assert await here.run("cat-file", "-t", "nothing", check=False) == b""
        assert (await here.probe("cat-file", "-e", "nothing")).returncode == 128
        assert (
            await here.run("hash-object", "--stdin", stdin=b"1\n")
            == git(user, "rev-parse", "HEAD:a").encode() + b"\n"
        )
        both = await here.run_all([("rev-parse", "HEAD"), ("cat-file", "-t", "HEAD")])
        assert [output.stdout for output in both][1] == b"commit\n"
        first = await here.run_all([("rev-parse", "HEAD"), ("version",)], proceed=lambda output: False)
        assert len(first) == 1
        stopped = await here.run_all([("cat-file", "-e", "nothing"), ("version",)], check=False)
        assert [type(output) for output in stopped] == [Output]

    asyncio.run(steps())


def test_cancelled_command_is_ended_and_waited_for(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1\n"})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    async def cancel() -> None:
        task = asyncio.create_task(Git(gitdir=user / ".git").run("hash-object", str(fifo)))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 10)

    asyncio.run(cancel())


def test_git_is_never_taken_from_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoy = tmp_path / "git"
    decoy.write_text("#!/bin/sh\nexit 1\n")
    decoy.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    git_program.cache_clear()
    try:
        monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
        assert git_program() != str(decoy) and Path(git_program()).is_absolute()
        git_program.cache_clear()
        monkeypatch.setenv("PATH", ".:")
        with pytest.raises(ConfigError, match="git is not installed"):
            git_program()
    finally:
        git_program.cache_clear()


def test_alternates_of_any_name(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("names like these need a Linux file system")
    assert quote_alternate(Path("/a b/ü")) == "/a b/ü"
    user = make_repository(tmp_path / 'odd: ;"name\\ #', {"a": "1\n"})
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    oid = git(user, "rev-parse", "HEAD:a")
    reader = Git(gitdir=other / ".git", alternates=(user / ".git/objects",))
    assert asyncio.run(reader.run("cat-file", "blob", oid)) == b"1\n"
    (other / ".git/objects/info/alternates").write_text(quote_alternate(user / ".git/objects") + "\n")
    assert asyncio.run(Git(gitdir=other / ".git").run("cat-file", "blob", oid)) == b"1\n"
