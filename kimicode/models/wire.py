"""From the history to the bytes of a request, grown by appending: what was sent before is never made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from kimicode.core.message import Message, ModelRequest, ToolSpec
from kimicode.errors import ConfigError
from kimicode.models.catalog import Backend
from kimicode.models.schema import NAME, normalise
from kimicode.models.turns import TurnWriter, find_fault

RESERVE = 1024
"""Tokens kept free between prompt, cap and window: the local count is an estimate."""
LEAST_CAP = 2048
MOST_TOOLS = 128


class Wire:
    """Makes the bodies of one conversation.

    A body is `{"model":…,"tools":[…],"messages":[…` and after that whatever may change from step to step, so
    that everything up to the last message of a request is found byte for byte in the next. Turns are encoded
    once and found again: a history that only grows costs what was added, plus one copy.
    """

    def __init__(self, backend: Backend, *, window: int, keep_reasoning: bool = False) -> None:
        self._backend = backend
        self._window = window
        self._keep = keep_reasoning
        self._tools: tuple[ToolSpec, ...] | None = None
        self._tool_bytes = b""
        self._turns: list[tuple[tuple[Message, ...], int, int]] = []
        """Messages of each turn, where its bytes end in `_body`, and the id counter after it."""
        self._body = bytearray()
        self.encoded = 0
        """Messages encoded so far, for whoever wants to know that nothing is encoded twice."""

    def body(self, request: ModelRequest, model: str) -> bytes:
        """The whole request as JSON. Raises ConfigError for tools that cannot be declared."""
        # Equal tuples of the same specs: comparing them compares identities.
        if request.tools != self._tools:
            self._tool_bytes = _tools_json(request.tools)
            self._tools = request.tools
        self._write_turns(request.messages)
        head = b'{"model":' + encode(model) + self._tool_bytes + b',"messages":['
        size = len(head) + len(self._body)
        tail = encode(self._options(request, size))[1:]
        return b"".join((head, self._body, b"],", tail))

    def cap(self, request: ModelRequest, size: int) -> int:
        """Output tokens to ask for: what was wished, unless the window is nearly full (three bytes a token)."""
        room = self._window - size // 3 - RESERVE
        return max(min(request.max_output, room), min(LEAST_CAP, request.max_output))

    def _options(self, request: ModelRequest, size: int) -> dict[str, Any]:
        backend = self._backend
        options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        options[backend.cap_field] = self.cap(request, size)
        if backend.thinking == "object":
            thinking: dict[str, Any] = {"type": "enabled" if request.thinking else "disabled"}
            if self._keep and request.thinking:
                thinking["keep"] = "all"
            options["thinking"] = thinking
        elif backend.thinking == "template":
            options["chat_template_kwargs"] = {"thinking": request.thinking}
        elif backend.thinking == "reasoning":
            options["reasoning"] = {"enabled": request.thinking}
        if backend.sends_sampling:
            options["temperature"] = 1.0 if request.thinking else 0.6
            options["top_p"] = 0.95
        if backend.sends_cache_key and request.session_id:
            options["prompt_cache_key"] = request.session_id
        return options

    def _write_turns(self, messages: Sequence[Message]) -> None:
        turns = list(split_turns(messages))
        same = 0
        for (known, _, _), turn in zip(self._turns, turns, strict=False):
            if known != turn:  # messages that are the same object are not looked into
                break
            same += 1
        del self._turns[same:]
        end, counter = (self._turns[-1][1], self._turns[-1][2]) if self._turns else (0, 0)
        del self._body[end:]
        writer = TurnWriter(self._backend, counter)
        for turn in turns[same:]:
            for wire in writer.write(turn):
                if self._body:
                    self._body += b","
                self._body += encode(wire)
                self.encoded += 1
            self._turns.append((turn, len(self._body), writer.counter))


def split_turns(messages: Sequence[Message]) -> Iterator[tuple[Message, ...]]:
    """Cut a history before each assistant message: repairs never look further than one such turn."""
    start = 0
    for i, message in enumerate(messages):
        if message.role == "assistant" and i > start:
            yield tuple(messages[start:i])
            start = i
    if start < len(messages):
        yield tuple(messages[start:])


def wire_messages(messages: Sequence[Message], backend: Backend) -> list[dict[str, Any]]:
    """The repaired wire form of a whole history, for tests and for people; requests use `Wire`."""
    writer = TurnWriter(backend)
    wire = [message for turn in split_turns(messages) for message in writer.write(turn)]
    fault = find_fault(wire, backend)
    if fault:
        raise AssertionError(fault)
    return wire


def encode(value: Any) -> bytes:
    """JSON in UTF-8, as short as it gets. A lone surrogate (a broken file name) becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _tools_json(tools: tuple[ToolSpec, ...]) -> bytes:
    if not tools:
        return b""
    seen: set[str] = set()
    for tool in tools:
        if not NAME.fullmatch(tool.name):
            raise ConfigError(
                f"The tool name {tool.name!r} cannot be declared to the model.",
                hint="Names have 3 to 64 letters, digits, _ or -, and begin with a letter or _.",
            )
        if tool.name in seen:
            raise ConfigError(f"Two tools are called {tool.name}.", hint="Rename or leave out one of them.")
        seen.add(tool.name)
    if len(tools) > MOST_TOOLS:
        raise ConfigError(f"{len(tools)} tools are declared; the endpoint takes {MOST_TOOLS}.")
    declared = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": normalise(tool.parameters),
            },
        }
        for tool in tools
    ]
    return b',"tools":' + encode(declared)
