"""The wire form of one turn, repaired so that no server has a reason to refuse it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from kimicode.core.message import Message, ToolCall
from kimicode.models.catalog import Backend

INTERRUPTED = "interrupted, outcome unknown"
"""Result of a call that never got one."""
NO_OUTPUT = "(no output)"
"""Result of a call that said nothing: the endpoint refuses empty content."""

_FUNCTION_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,127}")


class TurnWriter:
    """Writes turns in order. A turn begins with an assistant message (only the first may begin otherwise)."""

    def __init__(self, backend: Backend, counter: int = 0) -> None:
        self._backend = backend
        self.counter = counter
        """Calls written so far in the conversation: the IDX of rewritten ids."""

    def write(self, turn: Sequence[Message]) -> list[dict[str, Any]]:
        """Wire messages of a turn; none when nothing of it may be sent.

        Every call gets exactly one result, in the order of the calls, right behind them: results that are
        missing are made up, results without a call and turns without words or calls are left out.
        """
        wire: list[dict[str, Any]] = []
        rest = turn
        if turn and turn[0].role == "assistant":
            rest = turn[1:]
            wire += self._assistant(turn[0], [m for m in rest if m.role == "tool"])
        wire += [w for m in rest if m.role in ("system", "user") for w in _said(m)]
        fault = find_fault(wire, self._backend)
        if fault:
            raise AssertionError(f"{fault} (a defect of kimicode: the request was not sent)")
        return wire

    def _assistant(self, message: Message, results: list[Message]) -> list[dict[str, Any]]:
        calls = message.tool_calls
        if not calls and not message.text.strip():
            return []
        wire: dict[str, Any] = {"role": "assistant"}
        # Empty text beside calls is refused ("text content is empty"), a missing key is not.
        if message.text.strip():
            wire["content"] = message.text
        reasoning = message.reasoning
        if reasoning is None and calls and self._backend.needs_reasoning:
            reasoning = ""
        if reasoning is not None and (reasoning or self._backend.needs_reasoning):
            wire.update(dict.fromkeys(self._backend.reasoning_out, reasoning))
        if not calls:
            return [wire]
        ids = self._ids(calls)
        wire["tool_calls"] = [
            {
                "id": wire_id,
                "type": "function",
                "function": {"name": wire_name(call.name), "arguments": wire_arguments(call.arguments)},
            }
            for wire_id, call in zip(ids, calls, strict=True)
        ]
        texts = _match(calls, results)
        answers = [{"role": "tool", "tool_call_id": i, "content": t} for i, t in zip(ids, texts, strict=True)]
        return [wire, *answers]

    def _ids(self, calls: Sequence[ToolCall]) -> list[str]:
        """Ids as they were received, or in K2's native form where the server renders them verbatim.

        Kimi repeats ids between turns, which is fine, but not within one: there a second one is renamed.
        """
        ids: list[str] = []
        for call in calls:
            wire_id = call.id
            if self._backend.rewrites_ids:
                wire_id = f"functions.{wire_name(call.name)}:{self.counter}"
            number = self.counter
            while not wire_id or wire_id in ids:
                wire_id = f"{wire_name(call.name)}:{number}"
                number += 1
            ids.append(wire_id)
            self.counter += 1
        return ids


def find_fault(wire: Sequence[dict[str, Any]], backend: Backend) -> str:
    """What a strict server would refuse in these messages, or "". Works on whole histories and on turns."""
    open_ids: list[str] = []
    for i, message in enumerate(wire):
        role = message["role"]
        if role == "tool":
            if not open_ids or message["tool_call_id"] != open_ids.pop(0):
                return f"message {i}: the result of {message['tool_call_id']} is out of place"
        elif open_ids:
            return f"message {i}: {', '.join(open_ids)} has no result"
        calls = message.get("tool_calls", ())
        if role == "assistant":
            open_ids = [call["id"] for call in calls]
            if len(set(open_ids)) < len(open_ids) or not all(open_ids):
                return f"message {i}: ids of calls repeat or are empty"
            if calls and backend.needs_reasoning and any(f not in message for f in backend.reasoning_out):
                return f"message {i}: reasoning is missing"
        if "content" in message and not message["content"]:
            return f"message {i}: content is empty"
        if "content" not in message and not calls:
            return f"message {i}: it holds nothing"
    return f"{', '.join(open_ids)} has no result" if open_ids else ""


def wire_name(name: str) -> str:
    """A function name that servers accept: models make some up that are none."""
    if _FUNCTION_NAME.fullmatch(name):
        return name
    cleaned = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:120]
    return cleaned if _FUNCTION_NAME.fullmatch(cleaned) else f"tool_{cleaned}"


def wire_arguments(arguments: str) -> str:
    """Arguments as the model wrote them if they are a JSON object.

    Some servers parse what is replayed and would refuse the whole conversation for ever, so anything else is
    wrapped; the model has seen what was wrong with it in the call's result.
    """
    if not arguments.strip():
        return "{}"
    try:
        if isinstance(json.loads(arguments), dict):
            return arguments
    except (ValueError, RecursionError):
        pass
    return json.dumps({"malformed": arguments}, ensure_ascii=False)


def _match(calls: Sequence[ToolCall], results: list[Message]) -> list[str]:
    """The text of each call's result; the first unused one with its id."""
    left = list(results)
    texts: list[str] = []
    for call in calls:
        found = next((m for m in left if m.tool_call_id == call.id), None)
        if found is None:
            texts.append(INTERRUPTED)
            continue
        left.remove(found)
        texts.append(found.text if found.text.strip() else NO_OUTPUT)
    return texts


def _said(message: Message) -> list[dict[str, Any]]:
    if not message.media:
        return [{"role": message.role, "content": message.text}] if message.text.strip() else []
    parts: list[dict[str, Any]] = []
    for media in message.media:
        kind = "video_url" if media.mime.startswith("video/") else "image_url"
        parts.append({"type": kind, kind: {"url": f"data:{media.mime};base64,{media.data}"}})
    if message.text.strip():
        parts.append({"type": "text", "text": message.text})
    return [{"role": message.role, "content": parts}]
