"""What the server answers, in a small readable form.

    Script([
        say("Let me look.", think="…") + call("shell", command="ls"),
        call("read_file", path="a.py") + call("read_file", path="b.py"),
        rate_limited(retry_after=1),           # the next answer is refused once before it is given
        say("Done."),
    ])

Answers are numbered, faults are not: the n-th answer is given to every request that holds n assistant messages,
so a session that is resumed and asks again gets the same one. A fault stands before the answer that it spoils
and happens once per run of the server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True)
class Answer:
    """One streamed answer."""

    text: str = ""
    think: str | None = None
    calls: tuple[Call, ...] = ()
    finish: str = ""
    """"": what fits ("tool_calls" or "stop")."""
    usage: str = "chunk"
    """Where it is counted: choice, chunk, extra, details (extra chunk, cached in details), split, none."""
    shape: str = ""
    """How the stream deviates: late_name, missing_index, arguments_first, null_arguments, whole_name_again,
    same_index, null_content, empty_choices, no_done, no_finish, error_inside, crlf, comments, no_space, plain_json,
    message_once, hang_open."""
    error: Mapping[str, Any] | None = None
    """For shape error_inside: the error object (default: server_error)."""
    chunk: int = 7
    """Characters in a delta."""
    field: str = "reasoning_content"

    def __add__(self, other: Answer) -> Answer:
        think = other.think if self.think is None else self.think + (other.think or "")
        return replace(self, text=self.text + other.text, think=think, calls=self.calls + other.calls)

    def but(self, **changes: Any) -> Answer:
        return replace(self, **changes)


@dataclass(frozen=True)
class Fault:
    """What happens instead of an answer (status) or in the middle of it (cut, stall)."""

    status: int = 0
    kind: str = ""
    message: str = ""
    retry_after: str = ""
    body: bytes | None = None
    """Raw body, e.g. HTML."""
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = -1
    """Close the connection after so many bytes of the body."""
    stall: float = 0.0
    """Seconds of silence, after `cut` bytes if that is given, else before the first."""
    times: int = 1


def say(text: str = "", *, think: str | None = None, **more: Any) -> Answer:
    return Answer(text=text, think=think, **more)


def call(
    _name: str, *, _id: str = "", _raw: str | None = None, _think: str | None = None, **arguments: Any
) -> Answer:
    """A call with these arguments; `_raw` gives the argument text itself, e.g. malformed."""
    text = json.dumps(arguments, ensure_ascii=False) if _raw is None else _raw
    return Answer(calls=(Call(_name, text, _id),), think=_think)


def fail(status: int, kind: str = "server_error", message: str = "it failed", **more: Any) -> Fault:
    return Fault(status=status, kind=kind, message=message, **more)


def overloaded(retry_after: str | float = "", **more: Any) -> Fault:
    text = "The engine is currently overloaded, please try again later"
    return Fault(429, "engine_overloaded_error", text, str(retry_after), **more)


def rate_limited(which: str = "TPM", retry_after: str | float = "", **more: Any) -> Fault:
    text = f"Your account u-1<ak-1> request reached {which} rate limit, current: 500001, limit: 500000"
    return Fault(429, "rate_limit_reached_error", text, str(retry_after), **more)


def quota(**more: Any) -> Fault:
    text = "You exceeded your current token quota, please check your account balance"
    return Fault(429, "exceeded_current_quota_error", text, **more)


def html(status: int = 504, **more: Any) -> Fault:
    page = b"<html><head><title>504 Gateway Time-out</title></head><body><h1>504</h1></body></html>"
    return Fault(status, body=page, headers=(("content-type", "text/html"),), **more)


def cut(after: int, **more: Any) -> Fault:
    return Fault(cut=after, **more)


def stall(seconds: float, after: int = -1, **more: Any) -> Fault:
    return Fault(stall=seconds, cut=after, **more)


Item = Answer | Fault


class Script:
    """Numbered answers, with the faults that stand before each."""

    def __init__(
        self, items: Iterable[Item] = (), *, function: Callable[[dict[str, Any]], Item] | None = None
    ) -> None:
        """`function` answers by the request (parsed body) instead, whenever it is given."""
        self.answers: list[Answer] = []
        self.faults: dict[int, list[Fault]] = {}
        self.function = function
        for item in items:
            if isinstance(item, Fault):
                self.faults.setdefault(len(self.answers), []).extend([item] * item.times)
            else:
                self.answers.append(item)

    def choose(self, request: dict[str, Any]) -> tuple[Answer | None, Fault | None]:
        """The answer for a request and the fault that spoils it, if one is left."""
        if self.function is not None:
            item = self.function(request)
            return (None, item) if isinstance(item, Fault) else (item, None)
        step = sum(m.get("role") == "assistant" for m in request["messages"])
        left = self.faults.get(step)
        fault = left.pop(0) if left else None
        return (self.answers[step] if step < len(self.answers) else None), fault

    @classmethod
    def load(cls, path: Path) -> Script:
        """The JSON form: a list of {"text","think","calls":[{"name","arguments"}],…} and {"fault": {…}} objects."""
        items: list[Item] = []
        for row in json.loads(path.read_text()):
            if "fault" in row:
                items.append(Fault(**row["fault"]))
                continue
            made = []
            for one in row.pop("calls", ()):
                given = one.get("arguments", {})
                made.append(
                    Call(
                        one["name"], given if isinstance(given, str) else json.dumps(given), one.get("id", "")
                    )
                )
            items.append(Answer(calls=tuple(made), **row))
        return cls(items)
