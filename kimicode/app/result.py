"""From a session's state to its outcome."""

from __future__ import annotations

from typing import Any

from kimicode.core import event as ev
from kimicode.core.checks import CheckRun
from kimicode.core.event import StopReason
from kimicode.core.outcome import FileStat, Outcome, classify
from kimicode.core.state import State

MESSAGES = {
    "verified": "Fixed and verified: what failed passes now, and nothing that passed fails.",
    "unverified": "Changed, but no test proves it.",
    "failed": "The change breaks something that passed before.",
    "not_applicable": "The result fits only together with your uncommitted changes: no branch was made.",
    "unchanged": "Nothing was changed.",
    "stuck": "The agent repeated itself without progress and was stopped.",
    "limit": "A limit was reached before the agent was done.",
    "error": "The run could not go on.",
    "interrupted": "Interrupted.",
}


def known_outcome(published: ev.Published) -> Outcome:
    """The outcome of a session that was finished already."""
    return Outcome.model_validate(published.outcome)


def make_outcome(
    state: State,
    reason: StopReason,
    *,
    changed: bool,
    applicable: bool = True,
    detail: str = "",
    error_code: int = 75,
    **more: Any,
) -> Outcome:
    """Status and exit code by the one table, and what the log knows about the run."""
    verdict = state.finished.verdict if state.finished else ""
    status, code = classify(reason, verdict, changed=changed, applicable=applicable, error_code=error_code)
    evidence = state.finished.evidence if state.finished else {}
    message = MESSAGES[status] if status != "error" else detail
    if status == "limit":
        message = f"Stopped: {detail}."
    return Outcome(
        status=status,
        exit_code=code,
        verdict=verdict,
        base=str(state.base.get("head", "")) if state.base else "",
        checks=tuple(summarise_check(c) for c in state.checks if c.role not in ("tool", "gate")),
        flaky=tuple(evidence.get("flaky", ())),
        usage=state.usage,
        cost_usd=round(state.usd, 6),
        steps=state.step,
        duration_s=round(state.elapsed, 3),
        session_id=state.session_id,
        model=state.run.model if state.run else "",
        sandbox=state.run.sandbox if state.run else "",
        stop_reason=reason,
        message=message,
        evidence=evidence,
        **more,
    )


def summarise_check(ran: ev.ChecksRan) -> dict[str, Any]:
    """One run as counts."""
    run = ran.run
    return {
        "role": ran.role,
        "command": run.command,
        "exit_code": run.exit_code,
        "passed": count(run, "passed", "xfailed"),
        "failed": count(run, "failed", "error", "xpassed"),
        "skipped": count(run, "skipped"),
        "seconds": round(run.seconds, 3),
        "cached": ran.cached,
    }


def count(run: CheckRun, *outcomes: str) -> int:
    return sum(t.outcome in outcomes for t in run.tests)


def list_files(stats: Any) -> tuple[FileStat, ...]:
    return tuple(FileStat(path=s.path, added=s.added, removed=s.removed) for s in stats)
