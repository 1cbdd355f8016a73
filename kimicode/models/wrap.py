"""Models around models: the one retry policy, and a recorder."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from kimicode.core.message import Delta, ModelRequest, ModelSpec, Reply, Usage
from kimicode.core.ports import Model
from kimicode.errors import ModelError

OnWait = Callable[[float, str], None]
"""(seconds, reason): the attempt failed and the next one begins after this wait; whatever it streamed is void."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to ask again."""

    attempts: int = 6
    """Requests for one answer, the first included."""
    seconds: float = 300.0
    """Time from the first failure after which no new attempt begins. 7200 keeps a run alive over an outage."""
    first: float = 0.5
    longest: float = 30.0
    """Bounds of the wait that we choose ourselves: full jitter below first * 2**n and below `longest`."""
    longest_asked: float = 120.0
    """A longer Retry-After is cut to this: the server may recover sooner, and it will say so again."""


class Retrying:
    """Repeats an attempt that failed, when the error says that this can help.

    Every attempt starts over. Before the next one `on_wait(seconds, reason)` is called, also with 0 seconds:
    that is the marker that everything streamed since the request began is void. An empty answer is asked for
    again once; one that was cut off at the cap, once with twice the cap. What such answers cost is in
    `Reply.lost`. The errors that come out are final: nobody above retries.
    """

    def __init__(
        self,
        model: Model,
        policy: RetryPolicy | None = None,
        on_wait: OnWait = lambda seconds, reason: None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._model = model
        self._policy = policy or RetryPolicy()
        self._on_wait = on_wait
        self._sleep = sleep
        self._clock = clock
        self._dice = dice

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    async def close(self) -> None:
        await self._model.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Reply, None]:
        """See core.ports.Model."""
        failures = 0
        since: float | None = None
        lost = Usage()
        doubled = emptied = False
        while True:
            reply: Reply | None = None
            try:
                async with aclosing(
                    cast(AsyncGenerator[Delta | Reply, None], self._model.stream(request))
                ) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Reply):
                            reply = piece
                        else:
                            yield piece
            except ModelError as error:
                failures += 1
                since = self._clock() if since is None else since
                await self._wait(error, failures, self._clock() - since)
                continue
            if reply is None:
                raise ModelError("The model ended without an answer.", kind="bad_reply")
            fault = find_fault(reply)
            # A long text that is cut twice is still an answer; half a call is not.
            cut_text = (
                fault == "length" and doubled and not reply.message.tool_calls and reply.message.text.strip()
            )
            if not fault or cut_text:
                yield reply.model_copy(update={"lost": lost}) if lost != Usage() else reply
                return
            lost += reply.usage
            if fault == "length" and not doubled:
                doubled = True
                request = request.model_copy(update={"max_output": request.max_output * 2})
                self._on_wait(
                    0.0, f"the answer was cut off; asking again with up to {request.max_output} tokens"
                )
            elif fault != "length" and not emptied:
                emptied = True
                self._on_wait(0.0, f"the answer was {fault}; asking again")
            else:
                raise _final(fault, request)

    async def _wait(self, error: ModelError, failures: int, elapsed: float) -> None:
        """Sleep before the next attempt, or raise the error as final."""
        policy = self._policy
        if not error.retryable:
            raise error
        if failures >= policy.attempts:
            raise _given_up(error, f"{failures} attempts")
        if error.wait_s is not None:
            # A little more than asked, never less: many clients were told the same moment.
            seconds = min(error.wait_s, policy.longest_asked) + self._dice() * min(1.0, policy.first)
        else:
            seconds = self._dice() * min(policy.longest, policy.first * 2.0 ** (failures - 1))
        if elapsed + seconds > policy.seconds:
            raise _given_up(error, f"{failures} attempt{'s'[: failures > 1]} in {elapsed:.0f} s")
        self._on_wait(seconds, str(error))
        await self._sleep(seconds)


_one_character = re.compile(r"(.)\1{24,}", re.S)


def find_fault(reply: Reply) -> str:
    """Why a reply that ended well is of no use: "length", "empty", "only thinking", "degenerate", or ""."""
    message = reply.message
    text = message.text.strip()
    if reply.finish == "length":
        whole = message.tool_calls and all(_is_whole(c.arguments) for c in message.tool_calls)
        return "" if whole else "length"
    if message.tool_calls:
        return ""
    if not text:
        thought = (message.reasoning or "").strip()
        if not thought:
            return "empty"
        return "degenerate" if _one_character.fullmatch(thought) else "only thinking"
    return "degenerate" if _one_character.fullmatch(text) else ""


class Recording:
    """Writes each request's digest and its reply to a JSONL file (a cassette), and passes everything on."""

    def __init__(self, model: Model, path: Path) -> None:
        self._model = model
        self._path = path

    @property
    def spec(self) -> ModelSpec:
        return self._model.spec

    async def close(self) -> None:
        await self._model.close()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta | Reply, None]:
        """See core.ports.Model. Only answers that came to an end are written."""
        async with aclosing(cast(AsyncGenerator[Delta | Reply, None], self._model.stream(request))) as pieces:
            async for piece in pieces:
                if isinstance(piece, Reply):
                    self._write(request, piece)
                yield piece

    def _write(self, request: ModelRequest, reply: Reply) -> None:
        record = {
            "request": digest_request(request),
            "messages": len(request.messages),
            "model": self._model.spec.id,
            "reply": reply.model_dump(mode="json"),
        }
        with self._path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_cassette(path: Path) -> tuple[Reply, ...]:
    """The replies of a cassette, for ReplayModel."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(Reply.model_validate(json.loads(line)["reply"]) for line in lines if line.strip())


def digest_request(request: ModelRequest) -> str:
    """sha256 of what the request says; the session's id is left out, so that equal runs are equal."""
    said = request.model_dump_json(exclude={"session_id"})
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


def _is_whole(arguments: str) -> bool:
    try:
        json.loads(arguments or "{}")
    except ValueError:
        return False
    return True


def _final(fault: str, request: ModelRequest) -> ModelError:
    if fault == "length":
        return ModelError(
            f"The answer was cut off at {request.max_output} tokens, twice, before it held anything usable.",
            hint="Try a smaller task, or --no-thinking: thinking counts against the same limit.",
            kind="length",
        )
    return ModelError(
        f"The model answered twice with nothing to act on (the last was {fault}).",
        hint="Try again: kimicode resume. On a self-hosted server check its parsers for tool calls and reasoning.",
        kind="empty_reply",
    )


def _given_up(error: ModelError, after: str) -> ModelError:
    """The same error, no longer retryable, saying how long it was tried."""
    final = type(error)(
        f"{error} (gave up after {after})",
        hint=error.hint,
        kind=error.kind,
        status=error.status,
        wait_s=error.wait_s,
    )
    return final
