"""A model behind a Chat Completions endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from kimicode.core.message import Delta, ModelRequest, ModelSpec, Reply
from kimicode.errors import KimicodeError, UnknownModel
from kimicode.models.catalog import DEFAULT_BASE_URL, Target, elsewhere, other_spelling
from kimicode.models.keys import Key
from kimicode.models.stream import StreamParser
from kimicode.models.transport import CONNECT_TIMEOUT, READ_TIMEOUT, Transport, drain
from kimicode.models.wire import Wire

if TYPE_CHECKING:
    import httpx2


class ChatModel:
    """The model of one conversation: it keeps the encoded history and one connection.

    Requests of one instance come one after another. No retries here (wrap.Retrying), but for one: a model id
    that the endpoint does not know is tried once in its other spelling, which is kept if it works.
    """

    def __init__(
        self,
        target: Target,
        key: Key,
        *,
        read_timeout: float = READ_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        keep_reasoning: bool = False,
    ) -> None:
        """Timeouts in seconds. `keep_reasoning`: reasoning of earlier user turns is used too (and paid for)."""
        self._target = target
        self._spec = target.spec
        self._switched = False
        """The other spelling is in use."""
        self._known = False
        """The endpoint has answered for the spelling in use."""
        self._wire = Wire(target.backend, window=target.spec.context_window, keep_reasoning=keep_reasoning)
        self._transport = Transport(target.base_url, key.value, read=read_timeout, connect=connect_timeout)

    @property
    def spec(self) -> ModelSpec:
        """`id` is the spelling in use: read it again after the first answer."""
        return self._spec

    def warm(self) -> None:
        """Import and build the client, in a thread beside other work (most of a second). May be called twice."""
        self._transport.warm()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Reply, None]:
        """See core.ports.Model. Raises AuthError, UnknownModel, ConfigError, ModelError."""
        started = time.monotonic()
        response = await self._ask(request)
        async with aclosing(self._read(response, started)) as pieces:
            async for piece in pieces:
                yield piece

    async def served(self) -> tuple[str, ...]:
        """Ids that the endpoint lists, sorted. Raises like `stream`."""
        try:
            data = json.loads(await self._transport.get("/models"))
        except ValueError:
            return ()
        rows = data.get("data") if isinstance(data, dict) else None
        return tuple(sorted({str(r["id"]) for r in rows or () if isinstance(r, dict) and r.get("id")}))

    async def close(self) -> None:
        await self._transport.close()

    async def _ask(self, request: ModelRequest) -> httpx2.Response:
        try:
            response = await self._post(request)
        except UnknownModel as error:
            other = other_spelling(self._spec.id, self._target.backend)
            if other and not self._switched and not self._known:
                self._switched = True
                self._spec = self._spec.model_copy(update={"id": other})
                return await self._ask(request)
            tried = f"{self._target.spec.id} nor {self._spec.id}" if self._switched else self._spec.id
            self._spec, self._switched = self._target.spec, False
            raise await self._explain(error, tried) from None
        self._known = True
        return response

    async def _post(self, request: ModelRequest) -> httpx2.Response:
        body = self._wire.body(request, self._spec.id)
        return await self._transport.post("/chat/completions", body, model=self._spec.id)

    async def _read(self, response: httpx2.Response, started: float) -> AsyncGenerator[Delta | Reply, None]:
        sent = int(response.request.headers.get("content-length", 0))
        parser = StreamParser(self._target.backend, model=self._spec.id, prompt_bytes=sent)
        trace = response.headers.get("x-trace-id") or response.headers.get("x-request-id") or ""
        try:
            async with aclosing(self._transport.read(response, self._spec.id)) as chunks:
                async for chunk in chunks:
                    for delta in parser.feed(chunk):
                        yield delta
                    if parser.done:
                        await drain(chunks)
                        break
            yield parser.finish(trace_id=trace, seconds=time.monotonic() - started)
        except KimicodeError as error:
            raise self._transport.redact(error) from None
        finally:
            await response.aclose()

    async def _explain(self, error: UnknownModel, tried: str) -> UnknownModel:
        """The same error with what is served here, where else K2.6 is, and the commands."""
        try:
            served = await self.served()
        except KimicodeError:
            served = ()
        lines = ["The endpoint lists no models."]
        if served:
            place = (
                "" if self._target.base_url == DEFAULT_BASE_URL else f" --base-url {self._target.base_url}"
            )
            lines = [f"Served there: {', '.join(served)}"]
            lines.append(f"To use one of them: kimicode fix …{place} --model {served[0]}")
        if other_spelling(self._spec.id, self._target.backend):
            lines += ["Kimi K2.6 elsewhere:", *(f"  {line}" for line in elsewhere(self._target.backend))]
        message = (
            f"{self._transport.host} serves {'neither ' if ' nor ' in tried else 'no '}{tried}. ({error})"
        )
        return UnknownModel(message, hint="\n".join(lines), served=served)
