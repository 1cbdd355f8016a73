"""A real sandbox of the host backend over a small project, for tests that run checks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kimicode.checks.run import run_check
from kimicode.core.checks import CheckCommand, CheckRun
from kimicode.core.ports import Slot
from kimicode.sandbox.host import HostLauncher


def write_files(folder: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def check(
    base: Path,
    files: Mapping[str, str],
    command: str,
    *,
    tests: Sequence[str] = (),
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
) -> tuple[CheckRun, list[str]]:
    """The run, and the files that appeared in the checkout because of it."""
    env = {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        **(env or {}),
    }  # starting pytest costs far less without plugins
    work = write_files(base / "w", files)
    before = list_files(work)
    run = asyncio.run(_check(base, work, command, tests, timeout, env))
    return run, [path for path in list_files(work) if path not in before]


async def _check(
    base: Path,
    work: Path,
    command: str,
    tests: Sequence[str],
    timeout: float,
    env: Mapping[str, str] | None,
) -> CheckRun:
    launcher = HostLauncher()
    await launcher.prepare(base)
    if launcher.owner is not None:
        for path in [base, work, *work.rglob("*")]:
            os.chown(path, *launcher.owner, follow_symlinks=False)
    slot = Slot(work=work, gitdir=base / "gd", objects=base / "o", root=str(work), scratch=base / "s")
    sandbox = await launcher.start(slot)
    try:
        given = CheckCommand(command=command, source="given")
        return await run_check(sandbox, given, "tree", timeout=timeout, tests=tests, env=env)
    finally:
        await sandbox.close()
        await launcher.close()
