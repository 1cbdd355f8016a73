"""The runner's protocol, host side: requests to bytes, and bytes of an untrusted runner back to values.

    frame   = length:u32 kind:u8 number:u32 nonce:16 bytes body      (length counts all that follows it)
    text    = length:u32 bytes        list = count:u32 text*         (big-endian throughout)

    HELLO   version:u16 pid:u32 uid:u32 gid:u32 python:text                          runner, once, first
    EXEC    timeout:f64 limit:u32 flags:u8 cwd:text argv:list env:list stdin:text    -> RESULT | FAIL
    READ    offset:u64 limit:u64 path:text                                           -> DATA | FAIL
    WRITE   count:u32 (flags:u8 mode:u32 path:text data:text)*                       -> DONE | FAIL
    CANCEL  (number and nonce of a running EXEC)                                     its RESULT follows
    RESULT  status:i32 flags:u8 seconds:f64 dropped:u64 head:u32 output:text stderr:text spill:text
    DATA    size:u64 mode:u32 data:text
    DONE
    FAIL    kind:text path:text message:text

An answer carries the number and the 128-bit nonce of its request: what a command prints goes through a pipe of its
own, and a command that finds the runner's stdout cannot name the nonce. Whatever does not fit the table raises
SandboxLost; nothing is ever guessed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from kimicode.core.ports import ExecResult, FileChange, FileContent
from kimicode.errors import FileError, FileProblem, SandboxLost

VERSION = 1
MAX_FRAME = 64 << 20
"""Largest frame in bytes, either way."""
MAX_DATA = 48 << 20
"""Most bytes that one read answers with."""

HELLO, EXEC, READ, WRITE, CANCEL, RESULT, DATA, DONE, FAIL = range(1, 10)
_HEAD = struct.Struct(">IBI16s")
_MERGE, _SPILL = 1, 2
_TIMED_OUT = 1
_DELETE, _MODE = 1, 2
_EMPTY = bytes(16)


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    number: int
    nonce: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """What the runner says of itself."""

    pid: int
    uid: int
    gid: int
    python: str


def encode(kind: int, number: int, nonce: bytes, body: bytes = b"") -> bytes:
    """One frame; the caller has seen to it that it is at most MAX_FRAME."""
    return _HEAD.pack(_HEAD.size - 4 + len(body), kind, number, nonce) + body


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _list(items: Sequence[bytes]) -> bytes:
    return struct.pack(">I", len(items)) + b"".join(_text(item) for item in items)


def raw(text: str) -> bytes:
    """A name as the kernel wants it; undecodable bytes came in as surrogates. Never raises: models invent names."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def exec_body(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes,
    cwd: str,
    env: Mapping[str, str],
    merge: bool,
    limit: int,
    spill: bool,
) -> bytes:
    flags = (_MERGE if merge else 0) | (_SPILL if spill else 0)
    return (
        struct.pack(">dIB", timeout, limit, flags)
        + _text(raw(cwd))
        + _list([raw(word) for word in argv])
        + _list([raw(f"{name}={value}") for name, value in env.items()])
        + _text(stdin)
    )


def read_body(path: str, offset: int, limit: int) -> bytes:
    return struct.pack(">QQ", offset, limit) + _text(raw(path))


def write_body(changes: Sequence[FileChange]) -> bytes:
    parts = [struct.pack(">I", len(changes))]
    for change in changes:
        flags = (_DELETE if change.data is None else 0) | (_MODE if change.mode is not None else 0)
        parts.append(struct.pack(">BI", flags, change.mode or 0))
        parts.append(_text(raw(change.path)) + _text(change.data or b""))
    return b"".join(parts)


class Decoder:
    """Frames out of a stream that arrives in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        self._buffer += data
        frames: list[Frame] = []
        while len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[:4], "big")
            if not _HEAD.size - 4 <= size <= MAX_FRAME:
                raise SandboxLost(f"The sandbox's runner sent a malformed frame (length {size}).")
            if len(self._buffer) < 4 + size:
                break
            _, kind, number, nonce = _HEAD.unpack_from(self._buffer)
            frames.append(Frame(kind, number, nonce, bytes(self._buffer[_HEAD.size : 4 + size])))
            del self._buffer[: 4 + size]
        return frames


class _Body:
    """Fields of a body in order, each checked against what is there."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise SandboxLost("The sandbox's runner sent a malformed frame (it ends too early).")
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "big", signed=signed)

    def seconds(self) -> float:
        value: float = struct.unpack(">d", self.take(8))[0]
        if not math.isfinite(value) or not 0 <= value < 1e9:
            raise SandboxLost("The sandbox's runner sent a malformed frame (time out of range).")
        return value

    def text(self) -> bytes:
        return self.take(self.integer(4))

    def name(self) -> str:
        return self.text().decode("utf-8", "surrogateescape")

    def end(self) -> None:
        if self._at != len(self._data):
            raise SandboxLost("The sandbox's runner sent a malformed frame (it is too long).")


def parse_hello(frame: Frame) -> Hello:
    if frame.kind != HELLO or frame.number or frame.nonce != _EMPTY:
        raise SandboxLost("The sandbox's runner did not begin with its greeting.")
    body = _Body(frame.body)
    version = body.integer(2)
    if version != VERSION:
        raise SandboxLost(f"The sandbox's runner speaks version {version}, this kimicode version {VERSION}.")
    hello = Hello(body.integer(4), body.integer(4), body.integer(4), body.name())
    body.end()
    return hello


def parse_result(frame: Frame) -> ExecResult:
    _expect(frame, RESULT)
    body = _Body(frame.body)
    status, flags = body.integer(4, signed=True), body.integer(1)
    seconds, dropped, head = body.seconds(), body.integer(8), body.integer(4)
    output, stderr, spill = body.text(), body.text(), body.name()
    body.end()
    if head > len(output):
        raise SandboxLost("The sandbox's runner sent a malformed frame (head longer than the output).")
    return ExecResult(
        exit_code=status,
        output=output,
        stderr=stderr,
        seconds=seconds,
        timed_out=bool(flags & _TIMED_OUT),
        dropped=dropped,
        head=head if dropped else 0,
        spill=spill,
    )


def parse_data(frame: Frame) -> FileContent:
    _expect(frame, DATA)
    body = _Body(frame.body)
    content = FileContent(size=body.integer(8), mode=body.integer(4) & 0o777, data=body.text())
    body.end()
    return content


def parse_done(frame: Frame) -> None:
    _expect(frame, DONE)
    _Body(frame.body).end()


def _expect(frame: Frame, kind: int) -> None:
    if frame.kind == FAIL:
        body = _Body(frame.body)
        problem, path, message = body.name(), body.name(), body.name()
        body.end()
        raise file_error(problem, path, message)
    if frame.kind != kind:
        raise SandboxLost(f"The sandbox's runner answered with a frame of the wrong kind ({frame.kind}).")


def file_error(problem: str, path: str, message: str) -> FileError:
    """The error for what the runner (or the shared file code) calls `problem`."""
    if problem not in get_args(FileProblem):
        raise SandboxLost("The sandbox's runner sent a malformed frame (unknown kind of file error).")
    shown = path or "."
    return FileError(f"{shown}: {message}", kind=cast(FileProblem, problem), path=path)
