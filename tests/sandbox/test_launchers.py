"""Choosing a launcher, the in-memory one, and the rules that the runner's own files keep."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kimicode.core.ports import FileChange, Sandbox, Slot
from kimicode.errors import FileError, SandboxLost, SandboxUnavailable
from kimicode.resources import sandbox_file
from kimicode.sandbox.choose import choose
from kimicode.sandbox.host import HostLauncher
from kimicode.sandbox.image import default_image
from kimicode.sandbox.memory import MemoryLauncher
from kimicode.sandbox.runner import RUNNER_FILES, load_limits, runner_argv
from tests.sandbox.conftest import make_slot


class Broken:
    """A launcher that does not work, as an engine that is not running."""

    owner = None

    def __init__(self, name: str) -> None:
        self.name, self.closed = name, False

    async def prepare(self, probe: Path) -> str:
        raise SandboxUnavailable(f"{self.name} is not here.", hint=f"Install {self.name}.")

    async def start(self, slot: Slot, *, env: Mapping[str, str] | None = None) -> Sandbox:
        raise AssertionError

    async def close(self) -> None:
        self.closed = True


def test_the_first_that_works_is_chosen_and_the_others_say_why_not(tmp_path: Path) -> None:
    first, second = Broken("docker"), MemoryLauncher({})
    launcher, lines = asyncio.run(choose([first, second], tmp_path / "probe"))
    assert launcher is second and first.closed
    assert lines[0] == "docker does not work: docker is not here." and lines[1].startswith("memory")
    with pytest.raises(SandboxUnavailable) as caught:
        asyncio.run(choose([Broken("docker"), Broken("bwrap")], tmp_path / "probe"))
    assert "bwrap is not here" in str(caught.value) and caught.value.hint == "Install docker. Install bwrap."
    assert caught.value.exit_code == 6


def test_memory_runs_functions_on_the_real_files_of_the_slot(tmp_path: Path) -> None:
    slot = make_slot(tmp_path)

    def append(folder: Path, argv: list[str], stdin: bytes) -> tuple[int, bytes]:
        with (folder / "log").open("ab") as file:
            file.write(stdin or argv[-1].encode())
        return 0, b"x" * 100

    async def go() -> None:
        launcher = MemoryLauncher({"append": append, "make all && true": append})
        sandbox = await launcher.start(slot)
        await sandbox.write([FileChange("sub/a", b"a")])
        cut = await sandbox.exec(["append", "one"], timeout=1, limit=10, spill=True)
        assert (cut.dropped, cut.head, len(cut.output)) == (90, 5, 10)
        assert (await sandbox.read(cut.spill)).size == 100
        for argv in (
            ["bash", "-o", "pipefail", "-c", "make all && true"],
            ["/bin/sh", "-lc", "make all && true"],
        ):
            assert (await sandbox.exec(argv, timeout=1, cwd="sub", stdin=b"!")).exit_code == 0
        assert (await sandbox.exec(["bash", "-c", "other"], timeout=1)).exit_code == 127
        with pytest.raises(FileError):
            await sandbox.exec(["append"], timeout=1, cwd="gone")
        assert (await sandbox.read(f"{slot.root}/sub/log")).data == b"!!"
        await sandbox.close()
        with pytest.raises(SandboxLost):
            await sandbox.read("log")

    asyncio.run(go())
    assert (slot.work / "log").read_bytes() == b"one"


def test_the_runner_needs_only_built_in_modules_and_an_old_python() -> None:
    allowed = {"os", "sys", "struct", "select", "signal", "time", "errno", "command", "files"}
    for name in RUNNER_FILES:
        tree = ast.parse(sandbox_file(name).read_text(), feature_version=(3, 5))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom):
                assert node.module in allowed
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.AnnAssign)]


def test_the_runner_ends_with_everything_when_its_stdin_closes(tmp_path: Path) -> None:
    argv = runner_argv(
        sys.executable, str(sandbox_file("runner.py")), str(tmp_path), str(tmp_path), options={"CORE": 0}
    )
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        assert int.from_bytes(process.stdout.read(4), "big") > 20
        process.stdin.close()
        assert process.wait(10) == 0


def test_host_hides_nothing_but_says_so(tmp_path: Path) -> None:
    launcher = HostLauncher()
    line = asyncio.run(launcher.prepare(tmp_path / "probe"))
    assert line.startswith("host, no isolation") and "network" in line and "not limited" in line
    assert launcher.owner in (None, (61000, 61000)) and (os.getuid() == 0 or launcher.owner is None)


def test_settings_of_sandboxes() -> None:
    limits = load_limits()
    assert limits.processes >= 256 and limits.memory >= 1 << 30 and limits.tmp_size <= limits.memory
    name, _, tag = default_image().partition(":")
    assert name == "kimicode-sandbox" and len(tag) == 12
    text = "\n".join(
        path.read_text() for path in sandbox_file("Dockerfile").parent.iterdir() if path.is_file()
    )
    assert "BEGIN CERTIFICATE" not in text and "index-url" not in text


def test_the_documented_table_names_exactly_the_rows_of_the_suite() -> None:
    here = Path(__file__).parent
    named = set(re.findall(r"`(test_\w+)`", (here.parents[1] / "docs/sandbox.md").read_text()))
    suite = set(re.findall(r"^def (test_\w+)\(box: Box", (here / "test_conformance.py").read_text(), re.M))
    every = set(
        re.findall(r"^def (test_\w+)\(", "".join(path.read_text() for path in here.glob("test_*.py")), re.M)
    )
    assert suite <= named <= every
