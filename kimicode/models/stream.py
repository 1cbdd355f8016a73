"""From the bytes of a streamed answer to deltas and at last to a reply. Pure: nothing here waits."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from kimicode.core.message import Delta, FinishReason, Message, Reply, ToolCall, Usage
from kimicode.errors import ConfigError, ModelError
from kimicode.models.catalog import Backend
from kimicode.models.failure import stream_error
from kimicode.models.sse import EventReader

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
_surrogate = re.compile(r"[\ud800-\udfff]")
_wrapped_name = re.compile(r"^functions\.|:\d+$")


@dataclass(slots=True)
class _Slot:
    """A call on its way."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    announced: bool = False


class _Calls:
    """Assembles calls from their pieces, whatever order and numbering they come in."""

    def __init__(self) -> None:
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}

    def add(self, call: dict[str, Any]) -> str:
        """Take in one piece; returns the name of a call that has just become known, else ""."""
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        name = function.get("name") or ""
        slot = self._slot(call.get("index"), str(call.get("id") or ""), str(name))
        # Some gateways repeat the whole name with every piece, some send it in pieces.
        if name and name != slot.name:
            slot.name += str(name)
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            slot.arguments.append(arguments)
        elif isinstance(arguments, dict):
            slot.arguments.append(json.dumps(arguments, ensure_ascii=False))
        if slot.name and not slot.announced:
            slot.announced = True
            return _called(slot.name)
        return ""

    def finish(self) -> tuple[ToolCall, ...]:
        """All calls in order. Raises ModelError for one that never got a name."""
        calls = tuple(
            ToolCall(id=_clean(s.id), name=_called(s.name), arguments=_clean("".join(s.arguments)))
            for s in self._slots
        )
        if any(not call.name for call in calls):
            raise ModelError("The answer holds a call without a name.", kind="bad_reply", retryable=True)
        return calls

    def _slot(self, index: Any, wire_id: str, name: str) -> _Slot:
        """The call that a piece belongs to: by index, else by id, else the last one."""
        known: _Slot | None = None
        if isinstance(index, int):
            known = self._by_index.get(index)
            # A server that counts every call as 0 still gives each its own id and name.
            if known and known.id and known.name and wire_id not in ("", known.id) and name:
                known = None
        elif wire_id:
            known = next((s for s in self._slots if s.id == wire_id), None)
            if known is None and self._slots and not self._slots[-1].id:
                known = self._slots[-1]
        elif self._slots and not (name and self._slots[-1].name):
            known = self._slots[-1]
        if known is None:
            known = _Slot()
            self._slots.append(known)
        if isinstance(index, int):
            self._by_index[index] = known
        known.id = known.id or wire_id
        return known


