"""The client against a strict server: what leaves, what comes back, over one connection."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kimicode.core.message import Message, Reply
from kimicode.errors import AuthError, ConfigError, UnknownModel
from kimicode.models.catalog import resolve
from kimicode.models.chat import ChatModel
from kimicode.models.keys import Key
from kimicode.models.wrap import Retrying
from tests.fakes.kimi_server import Fault, KimiServer, Rules, Script, call, fail, say
from tests.models.asking import KEY, SYSTEM, TASK, ask, chat, collect, converse, request


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_plain_answer() -> None:
    with KimiServer([say("Hello.", think="Be polite.")]) as server:
        reply = ask(server)
    assert (reply.message.text, reply.message.reasoning) == ("Hello.", "Be polite.")
    assert (reply.finish, reply.model, reply.trace_id) == ("stop", "kimi-k2.6", "trace-1")
    assert reply.usage.input > 0 and not server.refusals


@pytest.mark.parametrize("thinking", [True, False])
def test_a_session_of_twenty_requests(thinking: bool) -> None:
    """Calls alone, in parallel, with and without words and reasoning; nothing refused, nothing resent differently."""
    answers = [
        call("shell", command=f"echo {i}").but(think=["because", "", None][i % 3], text="so" if i % 2 else "")
        if i % 4
        else call("shell", command="ls") + call("read_file", path=f"f{i}.py")
        for i in range(19)
    ]
    with KimiServer([*answers, say("All done.")]) as server:

        async def main() -> list[Message]:
            async with chat(server) as model:
                return await converse(model, 20)

        messages = asyncio.run(main())
    assert messages[-1].text == "All done."
    assert not server.refusals
    assert len(server.requests) == 20 and server.connections == 1
    assert server.shares() == [1.0] * 19
    for old, new in zip(server.requests, server.requests[1:], strict=False):
        end = old.raw.rindex(b'],"stream"')
        assert new.raw[:end] == old.raw[:end]


def test_only_our_headers_leave() -> None:
    leaks = {
        "OPENAI_API_KEY": "sk-leak",
        "OPENAI_ADMIN_KEY": "sk-admin-leak",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/leak",
        "OPENAI_ORG_ID": "org-leak",
        "OPENAI_PROJECT_ID": "proj-leak",
        "OPENAI_CUSTOM_HEADERS": "X-Leak: 1\nAuthorization: Bearer leak\nHost: leak.example",
    }
    with environment(**leaks), KimiServer([say("hi")]) as server:
        ask(server)
    (exchange,) = server.exchanges
    assert exchange.headers["authorization"] == f"Bearer {KEY['KIMI_API_KEY']}"
    assert exchange.headers["user-agent"].startswith("kimicode/")
    assert exchange.headers["host"] in server.base_url
    assert set(exchange.headers) == {
        *("host", "accept", "accept-encoding", "connection", "user-agent", "authorization"),
        *("content-type", "content-length"),
    }
    assert "leak" not in f"{exchange.headers}{exchange.raw.decode()}"


def test_the_other_spelling_is_tried_once_and_kept() -> None:
    answers = [call("shell", command="ls"), say("done")]
    for served, asked in (("moonshot-v1-k2-6", "kimi-k2.6"), ("kimi-k2.6", "moonshot-v1-k2-6")):
        with KimiServer(answers, rules=Rules(models=(served,))) as server:

            async def main(server: KimiServer = server, asked: str = asked) -> str:
                async with chat(server, asked) as model:
                    await converse(model, 2)
                    return model.spec.id

            assert asyncio.run(main()) == served
        assert [e.body.get("model") for e in server.requests] == [None, served, served]
        assert [e.status for e in server.requests] == [404, 200, 200]


def test_a_second_404_says_what_to_do() -> None:
    with (
        KimiServer([say("hi")], rules=Rules(models=("kimi-k3", "kimi-k2.7-code"))) as server,
        pytest.raises(UnknownModel) as caught,
    ):
        ask(server)
    error = caught.value
    assert error.exit_code == 3 and error.served == ("kimi-k2.7-code", "kimi-k3")
    assert "neither kimi-k2.6 nor moonshot-v1-k2-6" in str(error)
    for text in ("kimi-k2.7-code, kimi-k3", "--model kimi-k2.7-code", "openrouter.ai", "vLLM"):
        assert text in error.hint
    assert [(e.method, e.status) for e in server.exchanges] == [("POST", 404), ("POST", 404), ("GET", 200)]


def test_a_model_without_another_spelling_is_asked_for_once() -> None:
    with KimiServer([say("hi")]) as server, pytest.raises(UnknownModel, match="no gpt-9"):
        ask(server, model="gpt-9", backend="moonshot")
    assert len(server.requests) == 1


def test_401_names_the_platforms_and_not_the_key() -> None:
    with (
        KimiServer([say("hi")], rules=Rules(keys=("sk-other",))) as server,
        pytest.raises(AuthError) as caught,
    ):
        ask(server)
    for platform in ("moonshot.ai", "moonshot.cn", "kimi.com/coding"):
        assert platform in caught.value.hint
    assert caught.value.exit_code == 3 and len(server.requests) == 1


def test_a_key_that_the_server_quotes_is_not_repeated() -> None:
    text = f"Incorrect API key provided: {KEY['KIMI_API_KEY']}"
    faulty = KimiServer([fail(401, "incorrect_api_key_error", text), say("hi")])
    with faulty as server, pytest.raises(AuthError) as caught:
        ask(server)
    assert "***" in str(caught.value) and "0123456789" not in str(caught.value)


def test_redirects_are_not_followed() -> None:
    moved = Fault(status=307, body=b"", headers=(("location", "http://127.0.0.1:9/elsewhere"),))
    with KimiServer([moved, say("hi")]) as server, pytest.raises(ConfigError, match="redirects to"):
        ask(server)
    assert len(server.requests) == 1


def test_a_wrong_base_url_is_no_unknown_model() -> None:
    with KimiServer([say("hi")]) as server:

        async def main() -> None:
            async with chat(server.base_url + "/wrong") as model:
                await collect(model, request())

        # The fake serves chat below any prefix; a path that it does not know answers like a bare web server.
        server.faults[1] = Fault(status=404, body=b"<html><h1>404 Not Found</h1></html>")
        with pytest.raises(ConfigError, match="no chat completions") as caught:
            asyncio.run(main())
    assert "/v1" in caught.value.hint and not isinstance(caught.value, UnknownModel)


def test_a_web_page_is_no_answer() -> None:
    page = Fault(status=200, body=b"<!doctype html><html><body>Sign in</body></html>")
    with KimiServer([page, say("hi")]) as server, pytest.raises(ConfigError, match="a web page") as caught:
        ask(server)
    assert "/v1" in caught.value.hint


def test_a_404_after_a_failure_in_between_still_names_both_spellings() -> None:
    rules = Rules(models=("kimi-k3",))
    with KimiServer([say("hi")], rules=rules, faults={}) as server:

        async def main() -> str:
            async with chat(server) as model:
                errors = []
                for _ in range(2):
                    with pytest.raises(UnknownModel) as caught:
                        await collect(model, request())
                    errors.append(str(caught.value))
                assert errors[0] == errors[1]
                return errors[0] + model.spec.id

        assert "neither kimi-k2.6 nor moonshot-v1-k2-6" in asyncio.run(main())


def test_a_gateway_may_leave_out_the_end_mark() -> None:
    with KimiServer([say("hi", shape="no_done")]) as server:
        assert ask(server).message.text == "hi"


def test_served_models() -> None:
    with KimiServer(rules=Rules(models=("b", "a"))) as server:

        async def main() -> tuple[str, ...]:
            async with chat(server) as model:
                return await model.served()

        assert asyncio.run(main()) == ("a", "b")


def test_warming_in_a_thread_beside_other_work() -> None:
    with KimiServer([say("hi")]) as server:

        async def main() -> Reply:
            async with chat(server) as model:
                await asyncio.gather(*(asyncio.to_thread(model.warm) for _ in range(3)))
                return (await collect(model, request()))[1]

        assert asyncio.run(main()).message.text == "hi"


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; import kimicode.models.chat, kimicode.models.wrap, kimicode.models.keys;"
        "import kimicode.models.scripted, kimicode.models.scripted_endpoint;"
        "from kimicode.models.catalog import resolve; from kimicode.models.keys import Key;"
        "kimicode.models.chat.ChatModel(resolve(), Key('k', 's'));"
        "print([m for m in ('openai', 'httpx2', 'httpx', 'anyio', 'docker', 'git', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_reader_that_stops_early_frees_the_connection() -> None:
    with KimiServer([say("a long answer " * 200), say("x")]) as server:

        async def main() -> str:
            async with chat(server) as model:
                stream = model.stream(request())
                async for _ in stream:
                    break
                await stream.aclose()
                return (await collect(model, request()))[1].message.text[:6]

        assert asyncio.run(main()) == "a long"


def test_cancelling_in_the_middle_leaves_the_model_usable() -> None:
    script = Script([Fault(stall=20.0), say("late")])
    with KimiServer(script) as server:

        async def main() -> str:
            async with chat(server) as model:
                task = asyncio.create_task(collect(Retrying(model), request()))
                while not server.requests:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                return (await collect(model, request()))[1].message.text

        assert asyncio.run(main()) == "late"


def test_a_server_that_never_closes_the_body_does_not_hold_up_the_answer() -> None:
    with KimiServer([say("hi", shape="hang_open")]) as server:
        assert ask(server).message.text == "hi"


def test_ssl_cert_file_is_honoured(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    kind = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    names = f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {certificate}"
    subprocess.run(["openssl", *kind.split(), *names.split()], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with KimiServer([say("over TLS")], tls=tls) as server:
        with pytest.raises(ConfigError, match=r"certificate of .* cannot be verified") as caught:
            ask(server)
        with environment(SSL_CERT_FILE=str(certificate)):
            assert ask(server).message.text == "over TLS"
    assert "SSL_CERT_FILE" in caught.value.hint and len(server.requests) == 1
    target = resolve("kimi-k2.6", server.base_url)
    missing = environment(SSL_CERT_FILE=str(tmp_path / "none.pem"))
    with missing, pytest.raises(ConfigError, match="cannot be set up"):
        ChatModel(target, Key("k", "s")).warm()


def test_a_proxy_is_not_asked_for_this_machine() -> None:
    with KimiServer([say("direct")]) as server, environment(HTTP_PROXY="http://127.0.0.1:9", NO_PROXY=""):
        assert ask(server).message.text == "direct"


def test_proxy_variables_are_honoured() -> None:
    """The fake stands in as a proxy: a plain-HTTP request reaches it with the absolute address."""
    with KimiServer([say("via proxy")]) as server:
        proxy = server.base_url.removesuffix("/v1")

        async def main() -> str:
            async with chat("http://model.example/v1") as model:
                return (await collect(model, request()))[1].message.text

        with environment(HTTP_PROXY=proxy, NO_PROXY=""):
            assert asyncio.run(main()) == "via proxy"
    assert server.exchanges[0].path == "http://model.example/v1/chat/completions"


def test_context_is_sent_whole_and_in_order() -> None:
    with KimiServer([say("hi")]) as server:
        ask(server, request(TASK, Message(role="user", text="and this")))
    texts = [m["content"] for m in server.requests[0].body["messages"]]
    assert texts == [SYSTEM.text, TASK.text, "and this"]
    assert json.loads(server.requests[0].raw)["tools"][0]["function"]["name"] == "shell"
