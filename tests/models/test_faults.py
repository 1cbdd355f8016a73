"""Every fault with its outcome: recovered with the right wait, or ended with the right error. Never multiplied."""

from __future__ import annotations

import asyncio
import socket

import pytest

from kimicode.errors import (
    AuthError,
    ContextOverflow,
    KimicodeError,
    ModelError,
    QuotaExceeded,
)
from tests.fakes.kimi_server import (
    Answer,
    Fault,
    KimiServer,
    Rules,
    call,
    cut,
    fail,
    html,
    overloaded,
    quota,
    rate_limited,
    say,
    stall,
)
from tests.fakes.kimi_server.events import body_of
from tests.models.asking import Waits, ask, ask_patiently, chat, collect, request

DONE = say("done", think="so")
OVERFLOW = "Invalid request: Your request exceeded model token limit: 262144 (requested: 425573)"


@pytest.mark.parametrize(
    ("fault", "wait", "reason"),
    [
        (overloaded(), 0.5, "overloaded"),
        (overloaded(3), 3.5, "overloaded"),
        (rate_limited("TPM"), 0.5, "tokens per minute"),
        (rate_limited("RPM", 7), 7.5, "requests per minute"),
        (rate_limited("TPM", 10_000), 120.5, "tokens per minute"),
        (rate_limited("max organization concurrency"), 0.5, "concurrency"),
        (fail(429, "rate_limit_error", "engine is currently overloaded"), 0.5, "rate limit"),
        (fail(429, "", ""), 0.5, "rate limit"),
        (fail(500), 0.5, "HTTP 500"),
        (fail(500, "unexpected_output"), 0.5, "HTTP 500"),
        (fail(503, "server_unavailable"), 0.5, "overloaded"),
        (fail(502, retry_after="2"), 2.5, "HTTP 502"),
        (html(504), 0.5, "HTTP 504"),
        (Fault(status=500, body=b""), 0.5, "HTTP 500"),
        (Fault(status=408, body=b"\xff\xfe"), 0.5, "HTTP 408"),
        (cut(0), 0.5, "broke off"),
        (cut(150), 0.5, "broke off"),
    ],
)
def test_what_passes_is_waited_for(fault: Fault, wait: float, reason: str) -> None:
    waits = Waits()
    with KimiServer([fault, DONE]) as server:
        _, reply = ask_patiently(server, waits)
    assert reply.message.text == "done"
    assert len(server.requests) == 2 and not server.refusals
    ((seconds, said),) = waits.said
    assert seconds == wait and reason in said


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (quota(), QuotaExceeded, "account balance"),
        (fail(429, "", "insufficient balance, please recharge"), QuotaExceeded, "recharge"),
        (rate_limited("TPD", 5), ModelError, "tokens per day"),
        (fail(400, "content_filter", "The request was rejected: high risk"), ModelError, "high risk"),
        (fail(400, "invalid_request_error", "invalid temperature"), ModelError, "invalid temperature"),
        (fail(400, "invalid_request_error", OVERFLOW), ContextOverflow, "longer"),
        (
            fail(400, "invalid_request_error", "total message size 3000000 exceeds limit"),
            ContextOverflow,
            "size",
        ),
        (fail(400, "invalid_request_error", "Input token length too long"), ContextOverflow, "too long"),
        (
            fail(400, "BadRequestError", "This model's maximum context length is 32768"),
            ContextOverflow,
            "32768",
        ),
        (fail(401, "invalid_authentication_error"), AuthError, "refuses the key"),
        (fail(402, "", "unable to verify your membership benefits"), AuthError, "membership"),
        (
            fail(403, "permission_denied_error", "only available for Coding Agents"),
            AuthError,
            "Coding Agents",
        ),
        (fail(499, "client_closed_request"), ModelError, "499"),
        (fail(501, ""), ModelError, "501"),
    ],
)
def test_what_does_not_pass_is_not_repeated(fault: Fault, error: type[KimicodeError], text: str) -> None:
    waits = Waits()
    with KimiServer([fault, DONE]) as server, pytest.raises(error, match=text) as caught:
        ask_patiently(server, waits)
    assert len(server.requests) == 1 and not waits.said
    assert type(caught.value) is error


