"""What happens next: one pure function of the state. Resume, budgets and stuck detection are ordinary states."""

from __future__ import annotations

from dataclasses import dataclass

from kimicode.core.event import StopReason
from kimicode.core.plan import Limits
from kimicode.core.state import Call, State

REMIND_AFTER = 3
"""Identical steps after which the model is told so (Moonshot's own advice for K2: remind at 3)."""
STOP_AFTER = 5
COMPACT_SHARE = 0.85
"""Share of the context window at which history is compacted before the next request."""


@dataclass(frozen=True, slots=True)
class CallModel:
    """Ask the model."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """Run these calls: reads in parallel, a write or a command waits for all earlier ones."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Recover:
    """These calls were begun by a process that is no more."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """The model ended in plain text: run what `submit` would have run."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Remind:
    """Say something to the model, once per topic: prompts/remind/<topic>.md."""

    topic: str


@dataclass(frozen=True, slots=True)
class Compact:
    """Shorten the history before the next request."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The run is over."""

    reason: StopReason
    title: str = ""
    body: str = ""
    detail: str = ""
    exit_code: int = 0


Step = CallModel | RunTools | Recover | Gate | Remind | Compact | Stop


def decide(state: State, limits: Limits, now: float) -> Step:
    """The next step of the loop. `now`: seconds since the epoch, on the clock of the events.

    Called only while nothing is in flight in this process, so a call that has started was interrupted.
    """
    if state.stopped:
        s = state.stopped
        return Stop(s.reason, title=s.title, body=s.body, detail=s.detail, exit_code=s.exit_code)
    interrupted = tuple(c for c in state.calls if c.status == "started")
    if interrupted:
        return Recover(interrupted)
    if state.failure:
        f = state.failure
        return Stop("error", detail=f.text, exit_code=f.exit_code)
    if limits.max_time is not None and elapsed(state, now) >= limits.max_time:
        return Stop("time", detail=f"the time limit of {limits.max_time:.0f} s is reached")
    open_calls = tuple(c for c in state.calls if c.status != "done")
    if open_calls:
        return RunTools(open_calls)
    if state.submitted:
        return Stop("done", title=state.submitted[0], body=state.submitted[1])
    if state.text_end:
        return Gate(*state.text_end)
    return _stop_at_limit(state, limits) or _remind(state, limits) or _ask(state)


def elapsed(state: State, now: float) -> float:
    """Running time in seconds, what has passed since the last event included."""
    since = now - state.last_ts if state.last_ts else 0.0
    return state.elapsed + max(0.0, min(since, 6 * 3600.0))


def _stop_at_limit(state: State, limits: Limits) -> Stop | None:
    if state.repeats >= STOP_AFTER:
        return Stop("stuck", detail=f"the same call gave the same result {state.repeats} times in a row")
    if state.step >= limits.max_steps:
        return Stop("steps", detail=f"the limit of {limits.max_steps} steps is reached")
    if limits.max_cost is not None and state.usd >= limits.max_cost:
        return Stop("budget", detail=f"${state.usd:.2f} of ${limits.max_cost:.2f} is spent")
    used = state.usage.input + state.usage.output
    if limits.max_tokens is not None and used >= limits.max_tokens:
        return Stop("budget", detail=f"{used} of {limits.max_tokens} tokens are used")
    return None


def _remind(state: State, limits: Limits) -> Remind | None:
    if state.repeats >= REMIND_AFTER and f"stuck-{state.step - state.repeats}" not in state.topics:
        # One reminder per run of repeats: the topic carries the step at which the run began.
        return Remind(f"stuck-{state.step - state.repeats}")
    last = state.messages[-1] if state.messages else None
    if last is not None and last.role == "assistant":
        # Neither calls nor an end: the answer was cut at the cap, twice (models/wrap.py doubles it once).
        return Remind(f"cut-{state.step}")
    share = spent_share(state, limits)
    for topic, bound in (("fifth", 0.8), ("half", 0.5)):
        if share >= bound and not {"fifth", topic} & state.topics:
            return Remind(topic)
    return None


def spent_share(state: State, limits: Limits) -> float:
    """The largest used share of steps and money, 0 to 1 and above."""
    shares = [state.step / limits.max_steps if limits.max_steps else 1.0]
    if limits.max_cost:
        shares.append(state.usd / limits.max_cost)
    return max(shares)


def _ask(state: State) -> Step:
    window = state.run.context_window if state.run else 0
    if window and state.context >= window * COMPACT_SHARE:
        return Compact()
    return CallModel()
