"""The host's side of the protocol, against a runner that must not be believed."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.core.ports import FileChange
from kimicode.errors import FileError, SandboxError, SandboxLost
from kimicode.sandbox import frames
from kimicode.sandbox.client import connect
from kimicode.sandbox.frames import Decoder, Frame, encode

PARSERS: list[Callable[[Frame], Any]] = [
    frames.parse_hello,
    frames.parse_result,
    frames.parse_data,
    frames.parse_done,
]
NONCE = bytes(range(16))


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def hello(version: int = frames.VERSION) -> bytes:
    return encode(frames.HELLO, 0, bytes(16), struct.pack(">HIII", version, 7, 1000, 1000) + text(b"3.11"))


def result(number: int, nonce: bytes, output: bytes = b"out", head: int = 0, dropped: int = 0) -> bytes:
    front = struct.pack(">iBdQI", 3, 1, 0.5, dropped, head)
    return encode(frames.RESULT, number, nonce, front + text(output) + text(b"err") + text(b"/tmp/x"))


VALID = [
    hello(),
    result(1, NONCE),
    encode(frames.DATA, 2, NONCE, struct.pack(">QI", 9, 0o100644) + text(b"data")),
    encode(frames.DONE, 3, NONCE),
    encode(frames.FAIL, 4, NONCE, text(b"missing") + text(b"a/b") + text(b"no such file")),
]


def parse_all(data: bytes) -> None:
    """Whatever is decoded, every parser either returns a value or raises one of the two errors."""
    try:
        found = Decoder().feed(data)
    except SandboxLost:
        return
    for frame in found:
        for parser in PARSERS:
            try:
                parser(frame)
            except (SandboxLost, FileError):
                pass


def test_garbage_and_mutations_only_ever_raise_the_two_errors() -> None:
    chance = random.Random(2)
    for _ in range(1500):
        parse_all(struct.pack(">I", chance.randrange(21, 80)) + chance.randbytes(chance.randrange(120)))
    for _ in range(3000):
        data = bytearray(chance.choice(VALID))
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        parse_all(bytes(data))


@given(
    st.lists(st.integers(0, len(VALID) - 1), max_size=6), st.lists(st.integers(1, 60), min_size=1, max_size=9)
)
@settings(max_examples=60, deadline=None)
def test_frames_survive_any_split(picks: list[int], cuts: list[int]) -> None:
    stream, decoder, found, at, turn = b"".join(VALID[pick] for pick in picks), Decoder(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert [encode(f.kind, f.number, f.nonce, f.body) for f in found] == [VALID[pick] for pick in picks]


def test_values_come_out_as_they_went_in() -> None:
    parsed = frames.parse_result(Decoder().feed(result(1, NONCE, b"abcd", head=2, dropped=5))[0])
    assert (parsed.exit_code, parsed.timed_out, parsed.seconds, parsed.dropped, parsed.head) == (
        3,
        True,
        0.5,
        5,
        2,
    )
    assert (parsed.output, parsed.stderr, parsed.spill) == (b"abcd", b"err", "/tmp/x")
    with pytest.raises(FileError) as caught:
        frames.parse_data(Decoder().feed(VALID[4])[0])
    assert caught.value.kind == "missing" and caught.value.path == "a/b"
    for bad in (result(1, NONCE, b"ab", head=3, dropped=1), encode(frames.RESULT, 1, NONCE, b"")):
        with pytest.raises(SandboxLost):
            frames.parse_result(Decoder().feed(bad)[0])
    with pytest.raises(SandboxLost):
        Decoder().feed(b"\xff\xff\xff\xff")
    assert frames.write_body([FileChange("a", None)]).count(b"a") == 1


class Scripted:
    """A transport whose runner says what a test tells it to."""

    def __init__(self, answer: Callable[[Frame], bytes | None], greeting: bytes = hello()) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.queue.put_nowait(greeting)
        self.answer, self.decoder, self.closed = answer, Decoder(), 0
        self.seen: list[Frame] = []

    async def receive(self) -> bytes:
        return await self.queue.get()

    async def send(self, data: bytes) -> None:
        for frame in self.decoder.feed(data):
            self.seen.append(frame)
            said = self.answer(frame)
            if said is not None:
                self.queue.put_nowait(said)

    async def explain(self) -> str:
        return "Traceback: no such thing"

    async def close(self) -> None:
        self.closed += 1
        self.queue.put_nowait(b"")


def ask(transport: Scripted, *, timeout: float = 5.0, grace: float = 5.0) -> Any:
    async def go() -> Any:
        sandbox = await connect("host", transport, root="/r", tmp="/t", network=False, grace=grace)
        try:
            return await sandbox.exec(["x"], timeout=timeout)
        finally:
            await sandbox.close()

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda frame: b"", "Traceback: no such thing"),
        (lambda frame: result(frame.number, bytes(16)), "nonce"),
        (lambda frame: encode(frames.DONE, frame.number, frame.nonce), "wrong kind"),
        (lambda frame: b"HTTP/1.1 200 OK\r\n\r\n" * 3, "malformed"),
        (lambda frame: encode(frames.RESULT, frame.number, frame.nonce, b"short"), "too early"),
        (lambda frame: None, "did not answer"),
        (lambda frame: result(frame.number + 5, frame.nonce), "did not answer"),
    ],
)
def test_a_runner_that_misbehaves_means_a_lost_sandbox(
    answer: Callable[[Frame], bytes | None], words: str
) -> None:
    transport = Scripted(answer)
    with pytest.raises(SandboxLost, match=words):
        ask(transport, timeout=0.05, grace=0.2)
    assert transport.closed


@pytest.mark.parametrize("greeting", [hello(version=99), VALID[1], b"python3: not found\n" * 4, b""])
def test_a_wrong_greeting_is_refused(greeting: bytes) -> None:
    with pytest.raises(SandboxError):
        ask(Scripted(lambda frame: None, greeting))


def test_cancelling_tells_the_runner() -> None:
    transport = Scripted(
        lambda frame: result(frame.number, frame.nonce) if frame.kind == frames.CANCEL else None
    )

    async def go() -> None:
        sandbox = await connect("host", transport, root="/r", tmp="/t", network=False)
        task = asyncio.create_task(sandbox.exec(["x"], timeout=60))
        while not transport.seen:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await sandbox.close()

    asyncio.run(go())
    first, second = transport.seen
    assert (second.kind, second.number, second.nonce) == (frames.CANCEL, first.number, first.nonce)
