"""An endpoint on loopback that follows a script: the whole client without a provider, for the demo."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

MODEL = "kimi-k2.6"
_LARGEST = 64 * 1024 * 1024


class ScriptedEndpoint:
    """Speaks just enough Chat Completions: one streamed answer per request, GET /models.

    The answer is chosen by the number of assistant messages in the request, so a session that is resumed and
    asks again gets the same one. Each answer is a mapping like
    `{"reasoning": "…", "text": "…", "calls": [{"name": "shell", "arguments": {"command": "ls"}}]}`, every key
    optional. It checks nothing: a strict server is a matter of the tests.

        async with ScriptedEndpoint(answers) as endpoint:
            … endpoint.base_url …
    """

    def __init__(self, answers: Sequence[Mapping[str, Any]], *, pause: float = 0.0) -> None:
        """`pause`: seconds between the pieces of an answer, for people who watch."""
        self._answers = tuple(answers)
        self._pause = pause
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._before = b""
        self.base_url = ""
        self.connections = 0
        """How many were opened so far."""

    async def __aenter__(self) -> ScriptedEndpoint:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            # Connections that a client keeps open must not hold up the end.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), 1.0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            while await self._serve_one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, ValueError):
            # A client that goes away or talks nonsense has no claim on an answer.
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line = await reader.readline()
        if not line:
            return False
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := await reader.readline()) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        if size > _LARGEST:
            return False
        body = await reader.readexactly(size)
        if method == "GET" and path.endswith("/models"):
            _send_json(writer, 200, {"object": "list", "data": [{"id": MODEL, "context_length": 262_144}]})
        elif method == "POST" and path.endswith("/chat/completions"):
            await self._answer(writer, body)
        else:
            _send_error(writer, 404, "resource_not_found_error", f"nothing is served at {path}")
        await writer.drain()
        return headers.get("connection", "").lower() != "close"

    async def _answer(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        request = json.loads(body)
        step = sum(m.get("role") == "assistant" for m in request.get("messages", ()))
        if step >= len(self._answers):
            message = f"the script has {len(self._answers)} answers; this request asks for number {step + 1}"
            _send_error(writer, 400, "invalid_request_error", message)
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        async for event in self._events(step, body, str(request.get("model") or MODEL)):
            data = b"data: " + event + b"\n\n"
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            if self._pause:
                await writer.drain()
        writer.write(b"0\r\n\r\n")

    async def _events(self, step: int, body: bytes, model: str) -> AsyncIterator[bytes]:
        answer = self._answers[step]
        head = {"id": f"chatcmpl-{step}", "object": "chat.completion.chunk", "created": 0, "model": model}

        def chunk(delta: Mapping[str, Any], **more: Any) -> bytes:
            choice = {"index": 0, "delta": delta, "finish_reason": None, **more}
            return json.dumps({**head, "choices": [choice]}, separators=(",", ":")).encode()

        deltas = list(_deltas(answer))
        for delta in deltas:
            yield chunk(delta)
            if self._pause:
                await asyncio.sleep(self._pause)
        calls = answer.get("calls") or ()
        usage = self._count(body, sum(len(json.dumps(d)) for d in deltas))
        yield chunk({}, finish_reason="tool_calls" if calls else "stop", usage=usage)
        yield b"[DONE]"

    def _count(self, body: bytes, said: int) -> dict[str, int]:
        """Tokens at four bytes each; cached is what the request shares with the one before, in blocks of 256."""
        shared = _shared(self._before, body)
        self._before = body
        prompt, output = len(body) // 4, (said + 3) // 4
        return {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "cached_tokens": shared // 1024 * 256,
        }


def _deltas(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Reasoning, then text, both by words, then calls: the order in which Kimi sends them."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for key, field in (("reasoning", "reasoning_content"), ("text", "content")):
        text = str(answer.get(key) or "")
        deltas += [{field: piece} for piece in _pieces(text)]
    for i, call in enumerate(answer.get("calls") or ()):
        arguments = call.get("arguments") or {}
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        function = {"name": call["name"], "arguments": ""}
        opening = {"index": i, "id": f"{call['name']}:{i}", "type": "function", "function": function}
        deltas.append({"tool_calls": [opening]})
        deltas.append({"tool_calls": [{"index": i, "function": {"arguments": text}}]})
    return deltas


def _shared(a: bytes, b: bytes) -> int:
    """Length of the common prefix, by halving: byte by byte would be the slowest part of a long session."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _pieces(text: str, words: int = 6) -> list[str]:
    parts = text.split(" ")
    cut = [" ".join(parts[i : i + words]) for i in range(0, len(parts), words)]
    return [piece + (" " if i < len(cut) - 1 else "") for i, piece in enumerate(cut) if text]


def _send_json(writer: asyncio.StreamWriter, status: int, value: Any) -> None:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)


def _send_error(writer: asyncio.StreamWriter, status: int, kind: str, message: str) -> None:
    _send_json(writer, status, {"error": {"type": kind, "message": message}})
