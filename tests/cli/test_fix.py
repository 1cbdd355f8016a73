"""`kimicode fix` up to the point at which a model would be asked."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.programs import KIMICODE, Terminal, run

KEY = "sk-canary-0123456789abcdef"
NOWHERE = ("--base-url", "http://127.0.0.1:1/v1")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-q", "--allow-empty", "-m", "first"],
    ):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)
    return folder


def test_a_missing_key_is_one_line_and_exit_3_without_a_terminal(repo: Path) -> None:
    done = run([*KIMICODE, "fix", "make it work"], cwd=repo)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert "KIMI_API_KEY" in line
    assert "kimicode demo" in line
    done = run([*KIMICODE, "fix", "make it work", "--output-format", "stream-json"], cwd=repo)
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["exit_code"] == 3


def test_a_missing_key_is_a_panel_on_a_terminal(repo: Path) -> None:
    with Terminal([*KIMICODE, "fix", "make it work", "--repo", str(repo)]) as terminal:
        assert terminal.finish() == 3
    assert "Three ways on:" in terminal.screen
    assert "       kimicode demo" in terminal.screen


def test_folders_that_are_no_repository(tmp_path: Path) -> None:
    done = run([*KIMICODE, "fix", "make it work", *NOWHERE], cwd=tmp_path, env={"KIMI_API_KEY": KEY})
    assert done.returncode == 2
    assert "  next: " in done.stderr
    (tmp_path / "empty").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path / "empty", check=True)
    done = run([*KIMICODE, "fix", "x", *NOWHERE, "--repo", "empty"], cwd=tmp_path, env={"KIMI_API_KEY": KEY})
    assert done.returncode == 2
    assert "canary" not in done.stderr


def test_notes_about_standard_input_are_told(repo: Path) -> None:
    done = run(
        [*KIMICODE, "fix", "make this pass", "--base", "no-such-branch", *NOWHERE],
        cwd=repo,
        stdin=b"x" * 400_000,
        env={"KIMI_API_KEY": KEY},
    )
    assert done.returncode == 2
    assert "piped input: 400000 bytes" in done.stderr
    assert "no-such-branch" in done.stderr
