"""The agent's loop: ask `decide` what is next, do it, and let events tell what happened."""

from __future__ import annotations

from collections.abc import Coroutine

from kimicode.agent.context import compact
from kimicode.agent.dispatch import run_calls
from kimicode.agent.parts import Parts
from kimicode.core import event as ev
from kimicode.core.decide import CallModel, Compact, Gate, Recover, Remind, RunTools, Stop, decide
from kimicode.core.message import Delta, Message, ModelRequest, Reply, ToolResult
from kimicode.core.state import Call
from kimicode.errors import ConfigError, ContextOverflow, ModelError, SandboxLost

MAX_LOST = 3
"""Sandboxes that may be lost in a row before the run ends."""
CAP_THINKING = 16_384
"""Moonshot's own minimum for thinking is 16,000: reasoning and answer share this cap."""
CAP_PLAIN = 4_096


async def run_agent(parts: Parts) -> Stop:
    """Drive the session until it stops; RunStopped is in the log when this returns."""
    session = parts.session
    while True:
        match decide(session.state, session.state.limits, session.clock()):
            case Stop() as stop:
                return await finish(parts, stop)
            case Recover(calls=calls):
                await roll_back(parts, calls)
            case RunTools(calls=calls):
                await guard(parts, run_calls(parts, calls))
            case Gate(title=title, body=body):
                await guard(parts, close_gate(parts, title, body))
            case Remind(topic=topic):
                text = parts.prompt(f"remind/{topic.split('-')[0]}")
                session.emit(ev.UserSpoke(text=text, source="harness", topic=topic))
            case Compact():
                shorten(parts)
            case CallModel():
                await call_model(parts)


async def guard(parts: Parts, work: Coroutine[object, object, None]) -> None:
    """Do work in the sandbox; one that went away is replaced, and `decide` then sees the interrupted calls."""
    try:
        await work
        parts.lost = 0
    except SandboxLost as e:
        parts.lost += 1
        if parts.lost > MAX_LOST:
            raise
        await replace_sandbox(parts, str(e))


async def replace_sandbox(parts: Parts, reason: str) -> None:
    parts.session.emit(ev.Phase(text=f"sandbox lost ({reason}); starting another over the same checkout"))
    await parts.sandbox.close()
    parts.sandbox = await parts.restart_sandbox()
    tell_lost(parts)


def tell_lost(parts: Parts) -> None:
    """One note to the model: what git ignores, and all outside the checkout, is as it was at the start."""
    state = parts.session.state
    if state.commands:
        topic = f"lost-{state.step}-{parts.lost}"
        parts.session.emit(ev.UserSpoke(text=parts.prompt("remind/lost"), source="harness", topic=topic))


async def roll_back(parts: Parts, calls: tuple[Call, ...]) -> None:
    """Undo what interrupted calls may have done, so that they can run again from the start.

    A command that had network may have acted on the outside; it is never run twice without the model's word.
    """
    session = parts.session
    unknown = [c for c in calls if c.network and c.effect == "exec"]
    for call in unknown:
        result = ToolResult(text=parts.prompt("remind/interrupted"), ok=False)
        session.emit(ev.ToolFinished(key=call.key, name=call.call.name, result=result))
    again = tuple(c for c in calls if c not in unknown)
    if not again:
        return
    tree = ""
    if not unknown and any(c.effect != "read" for c in again):
        await parts.drop_snapshot()
        tree = session.state.tree
        await parts.checkout.restore(tree)
    session.emit(ev.RolledBack(keys=tuple(c.key for c in again), tree=tree))


async def close_gate(parts: Parts, title: str, body: str) -> None:
    """The model ended without `submit`. Its second such end is accepted as it is: it has nothing more to do."""
    session = parts.session
    accepted, text = True, ""
    if session.state.text_ends <= 1:
        accepted, text = await parts.checks.gate(title, body)
    if accepted:
        session.emit(ev.Submitted(title=title, body=body))
    else:
        session.emit(ev.UserSpoke(text=text, source="harness", topic="gate"))


def shorten(parts: Parts) -> bool:
    """Replace the history by a shorter one. False when nothing could be left out."""
    session = parts.session
    state = session.state
    messages, before, after = compact(state.messages, window=state.run.context_window if state.run else 0)
    session.emit(ev.Compacted(messages=messages, before=max(before, state.context), after=after))
    return after < before


async def call_model(parts: Parts) -> None:
    """One request. What the provider refuses for good ends the run as an event, not as an exception."""
    session = parts.session
    state = session.state
    assert state.run is not None
    cap = CAP_THINKING if state.run.thinking else CAP_PLAIN
    request = ModelRequest(
        messages=(Message(role="system", text=state.run.system), *state.messages),
        tools=state.run.tools,
        max_output=cap,
        thinking=state.run.thinking,
        session_id=state.session_id,
    )
    session.emit(ev.ModelRequested(step=state.step, max_output=cap))
    try:
        async for part in parts.model.stream(request):
            if isinstance(part, Delta):
                show(parts, part)
            else:
                record(parts, part)
    except ContextOverflow as e:
        if not shorten(parts):
            fail(parts, e)
    except (ModelError, ConfigError) as e:
        fail(parts, e)


def show(parts: Parts, delta: Delta) -> None:
    if delta.kind == "text":
        parts.session.emit(ev.TextDelta(text=delta.text))
    elif delta.kind == "reasoning":
        parts.session.emit(ev.ReasoningDelta(text=delta.text))


def record(parts: Parts, reply: Reply) -> None:
    session = parts.session
    session.emit(
        ev.ModelReplied(
            step=session.state.step,
            message=reply.message,
            usage=reply.usage,
            usd=parts.model.spec.cost(reply.usage + reply.lost),
            finish=reply.finish,
            model=reply.model,
            trace_id=reply.trace_id,
            seconds=reply.seconds,
        )
    )


def fail(parts: Parts, error: ModelError | ConfigError) -> None:
    session = parts.session
    session.emit(
        ev.ModelFailed(
            step=session.state.step,
            error=type(error).__name__,
            text=str(error),
            hint=error.hint,
            exit_code=error.exit_code,
        )
    )


async def finish(parts: Parts, stop: Stop) -> Stop:
    """Freeze what the agent leaves behind, unless a former process did so already.

    A provider that failed ends this process's run but not the session: `resume` goes on where it stood.
    """
    session = parts.session
    if session.state.stopped is None and stop.reason != "error":
        state = session.state
        tree = state.tree if state.clean else await parts.take_snapshot()
        session.emit(
            ev.RunStopped(
                reason=stop.reason,
                detail=stop.detail,
                tree=tree,
                title=stop.title,
                body=stop.body,
                exit_code=stop.exit_code,
            ),
            sync=True,
        )
    return stop
