"""A Sandbox that speaks with a runner over any transport: the same for container, jail and host."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Protocol, TypeVar

from kimicode.core.message import Effect
from kimicode.core.ports import ExecResult, FileChange, FileContent
from kimicode.errors import FileError, KimicodeError, SandboxError, SandboxLost, ToolError
from kimicode.sandbox import frames
from kimicode.sandbox.frames import Decoder, Frame, Hello

GRACE = 15.0
"""Seconds beyond a command's own timeout after which a silent runner counts as lost."""
FILE_TIMEOUT = 60.0
HELLO_TIMEOUT = 30.0
CANCEL_TIMEOUT = 3.0

T = TypeVar("T")


class Transport(Protocol):
    """Bytes to and from one runner process."""

    async def receive(self) -> bytes:
        """Some bytes of the runner's stdout; b"" when it is closed."""
        ...

    async def send(self, data: bytes) -> None:
        """Takes all of `data` at once, then may wait until it has gone. May raise OSError when the runner is gone."""
        ...

    async def explain(self) -> str:
        """After the end: why the runner went away, as far as it is known, or ""."""
        ...

    async def close(self) -> None:
        """End the runner and free everything. May be called twice; never raises."""
        ...


class RunnerSandbox:
    """core.ports.Sandbox over a transport. Make it with `connect`."""

    def __init__(
        self, name: str, transport: Transport, *, root: str, tmp: str, network: bool, grace: float = GRACE
    ) -> None:
        self.name, self.root, self.tmp, self.network = name, root, tmp, network
        self._grace = grace
        self.hello: Hello | None = None
        self._transport = transport
        self._pending: dict[int, tuple[bytes, asyncio.Future[Frame]]] = {}
        self._number = 0
        self._alone = asyncio.Lock()
        self._lost: KimicodeError | None = None
        self._greeting: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())

    @property
    def lost(self) -> bool:
        """Closed or gone: every further call raises."""
        return self._lost is not None

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
        """See core.ports.Sandbox. `limit` is at most 24 MiB; stdin must fit into one frame (64 MiB)."""
        body = frames.exec_body(
            argv,
            timeout=timeout,
            stdin=stdin,
            cwd=cwd,
            env=env or {},
            merge=merge,
            limit=max(0, min(limit, frames.MAX_DATA // 2)),
            spill=spill,
        )
        if len(body) > frames.MAX_FRAME - 64:
            raise ToolError(
                f"The command's standard input is too large ({len(stdin)} bytes; at most 64 MiB): write it to a "
                "file first."
            )
        async with nullcontext() if effect == "read" else self._alone:
            return await self._ask(frames.EXEC, body, timeout + self._grace, frames.parse_result)

    async def read(self, path: str, *, offset: int = 0, limit: int = 16 * 1024 * 1024) -> FileContent:
        body = frames.read_body(path, max(0, offset), max(0, min(limit, frames.MAX_DATA)))
        return await self._ask(frames.READ, body, FILE_TIMEOUT, frames.parse_data)

    async def write(self, changes: Sequence[FileChange]) -> None:
        body = frames.write_body(changes)
        if len(body) > frames.MAX_FRAME - 64:
            path = max(changes, key=lambda change: len(change.data or b"")).path
            raise FileError(f"{path}: more than 64 MiB in one write", kind="too_large", path=path)
        async with self._alone:
            await self._ask(frames.WRITE, body, FILE_TIMEOUT, frames.parse_done)

    async def close(self) -> None:
        await self.end(SandboxLost("The sandbox was closed."))

    async def end(self, reason: KimicodeError) -> None:
        """Close; whoever waits for an answer, or asks from now on, gets `reason`."""
        self._fail(reason)
        await self._transport.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def greet(self) -> None:
        """Wait until the runner is there; `hello` is set then."""
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                self.hello = await asyncio.shield(self._greeting)
        except TimeoutError:
            self._fail(SandboxLost(f"The sandbox's runner said nothing for {HELLO_TIMEOUT:.0f} s."))
            raise self._failure() from None

    async def _ask(self, kind: int, body: bytes, seconds: float, parse: Callable[[Frame], T]) -> T:
        """Send a request and wait for its answer; silence past `seconds` means that the sandbox is lost."""
        if self._lost is not None:
            raise self._failure()
        self._number = number = self._number % 0xFFFFFFFF + 1
        nonce = os.urandom(16)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._pending[number] = (nonce, answer)
        try:
            await self._within(self._send(frames.encode(kind, number, nonce, body)), FILE_TIMEOUT)
            frame = await self._within(asyncio.shield(answer), seconds)
        except asyncio.CancelledError:
            if kind == frames.EXEC:
                await self._cancel(number, nonce, answer)
            raise
        finally:
            self._pending.pop(number, None)
            answer.cancel()
        try:
            return parse(frame)
        except SandboxLost as error:
            self._fail(error)
            raise

    async def _within(self, work: Awaitable[T], seconds: float) -> T:
        try:
            async with asyncio.timeout(seconds):  # not wait_for: in 3.11 that can swallow a cancellation
                return await work
        except TimeoutError:
            self._fail(SandboxLost(f"The sandbox did not answer within {seconds:.0f} s."))
            raise self._failure() from None

    async def _send(self, data: bytes) -> None:
        """The transport takes the whole frame before it waits, so concurrent frames cannot mix."""
        try:
            await self._transport.send(data)
        except OSError as error:
            await asyncio.wait([self._reader], timeout=1)
            self._fail(SandboxLost(f"The sandbox's runner is gone ({error})."))
            raise self._failure() from None

    async def _cancel(self, number: int, nonce: bytes, answer: asyncio.Future[Frame]) -> None:
        """Kill the command and wait a short while until its processes are gone."""
        try:
            async with asyncio.timeout(CANCEL_TIMEOUT):
                await self._send(frames.encode(frames.CANCEL, number, nonce))
                await asyncio.wait([answer])
        except (KimicodeError, TimeoutError):
            pass

    async def _read(self) -> None:
        decoder = Decoder()
        try:
            while data := await self._transport.receive():
                for frame in decoder.feed(data):
                    self._take(frame)
            why = await self._transport.explain()
            self._fail(SandboxLost("The sandbox's runner ended" + (f": {why}" if why else ".")))
        except SandboxError as error:
            self._fail(error)
        except OSError as error:
            self._fail(SandboxLost(f"The connection to the sandbox's runner broke ({error})."))

    def _take(self, frame: Frame) -> None:
        if not self._greeting.done():
            self._greeting.set_result(frames.parse_hello(frame))
            return
        nonce, answer = self._pending.get(frame.number, (b"", None))
        if answer is None:
            return  # the answer to a request that was given up
        if frame.nonce != nonce:
            raise SandboxLost("A frame with a wrong nonce: something in the sandbox poses as its runner.")
        if not answer.done():
            answer.set_result(frame)

    def _fail(self, error: KimicodeError) -> None:
        """The first reason stays; everybody who waits gets it."""
        if self._lost is None:
            self._lost = error
        _reject(self._greeting, self._failure())
        for _, answer in self._pending.values():
            _reject(answer, self._failure())

    def _failure(self) -> KimicodeError:
        lost = self._lost or SandboxLost("The sandbox is gone.")
        return type(lost)(str(lost), hint=lost.hint)


def _reject(future: asyncio.Future[T], error: KimicodeError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen: a future that nobody awaits any more must not warn


async def connect(
    name: str, transport: Transport, *, root: str, tmp: str, network: bool, grace: float = GRACE
) -> RunnerSandbox:
    """Wait for the runner's greeting. On failure the transport is closed and SandboxError raised."""
    sandbox = RunnerSandbox(name, transport, root=root, tmp=tmp, network=network, grace=grace)
    try:
        await sandbox.greet()
    except BaseException:
        await sandbox.close()
        raise
    return sandbox