class StreamParser:
    """Reads one answer. `feed` every chunk of the body as it came, then `finish` once."""

    def __init__(self, backend: Backend, *, model: str = "", prompt_bytes: int = 0) -> None:
        """`prompt_bytes`: size of the request, from which tokens are estimated if the server counts none."""
        self._backend = backend
        self._model = model
        self._prompt_bytes = prompt_bytes
        self._events = EventReader()
        self._text: list[str] = []
        self._reasoning: list[str] | None = None
        self._calls = _Calls()
        self._usage: dict[str, int] = {}
        self._finish = ""
        self._chunk_id = ""
        self.done = False
        """[DONE] was read: what follows is not part of the answer."""

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas that a chunk completes. Raises what the server reports inside the stream (failure.py)."""
        deltas: list[Delta] = []
        for data in self._events.feed(chunk):
            self._read(data, deltas)
        return deltas

    def finish(self, *, trace_id: str = "", seconds: float = 0.0) -> Reply:
        """The whole answer. Raises ModelError: `stream_cut` when the end is missing, `bad_reply`, `content_filter`."""
        deltas: list[Delta] = []
        for data in self._events.finish():
            try:
                self._read(data, deltas)
            except ModelError as error:
                # Half an event at the end of the body is what a cut leaves.
                if error.kind != "bad_reply":
                    raise
        if not self._chunk_id and not self._text and self._events.other.lstrip().startswith(b"{"):
            self._read(self._events.other, deltas)
            self.done = True
        if self._events.other.lstrip().startswith(b"<"):
            raise ConfigError(
                "The address answers with a web page, not with a model's answer.",
                hint="The base URL usually ends with /v1, e.g. https://api.moonshot.ai/v1",
            )
        whole = self.done or (bool(self._finish) and not self._backend.needs_done)
        if not whole:
            raise ModelError(
                "The answer broke off before its end.",
                hint="It is thrown away and asked for again.",
                kind="stream_cut",
                retryable=True,
            )
        if self._finish == "content_filter":
            raise ModelError(
                "The provider's content filter stopped the answer.",
                hint="Asking again does not help; say the task in other words.",
                kind="content_filter",
            )
        return self._reply(trace_id or self._chunk_id, seconds)

    def _reply(self, trace_id: str, seconds: float) -> Reply:
        calls = self._calls.finish()
        reasoning = None if self._reasoning is None else _clean("".join(self._reasoning))
        message = Message(
            role="assistant", text=_clean("".join(self._text)), reasoning=reasoning, tool_calls=calls
        )
        finish = _FINISH.get(self._finish, "unknown")
        # Engines differ in what they report after calls; only `length` says that something is missing.
        if calls and finish != "length":
            finish = "tool_calls"
        return Reply(
            message=message,
            usage=self._count(message),
            finish=finish,
            model=_clean(self._model),
            trace_id=_clean(trace_id),
            seconds=seconds,
        )

    def _read(self, data: bytes, deltas: list[Delta]) -> None:
        data = data.strip()
        if not data or self.done:
            return
        if data == b"[DONE]":
            self.done = True
            return
        try:
            payload = json.loads(data)
        except (ValueError, RecursionError):
            parts = data.split(b"\n")
            if len(parts) < 2:
                raise ModelError(
                    "The answer holds an event that is no JSON.", kind="bad_reply", retryable=True
                ) from None
            # Events without the empty line between them arrive as one.
            for part in parts:
                self._read(part, deltas)
            return
        if isinstance(payload, dict):
            self._read_chunk(payload, deltas)

    def _read_chunk(self, chunk: dict[str, Any], deltas: list[Delta]) -> None:
        if chunk.get("error"):
            raise stream_error(chunk["error"])
        self._chunk_id = str(chunk.get("id") or self._chunk_id)
        self._model = str(chunk.get("model") or self._model)
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict):
            self._add_usage(choice.get("usage"))
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict):
                self._read_delta(delta, deltas)
            if isinstance(choice.get("finish_reason"), str):
                self._finish = choice["finish_reason"]
        self._add_usage(chunk.get("usage"))

    def _read_delta(self, delta: dict[str, Any], deltas: list[Delta]) -> None:
        reasoning = next(
            (t for f in self._backend.reasoning_in if (t := _text_of(delta.get(f))) is not None), None
        )
        if reasoning is not None:
            self._reasoning = self._reasoning or []
            self._reasoning.append(reasoning)
            if reasoning:
                deltas.append(Delta(kind="reasoning", text=_clean(reasoning)))
        text = _text_of(delta.get("content"))
        if text:
            self._text.append(text)
            deltas.append(Delta(kind="text", text=_clean(text)))
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and (name := self._calls.add(call)):
                deltas.append(Delta(kind="call", text=name))

    def _add_usage(self, usage: Any) -> None:
        """Three places may count, each perhaps in part: the last number of each kind wins."""
        if not isinstance(usage, dict):
            return
        details = usage.get("prompt_tokens_details")
        more = usage.get("completion_tokens_details")
        found = {
            "input": usage.get("prompt_tokens"),
            "output": usage.get("completion_tokens"),
            "cached": usage.get("cached_tokens"),
            "reasoning": more.get("reasoning_tokens") if isinstance(more, dict) else None,
        }
        if found["cached"] is None and isinstance(details, dict):
            found["cached"] = details.get("cached_tokens")
        self._usage.update({k: v for k, v in found.items() if isinstance(v, int) and not isinstance(v, bool)})

    def _count(self, message: Message) -> Usage:
        """Tokens as counted by the server; what it left out is estimated (four characters a token)."""
        thought = len(message.reasoning or "")
        said = len(message.text) + sum(len(c.name) + len(c.arguments) for c in message.tool_calls)
        given = self._usage
        total = given.get("input", self._prompt_bytes // 4)
        output = given.get("output", (thought + said + 3) // 4)
        share = output * thought // (thought + said) if thought + said else 0
        return Usage(
            input=total,
            cached=min(given.get("cached", 0), total),
            output=output,
            reasoning=min(given.get("reasoning", share), output),
        )


def _called(name: str) -> str:
    """The name as declared: models put the wrapping of their own call ids around it."""
    return _clean(_wrapped_name.sub("", name.strip()))


def _clean(text: str) -> str:
    """Text without lone surrogates: JSON can escape half a character, which no file and no socket takes."""
    if text.isascii() or not _surrogate.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text_of(value: Any) -> str | None:
    """Text of a field that is a string or a list of parts; None when it is not there."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [p.get("text") or p.get("summary") or "" for p in value if isinstance(p, dict)]
        return "".join(p for p in parts if isinstance(p, str))
    return None
