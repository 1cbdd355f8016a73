"""The strict server refuses what Kimi refuses, in Kimi's words; spoken to with the standard library alone."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.kimi_server import KimiServer, Rules, Script, call, cut, overloaded, say

SYSTEM: dict[str, Any] = {"role": "system", "content": "s"}
USER: dict[str, Any] = {"role": "user", "content": "u"}


def turn(*ids: str, reasoning: str | None = "", **more: Any) -> dict[str, Any]:
    calls = [{"id": i, "type": "function", "function": {"name": "shell", "arguments": "{}"}} for i in ids]
    given = {} if reasoning is None else {"reasoning_content": reasoning}
    return {"role": "assistant", "tool_calls": calls, **given, **more}


def result(wire_id: str = "shell:0", content: str = "ok") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": wire_id, "content": content}


def tool(name: str = "shell", parameters: Any = None) -> dict[str, Any]:
    shape = {"type": "object", "properties": {}} if parameters is None else parameters
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": shape}}


def post(server: KimiServer, body: Any, key: str = "sk-1") -> tuple[int, Any]:
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", "/v1/chat/completions", raw, {"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    try:
        data = response.read()
    except http.client.IncompleteRead as error:
        data = error.partial
    connection.close()
    return response.status, json.loads(data) if response.status != 200 else data


def body(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "kimi-k2.6", "messages": list(messages or (SYSTEM, USER)), "stream": True, **more}


@pytest.fixture(scope="module")
def server() -> Any:
    with KimiServer(Script(function=lambda request: say("yes"))) as one:
        yield one


@pytest.mark.parametrize(
    "accepted",
    [
        body(),
        body(
            USER,
            turn("shell:0"),
            result(),
            USER,
            turn("shell:0", "shell:1"),
            result("shell:1"),
            result("shell:0"),
        ),
        body(USER, turn("a", reasoning=None), result("a"), thinking={"type": "disabled"}),
        body(thinking={"type": "enabled", "keep": "all"}, temperature=1.0, top_p=0.95, n=1),
        body(thinking={"type": "disabled"}, temperature=0.6, tool_choice="required", tools=[tool()]),
        body(
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
            }
        ),
        body(tools=[tool(), tool("read_file")], tool_choice="auto", max_completion_tokens=16_384),
    ],
)
def test_accepted(server: KimiServer, accepted: dict[str, Any]) -> None:
    status, data = post(server, accepted)
    assert status == 200, data
    assert data.endswith(b"data: [DONE]\n\n")


NO_TYPE = {"type": "object", "properties": {"a": {"description": "d"}}}
BESIDE = {"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}}
TUPLE = {"type": "object", "properties": {"a": {"type": "array", "items": [{"type": "string"}]}}}


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (b"{", "not JSON"),
        (body() | {"messages": []}, "messages must not be empty"),
        (
            body(USER, turn("a", reasoning=None), result("a")),
            "reasoning_content is missing in assistant tool call",
        ),
        (body(USER, turn("a"), USER), "did not have response messages: a"),
        (body(USER, turn("a", "b"), result("a")), "did not have response messages: b"),
        (body(USER, result("a")), "tool_call_id a is not found"),
        (body(USER, turn("a"), result("a"), result("a")), "tool_call_id a is not found"),
        (body(USER, turn("a", "a"), result("a"), result("a")), "tool call id 'a' is illegal"),
        (body({"role": "user", "content": ""}), "message at position 0 with role 'user' must not be empty"),
        (
            body(USER, {"role": "assistant", "content": ""}),
            "position 1 with role 'assistant' must not be empty",
        ),
        (body(USER, {"role": "assistant", "reasoning_content": "r"}), "must not be empty"),
        (body(USER, turn("a", content=""), result("a")), "text content is empty"),
        (body(USER, turn("a", content=[{"type": "text", "text": ""}]), result("a")), "text content is empty"),
        (
            body({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x"}}]}),
            "image url",
        ),
        (body({"role": "developer", "content": "x"}), "role 'developer' is illegal"),
        (body(temperature=0.2), "invalid temperature: only 1 is allowed for this model"),
        (body(temperature=1, thinking={"type": "disabled"}), "only 0.6 is allowed"),
        (body(top_p=1), "invalid top_p: only 0.95"),
        (body(n=2), "invalid n: only 1 is allowed for this model"),
        (body(presence_penalty=1), "invalid presence_penalty"),
        (body(thinking=True), "the thinking field in the request (expected type object) is illegal"),
        (body(thinking={}), "thinking field in the request is illegal"),
        (body(thinking={"type": "enabled"}, reasoning_effort="high"), "cannot specify both 'thinking'"),
        (body(tools=[tool(), tool()]), "function name shell is duplicated"),
        (body(tools=[tool("a.b")]), "function name 'a.b' is invalid"),
        (body(tools=[tool("ls")]), "function name 'ls' is invalid"),
        (body(tools=[tool(parameters={})]), "not a valid moonshot flavored json schema"),
        (body(tools=[tool(parameters=NO_TYPE)]), "At path 'properties.a': type is not defined"),
        (body(tools=[tool(parameters=BESIDE)]), "type should be defined in anyOf items"),
        (body(tools=[tool(parameters=TUPLE)]), "items must be an object"),
        (
            body(tools=[tool()], tool_choice="required"),
            "tool_choice 'required' is incompatible with thinking",
        ),
        (body(tools=[tool()], tool_choice={"type": "function"}), "tool_choice 'specified' is incompatible"),
        (body(max_completion_tokens=262_144), "Your request exceeded model token limit: 262144"),
        (body(stop=["x" * 33]), "stop is illegal"),
        (body(seed=1), "unknown field seed"),
    ],
)
def test_refused(server: KimiServer, refused: Any, text: str) -> None:
    status, data = post(server, refused)
    assert status == 400
    assert data["error"]["type"] == "invalid_request_error" and text in data["error"]["message"]
    assert server.refusals[-1] == data["error"]["message"]


def test_key_and_model() -> None:
    with KimiServer([say("hi")], rules=Rules(keys=("sk-1",), models=("kimi-k3",))) as one:
        assert post(one, body(), key="sk-2") == (
            401,
            {"error": {"type": "invalid_authentication_error", "message": "Invalid Authentication"}},
        )
        status, data = post(one, body())
    assert (status, data["error"]["type"]) == (404, "resource_not_found_error")
    assert data["error"]["message"] == "Not found the model kimi-k2.6 or Permission denied"


def test_the_same_question_gets_the_same_answer_and_faults_happen_once() -> None:
    with KimiServer([call("shell", command="ls"), overloaded(1), say("second")], faults={2: cut(10)}) as one:
        first = post(one, body())[1]
        assert b'"tool_calls"' in first
        assert post(one, body())[1] == first[:10]
        assert post(one, body())[1] == first
        later = body(SYSTEM, USER, turn("shell:0"), result())
        assert post(one, later)[0] == 429
        status, data = post(one, later)
        assert status == 200 and b"sec" in data
        assert post(one, body(SYSTEM, USER, turn("a"), result("a"), turn("b"), result("b")))[0] == 400
    assert one.connections == len(one.requests) == 6


def test_by_hand_with_a_script_in_a_file(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    rows = [
        {"fault": {"status": 500, "kind": "server_error", "message": "once"}},
        {"text": "Look.", "think": "t", "calls": [{"name": "shell", "arguments": {"command": "ls"}}]},
    ]
    script.write_text(json.dumps(rows))
    command = [sys.executable, "-m", "tests.fakes.kimi_server", "--script", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            one = KimiServer()
            one.base_url = url
            assert post(one, body())[0] == 500
            status, data = post(one, body())
        finally:
            process.terminate()
    assert status == 200 and b'"name": "shell"' in data
