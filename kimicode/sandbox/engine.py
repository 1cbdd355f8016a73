"""A thin client of the container engine's HTTP API over its unix socket (Docker, rootless Docker, Podman).

The docker SDK is not used here: its import costs 0.1-0.9 s, its sockets block, and it offers no raw attach stream.
Every call has a deadline, because a hung daemon must not hang kimicode.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kimicode.errors import SandboxError, SandboxUnavailable

TIMEOUT = 30.0
_MAX_BODY = 256 << 20
_REMEDY = "Start Docker (or Podman's socket), point DOCKER_HOST at its unix socket, or use --sandbox bwrap."


class EngineError(SandboxError):
    """The engine refused or broke off a call. `status`: the HTTP status, 0 when there was no answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body or b"null")
        except ValueError:
            raise EngineError("The container engine sent an answer that is not JSON.") from None


class Engine:
    """One engine, by the path of its unix socket."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        data: bytes | None = None,
        timeout: float = TIMEOUT,
        allow: tuple[int, ...] = (),
    ) -> Answer:
        """`body` is sent as JSON, `data` as a tar archive. Raises EngineError for statuses from 400 not in `allow`."""
        try:
            async with (
                asyncio.timeout(timeout),
                self._request(method, path, query, body, data) as (answer, reader),
            ):
                content = b"".join([part async for part in _body(answer, reader)])
        except TimeoutError:
            raise EngineError(
                f"The container engine did not answer {method} {path} within {timeout:.0f} s."
            ) from None
        answer = Answer(answer.status, answer.headers, content)
        if answer.status >= 400 and answer.status not in allow:
            raise EngineError(
                f"The container engine refused {method} {path}: {_reason(answer)}", status=answer.status
            )
        return answer

    async def lines(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        data: bytes | None = None,
        silence: float = 900.0,
    ) -> AsyncIterator[dict[str, Any]]:
        """The JSON lines of a long call (build, pull); `silence`: most seconds between two of them."""
        async with self._request(method, path, query, None, data) as (answer, reader):
            if answer.status >= 400:
                content = b"".join([part async for part in _body(answer, reader)])
                answer = Answer(answer.status, answer.headers, content)
                raise EngineError(
                    f"The container engine refused {path}: {_reason(answer)}", status=answer.status
                )
            rest = b""
            parts = _body(answer, reader)
            while True:
                try:
                    async with asyncio.timeout(silence):
                        part = await anext(parts)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise EngineError(f"The container engine said nothing for {silence:.0f} s.") from None
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    if line.strip():
                        yield Answer(200, {}, line).json()

    async def attach(self, container: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The container's stdin, and its stdout and stderr multiplexed (8-byte headers), as one raw stream."""
        path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        reader, writer = await self._connect()
        try:
            async with asyncio.timeout(TIMEOUT):
                writer.write(_head("POST", path, {"Upgrade": "tcp", "Connection": "Upgrade"}))
                answer = await _read_head(reader)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            writer.close()
            raise EngineError(f"The container engine broke off the attach call ({error}).") from error
        if answer.status not in (101, 200):
            writer.close()
            raise EngineError(
                f"The container engine refused to attach (status {answer.status}).", status=answer.status
            )
        return reader, writer

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, data: bytes | None
    ) -> AsyncIterator[tuple[Answer, asyncio.StreamReader]]:
        headers = {"Connection": "close"}
        content = b"" if data is None else data
        if body is not None:
            content, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif data is not None:
            headers["Content-Type"] = "application/x-tar"
        headers["Content-Length"] = str(len(content))
        reader, writer = await self._connect()
        try:
            writer.write(_head(method, path + ("?" + urlencode(query) if query else ""), headers) + content)
            yield await _read_head(reader), reader
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise EngineError(f"The connection to the container engine broke ({error}).") from error
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_unix_connection(self.socket, limit=1 << 20)
        except OSError as error:
            raise EngineError(
                f"The container engine at {self.socket} cannot be reached ({error.strerror})."
            ) from error


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: docker",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


async def _read_head(reader: asyncio.StreamReader) -> Answer:
    """Status and headers. Raises ValueError for what is no HTTP."""
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    status = int(first.split(" ", 2)[1]) if first.startswith("HTTP/1.") else 0
    if not status:
        raise ValueError("it does not speak HTTP")
    pairs = (line.split(":", 1) for line in rest if ":" in line)
    return Answer(status, {name.strip().lower(): value.strip() for name, value in pairs}, b"")


async def _body(answer: Answer, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The body in pieces: chunked, of a given length, or until the connection closes."""
    if answer.status in (204, 304):
        return
    total = 0
    if "chunked" in answer.headers.get("transfer-encoding", ""):
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            total += size
            if total > _MAX_BODY:
                raise ValueError("an answer of more than 256 MiB")
            yield (await reader.readexactly(size + 2))[:-2]
        return
    length = answer.headers.get("content-length")
    left = min(int(length), _MAX_BODY) if length else _MAX_BODY
    while left > 0 and (part := await reader.read(min(left, 1 << 16))):
        left -= len(part)
        yield part


def _reason(answer: Answer) -> str:
    try:
        said = json.loads(answer.body)["message"]
    except (ValueError, KeyError, TypeError):
        said = answer.body.decode("utf-8", "replace").strip()[:500]
    return said or f"status {answer.status}"


async def find_engine(environ: Mapping[str, str]) -> tuple[Engine, dict[str, Any]]:
    """The first engine that answers, and its /info. Raises SandboxUnavailable with every place that was tried."""
    tried = []
    for socket in _sockets(environ):
        engine = Engine(socket)
        try:
            return engine, dict((await engine.call("GET", "/info", timeout=10)).json())
        except EngineError as error:
            tried.append(str(error))
    raise SandboxUnavailable(
        "No container engine answers. " + (" ".join(tried) or "None of the usual sockets exists."),
        hint=_REMEDY,
    )


def _sockets(environ: Mapping[str, str]) -> Iterator[str]:
    """DOCKER_HOST alone if it is set, else the docker CLI's context, else the usual places that exist."""
    named = environ.get("DOCKER_HOST", "") or _context_host(environ)
    if named:
        if not named.startswith("unix://"):
            raise SandboxUnavailable(
                f"The container engine is remote ({named.split(':')[0]}): it cannot see this machine's folders.",
                hint=_REMEDY,
            )
        yield named.removeprefix("unix://")
        return
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    home = Path(environ.get("HOME") or "/")
    for place in (
        "/var/run/docker.sock",
        f"{runtime}/docker.sock",
        str(home / ".docker/run/docker.sock"),
        f"{runtime}/podman/podman.sock",
        "/run/podman/podman.sock",
    ):
        if Path(place).exists():
            yield place


def _context_host(environ: Mapping[str, str]) -> str:
    """Where `docker context use` points, or "" for the default context."""
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or "/") / ".docker")
    try:
        name = environ.get("DOCKER_CONTEXT") or json.loads((folder / "config.json").read_text()).get(
            "currentContext"
        )
        if not name or name == "default":
            return ""
        digest = hashlib.sha256(name.encode()).hexdigest()
        meta = json.loads((folder / "contexts" / "meta" / digest / "meta.json").read_text())
        return str(meta["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
