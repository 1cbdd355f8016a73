"""The server: HTTP/1.1 with kept connections and chunked event streams, one thread a connection, every request kept."""

from __future__ import annotations

import itertools
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any

from tests.fakes.kimi_server.events import body_of
from tests.fakes.kimi_server.rules import Refused, Rules
from tests.fakes.kimi_server.script import Answer, Fault, Item, Script


@dataclass
class Exchange:
    """One request as it came in, and what became of it."""

    number: int
    """Counts chat requests from 1; 0 for others."""
    connection: int
    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    refused: str = ""

    @cached_property
    def canonical(self) -> bytes:
        """What the cache sees: tools, then messages."""
        return json.dumps([self.body.get("tools", []), *self.body.get("messages", [])]).encode()[:-1]


class KimiServer:
    """Use it as a context manager, or `start()` and `stop()`.

    with KimiServer([say("hi")]) as server:
        … server.base_url …
    assert server.connections == 1 and not server.refusals
    """

    def __init__(
        self,
        script: Script | Iterable[Item] = (),
        *,
        rules: Rules | None = None,
        faults: Mapping[int, Fault] | None = None,
        port: int = 0,
        strict: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`faults` by number of the chat request, from 1. `strict=False` takes any JSON (benchmarks)."""
        self.tls = tls
        self.script = script if isinstance(script, Script) else Script(script)
        self.rules = rules or Rules()
        self.faults = dict(faults or {})
        self.strict = strict
        self.exchanges: list[Exchange] = []
        self._port = port
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._connections = 0
        self._asked = 0
        self._stopped = threading.Event()
        self._tcp: _Tcp | None = None
        self.base_url = ""

    @property
    def requests(self) -> list[Exchange]:
        """The chat requests."""
        return [e for e in self.exchanges if e.number]

    @property
    def refusals(self) -> list[str]:
        """What the rules had against requests; faults from the script are not in it."""
        return [e.refused for e in self.exchanges if e.refused]

    @property
    def connections(self) -> int:
        """Connections that brought at least one request."""
        return len({e.connection for e in self.exchanges})

    def shares(self) -> list[float]:
        """For each accepted request after the first: the share of the one before that it repeats (tools, messages)."""
        kept = [e.canonical for e in self.requests if e.status == 200]
        return [shared(a, b) / len(a) for a, b in itertools.pairwise(kept)]

    def start(self) -> KimiServer:
        self._tcp = _Tcp(("127.0.0.1", self._port), _Handler)
        self._tcp.owner = self
        self.base_url = f"http{'s' if self.tls else ''}://127.0.0.1:{self._tcp.server_address[1]}/v1"
        threading.Thread(target=self._tcp.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        if self._tcp is not None:
            self._tcp.shutdown()
            self._tcp.server_close()
        for one in list(self._sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self) -> KimiServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _opened(self, connection: socket.socket) -> int:
        with self._lock:
            self._sockets.add(connection)
            self._connections += 1
            return self._connections

    def _closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(connection)

    def _keep(self, connection: int, method: str, path: str, headers: dict[str, str], raw: bytes) -> Exchange:
        with self._lock:
            chat = method == "POST" and path.endswith("/chat/completions")
            self._asked += chat
            number = self._asked if chat else 0
            exchange = Exchange(number, connection, method, path, headers, raw)
            self.exchanges.append(exchange)
            return exchange

    def _judge(self, exchange: Exchange) -> tuple[Answer | None, Fault | None]:
        """Check a chat request and choose what happens. Raises Refused."""
        if self.strict:
            self.rules.check_key(exchange.headers.get("authorization", ""))
            exchange.body = self.rules.check(exchange.raw)
        else:
            exchange.body = json.loads(exchange.raw)
        with self._lock:
            answer, fault = self.script.choose(exchange.body)
            fault = self.faults.pop(exchange.number, None) or fault
        if answer is None and (fault is None or not fault.status):
            raise Refused(f"the script ends before request {exchange.number}")
        return answer, fault

    def _cached(self, exchange: Exchange) -> int:
        """Tokens of the longest common start with the request before, in blocks of 256."""
        before = next((e for e in reversed(self.requests[:-1]) if e.status == 200), None)
        if before is None:
            return 0
        return shared(before.canonical, exchange.canonical) // 1024 * 256


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    owner: KimiServer

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.owner.tls is not None:
            # The handshake happens in the connection's own thread, at the first read.
            connection = self.owner.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away says enough by its own error."""


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Tcp

    def handle(self) -> None:
        owner = self.server.owner
        number = owner._opened(self.request)
        try:
            while self._one(owner, number):
                self.wfile.flush()
        except OSError:
            pass
        finally:
            owner._closed(self.request)

    def _one(self, owner: KimiServer, connection: int) -> bool:
        line = self.rfile.readline(65_536)
        if not line.strip():
            return False
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(65_536)).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        raw = self.rfile.read(int(headers.get("content-length", "0")))
        exchange = owner._keep(connection, method, path, headers, raw)
        try:
            if exchange.number:
                return self._chat(owner, exchange)
            return self._other(owner, exchange)
        except Refused as refusal:
            exchange.refused = str(refusal)
            return self._send(exchange, refusal.status, _error(refusal.kind, str(refusal)))

    def _other(self, owner: KimiServer, exchange: Exchange) -> bool:
        if owner.strict:
            owner.rules.check_key(exchange.headers.get("authorization", ""))
        if exchange.method == "GET" and exchange.path.endswith("/models"):
            rows = [
                {"id": m, "object": "model", "context_length": owner.rules.window} for m in owner.rules.models
            ]
            return self._send(exchange, 200, json.dumps({"object": "list", "data": rows}).encode())
        return self._send(exchange, 404, b'{"detail":"Not Found"}')

    def _chat(self, owner: KimiServer, exchange: Exchange) -> bool:
        answer, fault = owner._judge(exchange)
        if fault is not None and fault.status:
            if fault.stall:
                owner._stopped.wait(fault.stall)
            body = _error(fault.kind, fault.message) if fault.body is None else fault.body
            more = dict(fault.headers)
            if fault.retry_after:
                more["retry-after"] = fault.retry_after
            return self._send(exchange, fault.status, body, more)
        assert answer is not None
        exchange.status = 200
        body = body_of(
            answer,
            model=exchange.body["model"],
            prompt=max(1, len(exchange.raw) // 4),
            cached=owner._cached(exchange),
        )
        if answer.shape == "plain_json":
            return self._send(exchange, 200, body)
        return self._stream(owner, body, fault, hang=answer.shape == "hang_open")

    def _stream(self, owner: KimiServer, body: bytes, fault: Fault | None, *, hang: bool) -> bool:
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"transfer-encoding: chunked\r\nx-trace-id: trace-1\r\n\r\n"
        )
        if fault is not None and fault.cut < 0:
            self.wfile.flush()
            owner._stopped.wait(fault.stall)
        elif fault is not None:
            self._write(body[: fault.cut])
            self.wfile.flush()
            if not fault.stall:
                return False
            owner._stopped.wait(fault.stall)
            body = body[fault.cut :]
        self._write(body)
        if hang:
            self.wfile.flush()
            owner._stopped.wait(30)
            return False
        self.wfile.write(b"0\r\n\r\n")
        return True

    def _write(self, body: bytes) -> None:
        """Cut anywhere, characters included."""
        for i in range(0, len(body), 1_000):
            piece = body[i : i + 1_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _send(
        self, exchange: Exchange, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> bool:
        exchange.status = status
        given = {"content-type": "application/json", **(headers or {}), "content-length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self.wfile.write(f"HTTP/1.1 {status} Answer\r\n{head}\r\n".encode() + body)
        return True


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"error": {"type": kind, "message": message}}).encode()


def shared(a: bytes, b: bytes) -> int:
    """Length of the common start."""
    if b.startswith(a):
        return len(a)
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
