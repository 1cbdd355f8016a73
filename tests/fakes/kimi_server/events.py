"""An answer as the bytes of a response body, in each of the shapes that servers give it."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.kimi_server.script import Answer


def body_of(answer: Answer, *, model: str, prompt: int, cached: int) -> bytes:
    """The event stream (or, for plain_json, the JSON object) of an answer."""
    output = max(
        1, (len(answer.text) + len(answer.think or "") + sum(len(c.arguments) for c in answer.calls)) // 4
    )
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    if answer.shape == "plain_json":
        return _plain(answer, model, {**usage, "cached_tokens": cached})
    events = _chunks(answer, model, usage, cached)
    end, space = ("\r\n" if answer.shape == "crlf" else "\n"), ("" if answer.shape == "no_space" else " ")
    lines = []
    if answer.shape == "comments":
        lines.append(f": waiting{end}{end}event: ping{end}id: 7{end}{end}")
    for event in events:
        text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        lines.append(f"data:{space}{text}{end}{end}")
        if answer.shape == "comments":
            lines.append(f": keep-alive{end}")
    return "".join(lines).encode()


def _chunks(answer: Answer, model: str, usage: dict[str, int], cached: int) -> list[dict[str, Any] | str]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    shape = answer.shape

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
        if "choice_usage" in more:
            choice["usage"] = more.pop("choice_usage")
        return {**head, "choices": [choice], **more}

    events: list[dict[str, Any] | str] = []
    if shape == "empty_choices":
        return [{**head, "choices": []}, {**head, "choices": [], "usage": usage}, "[DONE]"]
    opening: dict[str, Any] = {"role": "assistant", "content": None if shape == "null_content" else ""}
    if answer.think == "":
        opening[answer.field] = ""
    events.append(chunk(opening))
    events += [chunk({answer.field: piece}) for piece in _pieces(answer.think or "", answer.chunk)]
    if shape == "error_inside":
        error = answer.error or {"type": "server_error", "message": "it broke"}
        return [*events, {"error": error}]
    if shape == "message_once":
        events += [
            {**head, "choices": [{"index": 0, "message": {"content": answer.text}, "finish_reason": None}]}
        ]
    else:
        events += [chunk({"content": piece}) for piece in _pieces(answer.text, answer.chunk)]
    events += [chunk({"tool_calls": [piece]}) for piece in _calls(answer)]
    finish = answer.finish or ("tool_calls" if answer.calls else "stop")
    last = chunk({}, None if shape == "no_finish" else finish)
    if answer.usage == "choice":
        last["choices"][0]["usage"] = {**usage, "cached_tokens": cached}
    elif answer.usage == "chunk":
        last["usage"] = {**usage, "cached_tokens": cached}
    elif answer.usage == "split":
        last["choices"][0]["usage"] = {**usage, "cached_tokens": cached, "completion_tokens": 0}
    events.append(last)
    if answer.usage in ("extra", "split"):
        events.append(
            {
                **head,
                "choices": [],
                "usage": {
                    **usage,
                    **({"cached_tokens": cached} if answer.usage == "extra" else {"cached_tokens": None}),
                },
            }
        )
    elif answer.usage == "details":
        events.append(
            {**head, "choices": [], "usage": {**usage, "prompt_tokens_details": {"cached_tokens": cached}}}
        )
    if shape != "no_done":
        events.append("[DONE]")
    return events


def _calls(answer: Answer) -> list[dict[str, Any]]:
    """The pieces of all calls, in the shape asked for."""
    pieces: list[dict[str, Any]] = []
    shape = answer.shape
    for i, one in enumerate(answer.calls):
        wire_id = one.id or f"{one.name}:{i}"
        index: dict[str, Any] = (
            {} if shape == "missing_index" else {"index": 0 if shape == "same_index" else i}
        )
        first: dict[str, Any] = {**index, "id": wire_id, "type": "function"}
        parts = _pieces(one.arguments, answer.chunk)
        if shape == "late_name":
            pieces.append({**first, "function": {"arguments": ""}})
            pieces.append({**index, "function": {"name": one.name}})
        elif shape == "arguments_first":
            pieces.append({**first, "function": {"arguments": parts[0] if parts else ""}})
            pieces.append({**index, "function": {"name": one.name}})
            parts = parts[1:]
        elif shape == "null_arguments":
            pieces.append({**first, "function": {"name": one.name, "arguments": None}})
        else:
            pieces.append({**first, "function": {"name": one.name, "arguments": ""}})
        again = {"name": one.name} if shape == "whole_name_again" else {}
        same = {"id": wire_id} if shape == "missing_index" and i % 2 else {}
        pieces += [{**index, **same, "function": {**again, "arguments": part}} for part in parts]
    return pieces


def _plain(answer: Answer, model: str, usage: dict[str, int]) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.think is not None:
        message[answer.field] = answer.think
    if answer.calls:
        message["tool_calls"] = [
            {
                "id": c.id or f"{c.name}:{i}",
                "type": "function",
                "function": {"name": c.name, "arguments": c.arguments},
            }
            for i, c in enumerate(answer.calls)
        ]
    finish = answer.finish or ("tool_calls" if answer.calls else "stop")
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps(
        {"id": "chatcmpl-1", "model": model, "choices": [choice], "usage": usage}, indent=1
    ).encode()


def _pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]
