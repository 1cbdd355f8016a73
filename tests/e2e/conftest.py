"""Which sandboxes work on this machine, found by trying."""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path

import pytest

from kimicode.app.adapters import Wanted, make_launchers
from kimicode.errors import SandboxError


@cache
def refusal(backend: str, folder: Path) -> str:
    async def attempt() -> str:
        launcher = make_launchers(Wanted(backend=backend))[0]
        try:
            await launcher.prepare(folder)
        except SandboxError as e:
            return f"{backend} does not work here: {e}"
        finally:
            await launcher.close()
        return ""

    return asyncio.run(attempt())


@pytest.fixture
def need_sandbox(sandbox: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips, with the reason, where the sandbox named by the parameter cannot be started."""
    reason = refusal(sandbox, tmp_path_factory.getbasetemp())
    if reason:
        pytest.skip(reason)
