"""The parser alone: every shape of a stream, cut wherever it can be cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.core.message import Delta, Reply, Usage
from kimicode.errors import KimicodeError, ModelError, QuotaExceeded
from kimicode.models.catalog import BACKENDS, Backend
from kimicode.models.sse import EventReader
from kimicode.models.stream import StreamParser
from tests.fakes.kimi_server import Answer, call, say
from tests.fakes.kimi_server.events import body_of

MOONSHOT, GENERIC = BACKENDS["moonshot"], BACKENDS["generic"]
FULL = (
    say("Ich sehe nach: größer als 3 → ja. 🙂", think="Erst lesen…")
    + call("shell", command="printf 'ä\\n'", timeout_s=3)
    + call("read_file", path="src/größe.py")
)


def body(answer: Answer) -> bytes:
    return body_of(answer, model="kimi-k2.6", prompt=100, cached=40)


def parse(data: bytes, backend: Backend = MOONSHOT, size: int | None = None) -> tuple[list[Delta], Reply]:
    parser = StreamParser(backend, prompt_bytes=400)
    deltas: list[Delta] = []
    step = size or max(1, len(data))
    for i in range(0, len(data), step):
        deltas += parser.feed(data[i : i + step])
    return deltas, parser.finish()


def says(answer: Answer) -> tuple[str, str | None, list[tuple[str, str, str]]]:
    calls = [(c.id or f"{c.name}:{i}", c.name, c.arguments) for i, c in enumerate(answer.calls)]
    return answer.text, answer.think, calls


def said(reply: Reply) -> tuple[str, str | None, list[tuple[str, str, str]]]:
    m = reply.message
    return m.text, m.reasoning, [(c.id, c.name, c.arguments) for c in m.tool_calls]


SHAPES = (
    *("late_name", "missing_index", "arguments_first", "null_arguments", "whole_name_again", "same_index"),
    *("null_content", "crlf", "comments", "no_space", "plain_json", "message_once"),
)


@pytest.mark.parametrize("shape", ["", *SHAPES])
@pytest.mark.parametrize("size", [1, 7, None])
def test_every_shape_gives_the_same_reply(shape: str, size: int | None) -> None:
    answer = FULL.but(shape=shape)
    deltas, reply = parse(body(answer), size=size)
    assert said(reply) == says(answer)
    assert reply.finish == "tool_calls"
    if shape != "plain_json":
        assert "".join(d.text for d in deltas if d.kind == "text") == answer.text
        assert "".join(d.text for d in deltas if d.kind == "reasoning") == answer.think
        assert [d.text for d in deltas if d.kind == "call"] == ["shell", "read_file"]


@pytest.mark.parametrize("usage", ["choice", "chunk", "extra", "details", "split"])
def test_usage_is_found_wherever_it_is(usage: str) -> None:
    _, reply = parse(body(FULL.but(usage=usage)))
    assert (reply.usage.input, reply.usage.cached) == (100, 40)
    assert reply.usage.output > reply.usage.reasoning > 0


def test_usage_that_nobody_counts_is_estimated() -> None:
    _, reply = parse(body(FULL.but(usage="none")))
    assert reply.usage.input == 100
    assert reply.usage.output > 0 and reply.usage.cached == 0


def test_a_cut_at_any_byte_is_a_cut_or_the_whole() -> None:
    data = body(FULL.but(chunk=40))
    outcomes = set()
    for at in range(len(data) + 1):
        try:
            _, reply = parse(data[:at], size=311)
        except ModelError as error:
            assert error.retryable and b"[DONE]" not in data[:at], at
            outcomes.add(error.kind)
        else:
            assert b"[DONE]" in data[:at], at
            assert said(reply) == says(FULL)
            outcomes.add("whole")
    assert outcomes == {"stream_cut", "whole"}


def test_without_done_a_finish_reason_is_enough_only_elsewhere() -> None:
    data = body(say("yes", shape="no_done"))
    assert parse(data, GENERIC)[1].message.text == "yes"
    with pytest.raises(ModelError, match="broke off"):
        parse(data, MOONSHOT)


def test_reasoning_is_none_or_empty_as_it_came() -> None:
    assert parse(body(say("a")))[1].message.reasoning is None
    assert parse(body(say("a", think="")))[1].message.reasoning == ""
    assert parse(body(say("a", think="b", field="reasoning")))[1].message.reasoning == "b"


@pytest.mark.parametrize(
    ("wire", "finish"),
    [("stop", "stop"), ("length", "length"), ("tool_calls", "tool_calls"), ("made_up", "unknown")],
)
def test_finish_reasons(wire: str, finish: str) -> None:
    assert parse(body(say("a", finish=wire)))[1].finish == finish
    kept = "length" if wire == "length" else "tool_calls"
    assert parse(body(call("shell", command="ls").but(finish=wire)))[1].finish == kept


def test_content_filter_is_final() -> None:
    with pytest.raises(ModelError) as caught:
        parse(body(say("half of", finish="content_filter")))
    assert caught.value.kind == "content_filter" and not caught.value.retryable


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        ({"type": "server_error", "message": "x"}, "server_error", True),
        ({"type": "engine_overloaded_error", "message": "busy"}, "engine_overloaded_error", True),
        ({"type": "invalid_request_error", "message": "no"}, "invalid_request_error", False),
        ({"type": "content_filter", "message": "high risk"}, "content_filter", False),
        ({"message": "Provider returned error", "code": 502}, "server_error", True),
        ("just text", "server_error", True),
    ],
)
def test_an_error_inside_the_stream(error: object, kind: str, retryable: bool) -> None:
    data = body(say("a", think="b", shape="error_inside", error=error))  # type: ignore[arg-type]
    with pytest.raises(ModelError) as caught:
        parse(data)
    assert (caught.value.kind, caught.value.retryable) == (kind, retryable)


def test_a_wrapped_error_is_unwrapped() -> None:
    raw = json.dumps({"error": {"type": "exceeded_current_quota_error", "message": "recharge"}})
    error = {"message": "Provider returned error", "code": 429, "metadata": {"raw": raw}}
    with pytest.raises(QuotaExceeded, match="recharge"):
        parse(body(say("a", shape="error_inside", error=error)))


def test_half_a_character_harms_nothing() -> None:
    halves = [{"choices": [{"delta": {"content": half}}]} for half in ("\ud83d", "\ude42", "\ud83d!")]
    lines = "".join(f"data: {json.dumps(h)}\n\n" for h in halves)
    deltas, reply = parse(f"{lines}data: [DONE]\n\n".encode())
    assert reply.message.text == "🙂\ufffd!"
    assert all(d.text.encode() for d in deltas)


def test_prefix_and_counter_are_taken_off_a_name() -> None:
    chunk = {
        "index": 0,
        "id": "functions.shell:3",
        "function": {"name": "functions.shell:3", "arguments": "{}"},
    }
    event = {"choices": [{"delta": {"tool_calls": [chunk]}, "finish_reason": "tool_calls"}]}
    _, reply = parse(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
    assert [(c.id, c.name) for c in reply.message.tool_calls] == [("functions.shell:3", "shell")]


def test_odd_chunks_are_survived() -> None:
    odd = [{}, {"choices": None}, {"choices": [None]}, {"choices": [{"delta": None}]}, [], 3, None, "x"]
    odd += [{"choices": [{"delta": {"tool_calls": [None, {"index": None, "function": None}]}}]}]
    lines = "".join(f"data: {json.dumps(o)}\n\n" for o in odd[:8])
    assert parse(f"{lines}data: [DONE]\n\n".encode())[1].message.text == ""
    with pytest.raises(ModelError, match="without a name"):
        parse(f"data: {json.dumps(odd[8])}\n\ndata: [DONE]\n\n".encode())


def test_reasoning_details_are_read() -> None:
    part = {"type": "reasoning.text", "text": "hm"}
    event = {
        "choices": [{"delta": {"reasoning_details": [part], "content": [{"type": "text", "text": "so"}]}}]
    }
    _, reply = parse(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
    assert (reply.message.reasoning, reply.message.text) == ("hm", "so")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=6), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_events_are_read_however_they_are_cut(texts: list[str], end: str, data: st.DataObject) -> None:
    events = [json.dumps(t, ensure_ascii=False) for t in texts]
    stream = "".join(f": c{end}data: {e}{end}{end}" for e in events).encode("utf-8", "replace")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = EventReader()
    read = []
    for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += reader.feed(stream[a:b])
    read += reader.finish()
    assert read == [e.encode("utf-8", "replace") for e in events]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_reply_or_in_an_error_of_ours(data: bytes) -> None:
    try:
        parse(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n' + data, GENERIC, size=13)
    except KimicodeError:
        pass


def test_usage_never_exceeds_itself() -> None:
    event = {
        "choices": [],
        "usage": {
            "prompt_tokens": 5,
            "cached_tokens": 9,
            "completion_tokens": 2,
            "completion_tokens_details": {"reasoning_tokens": 7},
        },
    }
    _, reply = parse(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
    assert reply.usage == Usage(input=5, cached=5, output=2, reasoning=2)
