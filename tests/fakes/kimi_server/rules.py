"""Kimi's rules for a request, with the texts in which it refuses (source: the fact sheet on Kimi's API)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tests.fakes.kimi_server.mfjs import schema_fault

FIELDS = frozenset(
    (
        *("model", "messages", "tools", "tool_choice", "stream", "stream_options", "stop", "n", "top_p"),
        *("max_completion_tokens", "max_tokens", "thinking", "prompt_cache_key", "response_format"),
        *("temperature", "presence_penalty", "frequency_penalty", "safety_identifier", "reasoning_effort"),
    )
)
_name = re.compile(r"[a-zA-Z_][a-zA-Z0-9-_]{2,63}")
_called_name = re.compile(r"[a-zA-Z_][a-zA-Z0-9-_]{0,127}")


class Refused(Exception):
    """A request that Kimi answers with an error."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class Rules:
    """What this endpoint serves and how much it takes."""

    models: tuple[str, ...] = ("kimi-k2.6",)
    window: int = 262_144
    keys: tuple[str, ...] = ()
    """Keys that are accepted; empty: any."""

    def check_key(self, authorization: str) -> None:
        key = authorization.removeprefix("Bearer ").strip()
        if not key or (self.keys and key not in self.keys):
            raise Refused("Invalid Authentication", status=401, kind="invalid_authentication_error")

    def check(self, raw: bytes) -> dict[str, Any]:
        """The parsed body of a request that Kimi would take. Raises Refused."""
        try:
            body = json.loads(raw)
        except ValueError:
            raise Refused("Invalid request: the body is not JSON") from None
        if not isinstance(body, dict):
            raise Refused("Invalid request: the body is not an object")
        if body.get("model") not in self.models:
            text = f"Not found the model {body.get('model')} or Permission denied"
            raise Refused(text, status=404, kind="resource_not_found_error")
        for field in body:
            if field not in FIELDS:
                raise Refused(f"Invalid request: unknown field {field}")
        thinking = _check_thinking(body)
        _check_sampling(body, thinking)
        _check_tools(body, thinking)
        check_messages(body.get("messages"), thinking=thinking)
        self._check_size(raw, body)
        return body

    def _check_size(self, raw: bytes, body: dict[str, Any]) -> None:
        cap = body.get("max_completion_tokens", body.get("max_tokens", 1024))
        if not isinstance(cap, int) or cap < 1:
            raise Refused(f"Invalid request: max_completion_tokens {cap!r} is illegal")
        prompt = len(raw) // 4
        if prompt + cap > self.window:
            raise Refused(
                f"Invalid request: Your request exceeded model token limit: {self.window} (requested: {prompt + cap})"
            )


def _check_thinking(body: dict[str, Any]) -> bool:
    thinking = body.get("thinking", {"type": "enabled"})
    if not isinstance(thinking, dict):
        raise Refused("the thinking field in the request (expected type object) is illegal")
    if thinking.get("type") not in ("enabled", "disabled") or set(thinking) - {"type", "keep"}:
        raise Refused("the thinking field in the request is illegal")
    if thinking.get("keep") not in (None, "all"):
        raise Refused("thinking.keep is illegal")
    if "reasoning_effort" in body:
        if "thinking" in body:
            raise Refused("cannot specify both 'thinking' and 'reasoning_effort'")
        raise Refused("reasoning_effort is not supported by this model")
    return bool(thinking["type"] == "enabled")


def _check_sampling(body: dict[str, Any], thinking: bool) -> None:
    locked = {
        "temperature": 1 if thinking else 0.6,
        "top_p": 0.95,
        "n": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
    }
    for field, value in locked.items():
        if field in body and body[field] != value:
            raise Refused(f"invalid {field}: only {value} is allowed for this model")
    stop = body.get("stop", [])
    stop = [stop] if isinstance(stop, str) else stop
    if len(stop) > 5 or any(len(s.encode()) > 32 for s in stop):
        raise Refused("Invalid request: stop is illegal")


