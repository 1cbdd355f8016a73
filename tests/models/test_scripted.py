"""Models without a provider: the script, the replay, the recorder and the endpoint of the demo."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path

import pytest

from kimicode.core.message import Message
from kimicode.errors import ModelError
from kimicode.models.catalog import resolve
from kimicode.models.chat import ChatModel
from kimicode.models.keys import Key
from kimicode.models.scripted import ReplayModel, ScriptedModel, make_reply
from kimicode.models.scripted_endpoint import ScriptedEndpoint
from kimicode.models.wrap import Recording, digest_request, read_cassette
from tests.models.asking import SYSTEM, TASK, collect, converse, request, run

REPLIES = (
    make_reply("Look.", ("shell", {"command": "ls"}), ("read_file", {"path": "a.py"}), reasoning="first"),
    make_reply("", ("shell", {"command": "pytest"})),
    make_reply("Done."),
)
ANSWERS = (
    {
        "reasoning": "first I look around, then I think about what I have seen",
        "text": "Look.",
        "calls": [
            {"name": "shell", "arguments": {"command": "ls 'ä'"}},
            {"name": "read_file", "arguments": {"path": "a.py"}},
        ],
    },
    {"calls": [{"name": "shell", "arguments": '{"command": "pytest"}'}]},
    {"text": "Done, and every word of it is here:  two spaces too."},
)


def test_the_script_answers_by_the_number_of_answers_before() -> None:
    model = ScriptedModel(REPLIES)
    messages = run(lambda: converse(model, 3))
    assert [m.text for m in messages if m.role == "assistant"] == ["Look.", "", "Done."]
    # A session that is resumed asks again and hears the same.
    again = run(lambda: collect(model, request(*messages[1:5])))[1]
    assert again == REPLIES[1]
    with pytest.raises(ModelError, match="3 answers") as caught:
        run(lambda: collect(model, request(*messages[1:])))
    assert caught.value.kind == "script_end" and not caught.value.retryable


def test_replay_gives_what_was_recorded(tmp_path: Path) -> None:
    cassette = tmp_path / "cassette.jsonl"
    seen = run(lambda: converse(Recording(ScriptedModel(REPLIES), cassette), 3))
    assert read_cassette(cassette) == REPLIES
    assert run(lambda: converse(ReplayModel(read_cassette(cassette)), 3)) == seen
    rows = [json.loads(line) for line in cassette.read_text().splitlines()]
    assert rows[0]["request"] == digest_request(request(TASK, session_id="another"))
    assert len({r["request"] for r in rows}) == 3


def test_the_endpoint_is_spoken_to_by_the_real_client() -> None:
    async def main() -> list[Message]:
        async with ScriptedEndpoint(ANSWERS) as endpoint:
            model = ChatModel(resolve("kimi-k2.6", endpoint.base_url), Key("none", ""))
            try:
                assert await model.served() == ("kimi-k2.6",)
                messages = await converse(model, 3)
                again = (await collect(model, request(*messages[1:5])))[1]
                assert again.message == messages[5]
                with pytest.raises(ModelError, match="the script has 3 answers"):
                    await collect(model, request(*messages[1:]))
            finally:
                await model.close()
            assert endpoint.connections == 1
        return messages

    messages = asyncio.run(main())
    said = [m for m in messages if m.role == "assistant"]
    assert [m.text for m in said] == ["Look.", "", ANSWERS[2]["text"]]
    assert said[0].reasoning == ANSWERS[0]["reasoning"]
    assert json.loads(said[0].tool_calls[0].arguments) == {"command": "ls 'ä'"}
    assert [c.id for c in said[0].tool_calls] == ["shell:0", "read_file:1"]
    assert said[1].tool_calls[0].arguments == '{"command": "pytest"}'
    assert messages[0] == SYSTEM


def test_the_endpoint_counts_what_repeats_as_cached() -> None:
    async def main() -> list[int]:
        async with ScriptedEndpoint(ANSWERS) as endpoint:
            model = ChatModel(resolve("kimi-k2.6", endpoint.base_url), Key("none", ""))
            long = Message(role="user", text="x" * 9_000)
            counts = [(await collect(model, request(long)))[1].usage.cached for _ in range(2)]
            await model.close()
        return counts

    first, second = asyncio.run(main())
    assert first == 0 and second > 2_000


def test_the_endpoint_refuses_what_it_does_not_know() -> None:
    async def main() -> tuple[int, int]:
        async with ScriptedEndpoint(ANSWERS) as endpoint:
            port = int(endpoint.base_url.rsplit(":", 1)[1].split("/")[0])
            statuses = [await asyncio.to_thread(probe, port, *ask) for ask in (("GET", "/x"), ("POST", "/y"))]
        return statuses[0], statuses[1]

    def probe(port: int, method: str, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, path, b"{}" if method == "POST" else None)
        status = connection.getresponse().status
        connection.close()
        return status

    assert asyncio.run(main()) == (404, 404)
