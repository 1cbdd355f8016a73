"""Short forms for tests that ask a model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from kimicode.core.message import Delta, Message, ModelRequest, Reply, ToolSpec
from kimicode.core.ports import Model
from kimicode.models.catalog import resolve
from kimicode.models.chat import ChatModel
from kimicode.models.keys import find_key
from kimicode.models.wrap import Retrying, RetryPolicy
from tests.fakes.kimi_server import KimiServer

T = TypeVar("T")

KEY = {"KIMI_API_KEY": "sk-test-0123456789"}
SYSTEM = Message(role="system", text="You are a coding agent.")
TASK = Message(role="user", text="Make the tests pass.")
SHELL = ToolSpec(
    name="shell",
    description="Run a command.",
    parameters={"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
READ = ToolSpec(
    name="read_file",
    description="Read a file.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
)


def request(*messages: Message, **more: Any) -> ModelRequest:
    given = {"messages": (SYSTEM, *(messages or (TASK,))), "tools": TOOLS, "session_id": "s-1", **more}
    return ModelRequest(**given)


TOOLS = (SHELL, READ)


@asynccontextmanager
async def chat(server: KimiServer | str, model: str = "kimi-k2.6", **more: Any) -> AsyncIterator[ChatModel]:
    url = server if isinstance(server, str) else server.base_url
    target = resolve(model, url, backend=more.pop("backend", ""))
    made = ChatModel(target, find_key(KEY, target), **more)
    try:
        yield made
    finally:
        await made.close()


async def collect(model: Model, asked: ModelRequest) -> tuple[list[Delta], Reply]:
    """All deltas and the one reply, which must be last."""
    pieces = [piece async for piece in model.stream(asked)]
    *deltas, reply = pieces
    assert isinstance(reply, Reply)
    assert all(isinstance(d, Delta) for d in deltas)
    return deltas, reply  # type: ignore[return-value]


async def converse(model: Model, steps: int, history: Sequence[Message] = (SYSTEM, TASK)) -> list[Message]:
    """Ask `steps` times, answering every call with its own arguments."""
    messages = list(history)
    for _ in range(steps):
        _, reply = await collect(model, ModelRequest(messages=tuple(messages), tools=TOOLS, session_id="s-1"))
        messages.append(reply.message)
        messages += [
            Message(role="tool", tool_call_id=c.id, text=f"result of {c.arguments}")
            for c in reply.message.tool_calls
        ]
    return messages


def ask(server: KimiServer, asked: ModelRequest | None = None, **more: Any) -> Reply:
    """One request without retries."""

    async def main() -> Reply:
        async with chat(server, **more) as model:
            return (await collect(model, asked or request()))[1]

    return asyncio.run(main())


class Waits:
    """A patient that waits in no time: records the waits and moves its own clock."""

    def __init__(self, dice: float = 1.0) -> None:
        self.now = 0.0
        self.dice = dice
        self.said: list[tuple[float, str]] = []

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def on_wait(self, seconds: float, reason: str) -> None:
        self.said.append((round(seconds, 3), reason))

    def wrap(self, model: Model, **policy: Any) -> Retrying:
        return Retrying(
            model,
            RetryPolicy(**policy),
            self.on_wait,
            sleep=self.sleep,
            clock=lambda: self.now,
            dice=lambda: self.dice,
        )


def ask_patiently(
    server: KimiServer | str, waits: Waits, asked: ModelRequest | None = None, **more: Any
) -> tuple[list[Delta], Reply]:
    """One request with retries that cost no time."""
    policy = {k: more.pop(k) for k in ("attempts", "seconds") if k in more}

    async def main() -> tuple[list[Delta], Reply]:
        async with chat(server, **more) as model:
            return await collect(waits.wrap(model, **policy), asked or request())

    return asyncio.run(main())


def run(main: Callable[[], Awaitable[T]]) -> T:
    async def call() -> T:
        return await main()

    return asyncio.run(call())
