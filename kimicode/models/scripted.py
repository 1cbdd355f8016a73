"""Models without an endpoint: one that follows a script, one that says again what a session has seen."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

from kimicode.core.message import Delta, Message, ModelRequest, ModelSpec, Reply, ToolCall, Usage
from kimicode.errors import ModelError

FREE = ModelSpec(
    id="scripted",
    backend="scripted",
    context_window=262_144,
    price_input=0.0,
    price_cached=0.0,
    price_output=0.0,
)


def make_reply(
    text: str = "",
    *calls: tuple[str, Mapping[str, Any]],
    reasoning: str | None = None,
    usage: Usage | None = None,
) -> Reply:
    """A reply as a model would give it: `make_reply("Look.", ("shell", {"command": "ls"}))`.

    Ids count within the answer, as Kimi's do (`shell:0`), so they repeat over a conversation.
    """
    made = tuple(
        ToolCall(id=f"{name}:{i}", name=name, arguments=json.dumps(dict(arguments)))
        for i, (name, arguments) in enumerate(calls)
    )
    said = len(text) + len(reasoning or "") + sum(len(c.arguments) + len(c.name) for c in made)
    return Reply(
        message=Message(role="assistant", text=text, reasoning=reasoning, tool_calls=made),
        usage=usage or Usage(output=(said + 3) // 4, reasoning=len(reasoning or "") // 4),
        finish="tool_calls" if made else "stop",
        model="scripted",
    )


class ScriptedModel:
    """Answers with the n-th reply of its script, n being the assistant messages already in the request.

    So a session that is resumed and asks again is told the same thing again. Raises ModelError
    (`script_end`) beyond the last reply.
    """

    def __init__(self, replies: Iterable[Reply], *, spec: ModelSpec = FREE) -> None:
        self._replies = tuple(replies)
        self._spec = spec
        self.requests: list[ModelRequest] = []

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Reply, None]:
        self.requests.append(request)
        step = sum(m.role == "assistant" for m in request.messages)
        if step >= len(self._replies):
            raise ModelError(f"The script has {len(self._replies)} answers and is over.", kind="script_end")
        reply = self._replies[step]
        for delta in split_reply(reply):
            yield delta
        yield reply

    async def close(self) -> None:
        return None


class ReplayModel:
    """Gives the replies of a recorded session in their order (ModelReplied events, as Reply values)."""

    def __init__(self, replies: Iterable[Reply], *, spec: ModelSpec = FREE) -> None:
        self._replies = iter(replies)
        self._spec = spec

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Reply, None]:
        reply = next(self._replies, None)
        if reply is None:
            raise ModelError("The recorded session has no further answer.", kind="script_end")
        for delta in split_reply(reply):
            yield delta
        yield reply

    async def close(self) -> None:
        return None


def split_reply(reply: Reply) -> list[Delta]:
    """The deltas that a reply could have come in: reasoning, text, calls, each in one piece."""
    message = reply.message
    deltas: list[Delta] = []
    if message.reasoning:
        deltas.append(Delta(kind="reasoning", text=message.reasoning))
    if message.text:
        deltas.append(Delta(kind="text", text=message.text))
    deltas += [Delta(kind="call", text=call.name) for call in message.tool_calls]
    return deltas
