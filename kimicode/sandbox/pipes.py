"""Transport over the pipes of a child process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TypedDict

END_TIMEOUT = 3.0
"""Seconds that a runner has to kill what it started once its stdin is closed."""
_CHUNK = 1 << 18
_STDERR = 4096


class Credentials(TypedDict, total=False):
    """Keyword arguments of create_subprocess_exec for another user."""

    user: int
    group: int
    extra_groups: list[int]


def credentials(owner: tuple[int, int] | None) -> Credentials:
    return {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}


class PipeTransport:
    """A runner as a child process, in a session of its own so that Ctrl-C does not reach it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._errors = asyncio.create_task(_tail(process.stderr))

    async def receive(self) -> bytes:
        return await self._stdout.read(_CHUNK)

    async def send(self, data: bytes) -> None:
        self._stdin.write(data)
        await self._stdin.drain()

    async def explain(self) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._process.wait()
        done, _ = await asyncio.wait([self._errors], timeout=1)
        text = (self._errors.result() if done else b"").decode("utf-8", "replace").strip()
        return text or f"exit status {self._process.returncode}"

    async def close(self) -> None:
        """Closing stdin lets the runner kill what it started; only then is it killed itself."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            async with asyncio.timeout(END_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_TIMEOUT):
                    await self._process.wait()
        self._errors.cancel()
        await asyncio.gather(self._errors, return_exceptions=True)


async def spawn(
    argv: Sequence[str], env: Mapping[str, str], *, cwd: str = "/", owner: tuple[int, int] | None = None
) -> PipeTransport:
    """Start a runner. Raises OSError when the program cannot be started."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        **credentials(owner),
    )
    return PipeTransport(process)


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """Read to the end, keep the last few kilobytes."""
    kept = b""
    while data := await stream.read(_STDERR):
        kept = (kept + data)[-_STDERR:]
    return kept
