"""Tool calls: parse, policy, approval, log, execute, cap. Reads run in parallel, everything else in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kimicode.agent.parts import Parts
from kimicode.core import event as ev
from kimicode.core.message import ToolResult
from kimicode.core.ports import Tool, ToolContext
from kimicode.core.state import Call
from kimicode.errors import ToolError

MAX_RESULT = 60_000
"""Characters of one result; tools cut far below this, by lines. A last line of defence for the context."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that may run."""

    call: Call
    tool: Tool
    arguments: Any


async def run_calls(parts: Parts, calls: Sequence[Call]) -> None:
    """Give every call its result. The order given is the meaning: a write or a command waits for all before it."""
    reads: list[Prepared] = []
    for call in calls:
        prepared = await prepare(parts, call)
        if prepared is None:
            continue
        if prepared.tool.effect == "read":
            reads.append(prepared)
            continue
        await _run_all(parts, reads)
        reads = []
        await checkpoint(parts)
        await execute(parts, prepared)
    await _run_all(parts, reads)


async def _run_all(parts: Parts, reads: Sequence[Prepared]) -> None:
    # Not a TaskGroup: one lost sandbox would cancel the others half-way, and all of them end by themselves.
    for outcome in await asyncio.gather(*(execute(parts, p) for p in reads), return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def prepare(parts: Parts, call: Call) -> Prepared | None:
    """Parse and approve a call; None when it was refused, and then the refusal is its result."""
    session, name = parts.session, call.call.name
    tool = parts.tools.get(name) or parts.tools.get(name.removeprefix("functions.").split(":")[0])
    if tool is None:
        text = f"There is no tool {name!r}. The tools are: {', '.join(parts.tools)}."
        session.emit(ev.ToolRefused(key=call.key, name=name, text=text))
        return None
    try:
        arguments = tool.parse(call.call.arguments)
    except ToolError as e:
        session.emit(ev.ToolRefused(key=call.key, name=name, text=str(e)))
        return None
    verdict = parts.policy(name, tool.effect)
    if call.status == "approved" or verdict.decision == "allow":
        return Prepared(call, tool, arguments)
    allowed = False
    if verdict.decision == "ask":
        description = tool.describe(arguments)
        session.emit(ev.ApprovalAsked(key=call.key, description=description, rule=verdict.rule))
        allowed = await parts.approve(description, verdict.rule)
        session.emit(ev.ApprovalGiven(key=call.key, allowed=allowed))
    if not allowed:
        text = f"Refused ({verdict.rule}): the user did not allow this call. Go on without it, or say what you need."
        session.emit(ev.ToolRefused(key=call.key, name=name, text=text))
        return None
    return Prepared(call, tool, arguments)


async def checkpoint(parts: Parts) -> None:
    """Make sure that the checkout as it is now can be restored, before the next effect begins."""
    if parts.session.state.clean:
        return
    tree = await parts.take_snapshot()
    if tree != parts.session.state.tree:  # else the log names it already
        parts.session.emit(ev.Snapshotted(tree=tree))


async def execute(parts: Parts, prepared: Prepared) -> None:
    """Run one call. ToolError is the model's result; any other exception ends the run with the call open."""
    session, call, tool = parts.session, prepared.call, prepared.tool
    name, effect = tool.spec.name, tool.effect
    started = ev.ToolStarted(
        key=call.key,
        name=name,
        effect=effect,
        description=parts.redact(tool.describe(prepared.arguments)),
        network=parts.sandbox.network,
    )
    session.emit(started, sync=effect != "read")
    state = session.state
    context = ToolContext(
        sandbox=parts.sandbox,
        checks=parts.checks,
        key=call.key,
        cwd=state.cwd,
        seen=state.seen,
        failures=state.failures,
        progress=lambda text: session.emit(ev.ToolProgress(key=call.key, text=text)),
    )
    begin = time.monotonic()
    try:
        result = await tool(context, prepared.arguments)
    except ToolError as e:
        result = ToolResult(text=str(e), ok=False, data=getattr(e, "data", {}))
    seconds = time.monotonic() - begin
    session.emit(ev.ToolFinished(key=call.key, name=name, result=_clean(parts, result), seconds=seconds))
    if effect != "read":
        parts.begin_snapshot()


def _clean(parts: Parts, result: ToolResult) -> ToolResult:
    """Secrets never reach the log or the model, and no result can fill the context."""
    text = parts.redact(result.text)
    if len(text) > MAX_RESULT:
        half = MAX_RESULT // 2
        text = f"{text[:half]}\n[{len(text) - MAX_RESULT} characters left out here]\n{text[-half:]}"
    return result.model_copy(
        update={"text": text, "diff": parts.redact(result.diff), "summary": parts.redact(result.summary)}
    )
