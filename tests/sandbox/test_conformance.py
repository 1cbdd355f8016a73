"""One suite for every backend. docs/sandbox.md says which row holds where."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from kimicode.core.ports import ExecResult, FileChange, Sandbox
from kimicode.errors import FileError, SandboxError, SandboxLost
from tests.sandbox.conftest import Box, having

NAP = f"sleep 1{os.getpid()}"
"""A command line of this process's own, to look for what was left running."""


LOOK = f"(for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done) 2>/dev/null | grep -x '{NAP} ' || echo none"
"""Prints the processes of that command line which a command can see."""


async def left(sandbox: Sandbox) -> bytes:
    return (await sh(sandbox, LOOK)).output


async def sh(sandbox: Sandbox, line: str, **more: Any) -> ExecResult:
    return await sandbox.exec(["bash", "-c", line], **{"timeout": 60, **more})


def test_commands_are_told_apart_by_output_exit_code_and_streams(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        both = await sh(sandbox, "echo one; echo two >&2; exit 3")
        assert (both.exit_code, both.output, both.stderr) == (3, b"one\ntwo\n", b"")
        apart = await sh(sandbox, "echo one; echo two >&2", merge=False)
        assert (apart.exit_code, apart.output, apart.stderr) == (0, b"one\n", b"two\n")
        assert (await sh(sandbox, "kill -TERM $$")).exit_code == 128 + 15
        missing = await sandbox.exec(["no-such-program"], timeout=10)
        assert missing.exit_code == 127 and b"no-such-program" in missing.output
        assert (await sandbox.exec(["/etc/passwd"], timeout=10)).exit_code == 126
        assert (await sandbox.exec([], timeout=10)).exit_code == 127

    box.run(body)


def test_stdin_of_any_size_and_none_at_all(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        assert (await sandbox.exec(["cat"], timeout=10)).output == b""
        data = os.urandom(3_000_000)
        echoed = await sandbox.exec(["cat"], timeout=30, stdin=data, limit=4_000_000)
        assert echoed.output == data and echoed.dropped == 0
        assert (await sh(sandbox, "head -c 3", stdin=data)).output == data[:3]

    box.run(body)


def test_environment_is_an_allow_list(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIMI_API_KEY", "canary-4711")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-4711")

    async def body(sandbox: Sandbox) -> None:
        shown = await sh(sandbox, 'env; cat /proc/self/environ; echo "x=$EXTRA"', env={"EXTRA": "a b=c"})
        assert b"canary-4711" not in shown.output and b"x=a b=c\n" in shown.output
        assert b"TERM=dumb" in shown.output and b"CI=1" in shown.output
        homes = await sh(sandbox, 'touch ~/.x "$TMPDIR/x" && stat -c %u ~ && id -u && cd && pwd')
        owner, uid, home = homes.output.decode().split()
        assert owner == uid and str(Path.home()) != home

    box.run(body)


def test_working_directory_and_root(box: Box) -> None:
    (box.slot.work / "sub dir").mkdir()
    box.own()

    async def body(sandbox: Sandbox) -> None:
        assert (await sh(sandbox, "pwd")).output.decode().strip() == sandbox.root
        assert (await sh(sandbox, "pwd", cwd="sub dir")).output.decode().strip() == sandbox.root + "/sub dir"
        assert (await sh(sandbox, "pwd", cwd=sandbox.tmp)).output.decode().strip() == sandbox.tmp
        for bad, kind in (("gone", "missing"), ("..", "outside"), ("/etc", "outside")):
            with pytest.raises(FileError) as caught:
                await sh(sandbox, "pwd", cwd=bad)
            assert caught.value.kind == kind
        if box.name != "host":
            assert sandbox.root == box.slot.root and not Path(box.slot.root).exists()

    box.run(body)


def test_timeout_kills_the_whole_group_and_keeps_the_output(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        late = await sh(sandbox, f"echo before; ({NAP} & {NAP}); echo after", timeout=0.4)
        assert late.timed_out and late.exit_code == 124 and late.output == b"before\n"
        escaped = await sh(sandbox, f"setsid {NAP} & {NAP}", timeout=0.4)
        assert escaped.timed_out and await left(sandbox) == b"none\n"

    box.run(body)


def test_background_processes_end_with_the_last_command(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        begun = time.monotonic()
        result = await sh(sandbox, f"setsid {NAP} & (setsid {NAP} &) ; {NAP} & echo started")
        assert (await sh(sandbox, f"{NAP} & {LOOK}")).output.decode() == NAP + " \n"
        assert result.output == b"started\n" and result.exit_code == 0 and time.monotonic() - begun < 30
        assert await left(sandbox) == b"none\n"
        whole = await sh(sandbox, "echo a > >(sleep 0.02; cat; echo late)")
        assert whole.output == b"a\nlate\n"

    box.run(body)


def test_output_is_cut_to_head_and_tail_and_kept_whole_in_a_file(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        big = await sh(sandbox, "echo first; head -c 10000000 /dev/zero; echo last", spill=True)
        assert big.output.startswith(b"first\n") and big.output.endswith(b"last\n")
        assert (
            len(big.output) == 65_536 and len(big.output) + big.dropped == 10_000_011 and big.head == 32_768
        )
        assert big.spill.startswith(sandbox.tmp)
        kept = await sandbox.read(big.spill)
        assert kept.size == 10_000_011 and kept.data[:6] == b"first\n" and kept.data[-5:] == b"last\n"
        part = await sandbox.read(big.spill, offset=10_000_006, limit=3)
        assert part.data == b"las" and part.size == kept.size
        whole = await sh(sandbox, "seq 20", spill=True)
        assert whole.dropped == 0 and whole.head == 0 and whole.spill == ""
        endless = await sh(sandbox, "yes", timeout=0.5, spill=True)
        assert endless.timed_out and endless.dropped > 0 and len(endless.output) == 65_536
        assert (await sandbox.read(endless.spill, limit=1)).size <= 32 << 20
        errors = await sh(sandbox, "seq 100000 >&2", merge=False, limit=1000)
        assert errors.output == b"" and b"bytes left out" in errors.stderr and len(errors.stderr) < 1100

    box.run(body)


def test_big_files(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        data = os.urandom(1 << 20) * 30
        await sandbox.write([FileChange("big.bin", data)])
        content = await sandbox.read("big.bin", limit=40 << 20)
        assert content.data == data and content.size == len(data)
        assert (await sandbox.read("big.bin", offset=len(data) - 5, limit=99)).data == data[-5:]
        with pytest.raises(FileError) as caught:
            await sandbox.write([FileChange("huge.bin", bytes(65 << 20))])
        assert caught.value.kind == "too_large"

    box.run(body)


def test_bytes_and_names_of_any_kind(box: Box) -> None:
    name, odd = "süß ✓ \n'\".txt", "caf\udce9"

    async def body(sandbox: Sandbox) -> None:
        blob = bytes(range(256)) * 10
        await sandbox.write([FileChange(f"d/{name}", blob), FileChange(odd, b"latin")])
        assert (await sandbox.read(f"d/{name}")).data == blob
        assert (await sandbox.exec(["cat", f"d/{name}"], timeout=10)).output == blob
        assert (await sandbox.exec(["cat", odd], timeout=10)).output == b"latin"
        assert (await sandbox.read(odd)).data == b"latin"
        with pytest.raises(FileError):
            await sandbox.read("\ud800")

    box.run(body)
    assert (box.slot.work / "d" / name).exists()


def test_reads_run_in_parallel_and_commands_one_at_a_time(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        meet = (
            "touch here.$0; for i in $(seq 200); do [ -e here.$((1-$0)) ] && exit 0; sleep 0.05; done; exit 1"
        )
        pair = [sandbox.exec(["bash", "-c", meet, str(i)], timeout=30, effect="read") for i in (0, 1)]
        assert [result.exit_code for result in await asyncio.gather(*pair)] == [0, 0]
        alone = "mkdir busy && sleep 0.2 && rmdir busy"
        results = await asyncio.gather(*(sh(sandbox, alone) for _ in range(3)))
        assert [result.exit_code for result in results] == [0, 0, 0]

    box.run(body)


def test_a_cancelled_command_dies(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        task = asyncio.create_task(sh(sandbox, f"touch begun; {NAP}"))
        while not (box.slot.work / "begun").exists():
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await left(sandbox) == b"none\n"

    box.run(body)


@pytest.mark.parametrize("box", having("cc"), indirect=True)
def test_a_program_can_be_built_and_run_in_checkout_and_tmp(box: Box) -> None:
    source = b'#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n'

    async def body(sandbox: Sandbox) -> None:
        await sandbox.write([FileChange("hello.c", source)])
        for target in ("./hello", f"{sandbox.tmp}/hello"):
            built = await sh(sandbox, f"cc -o {target} hello.c && {target}")
            assert built.output == b"built\n", built.output

    box.run(body)


def test_pip_installs_a_local_wheel(box: Box) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        wheel.writestr("tiny.py", "ANSWER = 42\n")
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        wheel.writestr(
            "tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny-1.dist-info/RECORD", "tiny.py,,\n")

    async def body(sandbox: Sandbox) -> None:
        await sandbox.write([FileChange("dist/tiny-1-py3-none-any.whl", buffer.getvalue())])
        line = "python3 -m pip install -q --no-index --no-deps --no-compile --target lib dist/*.whl && "
        ran = await sh(
            sandbox, line + "PYTHONPATH=lib python3 -c 'import tiny; print(tiny.__file__)'", timeout=110
        )
        assert ran.output.decode().endswith(f"{sandbox.root}/lib/tiny.py\n"), ran.output

    box.run(body)


def test_pytest_has_its_tmp_path(box: Box) -> None:
    test = b"def test_it(tmp_path):\n    (tmp_path / 'a').write_text('a')\n"
    python = "python3" if box.name == "docker" else sys.executable

    async def body(sandbox: Sandbox) -> None:
        await sandbox.write([FileChange("test_it.py", test)])
        ran = await sandbox.exec([python, "-m", "pytest", "-q", "-p", "no:cacheprovider"], timeout=60)
        assert ran.exit_code == 0 and b"1 passed" in ran.output, ran.output

    box.run(body)


@pytest.mark.parametrize("box", having("npm"), indirect=True)
def test_npm_test(box: Box) -> None:
    package = b'{"name": "tiny", "version": "1.0.0", "scripts": {"test": "node --test"}}'
    test = b'const t = require("node:test"); t("adds", () => require("assert").equal(1 + 1, 2));\n'

    async def body(sandbox: Sandbox) -> None:
        await sandbox.write([FileChange("package.json", package), FileChange("a.test.js", test)])
        ran = await sh(sandbox, "npm test --silent", timeout=110)
        assert ran.exit_code == 0 and b"pass 1" in ran.output, ran.output

    box.run(body)


def test_git_works_inside_with_the_private_gitdir(box: Box) -> None:
    (box.slot.work / ".git").write_text(f"gitdir: {box.slot.gitdir}\n")
    (box.slot.work / "a.txt").write_text("a\n")
    box.own()

    async def body(sandbox: Sandbox) -> None:
        made = await sh(
            sandbox, f"git --git-dir={box.slot.gitdir} init -q --bare && git config core.bare false"
        )
        assert made.exit_code == 0, made.output
        line = "git add -A && git commit -qm one && git status --short && git log --format=%an"
        assert (await sh(sandbox, line)).output == b"kimicode\n"
        sealed = await sh(sandbox, f"touch {box.slot.objects}/x")
        assert box.name == "host" or sealed.exit_code != 0

    box.run(body)


def test_a_lost_sandbox_is_an_error_and_not_a_result(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        waiting = asyncio.create_task(sh(sandbox, NAP, effect="read"))
        await asyncio.sleep(0.1)
        # pid 1 is safe from signals of its own namespace, so there the loss is that of a closed sandbox
        if box.name == "host":
            with pytest.raises(SandboxLost):
                await sh(sandbox, "kill -9 $PPID; sleep 5", effect="read")
        else:
            await sandbox.close()
        with pytest.raises(SandboxError):
            await waiting
        with pytest.raises(SandboxLost):
            await sandbox.read("x")
        await sandbox.close()

    box.run(body)


def test_network_is_off_except_on_the_host(box: Box) -> None:
    async def body(sandbox: Sandbox) -> None:
        assert sandbox.network == (box.name == "host")
        if not sandbox.network:
            links = await sh(sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | grep -v '^lo$'")
            assert links.output == b""
            assert (await sh(sandbox, "timeout 5 bash -c 'echo > /dev/tcp/172.17.0.1/80'")).exit_code == 1

    box.run(body)
