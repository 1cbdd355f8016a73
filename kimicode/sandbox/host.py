"""Commands straight on the host: no isolation, only an environment, a uid and resource limits of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from kimicode.core.ports import Sandbox, Slot
from kimicode.errors import SandboxLost, SandboxUnavailable
from kimicode.resources import sandbox_file
from kimicode.sandbox.client import connect
from kimicode.sandbox.pipes import credentials, spawn
from kimicode.sandbox.proof import own
from kimicode.sandbox.runner import RUNNER_FILES, Limits, load_limits, runner_argv
from kimicode.sandbox.variables import DEFAULT_PATH, base_env

UNPRIVILEGED = (61000, 61000)
"""uid and gid for commands when kimicode itself is root: nobody's, and above what adduser gives out."""


class HostLauncher:
    """Runs the runner under kimicode's own Python. Only by explicit choice, or for kimicode's own demo."""

    name = "host"

    def __init__(self, *, limits: Limits | None = None) -> None:
        self.owner: tuple[int, int] | None = None
        self._limits = limits or load_limits()

    async def prepare(self, probe: Path) -> str:
        """Chooses the uid: when kimicode is root, an unprivileged one if it can reach Python and `probe`."""
        if not sys.platform.startswith("linux"):
            raise SandboxUnavailable(
                f"The host sandbox needs Linux, this is {sys.platform}.", hint="Use --sandbox docker."
            )
        said = f"commands run as uid {os.getuid()}"
        if os.getuid() == 0:
            reason = await _refusal(UNPRIVILEGED, probe)
            if reason:
                said = f"commands run as root, because uid {UNPRIVILEGED[0]} {reason}"
            else:
                self.owner = UNPRIVILEGED
                said = f"commands run as uid {UNPRIVILEGED[0]}"
        await self._try(str(probe.parent))
        return f"host, no isolation: {said}, with network; memory and processes are not limited"

    async def _try(self, folder: str) -> None:
        try:
            sandbox = await self._open(folder, folder, {"PATH": DEFAULT_PATH})
        except (OSError, SandboxLost) as error:
            raise SandboxUnavailable(
                f"The host sandbox cannot run {sys.executable}: {error}",
                hint="Use --sandbox docker or bwrap.",
            ) from error
        await sandbox.close()

    async def start(self, slot: Slot, *, env: Mapping[str, str] | None = None) -> Sandbox:
        """`root` of the sandbox is slot.work: nothing is mounted, so the user's own path must not be used."""
        home, tmp = slot.scratch / "home", slot.scratch / "tmp"
        for folder in (slot.scratch, home, tmp):
            await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            own(folder, self.owner)
        variables = base_env(path=_search_path(), home=str(home), tmp=str(tmp), extra=env)
        try:
            return await self._open(str(slot.work), str(tmp), variables)
        except OSError as error:
            raise SandboxLost(f"The host sandbox cannot be started: {error}") from error

    async def _open(self, root: str, tmp: str, variables: Mapping[str, str]) -> Sandbox:
        options = {"FSIZE": self._limits.file_size, "NOFILE": self._limits.open_files, "CORE": 0}
        argv = runner_argv(sys.executable, str(sandbox_file(RUNNER_FILES[0])), root, tmp, options=options)
        transport = await spawn(argv, variables, cwd=root, owner=self.owner)
        return await connect(self.name, transport, root=root, tmp=tmp, network=True)

    async def close(self) -> None:
        """Nothing is shared between sandboxes."""


async def _refusal(owner: tuple[int, int], probe: Path) -> str:
    """Why `owner` cannot stand in for root here, or ""."""
    check = "import os,sys; sys.exit(0 if all(os.access(p, os.R_OK | os.X_OK) for p in sys.argv[1:]) else 3)"
    runner = sandbox_file(RUNNER_FILES[0])
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            "-c",
            check,
            str(probe.parent),
            str(runner.parent),
            cwd="/",
            **credentials(owner),
        )
    except OSError:
        return f"may not run {sys.executable}"
    return f"cannot reach {probe.parent}" if await process.wait() else ""


def _search_path() -> str:
    """The user's PATH without relative entries (a repository could fill those), then this Python's folder."""
    entries = [
        entry for entry in os.environ.get("PATH", DEFAULT_PATH).split(os.pathsep) if entry.startswith("/")
    ]
    entries.append(str(Path(sys.executable).parent))
    return os.pathsep.join(dict.fromkeys(entries))