def _check_tools(body: dict[str, Any], thinking: bool) -> None:
    tools = body.get("tools", [])
    if "tools" in body and (not isinstance(tools, list) or not tools or len(tools) > 128):
        raise Refused("Invalid request: tools must hold 1 to 128 tools")
    seen = set()
    for tool in tools:
        function = tool.get("function") or {}
        name = function.get("name", "")
        if tool.get("type") != "function" or not _name.fullmatch(name):
            raise Refused(f"Invalid request: function name {name!r} is invalid")
        if name in seen:
            raise Refused(f"function name {name} is duplicated")
        seen.add(name)
        if not isinstance(function.get("description", ""), str):
            raise Refused("Invalid request: function description must be a string")
        fault = schema_fault(function.get("parameters"))
        if fault:
            raise Refused(
                f"tools.function.parameters is not a valid moonshot flavored json schema, details: <{fault}>"
            )
    choice = body.get("tool_choice", "auto")
    if thinking and choice == "required":
        raise Refused("tool_choice 'required' is incompatible with thinking enabled")
    if thinking and isinstance(choice, dict):
        raise Refused("tool_choice 'specified' is incompatible with thinking enabled")


def check_messages(messages: Any, *, thinking: bool) -> None:
    """The rules for a history. Raises Refused."""
    if not isinstance(messages, list) or not messages:
        raise Refused("Invalid request: messages must not be empty")
    waiting: list[str] = []
    for i, message in enumerate(messages):
        role = message.get("role")
        if role not in ("system", "user", "assistant", "tool"):
            raise Refused(f"Invalid request: role {role!r} is illegal")
        if role != "tool" and waiting:
            raise Refused(_unanswered(waiting))
        _check_content(i, message)
        if role == "tool":
            wire_id = message.get("tool_call_id")
            if wire_id not in waiting:
                raise Refused(f"Invalid request: tool_call_id {wire_id} is not found")
            waiting.remove(wire_id)
        elif role == "assistant":
            waiting = _check_calls(i, message, thinking)
    if waiting:
        raise Refused(_unanswered(waiting))


def _unanswered(ids: list[str]) -> str:
    return (
        "an assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(ids)}"
    )


def _check_content(i: int, message: dict[str, Any]) -> None:
    content, role = message.get("content"), message["role"]
    if isinstance(content, list):
        if not content:
            raise Refused("Invalid request: content must not be empty")
        for part in content:
            _check_part(part)
    elif content is not None and not isinstance(content, str):
        raise Refused("Invalid request: content is illegal")
    elif content == "" and message.get("tool_calls"):
        raise Refused("Invalid request: text content is empty")
    elif not content and not message.get("tool_calls"):
        raise Refused(f"Invalid request: message at position {i} with role '{role}' must not be empty")


def _check_part(part: dict[str, Any]) -> None:
    kind = part.get("type")
    if kind == "text":
        if not part.get("text"):
            raise Refused("Invalid request: text content is empty")
        return
    if kind not in ("image_url", "video_url"):
        raise Refused(f"Invalid request: part type {kind!r} is illegal")
    value = part.get(kind)
    url = value.get("url", "") if isinstance(value, dict) else str(value)
    if not url.startswith(("data:", "ms://")) or url.startswith("data:image/svg"):
        raise Refused("Invalid request: unsupported image url")


def _check_calls(i: int, message: dict[str, Any], thinking: bool) -> list[str]:
    calls = message.get("tool_calls")
    if calls is None:
        return []
    if not isinstance(calls, list) or not calls:
        raise Refused("Invalid request: tool_calls must not be empty")
    if thinking and not isinstance(message.get("reasoning_content"), str):
        raise Refused(
            f"thinking is enabled but reasoning_content is missing in assistant tool call message at index {i}"
        )
    ids = []
    for one in calls:
        function = one.get("function") or {}
        if not one.get("id") or one["id"] in ids:
            raise Refused(f"Invalid request: tool call id {one.get('id')!r} is illegal")
        if not _called_name.fullmatch(function.get("name", "")):
            raise Refused(f"Invalid request: function name {function.get('name')!r} is invalid")
        try:
            parsed = json.loads(str(function["arguments"]))
        except (KeyError, ValueError):
            parsed = None
        if not isinstance(parsed, dict):
            raise Refused("Invalid request: function arguments must be a JSON object in a string")
        ids.append(one["id"])
    return ids
