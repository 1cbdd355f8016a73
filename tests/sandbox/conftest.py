"""A slot on disk and the three real backends, each prepared once or skipped with its reason."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kimicode.core.ports import Launcher, Sandbox, Slot
from kimicode.errors import SandboxUnavailable
from kimicode.sandbox.bubblewrap import BubblewrapLauncher
from kimicode.sandbox.docker import DockerLauncher
from kimicode.sandbox.engine import find_engine
from kimicode.sandbox.host import HostLauncher
from kimicode.sandbox.image import default_image

BACKENDS = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("bwrap", marks=pytest.mark.bwrap),
    "host",
]


def having(program: str) -> list[Any]:
    """The backends whose commands find `program`: bwrap and host see what this machine has, and nothing else."""
    return BACKENDS if shutil.which(program) else BACKENDS[:1]


_PREPARED: dict[str, Launcher | str] = {}


def prepared(name: str, folder: Path) -> Launcher:
    """The launcher, prepared once for all tests of a process; skips with the reason when it does not work here."""
    if name not in _PREPARED:
        _PREPARED[name] = asyncio.run(_prepare(name, folder))
    found = _PREPARED[name]
    if isinstance(found, str):
        pytest.skip(found)
    return found


async def _prepare(name: str, folder: Path) -> Launcher | str:
    launcher: Launcher = {"docker": DockerLauncher, "bwrap": BubblewrapLauncher, "host": HostLauncher}[name]()
    try:
        if name == "docker":
            engine, _ = await find_engine(os.environ)
            answer = await engine.call("GET", f"/images/{default_image()}/json", allow=(404,))
            if answer.status == 404:
                return "the sandbox image is not built (python -m kimicode.sandbox.image)"
        await launcher.prepare(folder / "probe")
    except SandboxUnavailable as error:
        return f"{name} does not work here: {error}"
    finally:
        await launcher.close()
    return launcher


@dataclass
class Box:
    """One backend and one slot; `run` starts a sandbox, hands it to a coroutine function and closes it."""

    launcher: Launcher
    slot: Slot

    @property
    def name(self) -> str:
        return self.launcher.name

    def run(self, body: Callable[[Sandbox], Awaitable[Any]]) -> Any:
        async def go() -> Any:
            sandbox = await self.launcher.start(self.slot)
            try:
                return await body(sandbox)
            finally:
                await sandbox.close()
                await self.launcher.close()

        return asyncio.run(go())

    def own(self) -> None:
        """Give the slot to the uid that the backend runs commands as."""
        if self.launcher.owner:
            for folder in (self.slot.work, self.slot.gitdir):
                for path in [folder, *folder.rglob("*")]:
                    os.chown(path, *self.launcher.owner, follow_symlinks=False)


def make_slot(folder: Path, root: str = "/home/someone/src/project") -> Slot:
    slot = Slot(folder / "slot/w", folder / "slot/gd", folder / "pack", root, folder / "slot/scratch")
    for path in (slot.work, slot.gitdir, slot.objects, slot.scratch):
        path.mkdir(parents=True)
    return slot


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that every user may pass, unlike tmp_path, for backends that drop root."""
    with tempfile.TemporaryDirectory(prefix="kimicode-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(params=BACKENDS)
def box(request: pytest.FixtureRequest, room: Path) -> Box:
    box = Box(prepared(request.param, room), make_slot(room))
    box.own()
    return box
