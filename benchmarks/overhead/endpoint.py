"""A Chat Completions endpoint with no latency: `steps` shell calls, then a closing text. It notes what came when."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any


def chunk(delta: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
    if usage:
        choice["usage"] = usage
    data = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "kimi-k2.6",
        "choices": [choice],
    }
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def answer(step: int, steps: int) -> bytes:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    if step >= steps:
        parts = [chunk({"role": "assistant", "content": "Done"}), chunk({}, "stop", usage)]
    else:
        call = {"index": 0, "id": f"shell:{step}", "type": "function"}
        head = call | {"function": {"name": "shell", "arguments": ""}}
        body = {"index": 0, "function": {"arguments": json.dumps({"command": f"echo step-{step}"})}}
        parts = [
            chunk({"role": "assistant", "reasoning_content": "next"}),
            chunk({"tool_calls": [head]}),
            chunk({"tool_calls": [body]}),
            chunk({}, "tool_calls", usage),
        ]
    return b"".join(parts) + b"data: [DONE]\n\n"


class Endpoint:
    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.requests: list[dict[str, Any]] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = None
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ),
                0,
            )
            body = await reader.readexactly(length)
            arrived = time.monotonic()
            if head.startswith(b"GET /stats"):
                self.reply(
                    writer, json.dumps({"requests": self.requests, "connections": self.connections}).encode()
                )
                await writer.drain()
                continue
            if number is None:
                self.connections += 1
                number = self.connections
            messages = json.loads(body)["messages"]
            step = sum(m["role"] == "assistant" for m in messages)
            self.reply(writer, answer(step, self.steps), kind=b"text/event-stream")
            await writer.drain()
            self.requests.append({"arrived": arrived, "answered": time.monotonic(), "body": body.decode()})
        writer.close()

    def reply(self, writer: asyncio.StreamWriter, data: bytes, *, kind: bytes = b"application/json") -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind
        writer.write(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))


async def main(steps: int) -> None:
    endpoint = Endpoint(steps)
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