def test_the_strict_servers_own_overflow_is_an_overflow() -> None:
    with KimiServer([DONE], rules=Rules(window=2_000)) as server, pytest.raises(ContextOverflow):
        ask(server)


def test_retries_have_one_budget_and_do_not_multiply() -> None:
    waits = Waits()
    with KimiServer([fail(500, times=99), DONE]) as server, pytest.raises(ModelError) as caught:
        ask_patiently(server, waits)
    assert len(server.requests) == 6
    assert [s for s, _ in waits.said] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert not caught.value.retryable and caught.value.exit_code == 75
    assert "gave up after 6 attempts" in str(caught.value)


def test_the_budget_of_seconds_ends_it_too() -> None:
    waits = Waits()
    with KimiServer([overloaded(100, times=99), DONE]) as server, pytest.raises(ModelError, match="gave up"):
        ask_patiently(server, waits, seconds=250)
    assert [s for s, _ in waits.said] == [100.5, 100.5]
    assert len(server.requests) == 3


def test_jitter_is_full_but_never_below_what_was_asked() -> None:
    waits = Waits(dice=0.0)
    with KimiServer([fail(500), overloaded(3), DONE]) as server:
        ask_patiently(server, waits)
    assert [s for s, _ in waits.said] == [0.0, 3.0]


def test_a_retry_starts_over_and_says_so() -> None:
    answer = say("one two three four five", think="…") + call("shell", command="ls")
    size = len(body_of(answer, model="kimi-k2.6", prompt=1, cached=0))
    seen: list[str] = []
    with KimiServer([cut(size - 60), answer]) as server:

        async def main() -> None:
            waits = Waits()
            async with chat(server) as model:
                patient = waits.wrap(model)
                async for piece in patient.stream(request()):
                    if waits.said and "waited" not in seen:
                        seen.append("waited")
                    seen.append(getattr(piece, "kind", "reply"))

        asyncio.run(main())
    before, after = seen[: seen.index("waited")], seen[seen.index("waited") + 1 :]
    assert "text" in before and "reply" not in before
    assert after.count("text") == 4 and after[-2:] == ["call", "reply"]


def test_a_cut_at_many_bytes_of_a_live_stream_is_always_recovered() -> None:
    answer = say("größer", think="hm") + call("shell", command="ls")
    size = len(body_of(answer, model="kimi-k2.6", prompt=50, cached=0))
    points = [*range(0, size, size // 25), size - 3]
    with KimiServer([answer], faults={2 * i + 1: cut(at) for i, at in enumerate(points)}) as server:

        async def main() -> None:
            waits = Waits()
            async with chat(server) as model:
                patient = waits.wrap(model)
                for _ in points:
                    _, reply = await collect(patient, request())
                    assert reply.message.text == "größer"

        asyncio.run(main())
    assert len(server.requests) == 2 * len(points)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (say(""), "empty"),
        (say("  \n", think=""), "empty"),
        (say("", shape="empty_choices"), "empty"),
        (say("", shape="null_content"), "empty"),
        (say("", think="only thoughts"), "only thinking"),
        (say("!" * 60), "degenerate"),
        (say("", think="!" * 60), "degenerate"),
    ],
)
def test_an_answer_of_no_use_is_asked_for_once_more(answer: Answer, reason: str) -> None:
    for second, requests in ((DONE, 2), (answer, 2)):
        answers = iter([answer, second])
        waits = Waits()
        with KimiServer(function(answers)) as server:
            if second is DONE:
                _, reply = ask_patiently(server, waits)
                assert reply.message.text == "done"
                assert reply.lost.input > 0 or answer.shape == "empty_choices"
            else:
                with pytest.raises(ModelError) as caught:
                    ask_patiently(server, waits)
                assert caught.value.kind == "empty_reply" and not caught.value.retryable
        assert len(server.requests) == requests
        assert reason in waits.said[0][1] and waits.said[0][0] == 0.0


