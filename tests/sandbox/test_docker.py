"""What only containers promise, and how they end. Needs a running engine and the sandbox image."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from kimicode.core.ports import FileChange, Sandbox
from kimicode.errors import SandboxLost, SandboxUnavailable
from kimicode.sandbox import reap
from kimicode.sandbox.container import label_filter, remove
from kimicode.sandbox.docker import DockerLauncher
from kimicode.sandbox.engine import Engine, find_engine
from kimicode.sandbox.image import default_image
from kimicode.sandbox.runner import Limits
from tests.sandbox.conftest import Box, make_slot, prepared

pytestmark = pytest.mark.docker
MIB = 1 << 20
SMALL = Limits(processes=64, memory=192 * MIB, cpus=2, file_size=8 * MIB, open_files=256, tmp_size=16 * MIB)


@pytest.fixture
def box(room: Path) -> Box:
    box = Box(prepared("docker", room), make_slot(room))
    box.own()
    return box


async def containers(engine: Engine, run: str) -> list[dict[str, Any]]:
    filters = label_filter({reap.RUN: run})
    return list((await engine.call("GET", "/containers/json", query={"all": "1", "filters": filters})).json())


def small(box: Box, run: str = "") -> Box:
    launcher = DockerLauncher(limits=SMALL, run=run)
    asyncio.run(_prepare(launcher, box.slot.work))
    return Box(launcher, box.slot)


async def _prepare(launcher: DockerLauncher, probe: Path) -> None:
    await launcher.prepare(probe)
    await launcher.close()


def test_limits_hold_and_the_sandbox_survives_them(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        async def run(line: str, timeout: float = 30) -> Any:
            return await sandbox.exec(["bash", "-c", line], timeout=timeout)

        greedy = await sandbox.exec(["python3", "-c", "b = bytearray(1 << 30)"], timeout=30)
        assert greedy.exit_code == 137 and not greedy.timed_out
        bomb = await sandbox.exec(["python3", "-c", "import os\nwhile True: os.fork()"], timeout=2)
        assert bomb.timed_out or b"Resource temporarily unavailable" in bomb.output
        big = await run("head -c 20000000 /dev/zero > big; echo $?; wc -c < big")
        assert big.output.split()[-1] == str(SMALL.file_size).encode()
        full = await run("for i in 1 2 3; do head -c 7000000 /dev/zero > /tmp/$i; done")
        assert full.exit_code != 0 and b"No space" in full.output
        assert (await run("echo alive")).output == b"alive\n"

    small(box).run(body)


def test_no_privileges_no_network_no_socket(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        line = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; ls /var/run/docker.sock; id -un"
        shown = (await sandbox.exec(["bash", "-c", line], timeout=30)).output.decode()
        told = dict(line.split(":\t") for line in shown.splitlines() if ":\t" in line)
        assert int(told["CapEff"], 16) == 0 and int(told["CapBnd"], 16) == 0
        assert told["NoNewPrivs"] == "1" and told["Seccomp"] == "2" and "No such file" in shown
        forge = (
            "for fd in 0 1 2; do echo forged > /proc/1/fd/$fd; done; cat /proc/1/environ; kill -9 1; echo end"
        )
        tried = await sandbox.exec(["bash", "-c", forge], timeout=30)
        assert tried.output.count(b"denied") == 4 and tried.output.endswith(b"end\n")

    box.run(body)


def test_files_made_inside_belong_to_the_right_user_outside(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        await sandbox.exec(["mkdir", "made"], timeout=30)
        await sandbox.write([FileChange("made/f", b"x")])

    box.run(body)
    owner = box.launcher.owner or (os.getuid(), os.getgid())
    for path in (box.slot.work / "made", box.slot.work / "made/f"):
        assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_a_killed_kimicode_leaves_no_container(box: Box, tmp_path: Path) -> None:
    script = tmp_path / "hold.py"
    script.write_text(
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from kimicode.core.ports import Slot\n"
        "from kimicode.sandbox.docker import DockerLauncher\n"
        "async def main():\n"
        "    launcher = DockerLauncher(run='killed-' + sys.argv[1])\n"
        "    base = Path(sys.argv[2])\n"
        "    await launcher.prepare(base / 'probe')\n"
        "    slot = Slot(base / 'w', base / 'gd', base.parent / 'pack', '/home/a/b', base / 'scratch')\n"
        "    sandbox = await launcher.start(slot)\n"
        "    print('up', flush=True)\n"
        "    await sandbox.exec(['bash', '-c', 'yes'], timeout=600)\n"
        "asyncio.run(main())\n"
    )
    mark = str(os.getpid())
    argv = [sys.executable, str(script), mark, str(box.slot.work.parent)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGKILL)

    async def gone() -> bool:
        engine, _ = await find_engine(os.environ)
        for _ in range(100):
            if not await containers(engine, f"killed-{mark}"):
                return True
            await asyncio.sleep(0.1)
        return False

    assert asyncio.run(gone())


def test_close_is_quick_though_nobody_reads_the_output(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        await sandbox.write([FileChange("big", bytes(30_000_000))])
        task = asyncio.create_task(sandbox.read("big", limit=30_000_000))
        await asyncio.sleep(0)
        begun = time.monotonic()
        await sandbox.close()
        assert time.monotonic() - begun < 20
        with pytest.raises(SandboxLost):
            await task

    box.run(body)


def test_the_sweep_removes_orphans_and_nothing_else(box: Box) -> None:
    here, run = reap.this_process(), f"sweep-{os.getpid()}"
    marks = {
        "dead": reap.labels(reap.Owner(here.pid, "1", here.boot, here.host), run),
        "ours": reap.labels(here, run),
        "foreign": {**reap.labels(reap.Owner(here.pid, "1", here.boot, "elsewhere"), run)},
    }

    async def go() -> set[str]:
        engine, _ = await find_engine(os.environ)
        try:
            for name, label in marks.items():
                spec = {"Image": default_image(), "Cmd": ["true"], "Labels": {**label, "which": name}}
                await engine.call("POST", "/containers/create", body=spec)
            assert await reap.sweep(engine) >= 1
            return {container["Labels"]["which"] for container in await containers(engine, run)}
        finally:
            for container in await containers(engine, run):
                await remove(engine, container["Id"])

    assert asyncio.run(go()) == {"ours", "foreign"}


def test_an_image_without_python_is_refused_with_the_remedy(box: Box) -> None:
    tag = f"kimicode-test-empty:{os.getpid()}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("etc", "home", "tmp", "opt"):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)

    async def go() -> None:
        engine, _ = await find_engine(os.environ)
        name, version = tag.split(":")
        query = {"fromSrc": "-", "repo": name, "tag": version}
        await engine.call("POST", "/images/create", query=query, data=buffer.getvalue())
        launcher = DockerLauncher(image=tag)
        try:
            with pytest.raises(SandboxUnavailable, match="no python3") as caught:
                await launcher.prepare(box.slot.work)
            assert "python3-minimal" in caught.value.hint
        finally:
            await launcher.close()
            await engine.call("DELETE", f"/images/{tag}", query={"force": "1"})

    asyncio.run(go())


def test_a_layer_is_kept_as_an_image_without_what_one_command_was_given(box: Box) -> None:
    tag = f"kimicode-test-layer:{os.getpid()}"

    async def go() -> None:
        engine, _ = await find_engine(os.environ)
        first = DockerLauncher(run="layer")
        await first.prepare(box.slot.work)
        sandbox = await first.start(box.slot)
        line = 'd=~/.local/bin; mkdir -p $d && printf "#!/bin/sh\\necho tool" > $d/tool && chmod +x $d/tool'
        await sandbox.exec(["bash", "-c", line], timeout=30, env={"SECRET": "canary-99"})
        await first.commit(sandbox, tag)
        await first.close()
        second = DockerLauncher(image=tag)
        try:
            found = (await engine.call("GET", f"/images/{tag}/json")).json()
            history = (await engine.call("GET", f"/images/{tag}/history")).json()
            assert "canary-99" not in json.dumps([found, history])
            await second.prepare(box.slot.work)
            sandbox = await second.start(box.slot)
            assert (await sandbox.exec(["tool"], timeout=30)).output == b"tool\n"
        finally:
            await second.close()
            await engine.call("DELETE", f"/images/{tag}", query={"force": "1"})

    asyncio.run(go())


def test_proofs_are_remembered(box: Box, tmp_path: Path) -> None:
    async def go() -> list[float]:
        times = []
        for _ in range(2):
            launcher = DockerLauncher(proofs=tmp_path / "state/proofs.json", run=f"proof-{os.getpid()}")
            begun = time.monotonic()
            await launcher.prepare(box.slot.work)
            times.append(time.monotonic() - begun)
            sandbox = await launcher.start(box.slot)
            assert (await sandbox.exec(["true"], timeout=30)).exit_code == 0
            await launcher.close()
        return times

    asyncio.run(go())
    assert len(json.loads((tmp_path / "state/proofs.json").read_text())) == 1
