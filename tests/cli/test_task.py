"""Where the task comes from, and what is made of standard input beside it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kimicode.cli.task import HEAD, TAIL, piped_input, read_task
from kimicode.errors import UsageError
from tests.cli.programs import WAIT_S, environment

READ = (
    sys.executable,
    "-c",
    "import sys; from kimicode.cli.task import read_task; print(repr(read_task(sys.argv[1])))",
)


@pytest.fixture
def nothing() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def test_text_files_and_escapes(tmp_path: Path, nothing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "issue.md").write_text("# It fails\n\nBadly: 修复\n")
    assert read_task("fix it", stdin=nothing).text == "fix it"
    assert read_task("@issue.md", stdin=nothing).text == "# It fails\n\nBadly: 修复"
    assert read_task("@@dataclass is missing", stdin=nothing).text == "@dataclass is missing"
    assert read_task("lone \udc80 surrogate", stdin=nothing).text == "lone ? surrogate"
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="is empty"):
        read_task("@fifo", stdin=nothing)


def test_dash_is_standard_input_to_its_end() -> None:
    done = subprocess.run(
        ["bash", "-c", '(sleep 1.5; echo "from a pipe") | "$@"', "bash", *READ, "-"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=WAIT_S,
    )
    assert done.stdout == "Task(text='from a pipe', context='', notes=())\n"


def test_a_file_a_full_pipe_and_a_closed_one(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a log")
    with open(tmp_path / "log") as file:
        assert piped_input(file.fileno()) == ("a log", ())
    reader, writer = os.pipe()
    os.write(writer, b"2 failed\0")
    os.close(writer)
    assert piped_input(reader) == ("2 failed", ())
    assert piped_input(reader) == ("", ())
    os.close(reader)
    assert piped_input(reader) == ("", ())
    assert piped_input(os.open(os.devnull, os.O_RDONLY)) == ("", ())


def test_a_pipe_or_socket_that_stays_open_and_silent_is_left_alone() -> None:
    """As CI systems leave it: the writing end belongs to our parent, and nobody ever writes."""
    reader, writer = os.pipe()
    here, there = socket.socketpair()
    for stdin in (reader, there.fileno()):
        done = subprocess.run(
            [*READ, "x"], stdin=stdin, capture_output=True, text=True, env=environment(), timeout=WAIT_S
        )
        assert "context=''" in done.stdout
        assert "open but silent" in done.stdout
    for handle in (reader, writer):
        os.close(handle)
    here.close()
    there.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="pipelines are told apart by /proc")
@pytest.mark.parametrize("line", ['(sleep 3; echo "late") | "$@"', '(sleep 3; echo "late") | cat | "$@"'])
def test_a_slow_command_of_the_same_pipeline_is_waited_for(line: str) -> None:
    done = subprocess.run(
        ["bash", "-c", line, "bash", *READ, "x"],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=WAIT_S,
    )
    assert done.stdout == "Task(text='x', context='late\\n', notes=())\n"
    assert "waiting for the command that is piped in" in done.stderr


def test_long_input_keeps_its_head_and_its_tail(tmp_path: Path) -> None:
    data = b"H" * HEAD + b"m" * 3_000_000 + b"T" * TAIL
    (tmp_path / "log").write_bytes(data)
    with open(tmp_path / "log") as file:
        text, notes = piped_input(file.fileno())
    assert text == f"{'H' * HEAD}\n[3000000 bytes left out here]\n{'T' * TAIL}"
    assert notes == (f"piped input: {len(data)} bytes, of which 3000000 in the middle are left out",)