@pytest.mark.parametrize(
    "short",
    [
        say("", think="long thoughts", finish="length"),
        say("half a sente", finish="length"),
        call("shell", _raw='{"command": "ec').but(finish="length"),
    ],
)
def test_a_cut_off_answer_gets_twice_the_cap_once(short: Answer) -> None:
    waits = Waits()
    with KimiServer(function(iter([short, DONE]))) as server:
        _, reply = ask_patiently(server, waits)
    assert reply.message.text == "done" and reply.lost.output > 0
    assert [e.body["max_completion_tokens"] for e in server.requests] == [16_384, 32_768]


def test_a_cut_off_answer_twice() -> None:
    long = say("text " * 30, finish="length")
    with KimiServer(function(iter([long, long]))) as server:
        _, reply = ask_patiently(server, Waits())
    assert reply.finish == "length" and reply.message.text == long.text
    half = call("shell", _raw='{"a').but(finish="length")
    with KimiServer(function(iter([half, half]))) as server, pytest.raises(ModelError) as caught:
        ask_patiently(server, Waits())
    assert caught.value.kind == "length" and len(server.requests) == 2


def test_malformed_arguments_come_through_for_the_model_to_see() -> None:
    with KimiServer([call("shell", _raw='{"command": "ls"')]) as server:
        _, reply = ask_patiently(server, Waits())
    assert reply.message.tool_calls[0].arguments == '{"command": "ls"'


def test_an_error_inside_the_stream_is_judged_by_type() -> None:
    busy = say(
        "a", think="b", shape="error_inside", error={"type": "engine_overloaded_error", "message": "x"}
    )
    with KimiServer(function(iter([busy, DONE]))) as server:
        _, reply = ask_patiently(server, Waits())
    assert reply.message.text == "done"
    broke = say("a", shape="error_inside", error={"type": "exceeded_current_quota_error", "message": "x"})
    with KimiServer(function(iter([broke, DONE]))) as server, pytest.raises(QuotaExceeded):
        ask_patiently(server, Waits())
    assert len(server.requests) == 1


def test_silence_is_a_timeout() -> None:
    for fault in (stall(20), stall(20, after=120)):
        waits = Waits()
        with KimiServer([fault, DONE]) as server:
            _, reply = ask_patiently(server, waits, read_timeout=0.3)
        assert reply.message.text == "done" and "said nothing" in waits.said[0][1]


def test_a_slow_answer_is_no_silence() -> None:
    with KimiServer([stall(0.4, after=120), DONE]) as server:
        assert ask(server, read_timeout=5.0).message.text == "done"
    assert len(server.requests) == 1


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        waits = Waits()
        with pytest.raises(ModelError) as caught:
            ask_patiently(f"http://127.0.0.1:{port}/v1", waits)
    assert (caught.value.kind, caught.value.exit_code) == ("connection", 75)
    assert f"127.0.0.1:{port} cannot be reached: the connection was refused" in str(caught.value)
    assert len(waits.said) == 5


def test_no_such_host() -> None:
    with pytest.raises(ModelError, match=r"nowhere\.invalid cannot be reached: the name") as caught:
        ask_patiently("http://nowhere.invalid/v1", Waits(), attempts=1)
    assert caught.value.kind == "connection"


def test_a_tls_client_that_meets_plain_http() -> None:
    with KimiServer([DONE]) as server, pytest.raises(KimicodeError, match="cannot be reached"):
        url = server.base_url.replace("http://", "https://")
        ask_patiently(url, Waits(), attempts=1, connect_timeout=0.5)


def test_a_server_that_hangs_up() -> None:
    """Accepts and closes: no answer at all is a connection error that names the host."""
    listener = socket.create_server(("127.0.0.1", 0))

    async def main() -> None:
        async def hang_up() -> None:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                connection.close()

        listener.setblocking(False)
        closing = asyncio.create_task(hang_up())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        try:
            async with chat(url) as model:
                with pytest.raises(ModelError) as caught:
                    await collect(Waits().wrap(model, attempts=3), request())
            assert caught.value.kind == "connection"
        finally:
            closing.cancel()
            listener.close()

    asyncio.run(main())


def function(answers: object) -> object:
    from tests.fakes.kimi_server import Script

    return Script(function=lambda request: next(answers))  # type: ignore[call-overload]
