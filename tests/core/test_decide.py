"""The decider as a table: what follows from which state."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.core import event as ev
from kimicode.core.decide import CallModel, Compact, Gate, Recover, Remind, RunTools, Stop, decide
from kimicode.core.message import Message, ToolCall, ToolResult, Usage
from kimicode.core.plan import Limits
from kimicode.core.state import State, apply, fold, split_title

LIMITS = Limits(max_steps=100, max_cost=1.0, max_time=600)


def number(events: list[ev.Event], *, start: float = 1000.0, gap: float = 1.0) -> list[ev.Event]:
    return [e.model_copy(update={"seq": i, "ts": start + i * gap}) for i, e in enumerate(events)]


def start(**more: Any) -> list[ev.Event]:
    run = {
        "system": "s",
        "tools": (),
        "model": "m",
        "base_url": "u",
        "thinking": True,
        "context_window": 1000,
        "limits": LIMITS,
        "sandbox": "memory",
    }
    return [
        ev.SessionStarted(session_id="s", version="0", repo="/r", created=1, request={}),
        ev.BaseCaptured(base={"tree": "t0"}),
        ev.RunStarted(**(run | more)),
        ev.UserSpoke(text="task", source="task"),
    ]


def reply(step: int, *names: str, text: str = "", usd: float = 0.0, tokens: int = 10) -> list[ev.Event]:
    calls = tuple(ToolCall(id=f"{n}:0", name=n, arguments="{}") for n in names)
    message = Message(role="assistant", text=text, reasoning="", tool_calls=calls)
    return [
        ev.ModelRequested(step=step, max_output=10),
        ev.ModelReplied(
            step=step, message=message, usage=Usage(input=tokens), usd=usd, finish="tool_calls", model="m"
        ),
    ]


def ran(key: str, text: str = "ok", effect: str = "read", **data: Any) -> list[ev.Event]:
    return [
        ev.ToolStarted(key=key, name="x", effect=effect),  # type: ignore[arg-type]
        ev.ToolFinished(key=key, name="x", result=ToolResult(text=text, data=data)),
    ]


def after(*groups: list[ev.Event], limits: Limits = LIMITS, **more: Any) -> Any:
    events = number([e for g in (start(limits=limits, **more), *groups) for e in g])
    state = fold(events)
    return decide(state, limits, events[-1].ts + 1)


def test_the_first_step_asks() -> None:
    assert after() == CallModel()


def test_calls_are_run_and_their_results_asked_about() -> None:
    step = after(reply(0, "a", "b"))
    assert isinstance(step, RunTools) and [c.key for c in step.calls] == ["0.0", "0.1"]
    assert after(reply(0, "a", "b"), ran("0.1"))  # one open call is left
    step = after(reply(0, "a", "b"), ran("0.1"))
    assert isinstance(step, RunTools) and [c.key for c in step.calls] == ["0.0"]
    assert after(reply(0, "a", "b"), ran("0.1"), ran("0.0")) == CallModel()


def test_results_enter_the_history_in_the_order_of_the_calls() -> None:
    state = fold(number([*start(), *reply(0, "a", "b"), *ran("0.1", "second"), *ran("0.0", "first")]))
    assert [(m.role, m.text) for m in state.messages[-2:]] == [("tool", "first"), ("tool", "second")]


def test_a_started_call_was_interrupted() -> None:
    step = after(reply(0, "a", "b"), ran("0.0")[:1])
    assert isinstance(step, Recover) and [c.key for c in step.calls] == ["0.0"]
    again = after(reply(0, "a", "b"), ran("0.0")[:1], [ev.RolledBack(keys=("0.0",), tree="t0")])
    assert isinstance(again, RunTools) and len(again.calls) == 2


def test_an_open_request_is_asked_again_and_counted_as_lost() -> None:
    assert after(reply(0)[:1]) == CallModel()
    state = fold(number([*start(), *reply(0)[:1], ev.Resumed(pid=1), *reply(0, "a")]))
    assert (state.lost_requests, state.step) == (1, 1)


def test_submit_ends_the_run() -> None:
    done = after(reply(0, "submit"), ran("0.0", submitted={"title": "T", "body": "B"}))
    assert done == Stop("done", title="T", body="B")


def test_a_plain_text_end_goes_through_the_gate() -> None:
    assert after(reply(0, text="Fix it\n\nBecause.")) == Gate("Fix it", "Because.")
    assert after(reply(0, text="x"), [ev.Submitted(title="x", body="")]) == Stop("done", title="x")
    assert after(reply(0, text="x"), [ev.UserSpoke(text="no", source="harness")]) == CallModel()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_steps=2), "steps"),
        (Limits(max_cost=0.5), "budget"),
        (Limits(max_tokens=20), "budget"),
        (Limits(max_time=3), "time"),
    ],
)
def test_limits(limits: Limits, reason: str) -> None:
    steps = [*reply(0, "a", usd=0.3), *ran("0.0", "1"), *reply(1, "b", usd=0.3), *ran("1.0", "2")]
    step = after(steps, limits=limits)
    assert isinstance(step, Stop) and step.reason == reason and step.detail


def test_time_between_processes_is_not_running_time() -> None:
    events = [*number(start()), ev.Resumed(pid=2, seq=9, ts=90_000.0)]
    state = fold(events)
    assert state.elapsed < 10
    assert decide(state, Limits(max_time=60), 90_010.0) == CallModel()
    assert decide(state, Limits(max_time=60), 90_100.0).reason == "time"  # type: ignore[union-attr]
    assert decide(state, Limits(max_time=60), 10.0) == CallModel()  # a clock set back


def test_the_same_call_with_the_same_result() -> None:
    def steps(n: int, texts: tuple[str, ...] = ("exit 1, 0.31 s",)) -> list[ev.Event]:
        return [e for i in range(n) for e in (*reply(i, "a"), *ran(f"{i}.0", texts[i % len(texts)]))]

    assert after(steps(2)) == CallModel()
    assert after(steps(3, ("exit 1, 0.31 s", "exit 1, 12.5 s"))) == Remind("stuck-0")
    assert after(steps(3), [ev.UserSpoke(text="!", source="harness", topic="stuck-0")]) == CallModel()
    assert after(steps(5)).reason == "stuck"
    assert after(steps(6, ("a", "b"))) == CallModel()


def test_budget_notes_come_once_and_the_later_one_replaces_the_earlier() -> None:
    def steps(n: int) -> list[ev.Event]:
        return [e for i in range(n) for e in (*reply(i, "a"), *ran(f"{i}.0", str(i)))]

    limits = Limits(max_steps=10)
    half = [ev.UserSpoke(text="", source="harness", topic="half")]
    assert after(steps(4), limits=limits) == CallModel()
    assert after(steps(5), limits=limits) == Remind("half")
    assert after(steps(5), half, limits=limits) == CallModel()
    assert after(steps(8), half, limits=limits) == Remind("fifth")
    assert (
        after(steps(8), [ev.UserSpoke(text="", source="harness", topic="fifth")], limits=limits)
        == CallModel()
    )


def test_compaction_before_the_window_is_full() -> None:
    assert after(reply(0, "a", tokens=849), ran("0.0")) == CallModel()
    assert after(reply(0, "a", tokens=850), ran("0.0")) == Compact()


def test_a_failure_stops_this_process_but_not_the_session() -> None:
    failed = ev.ModelFailed(step=0, error="ModelError", text="down", exit_code=75)
    assert after([failed]) == Stop("error", detail="down", exit_code=75)
    assert after([failed, ev.Resumed(pid=1)]) == CallModel()


def test_notes_wait_until_no_call_is_open() -> None:
    note = ev.UserSpoke(text="note", source="harness", topic="base_checks")
    asked = fold(number([*start(), *reply(0)[:1], note]))
    assert [m.text for m in asked.messages] == ["task"]
    events = [*start(), *reply(0, "a")[:1], note, *reply(0, "a")[1:], *ran("0.0", "result")]
    assert [m.text for m in fold(number(events)).messages] == ["task", "", "result", "note"]


def test_titles() -> None:
    assert split_title("## Fix: the thing\n\nbody") == ("Fix: the thing", "body")
    title, body = split_title("word " * 40)
    assert len(title) <= 72 and body.startswith("word word")
    assert split_title("") == ("", "")


def _anything() -> st.SearchStrategy[list[ev.Event]]:
    keys = st.sampled_from(["0.0", "0.1", "1.0", "9.9"])
    event = st.one_of(
        st.builds(
            lambda n, s: reply(s, *n)[1], st.lists(st.sampled_from("ab"), max_size=2), st.integers(0, 2)
        ),
        st.builds(lambda s: reply(s)[0], st.integers(0, 2)),
        st.builds(lambda k, e: ran(k, effect=e)[0], keys, st.sampled_from(["read", "write", "exec"])),
        st.builds(lambda k: ran(k)[1], keys),
        st.builds(lambda k: ev.ToolRefused(key=k, name="x", text="no"), keys),
        st.builds(lambda k: ev.RolledBack(keys=(k,), tree="t"), keys),
        st.just(ev.Snapshotted(tree="t1")),
        st.just(ev.UserSpoke(text="n", source="harness", topic="half")),
        st.just(ev.Resumed(pid=1)),
        st.just(ev.ModelFailed(step=0, error="E", text="e")),
    )
    return st.lists(event, max_size=25)


@settings(max_examples=300, deadline=None)
@given(_anything())
def test_any_log_folds_and_every_call_has_one_result_at_most(events: list[ev.Event]) -> None:
    """A log that a bug or a crash left in any order still has a next step, and a history that Kimi accepts."""
    state = State()
    for event in number([*start(), *events]):
        state = apply(state, event)
        decide(state, LIMITS, event.ts)
    waiting: list[str] = []
    for message in state.messages:
        if message.role == "tool":
            assert waiting and waiting.pop(0) == message.tool_call_id
        elif message.role == "user":
            assert not waiting, "nothing may be said between a call and its result"
        elif message.role == "assistant":
            waiting = [c.id for c in message.tool_calls]
