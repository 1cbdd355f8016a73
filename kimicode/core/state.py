"""The state of a session: a fold of `apply` over its durable events."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from kimicode.core import event as ev
from kimicode.core.checks import CheckRun
from kimicode.core.message import Effect, Message, ToolCall, ToolResult, Usage
from kimicode.core.plan import Limits

CallStatus = Literal["new", "asked", "approved", "started", "done"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the last answer, on its way to a result."""

    key: str
    """"step.index": unique in the session, unlike Kimi's own ids."""
    call: ToolCall
    status: CallStatus = "new"
    effect: Effect = "read"
    network: bool = False
    result: ToolResult | None = None


@dataclass(frozen=True)
class State:
    """Everything that decides what happens next. Made by `apply` only."""

    session_id: str = ""
    created: int = 0
    repo: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] | None = None
    run: ev.RunStarted | None = None
    limits: Limits = Limits()
    messages: tuple[Message, ...] = ()
    """The history as the model has it, the system message excepted."""
    calls: tuple[Call, ...] = ()
    """Calls of the last answer while any of them lacks its result."""
    notes: tuple[str, ...] = ()
    """What waits to be said to the model until all calls have their results."""
    topics: frozenset[str] = frozenset()
    """Harness notes already given."""
    request_open: bool = False
    step: int = 0
    """Answers so far."""
    lost_requests: int = 0
    """Requests whose answer never came: billed perhaps, never seen."""
    usage: Usage = Usage()
    usd: float = 0.0
    context: int = 0
    """Tokens of the last request and answer, as the server counted."""
    tree: str = ""
    """Last snapshot of the checkout."""
    clean: bool = False
    """No effect has begun since that snapshot."""
    cwd: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    """Consecutive failed edits by path."""
    commands: int = 0
    """Commands finished: what a lost sandbox may have lost."""
    repeats: int = 0
    """How many steps in a row were the same calls with the same results."""
    signature: str = ""
    text_end: tuple[str, str] | None = None
    """Title and body of an end in plain text that is not accepted yet."""
    text_ends: int = 0
    submitted: tuple[str, str] | None = None
    failure: ev.ModelFailed | None = None
    stopped: ev.RunStopped | None = None
    checks: tuple[ev.ChecksRan, ...] = ()
    finished: ev.RunFinished | None = None
    published: ev.Published | None = None
    elapsed: float = 0.0
    """Seconds of running time, gaps between processes left out."""
    last_ts: float = 0.0
    seq: int = -1

    def check(self, role: ev.CheckRole) -> CheckRun | None:
        """The newest run in that role."""
        return next((c.run for c in reversed(self.checks) if c.role == role), None)


_fields = frozenset(f.name for f in fields(State))


def change(state: State, **changes: Any) -> State:
    """`dataclasses.replace`, twenty times as fast: it is called a dozen times in every step."""
    assert changes.keys() <= _fields, f"no such field: {sorted(changes.keys() - _fields)}"
    new = object.__new__(State)
    new.__dict__.update(state.__dict__)
    new.__dict__.update(changes)
    return new


def apply(state: State, event: ev.Event) -> State:
    """The state after `event`. Pure; ephemeral events change nothing."""
    if not event.durable:
        return state
    gap = event.ts - state.last_ts if state.last_ts and not isinstance(event, ev.Resumed) else 0.0
    # A clock that was set back or forward by hours must not eat the time budget.
    elapsed = state.elapsed + (gap if 0 < gap < 6 * 3600 else 0.0)
    state = change(state, seq=event.seq, last_ts=event.ts, elapsed=elapsed)
    handler = _handlers.get(type(event))
    return handler(state, event) if handler else state


def fold(events: Iterable[ev.Event], state: State | None = None) -> State:
    """`apply` over many events."""
    state = state or State()
    for event in events:
        state = apply(state, event)
    return state


def _session_started(state: State, e: ev.SessionStarted) -> State:
    return change(state, session_id=e.session_id, created=e.created, repo=e.repo, request=e.request)


def _base_captured(state: State, e: ev.BaseCaptured) -> State:
    return change(state, base=e.base, tree=str(e.base.get("tree", "")), clean=True)


def _environment_ready(state: State, e: ev.EnvironmentReady) -> State:
    return change(state, environment=e.environment)


def _run_started(state: State, e: ev.RunStarted) -> State:
    return change(state, run=e, limits=e.limits)


def _user_spoke(state: State, e: ev.UserSpoke) -> State:
    if e.topic:
        state = change(state, topics=state.topics | {e.topic})
    if state.calls or state.request_open:
        # Between a request and the results of its calls nothing may be said: Kimi answers 400 if a call's result
        # does not follow it, and the model has not seen what was said meanwhile.
        return change(state, notes=(*state.notes, e.text))
    said = tuple(Message(role="user", text=text) for text in (*state.notes, e.text))
    return change(state, messages=(*state.messages, *said), notes=(), text_end=None)


def _model_requested(state: State, e: ev.ModelRequested) -> State:
    lost = 1 if state.request_open else 0
    return change(state, request_open=True, lost_requests=state.lost_requests + lost)


def _model_replied(state: State, e: ev.ModelReplied) -> State:
    calls = tuple(Call(key=f"{e.step}.{i}", call=c) for i, c in enumerate(e.message.tool_calls))
    return change(
        state,
        messages=(*state.messages, e.message),
        calls=calls,
        request_open=False,
        step=state.step + 1,
        usage=state.usage + e.usage,
        usd=state.usd + e.usd,
        context=e.usage.input + e.usage.output,
        # An answer that was cut at the cap is no end, whatever it says so far.
        text_end=None if calls or e.finish == "length" else split_title(e.message.text),
        text_ends=state.text_ends + (0 if calls else 1),
    )


