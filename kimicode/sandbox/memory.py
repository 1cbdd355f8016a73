"""A sandbox without processes, for tests: real files in the slot, commands that are Python functions."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from kimicode.core.message import Effect
from kimicode.core.ports import ExecResult, FileChange, FileContent, Sandbox, Slot
from kimicode.errors import SandboxLost
from kimicode.resources import sandbox_file
from kimicode.sandbox.frames import MAX_DATA, file_error, raw

Command = Callable[[Path, list[str], bytes], tuple[int, bytes]]
"""(folder it runs in, argv, stdin) -> (exit code, output)."""


class MemorySandbox:
    """Files beneath `slot.work`, seen at slot.root, under the runner's own rules for paths and atomic writes.

    `commands` maps argv[0] to a function. For `bash -c TEXT` (and sh, any options before TEXT) the exact TEXT is
    looked for first.
    """

    name = "memory"
    network = False

    def __init__(self, slot: Slot, commands: Mapping[str, Command]) -> None:
        self.root, self.tmp = slot.root, "/tmp" if not slot.root.startswith("/tmp") else "/kimicode-tmp"
        tmp = slot.scratch / "tmp"
        tmp.mkdir(parents=True, exist_ok=True)
        self._module = _files_module()
        pairs = ((slot.root, str(slot.work)), (self.tmp, str(tmp)))
        self._files = self._module.Files([(raw(seen), raw(real)) for seen, real in pairs])
        self._tmp, self._work = tmp, slot.work
        self._commands = commands
        self._alone = asyncio.Lock()
        self._closed = False

    async def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        merge: bool = True,
        limit: int = 65_536,
        spill: bool = False,
        effect: Effect = "exec",
    ) -> ExecResult:
        self._check()
        if effect == "read":
            return self._run(list(argv), cwd, stdin, limit, spill)
        async with self._alone:
            return self._run(list(argv), cwd, stdin, limit, spill)

    async def read(self, path: str, *, offset: int = 0, limit: int = 16 * 1024 * 1024) -> FileContent:
        self._check()
        try:
            data, size, mode = self._files.read(raw(path), max(0, offset), max(0, min(limit, MAX_DATA)))
        except self._module.Failure as error:
            raise self._convert(error) from None
        return FileContent(data=data, size=size, mode=mode)

    async def write(self, changes: Sequence[FileChange]) -> None:
        self._check()
        async with self._alone:
            try:
                self._files.write([(raw(change.path), change.data, change.mode) for change in changes])
            except self._module.Failure as error:
                raise self._convert(error) from None

    async def close(self) -> None:
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise SandboxLost("The sandbox was closed.")

    def _run(self, argv: list[str], cwd: str, stdin: bytes, limit: int, spill: bool) -> ExecResult:
        command = self._commands.get(_key(argv)) or self._commands.get(argv[0] if argv else "")
        if command is None:
            return ExecResult(exit_code=127, output=f"kimicode: {_key(argv)}: command not found\n".encode())
        code, output = command(self._folder(cwd), argv, stdin)
        if len(output) <= limit:
            return ExecResult(exit_code=code, output=output)
        path = ""
        if spill:
            name = f"output-{len(list(self._tmp.iterdir()))}.txt"
            (self._tmp / name).write_bytes(output)
            path = f"{self.tmp}/{name}"
        head = limit // 2
        kept = output[:head] + output[len(output) - (limit - head) :]
        return ExecResult(code, kept, dropped=len(output) - limit, head=head, spill=path)

    def _folder(self, cwd: str) -> Path:
        """The real folder of `cwd`, after the runner's rules have accepted it."""
        try:
            fd = self._files.folder(raw(cwd))
        except self._module.Failure as error:
            raise self._convert(error) from None
        try:
            return Path(f"/proc/self/fd/{fd}").readlink()
        finally:
            os.close(fd)

    def _convert(self, error: Exception) -> Exception:
        kind, path, message = (getattr(error, name) for name in ("kind", "path", "message"))
        return file_error(kind, path.decode("utf-8", "surrogateescape"), message)


class MemoryLauncher:
    """Starts MemorySandboxes that share one table of commands."""

    name = "memory"
    owner: tuple[int, int] | None = None

    def __init__(self, commands: Mapping[str, Command]) -> None:
        self._commands = commands

    async def prepare(self, probe: Path) -> str:
        return "memory: files of the slot, commands from a table"

    async def start(self, slot: Slot, *, env: Mapping[str, str] | None = None) -> Sandbox:
        return MemorySandbox(slot, self._commands)

    async def close(self) -> None:
        """Nothing is held."""


def _key(argv: Sequence[str]) -> str:
    """The name in the table: the text after -c of a shell (`-c`, `-lc`, `-o pipefail -c`), else argv[0]."""
    if argv and Path(argv[0]).name in ("bash", "sh"):
        for index, word in enumerate(argv[:-1]):
            if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
                return argv[index + 1]
    return argv[0] if argv else ""


@cache
def _files_module() -> ModuleType:
    """sandbox/files.py, which is no part of the package because it also runs inside containers."""
    spec = importlib.util.spec_from_file_location("kimicode_sandbox_files", sandbox_file("files.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
