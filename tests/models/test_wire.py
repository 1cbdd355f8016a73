"""Histories on the wire: accepted by a server that knows only Kimi's rules, and never sent differently twice."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.core.message import Media, Message, ModelRequest, ToolCall, ToolSpec
from kimicode.errors import ConfigError
from kimicode.models.catalog import BACKENDS, Backend
from kimicode.models.turns import INTERRUPTED, NO_OUTPUT, wire_arguments, wire_name
from kimicode.models.wire import Wire, wire_messages
from tests.fakes.kimi_server import Rules
from tests.models.asking import SHELL, SYSTEM, TASK, TOOLS, request

MOONSHOT = BACKENDS["moonshot"]


def wire(backend: Backend = MOONSHOT, **more: Any) -> Wire:
    return Wire(backend, window=262_144, **more)


def said(*calls: ToolCall, text: str = "", reasoning: str | None = None) -> Message:
    return Message(role="assistant", text=text, reasoning=reasoning, tool_calls=calls)


def call(wire_id: str = "shell:0", name: str = "shell", arguments: str = "{}") -> ToolCall:
    return ToolCall(id=wire_id, name=name, arguments=arguments)


def result(wire_id: str = "shell:0", text: str = "ok") -> Message:
    return Message(role="tool", tool_call_id=wire_id, text=text)


def body(asked: ModelRequest, backend: Backend = MOONSHOT, **more: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(wire(backend, **more).body(asked, "kimi-k2.6"))
    return parsed


def test_a_moonshot_request_holds_what_it_may_and_nothing_else() -> None:
    sent = body(request())
    assert list(sent) == [
        *("model", "tools", "messages", "stream", "stream_options"),
        *("max_completion_tokens", "thinking", "prompt_cache_key"),
    ]
    assert sent["thinking"] == {"type": "enabled"}
    assert sent["max_completion_tokens"] == 16_384
    assert sent["prompt_cache_key"] == "s-1"
    assert body(request(thinking=False))["thinking"] == {"type": "disabled"}
    assert body(request(), keep_reasoning=True)["thinking"] == {"type": "enabled", "keep": "all"}
    assert "tools" not in body(request(tools=()))


def test_other_backends_get_their_own_switches() -> None:
    vllm = body(request(said(call("x"), reasoning="r"), result("x"), thinking=False), BACKENDS["vllm"])
    assert vllm["chat_template_kwargs"] == {"thinking": False}
    assert (vllm["temperature"], vllm["top_p"], vllm["max_tokens"]) == (0.6, 0.95, 16_384)
    assert "thinking" not in vllm and "prompt_cache_key" not in vllm
    turn = vllm["messages"][1]
    assert turn["reasoning"] == turn["reasoning_content"] == "r"
    assert turn["tool_calls"][0]["id"] == vllm["messages"][2]["tool_call_id"] == "functions.shell:0"
    generic = body(request(said(call("x")), result("x")), BACKENDS["generic"])
    assert not set(generic) & {"thinking", "chat_template_kwargs", "reasoning", "temperature"}
    assert "reasoning_content" not in generic["messages"][1]
    assert body(request(), BACKENDS["openrouter"])["reasoning"] == {"enabled": True}


def test_rewritten_ids_count_over_the_whole_conversation() -> None:
    history = [SYSTEM, TASK]
    for _ in range(3):
        history += [said(call("a"), call("b", "read_file")), result("a"), result("b")]
    sent = wire_messages(history, BACKENDS["sglang"])
    ids = [c["id"] for m in sent for c in m.get("tool_calls", ())]
    assert ids == [f"functions.{n}:{i}" for i, n in enumerate(["shell", "read_file"] * 3)]
    assert [m["tool_call_id"] for m in sent if m["role"] == "tool"] == ids


def test_repairs() -> None:
    history = [
        SYSTEM,
        result("orphan", "lost"),
        TASK,
        said(text="   "),
        said(reasoning="only thought"),
        said(call("a"), call("b"), text=" \n", reasoning=None),
        result("b", ""),
        Message(role="user", text="a note"),
        result("stray"),
        said(call("", name="")),
        said(call("x", arguments='{"a'), call("x"), reasoning="why"),
        result("x", "first"),
        result("x", "second"),
        Message(role="user", text=""),
    ]
    assert wire_messages(history, MOONSHOT) == [
        {"role": "system", "content": SYSTEM.text},
        {"role": "user", "content": TASK.text},
        {
            "role": "assistant",
            "reasoning_content": "",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "shell", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": INTERRUPTED},
        {"role": "tool", "tool_call_id": "b", "content": NO_OUTPUT},
        {"role": "user", "content": "a note"},
        {
            "role": "assistant",
            "reasoning_content": "",
            "tool_calls": [
                {"id": "tool_:2", "type": "function", "function": {"name": "tool_", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "tool_:2", "content": INTERRUPTED},
        {
            "role": "assistant",
            "reasoning_content": "why",
            "tool_calls": [
                {
                    "id": "x",
                    "type": "function",
                    "function": {"name": "shell", "arguments": '{"malformed": "{\\"a"}'},
                },
                {"id": "shell:4", "type": "function", "function": {"name": "shell", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "x", "content": "first"},
        {"role": "tool", "tool_call_id": "shell:4", "content": "second"},
    ]


def test_a_late_result_is_put_behind_its_call() -> None:
    sent = wire_messages(
        [SYSTEM, said(call()), Message(role="user", text="n"), result(text="late")], MOONSHOT
    )
    assert [m["role"] for m in sent] == ["system", "assistant", "tool", "user"]
    assert sent[2]["content"] == "late"


def test_media_go_as_parts() -> None:
    seen = Message(
        role="user",
        text="look",
        media=(Media(mime="image/png", data="QQ=="), Media(mime="video/mp4", data="QQ==")),
    )
    parts = wire_messages([SYSTEM, seen], MOONSHOT)[1]["content"]
    assert [p["type"] for p in parts] == ["image_url", "video_url", "text"]
    assert parts[0]["image_url"]["url"] == "data:image/png;base64,QQ=="


@pytest.mark.parametrize(
    ("given", "sent"),
    [("", "{}"), (' {"a":1}', ' {"a":1}'), ("[1]", '{"malformed": "[1]"}'), ("{", '{"malformed": "{"}')],
)
def test_arguments_are_always_an_object(given: str, sent: str) -> None:
    assert wire_arguments(given) == sent


@pytest.mark.parametrize("name", ["", "a b", "$web", "функция", "9", "x" * 300, "ok-name"])
def test_names_are_always_names(name: str) -> None:
    assert 0 < len(wire_name(name)) <= 127 and wire_name(name).isascii()


texts = st.sampled_from(["", " ", "hello", 'a "quoted" ü🙂 \x00 line\n'])
ids = st.sampled_from(["", "shell:0", "shell:1", "functions.read_file:0", "é"])
calls = st.builds(
    ToolCall,
    id=ids,
    name=st.sampled_from(["shell", "read_file", "", "no such.tool", "x" * 200]),
    arguments=st.sampled_from(["", "{}", '{"a": 1}', '{"a', "[]", "null", '{"ü": "\\ud83d"}']),
)
messages = st.one_of(
    st.builds(Message, role=st.just("user"), text=texts),
    st.builds(
        Message,
        role=st.just("assistant"),
        text=texts,
        reasoning=st.sampled_from([None, "", "because"]),
        tool_calls=st.lists(calls, max_size=3).map(tuple),
    ),
    st.builds(Message, role=st.just("tool"), text=texts, tool_call_id=ids),
)
histories = st.lists(messages, max_size=14).map(lambda rest: (SYSTEM, TASK, *rest))


@settings(max_examples=250, deadline=None)
@given(histories, st.booleans())
def test_any_history_is_accepted(history: tuple[Message, ...], thinking: bool) -> None:
    Rules().check(wire().body(ModelRequest(messages=history, tools=TOOLS, thinking=thinking), "kimi-k2.6"))


@settings(max_examples=60, deadline=None)
@given(histories, st.sampled_from(sorted(BACKENDS)))
def test_any_history_is_well_formed_for_every_backend(history: tuple[Message, ...], name: str) -> None:
    wire_messages(history, BACKENDS[name])


@settings(max_examples=120, deadline=None)
@given(st.lists(histories, min_size=2, max_size=4), st.data())
def test_a_kept_encoding_equals_a_fresh_one(many: list[tuple[Message, ...]], data: st.DataObject) -> None:
    """Whatever was sent before, grown, cut back or replaced (compaction, another branch): same bytes."""
    kept = wire()
    for history in many:
        for _ in range(2):
            end = data.draw(st.integers(2, len(history)))
            asked = ModelRequest(messages=history[:end], tools=TOOLS)
            assert kept.body(asked, "kimi-k2.6") == wire().body(asked, "kimi-k2.6")


def test_what_was_sent_is_repeated_byte_for_byte() -> None:
    kept, history, bodies = wire(), [SYSTEM, TASK], []
    for i in range(40):
        bodies.append(
            kept.body(ModelRequest(messages=tuple(history), tools=TOOLS, session_id="s"), "kimi-k2.6")
        )
        history += [
            said(call(), call("shell:1"), text="é" * (i % 3)),
            result(text=f"out {i}"),
            result("shell:1"),
        ]
        if i % 5 == 4:
            history.append(Message(role="user", text=f"note {i}"))
    for old, new in itertools.pairwise(bodies):
        end = old.rindex(b'],"stream":true')
        assert new[:end] == old[:end]
        assert new[end:].startswith(b",")


def test_encoding_touches_only_what_is_new() -> None:
    """Counted, not timed: a long history costs the encoder as many messages as a short one."""
    kept, history, counts = wire(), [SYSTEM, TASK], []
    for _ in range(60):
        kept.body(ModelRequest(messages=tuple(history), tools=TOOLS), "kimi-k2.6")
        counts.append(kept.encoded)
        history += [said(call()), result()]
    assert {b - a for a, b in itertools.pairwise(counts)} == {2}


def test_the_cap_shrinks_only_when_the_window_is_nearly_full() -> None:
    asked = request(Message(role="user", text="x" * 60_000))
    small = Wire(MOONSHOT, window=32_000)
    cap = json.loads(small.body(asked, "m"))["max_completion_tokens"]
    assert 2_048 <= cap < 16_384
    assert body(asked)["max_completion_tokens"] == 16_384
    full = Wire(MOONSHOT, window=8_000)
    assert json.loads(full.body(asked, "m"))["max_completion_tokens"] == 2_048


def test_tools_that_cannot_be_declared() -> None:
    bad = ToolSpec(name="x y", description="", parameters={})
    for tools, text in (((SHELL, SHELL), "Two tools"), ((bad,), "cannot be declared")):
        with pytest.raises(ConfigError, match=text):
            body(request(tools=tools))
