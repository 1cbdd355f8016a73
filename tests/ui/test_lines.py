"""Lines for people: safe, no wider than asked, and true."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wcwidth import wcswidth

from kimicode.core import checks
from kimicode.core import event as ev
from kimicode.core.message import Message, ToolResult, Usage
from kimicode.ui.console import Console
from kimicode.ui.flow import TextFlow
from kimicode.ui.lines import count_diff, count_tests, duration, fit_fields, money, tokens, tool_lines
from kimicode.ui.terminal import Abilities, Screen, cut_text, text_width, to_ascii

PLAIN = Abilities(live=False, color=False, unicode=True)
hostile = st.text(
    st.sampled_from("ab \t\r\n\x1b\x9b\x07\x00]0;[2JP\\m\u202e\u200d修👩\u0301é") | st.characters(codec=None),
    max_size=40,
)


def test_widths_are_columns_not_characters() -> None:
    assert [text_width(t) for t in ("abc", "修复", "e\u0301", "● ✗ …", "")] == [3, 4, 1, 5, 0]
    assert cut_text("修复 bug", 5) == "修复…"
    assert cut_text("修复 bug", 4) == "修…"
    assert cut_text("e\u0301e\u0301e\u0301", 2) == "e\u0301…"
    assert cut_text("abcdef", 0) == ""


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf")), max_size=60), st.integers(0, 50))
def test_cut_text_never_exceeds_its_width(text: str, width: int) -> None:
    cut = cut_text(text, width)
    assert text_width(cut) <= width or (wcswidth(text) < 0 and len(cut) <= width)
    assert cut == text or cut == "" or cut.endswith("…")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab修 "), max_size=12), min_size=1, max_size=6), st.integers(1, 60))
def test_fields_are_dropped_from_the_right(fields: list[str], width: int) -> None:
    line = fit_fields(fields, width)
    assert text_width(line) <= width
    assert " · ".join(fields).startswith(line.removesuffix("…"))
    assert fit_fields(["kimi-k2.6", "step 3", "a long activity"], 31) == "kimi-k2.6 · step 3 · a long ac…"
    assert fit_fields(["kimi-k2.6", "step 3", "a long activity"], 25) == "kimi-k2.6 · step 3"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1m 00s"),
        (61, "1m 01s"),
        (3599.9, "1h 00m"),
        (3720, "1h 02m"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers() -> None:
    assert (money(0.0314), money(1.2)) == ("$0.031", "$1.20")
    assert (tokens(950), tokens(12_345), tokens(1_200_000)) == ("950", "12k", "1.2M")
    diff = "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+b\n+c\n d\n"
    assert count_diff(diff) == (2, 1)


def test_checks_are_counted_or_named() -> None:
    tests = tuple(
        checks.TestResult(id=str(i), outcome=o)
        for i, o in enumerate(("passed", "failed", "error", "skipped"))
    )
    run = checks.CheckRun(command="c", tree="t", exit_code=1, parser="pytest", tests=tests)
    assert count_tests(run) == "2 failed, 1 passed, 1 skipped"
    plain = checks.CheckRun(command="c", tree="t", exit_code=2, parser="exit")
    assert count_tests(plain) == "exit 2"
    assert count_tests(plain.model_copy(update={"exit_code": 0})) == "passed"
    assert count_tests(plain.model_copy(update={"timed_out": True})) == "timed out"
    assert count_tests(plain.model_copy(update={"needs_network": True})) == "needs network"


@settings(max_examples=200, deadline=None)
@given(hostile, hostile, hostile, st.booleans(), st.integers(20, 120), st.booleans())
def test_a_tools_lines_are_safe_and_fit(
    description: str, summary: str, text: str, ok: bool, width: int, verbose: bool
) -> None:
    result = ToolResult(text=text, ok=ok, summary=summary, diff=f"+{text}" if verbose else "")
    for line in tool_lines("shell", description, result, 1.0, width=width, color=False, verbose=verbose):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", line)
        assert text_width(line) <= width


EVENTS = st.sampled_from(
    [
        lambda t: ev.SessionStarted(session_id=t, version=t, repo=t, created=0, request={}),
        lambda t: ev.BaseCaptured(base={}, notes=(t,)),
        lambda t: ev.Phase(text=t),
        lambda t: ev.UserSpoke(text=t, source="harness", topic="stuck"),
        lambda t: ev.TextDelta(text=t),
        lambda t: ev.ReasoningDelta(text=t),
        lambda t: ev.RetryWaiting(seconds=1, reason=t),
        lambda t: ev.ModelReplied(
            step=0, message=Message(role="assistant", text=t), usage=Usage(), usd=0, finish="stop", model=t
        ),
        lambda t: ev.ModelFailed(step=0, error=t, text=t),
        lambda t: ev.ToolRefused(key="0.0", name=t, text=t),
        lambda t: ev.ToolStarted(key="0.0", name=t, effect="exec", description=t),
        lambda t: ev.ToolProgress(key="0.0", text=t),
        lambda t: ev.ToolFinished(key="0.0", name=t, result=ToolResult(text=t, ok=False, summary=t, diff=t)),
        lambda t: ev.ChecksRan(
            role="base", run=checks.CheckRun(command=t, tree=t, exit_code=1, parser="exit", output=t)
        ),
        lambda t: ev.RunStopped(reason="error", detail=t, tree=t),
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EVENTS, hostile), max_size=8), st.booleans(), st.booleans())
def test_nothing_that_anybody_says_reaches_the_terminal_as_a_command(
    said: list[tuple[object, str]], verbose: bool, live: bool
) -> None:
    stream = io.StringIO()
    console = Console(Screen(stream, Abilities(live=live, color=False, unicode=True)), verbose=verbose)
    for make, text in said:
        console(make(text.encode("utf-8", "replace").decode()))  # type: ignore[operator]
        console.tick()
    console.close()
    written = stream.getvalue()
    if live:
        written = written.replace("\r\x1b[K", "")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", written)
    assert "cannot be shown" not in written


def test_streamed_text_comes_in_whole_lines_once() -> None:
    flow = TextFlow()
    given_back = [line for piece in ("one\ntw", "o", "\n\nthr", "ee") for line in flow.feed(piece)]
    assert given_back == ["one", "two", ""]
    assert flow.rest() == ["three"]
    assert flow.rest() == []
    long = TextFlow()
    assert "".join(long.feed("x" * 5000)) == "x" * 5000


def test_a_retry_makes_what_was_shown_void() -> None:
    stream = io.StringIO()
    console = Console(Screen(stream, PLAIN))
    console(ev.ModelRequested(step=0, max_output=1))
    console(ev.TextDelta(text="half a thou\nght"))
    console(ev.RetryWaiting(seconds=2, reason="connection lost"))
    console(ev.TextDelta(text="a whole thought"))
    reply = Message(role="assistant", text="a whole thought")
    console(ev.ModelReplied(step=0, message=reply, usage=Usage(), usd=0, finish="stop", model="m"))
    assert stream.getvalue().splitlines() == [
        "half a thou",
        "· connection lost: asking again in 2.0 s; what stands above is void",
        "a whole thought",
    ]


def test_a_stream_that_is_gone_is_not_written_to() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = Console(Screen(Broken(), PLAIN))
    console(ev.Phase(text="a"))
    console(ev.Phase(text="b"))
    console.close()
    assert console.screen.gone


def test_ascii_for_terminals_that_know_no_more() -> None:
    assert to_ascii("● a → b … 修 ✗") == "* a > b ~ ? x"