def _model_failed(state: State, e: ev.ModelFailed) -> State:
    return change(state, request_open=False, failure=e)


def _tool_refused(state: State, e: ev.ToolRefused) -> State:
    return _settle(state, e.key, ToolResult(text=e.text, ok=False))


def _approval_asked(state: State, e: ev.ApprovalAsked) -> State:
    return _update(state, e.key, lambda c: replace(c, status="asked"))


def _approval_given(state: State, e: ev.ApprovalGiven) -> State:
    return _update(state, e.key, lambda c: replace(c, status="approved")) if e.allowed else state


def _tool_started(state: State, e: ev.ToolStarted) -> State:
    state = _update(state, e.key, lambda c: replace(c, status="started", effect=e.effect, network=e.network))
    return state if e.effect == "read" else change(state, clean=False)


def _tool_finished(state: State, e: ev.ToolFinished) -> State:
    result = e.result
    if result.cwd is not None:
        state = change(state, cwd=result.cwd)
    if result.files:
        state = change(state, seen={**state.seen, **result.files})
    failed = result.data.get("failed_paths")
    if failed or (result.ok and result.files and state.failures):
        counts = {p: n for p, n in state.failures.items() if p not in result.files}
        counts.update({p: state.failures.get(p, 0) + 1 for p in failed or ()})
        state = change(state, failures=counts)
    submitted = result.data.get("submitted")
    if result.ok and isinstance(submitted, dict):
        state = change(state, submitted=(str(submitted.get("title", "")), str(submitted.get("body", ""))))
    call = next((c for c in state.calls if c.key == e.key), None)
    if call is not None and call.effect == "exec":
        state = change(state, commands=state.commands + 1)
    return _settle(state, e.key, result)


def _snapshotted(state: State, e: ev.Snapshotted) -> State:
    return change(state, tree=e.tree, clean=True)


def _rolled_back(state: State, e: ev.RolledBack) -> State:
    calls = tuple(replace(c, status="new") if c.key in e.keys else c for c in state.calls)
    return change(state, calls=calls, clean=state.clean or bool(e.tree))


def _compacted(state: State, e: ev.Compacted) -> State:
    return change(state, messages=e.messages, context=e.after)


def _checks_ran(state: State, e: ev.ChecksRan) -> State:
    return change(state, checks=(*state.checks, e))


def _submitted(state: State, e: ev.Submitted) -> State:
    return change(state, submitted=(e.title, e.body))


def _run_stopped(state: State, e: ev.RunStopped) -> State:
    return change(state, stopped=e, tree=e.tree)


def _run_finished(state: State, e: ev.RunFinished) -> State:
    return change(state, finished=e)


def _published(state: State, e: ev.Published) -> State:
    return change(state, published=e)


def _resumed(state: State, e: ev.Resumed) -> State:
    # A provider error ends a run but not a session: the next process asks again.
    lost = 1 if state.request_open else 0
    return change(state, failure=None, request_open=False, lost_requests=state.lost_requests + lost)


_handlers: dict[type, Callable[[State, Any], State]] = {
    ev.SessionStarted: _session_started,
    ev.BaseCaptured: _base_captured,
    ev.EnvironmentReady: _environment_ready,
    ev.RunStarted: _run_started,
    ev.UserSpoke: _user_spoke,
    ev.ModelRequested: _model_requested,
    ev.ModelReplied: _model_replied,
    ev.ModelFailed: _model_failed,
    ev.ToolRefused: _tool_refused,
    ev.ApprovalAsked: _approval_asked,
    ev.ApprovalGiven: _approval_given,
    ev.ToolStarted: _tool_started,
    ev.ToolFinished: _tool_finished,
    ev.Snapshotted: _snapshotted,
    ev.RolledBack: _rolled_back,
    ev.Compacted: _compacted,
    ev.ChecksRan: _checks_ran,
    ev.Submitted: _submitted,
    ev.RunStopped: _run_stopped,
    ev.RunFinished: _run_finished,
    ev.Published: _published,
    ev.Resumed: _resumed,
}


def _update(state: State, key: str, step: Callable[[Call], Call]) -> State:
    return change(state, calls=tuple(step(c) if c.key == key else c for c in state.calls))


def _settle(state: State, key: str, result: ToolResult) -> State:
    """Give a call its result; when it was the last one, results enter the history in the calls' order."""
    state = _update(state, key, lambda c: replace(c, status="done", result=result))
    if not state.calls or any(c.status != "done" for c in state.calls):
        return state
    results = tuple(
        Message(role="tool", text=c.result.text, tool_call_id=c.call.id) for c in state.calls if c.result
    )
    said = tuple(Message(role="user", text=text) for text in state.notes)
    mark = sign(state.calls)
    return change(
        state,
        messages=(*state.messages, *results, *said),
        calls=(),
        notes=(),
        repeats=state.repeats + 1 if mark == state.signature else 1,
        signature=mark,
    )


_duration = re.compile(r"\b\d+(?:\.\d+)? ?m?s\b")


def sign(calls: Iterable[Call]) -> str:
    """What makes a step the same as another: names, arguments and results, durations left out."""
    parts = [
        f"{c.call.name}\0{c.call.arguments}\0{_duration.sub('', c.result.text if c.result else '')}"
        for c in calls
    ]
    return "\1".join(parts)


def split_title(text: str) -> tuple[str, str]:
    """Commit title (at most 72 characters) and body from a closing text of the model."""
    lines = text.strip().splitlines() or [""]
    title = lines[0].strip().lstrip("#*- ").rstrip("*: ")
    body = "\n".join(lines[1:]).strip()
    if len(title) > 72:
        cut = title[:72].rsplit(" ", 1)[0] or title[:72]
        body = f"{title}\n\n{body}".strip()
        title = cut
    return title, body
