"""What bubblewrap shows of the host, and what it does not."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from kimicode.core.ports import Sandbox
from kimicode.sandbox.bubblewrap import BubblewrapLauncher, jail
from kimicode.sandbox.toolchain import identify, toolchain
from tests.sandbox.conftest import Box, make_slot, prepared


def test_mounts_come_parents_first_and_the_last_of_equal_targets_wins() -> None:
    binds = [
        ("/src/w", "/root/a/repo", True),
        ("/root/.pyenv", "/root/.pyenv", False),
        ("/src/x", "/root", True),
        ("/src/gd", "/tmp/s/gd", True),
        ("/src/first", "/data", False),
        ("/src/last", "/data", False),
    ]
    options = jail(binds, accounts={}, tmp_size=7)
    where = {
        target: index for index, target in enumerate(options) if options[index - 2] in ("--bind", "--ro-bind")
    }
    assert where["/root"] < where["/root/.pyenv"] < where["/root/a/repo"]
    assert options.index("/tmp") < options.index("/tmp/s") < where["/tmp/s/gd"]
    assert "/src/first" not in options and options[where["/data"] - 2 :][:2] == ["--ro-bind", "/src/last"]
    assert options[options.index("/root/a/repo") - 2] == "--bind" and options[-4:] == [
        "--remount-ro",
        "/",
        "--chdir",
        "/",
    ]
    assert "/root/a" not in options, "what lies in a bound folder is not made again"


def test_only_installations_are_shown_never_a_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in (
        ".nvm/versions/node/v9/bin/node",
        ".cargo/bin/cargo",
        ".local/bin/uv",
        "bin/go",
        "repo/.venv/bin/rg",
    ):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    (home / ".cargo/credentials.toml").write_text("canary")
    (home / ".rustup").mkdir()
    for version in ("3.9", "3.12"):
        (home / ".pyenv/versions" / version / "bin").mkdir(parents=True)
    (home / ".pyenv/shims").mkdir()
    (home / ".pyenv/shims/python3").write_text("#!/bin/sh\n")
    (home / ".pyenv/version").write_text("3.9\n")
    (home / "repo/.python-version").write_text("3.12\n")
    entries = [
        ".nvm/versions/node/v9/bin",
        ".cargo/bin",
        ".pyenv/shims",
        ".local/bin",
        "bin",
        "repo/.venv/bin",
    ]
    path = ":".join([*(str(home / entry) for entry in entries), ".", "relative", "/usr/bin", "/nonexistent"])
    folders, shown = toolchain({"HOME": str(home), "PATH": path}, home / "repo")
    mine = {str(folder.relative_to(home)) for folder in folders if folder.is_relative_to(home)}
    assert mine == {".nvm/versions/node/v9", ".cargo/bin", ".rustup", ".pyenv/versions"}
    paths = [str(Path(entry).relative_to(home)) for entry in shown if entry.startswith(str(home))]
    assert paths == [*entries[:2], ".pyenv/versions/3.12/bin"]
    assert "/usr/bin" in shown and not {".", "relative", "/nonexistent"} & set(shown)
    assert Path(sys.base_prefix).resolve() in folders or str(sys.base_prefix).startswith("/usr")


@pytest.mark.bwrap
@pytest.mark.parametrize("root", ["/home/x/repo", "/root/deep/repo", "/tmp/there/repo", "/srv/repo"])
def test_the_hosts_homes_and_secrets_are_not_there(room: Path, root: str) -> None:
    box = Box(prepared("bwrap", room), make_slot(room, root))
    (box.slot.work / "f").write_text("inside")
    (box.slot.objects / "pack").write_text("pack")
    canary = Path.home() / f".kimicode-canary-{os.getpid()}"
    canary.write_text("canary")
    box.own()

    async def body(sandbox: Sandbox) -> None:
        async def run(line: str) -> str:
            return (await sandbox.exec(["bash", "-c", line], timeout=30)).output.decode()

        assert await run("pwd; cat f; cat /proc/self/cwd/f") == f"{root}\ninsideinside"
        assert "No such file" in await run(f"cat {canary}")
        assert "cannot" in await run("ls /etc/shadow /etc/ssh /var/run/docker.sock /sys 2>&1")
        refused = await run(
            f"for f in /x /usr/x /etc/x /run/x /home/x {box.slot.objects}/pack; do echo > $f; done"
        )
        assert refused.count("\n") == 6, refused
        assert await run("echo a > /tmp/a && echo b > /dev/shm/b && echo c > ~/c && echo ok") == "ok\n"
        assert await run("ls /proc | grep -c '^[0-9]'") <= "5"
        assert int((await run("grep CapEff /proc/self/status")).split()[1], 16) == 0
        if os.getuid() == 0:
            assert (await run("id -u")).strip() != "0"

    try:
        box.run(body)
    finally:
        canary.unlink()


@pytest.mark.bwrap
def test_a_setup_step_has_the_hosts_network_and_nothing_more(room: Path) -> None:
    """An address of this machine can be reached, names of hosts can be looked up; homes stay hidden."""
    prepared("bwrap", room)
    launcher = BubblewrapLauncher(network=True)
    assert "the host's network" in asyncio.run(launcher.prepare(room / "probe"))
    box = Box(launcher, make_slot(room, "/home/x/repo"))
    box.own()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        line = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached; cat /etc/hosts; ls /etc /root 2>&1"
        line += "; grep ^hosts /etc/nsswitch.conf"

        async def body(sandbox: Sandbox) -> str:
            assert sandbox.network
            return (await sandbox.exec(["bash", "-c", line], timeout=30)).output.decode()

        said = box.run(body)
    assert said.startswith("reached\n" + Path("/etc/hosts").read_text()) and "hosts: files dns" in said
    assert ("resolv.conf" in said) is Path("/etc/resolv.conf").exists()
    assert "shadow" not in said and "ssh" not in said
    assert Box(prepared("bwrap", room), box.slot).run(body_without_network) == b""


async def body_without_network(sandbox: Sandbox) -> bytes:
    assert not sandbox.network
    return (await sandbox.exec(["bash", "-c", "cat /etc/resolv.conf 2>/dev/null"], timeout=30)).output


def test_another_program_is_another_toolchain(tmp_path: Path) -> None:
    program = tmp_path / "tools/bin/node"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    environ = {"HOME": str(tmp_path / "home"), "PATH": f"{program.parent}:/usr/bin:/bin"}
    first = identify(environ, tmp_path / "repo")
    assert str(program) in first and identify(environ, tmp_path / "repo") == first
    program.write_text("#!/bin/sh\necho v2\n")
    assert identify(environ, tmp_path / "repo") != first
