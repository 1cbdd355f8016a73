"""The engine's client against engines that hang, lie and break off: always an error, never a hang."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from kimicode.errors import SandboxUnavailable
from kimicode.sandbox.docker import DockerLauncher
from kimicode.sandbox.engine import Engine, EngineError, find_engine
from kimicode.sandbox.image import default_image, ensure_image

OK = b"HTTP/1.1 200 OK\r\n"
Work = Callable[[str], Coroutine[Any, Any, Any]]


def serve(folder: Path, answer: Callable[[str], bytes | None], work: Work) -> Any:
    """Run `work` with the path of a socket whose server answers each request line; None: never."""
    socket = str(folder / "engine.sock")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        said = answer(head.split("\r\n")[0].rsplit(" ", 1)[0])
        if said is not None:
            writer.write(said)
            writer.close()

    async def go() -> Any:
        server = await asyncio.start_unix_server(handle, socket)
        try:
            return await work(socket)
        finally:
            server.close()

    return asyncio.run(go())


def reply(body: Any, status: str = "200 OK") -> bytes:
    data = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "did not answer"),
        (b"", "broke"),
        (b"garbage\r\n\r\n", "HTTP"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "broke"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "broke"),
        (OK + b"Content-Length: x\r\n\r\n", "broke"),
        (reply({"message": "no such container: x"}, "404 Not Found"), "no such container: x"),
        (b"HTTP/1.1 500 Oops\r\n\r\n<html>", "<html>"),
    ],
)
def test_every_misbehaviour_is_an_error(tmp_path: Path, said: bytes | None, words: str) -> None:
    async def work(socket: str) -> None:
        with pytest.raises(EngineError, match=words):
            await Engine(socket).call("GET", "/x", timeout=0.3)

    serve(tmp_path, lambda line: said, work)


def test_bodies_are_read_whole(tmp_path: Path) -> None:
    chunked = OK + b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n4;x=y\r\n: 1}\r\n0\r\n\r\n'
    endless = OK + b'\r\n{"a": 1}'

    async def work(socket: str) -> list[Any]:
        engine = Engine(socket)
        found = [(await engine.call("GET", path)).json() for path in ("/chunked", "/endless")]
        return [*found, [line async for line in engine.lines("POST", "/lines", query={"t": "a b"})]]

    lines = OK + b'\r\n{"stream": "1"}\r\n{"stream"'
    replies = {"GET /chunked": chunked, "GET /endless": endless, "POST /lines?t=a+b": lines + b': "2"}\n'}
    assert serve(tmp_path, lambda line: replies[line], work) == [
        {"a": 1},
        {"a": 1},
        [{"stream": "1"}, {"stream": "2"}],
    ]


def test_finding_an_engine(tmp_path: Path) -> None:
    meta = tmp_path / ".docker/contexts/meta/2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6"
    meta.mkdir(parents=True)
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "c"}')

    async def work(socket: str) -> None:
        host = {"Endpoints": {"docker": {"Host": f"unix://{socket}"}}}
        (meta / "meta.json").write_text(json.dumps(host))
        for environ in ({"HOME": str(tmp_path)}, {"DOCKER_HOST": f"unix://{socket}"}):
            engine, info = await find_engine(environ)
            assert engine.socket == socket and info == {"NCPU": 2}
        with pytest.raises(SandboxUnavailable, match="remote") as caught:
            await find_engine({"DOCKER_HOST": "tcp://10.0.0.1:2375"})
        assert caught.value.exit_code == 6 and "bwrap" in caught.value.hint
        gone = f"unix://{socket}.gone"
        with pytest.raises(SandboxUnavailable, match="cannot be reached"):
            await find_engine({"DOCKER_HOST": gone})

    serve(tmp_path, lambda line: reply({"NCPU": 2}), work)


def test_an_engine_that_does_not_see_the_folder_is_said_to(tmp_path: Path) -> None:
    """What a virtual machine or another host answers: there, the mount's source does not exist."""
    replies = {
        "GET /info": reply({"NCPU": 2, "ID": "x", "SecurityOptions": []}),
        f"GET /images/{default_image()}/json": reply({"Id": "sha256:1", "Os": "linux"}),
        "POST /containers/create": reply(
            {"message": "bind source path does not exist: /x"}, "400 Bad Request"
        ),
    }

    async def work(socket: str) -> None:
        launcher = DockerLauncher(environ={"DOCKER_HOST": f"unix://{socket}"})
        with pytest.raises(SandboxUnavailable, match="bind source path does not exist") as caught:
            await launcher.prepare(tmp_path / "probe")
        assert "File sharing" in caught.value.hint
        await launcher.close()

    serve(tmp_path, lambda line: replies.get(line, reply([])), work)


def test_images_are_built_or_pulled_with_progress(tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(line: str) -> bytes:
        seen.append(line)
        if line.startswith("GET /images"):
            return reply({"message": "no such image"}, "404 Not Found")
        if line.startswith("POST /build"):
            return OK + b'\r\n{"stream": "Step 1/3"}\n{"error": "apt-get failed"}\n'
        return OK + b'\r\n{"status": "Pulling"}\n{"status": "x", "progress": "[=>"}\n{"error": "no route"}\n'

    async def work(socket: str) -> None:
        environ = {
            "PIP_INDEX_URL": "https://i/simple",
            "HTTP_PROXY": "http://127.0.0.1:1",
            "PIP_CERT": "/gone",
        }
        for image, words in (
            (default_image(), "apt-get failed\nStep 1/3"),
            ("reg.io/a/b", "no route\nPulling"),
        ):
            lines: list[str] = []
            with pytest.raises(SandboxUnavailable, match=words) as caught:
                await ensure_image(Engine(socket), image, progress=lines.append, environ=environ)
            assert len(lines) == 2 and "--image" in caught.value.hint
        with pytest.raises(SandboxUnavailable, match="not here yet"):
            await ensure_image(Engine(socket), default_image(), fetch=False)

    serve(tmp_path, answer, work)
    build = next(line for line in seen if line.startswith("POST /build"))
    assert "PIP_INDEX_URL" in build and "127.0.0.1" not in build
    assert any("fromImage=reg.io%2Fa%2Fb%3Alatest" in line for line in seen)
