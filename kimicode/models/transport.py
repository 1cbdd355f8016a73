"""The openai client as transport: our bytes go out, raw bytes come in, its errors become ours."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import kimicode
from kimicode.errors import ConfigError, KimicodeError, ModelError
from kimicode.models.failure import status_error
from kimicode.models.library import import_client

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

READ_TIMEOUT = 120.0
"""Seconds between two pieces of an answer: long thinking is silent for a while."""
CONNECT_TIMEOUT = 15.0
IDLE = 90.0
"""Seconds that the one connection is kept while tools run."""
DRAIN = 1.0
"""Seconds granted to a server for closing the body after the end of the answer."""
LIST_TIMEOUT = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Transport:
    """One endpoint with one key. Imports and connects nothing before `warm` or the first request.

    Address and key are always given explicitly, redirects are not followed, and of the headers that the
    openai package would send only the ones written here leave: no OPENAI_* variable has a say. Proxies and
    certificates come from HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.
    """

    def __init__(
        self, base_url: str, key: str, *, read: float = READ_TIMEOUT, connect: float = CONNECT_TIMEOUT
    ) -> None:
        self.base_url = base_url
        self.host = urlsplit(base_url).netloc.rpartition("@")[2]
        self._key = key
        self._timeouts = (read, connect)
        self._building = threading.Lock()
        self._client: AsyncOpenAI | None = None

    def warm(self) -> None:
        """Import the client and build it: most of a second, so run it in a thread beside other work.

        May be called twice and from any thread. Raises ConfigError for settings of the environment that cannot
        be used.
        """
        with self._building:
            if self._client is None:
                self._client = self._build()

    def _build(self) -> AsyncOpenAI:
        import_client()
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        read, connect = self._timeouts
        timeout = httpx2.Timeout(read, connect=connect)
        # Loading the certificates takes 0.1 s, which plain HTTP to this machine can do without.
        plain = self.base_url.startswith(tuple(f"http://{host}" for host in _LOOPBACK))
        trust: dict[str, Any] = {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)} if plain else {}
        try:
            http = DefaultAsyncHttpxClient(
                timeout=timeout,
                limits=httpx2.Limits(keepalive_expiry=IDLE),
                follow_redirects=False,
                event_hooks={"request": [self._keep_own_headers]},
                # A proxy knows nothing of what is served on this machine.
                mounts={f"all://{host}": None for host in _LOOPBACK},
                **trust,
            )
        except (OSError, ImportError, ValueError) as error:
            raise ConfigError(
                f"The connection to {self.host} cannot be set up: {error}",
                hint="Check HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE (a file with certificates in PEM form).",
            ) from error
        return AsyncOpenAI(
            api_key=self._key,
            base_url=self.base_url,
            admin_api_key="",
            organization="",
            project="",
            webhook_secret="",
            max_retries=0,
            timeout=timeout,
            http_client=http,
        )

    async def _keep_own_headers(self, request: httpx2.Request) -> None:
        given = request.headers
        own = {
            "host": request.url.netloc.decode("ascii"),
            "accept": "text/event-stream" if request.method == "POST" else "application/json",
            "accept-encoding": "gzip, deflate",
            "connection": "keep-alive",
            "user-agent": f"kimicode/{kimicode.__version__}",
            "authorization": f"Bearer {self._key}",
        }
        if "content-length" in given:
            own.update({"content-type": "application/json", "content-length": given["content-length"]})
        request.headers = type(given)(own)

    async def post(self, path: str, body: bytes, *, model: str) -> httpx2.Response:
        """Send a request; the response is not read yet and must be given to `read` or closed.

        Raises the error for any other status than 200 and for a connection that does not come about.
        """
        import httpx2
        from openai import AsyncStream

        client = await self._connected()
        try:
            stream: Any = await client.post(
                path, cast_to=httpx2.Response, content=body, stream=True, stream_cls=AsyncStream[Any]
            )
        except Exception as error:
            raise self._translate(error, model) from None
        response: httpx2.Response = stream
        return response

    async def read(self, response: httpx2.Response, model: str) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises ModelError `stream_cut` or `timeout` when it breaks off."""
        try:
            async for chunk in response.aiter_bytes():
                yield chunk
        except Exception as error:
            raise self._translate(error, model, begun=True) from None

    async def get(self, path: str) -> bytes:
        """The body of a small resource."""
        import httpx2

        client = await self._connected()
        try:
            response: httpx2.Response = await client.get(
                path, cast_to=httpx2.Response, options={"timeout": LIST_TIMEOUT}
            )
        except Exception as error:
            raise self._translate(error, "") from None
        return response.content

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> AsyncOpenAI:
        if self._client is None:
            await asyncio.to_thread(self.warm)
        assert self._client is not None
        return self._client

    def redact(self, error: KimicodeError) -> KimicodeError:
        """The error without the key: servers quote it back, no message of ours does."""
        if len(self._key) > 8 and self._key in str(error):
            error.args = (str(error).replace(self._key, "***"), *error.args[1:])
        return error

    def _translate(self, error: Exception, model: str, *, begun: bool = False) -> Exception:
        """Our error for one of the client's. What is neither the network nor the server stays what it is."""
        import httpx2
        import openai

        if isinstance(error, openai.APIStatusError):
            answer = error.response
            found = status_error(
                answer.status_code, answer.content, answer.headers, host=self.host, model=model
            )
            return self.redact(found)
        network = (openai.APIConnectionError, httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError)
        if isinstance(error, (*network, ssl.SSLError, OSError)):
            return self._network_error(error, begun)
        return error

    def _network_error(self, error: BaseException, begun: bool) -> KimicodeError:
        import httpx2

        causes = list(_causes(error))
        later = "Check the connection, then: kimicode resume"
        if any(isinstance(c, ssl.SSLCertVerificationError) for c in causes):
            return ConfigError(
                f"The certificate of {self.host} cannot be verified.",
                hint="Behind an inspecting proxy, set SSL_CERT_FILE to a file that holds its certificate.",
            )
        if any(isinstance(c, httpx2.ConnectTimeout) for c in causes):
            why = f"no connection within {self._timeouts[1]:.0f} s"
        elif any(isinstance(c, (httpx2.TimeoutException, TimeoutError)) for c in causes):
            return ModelError(
                f"{self.host} said nothing for {self._timeouts[0]:.0f} s.",
                hint="Try again later: kimicode resume",
                kind="timeout",
                retryable=True,
            )
        elif begun:
            return ModelError(
                f"The connection to {self.host} broke off in the middle of an answer.",
                hint=later,
                kind="stream_cut",
                retryable=True,
            )
        elif any(isinstance(c, socket.gaierror) for c in causes):
            why = "the name cannot be resolved"
        elif any(isinstance(c, ConnectionRefusedError) for c in causes):
            why = "the connection was refused"
        elif any(isinstance(c, httpx2.ProxyError) for c in causes):
            why = f"the proxy refused ({causes[-1]}); see HTTPS_PROXY and NO_PROXY"
        else:
            why = next((str(c) for c in reversed(causes) if str(c)), type(error).__name__)
        return ModelError(
            f"{self.host} cannot be reached: {why}.", hint=later, kind="connection", retryable=True
        )


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read on to the end of the body: only then the connection can be used again."""
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in chunks:
                pass
    except (TimeoutError, KimicodeError):
        # The answer is whole; a server that cannot end its body costs a new connection, no more.
        pass


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it came from, groups of failed attempts included."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            todo += current.exceptions
        todo += [current.__cause__, current.__context__]
