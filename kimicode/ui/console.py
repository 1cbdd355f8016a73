"""The reader of events for a person: lines above, one rewritten status line below."""

from __future__ import annotations

import time
from collections.abc import Callable

from kimicode.core import event as ev
from kimicode.ui.flow import TextFlow
from kimicode.ui.lines import check_line, duration, folded, one_line, tokens, tool_lines
from kimicode.ui.status import Status
from kimicode.ui.terminal import Screen, cut_text, paint

REDRAW_S = 0.05
"""Deltas come in hundreds a second; people read slower."""


class Console:
    """A sink that prints progress. Call `tick` about once a second, `close` at the end."""

    def __init__(
        self,
        screen: Screen,
        *,
        verbose: bool = False,
        heartbeat_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.screen = screen
        self.verbose = verbose
        self._heartbeat = heartbeat_s
        self._clock = clock
        now = self._last = clock()
        self.status = Status(begin=now, since=now)
        self._drawn = 0.0
        self._paused = False
        self._text, self._reasoning = TextFlow(), TextFlow()

    def __call__(self, event: ev.Event) -> None:
        handler = getattr(self, f"_on_{event.kind}", None)
        try:
            if handler is not None:
                handler(event)
            if event.durable or self._clock() - self._drawn >= REDRAW_S:
                self._refresh()
        except Exception as e:
            # A sink never raises: a run must not end because a line about it could not be made.
            self._print(f"· {event.kind} cannot be shown: {type(e).__name__}")

    def tick(self) -> None:
        """Keep the status line moving; on plain streams say now and then that the run is alive."""
        now = self._clock()
        if self.screen.abilities.live:
            self._refresh()
        elif now - self._last >= self._heartbeat and not self._paused:
            self._print(self._cut(f"… still at it: {self.status.describe(now)}"))

    def pause(self) -> None:
        """Keep the bottom line free: a question is asked there."""
        self._paused = True
        self.screen.set_footer("")

    def go_on(self) -> None:
        self._paused = False
        self._refresh()

    def close(self) -> None:
        """Print what is still held back and take the status line away."""
        self._flush_text()
        self.screen.close()

    def say(self, text: str, style: str = "") -> None:
        """One line of kimicode's own."""
        self._print(self._paint(text, style) if style else text)

    # Handlers, in the order in which a run meets them.

    def _on_session_started(self, e: ev.SessionStarted) -> None:
        self.say(f"· session {one_line(e.session_id)}", "dim")

    def _on_base_captured(self, e: ev.BaseCaptured) -> None:
        self._print(*(self._paint(f"· {one_line(note)}", "yellow") for note in e.notes))

    def _on_run_started(self, e: ev.RunStarted) -> None:
        self.status.take_run(e)
        self.say(f"· {one_line(e.model)} at {one_line(e.base_url)}", "dim")
        for check in e.checks:
            why = f"{check.source}: {check.reason}" if check.reason else check.source
            self.say(f"· check: {one_line(check.command)} ({one_line(why)})", "dim")
        if not e.checks:
            self.say("· no check: the result cannot be verified", "yellow")

    def _on_resumed(self, e: ev.Resumed) -> None:
        self.say(f"· resumed after step {self.status.step}", "dim")

    def _on_phase(self, e: ev.Phase) -> None:
        self.say(f"· {one_line(e.text)}", "dim")
        self._act(one_line(e.text))

    def _on_user_spoke(self, e: ev.UserSpoke) -> None:
        if e.source == "harness" and e.topic:
            self.say(f"· told the model: {self._cut(one_line(e.text), 20)}", "dim")

    def _on_model_requested(self, e: ev.ModelRequested) -> None:
        self._drop_text()
        self._act("asking the model")

    def _on_text_delta(self, e: ev.TextDelta) -> None:
        self._print(*self._style(self._reasoning.rest(), "dim"), *self._text.feed(e.text))
        self._act("writing")

    def _on_reasoning_delta(self, e: ev.ReasoningDelta) -> None:
        self._act("thinking")
        if self.verbose:
            self._print(*self._style(self._reasoning.feed(e.text), "dim"))

    def _on_retry_waiting(self, e: ev.RetryWaiting) -> None:
        void = "; what stands above is void" if self._text.shown else ""
        self._drop_text()
        wait = duration(e.seconds)
        self.say(f"· {one_line(e.reason)}: asking again in {wait}{void}", "yellow")
        self._act(f"waiting {wait} to ask again")

    def _on_model_replied(self, e: ev.ModelReplied) -> None:
        if not self._text.begun:
            self._print(*self._text.feed(e.message.text.strip()))
        self._flush_text()
        self.status.take_reply(e)
        self._act("")

    def _on_model_failed(self, e: ev.ModelFailed) -> None:
        self._flush_text()
        self.say(f"✗ {one_line(e.text)}", "red")

    def _on_tool_refused(self, e: ev.ToolRefused) -> None:
        line = f"✗ {one_line(e.name)}  refused: {one_line(e.text)}"
        self._print(self._paint(self._cut(line), "yellow"))

    def _on_approval_given(self, e: ev.ApprovalGiven) -> None:
        self.say(f"· {'allowed' if e.allowed else 'not allowed'}", "dim")

    def _on_tool_started(self, e: ev.ToolStarted) -> None:
        name, about = one_line(e.name), one_line(e.description)
        self.status.open[e.key] = about if about.startswith(name) else f"{name} {about}".strip()
        self._act(self.status.open[e.key])

    def _on_tool_progress(self, e: ev.ToolProgress) -> None:
        if text := one_line(e.text):
            self.status.activity = text

    def _on_tool_finished(self, e: ev.ToolFinished) -> None:
        self._print(
            *tool_lines(
                one_line(e.name),
                self.status.open.pop(e.key, ""),
                e.result,
                e.seconds,
                width=self.screen.width,
                color=self.screen.abilities.color,
                verbose=self.verbose,
            )
        )
        self._act("")

    def _on_rolled_back(self, e: ev.RolledBack) -> None:
        what = "its files are put back, then it runs again" if e.tree else "it runs again"
        self.say(f"· interrupted work: {what}", "yellow")

    def _on_compacted(self, e: ev.Compacted) -> None:
        self.status.context = e.after
        self.say(f"· history shortened from {tokens(e.before)} to {tokens(e.after)} tokens", "dim")

    def _on_checks_ran(self, e: ev.ChecksRan) -> None:
        if e.role == "tool":
            return
        width, color = self.screen.width, self.screen.abilities.color
        self._print(check_line(e, width=width, color=color))
        if e.run.exit_code and not e.run.tests:
            self._print(*folded(e.run.output, width=width, color=color))
        self._act("")

    def _on_run_stopped(self, e: ev.RunStopped) -> None:
        self._flush_text()
        if e.reason not in ("done", "cancelled"):
            self.say(f"· stopped: {one_line(e.detail) or e.reason}", "yellow")
        self._act("checking the result")

    # The parts below are shared by the handlers.

    def _flush_text(self) -> None:
        self._print(*self._style(self._reasoning.rest(), "dim"), *self._text.rest())

    def _drop_text(self) -> None:
        self._text, self._reasoning = TextFlow(), TextFlow()

    def _style(self, lines: list[str], style: str) -> list[str]:
        return [self._paint(line, style) for line in lines]

    def _act(self, activity: str) -> None:
        self.status.act(activity, self._clock())

    def _refresh(self) -> None:
        if not self._paused and self.screen.abilities.live:
            self._drawn = self._clock()
            self.screen.set_footer(self.status.footer(self._clock(), self.screen.width - 1))

    def _print(self, *lines: str) -> None:
        if lines:
            self._last = self._clock()
            self.screen.write_lines(*lines)

    def _cut(self, text: str, reserved: int = 0) -> str:
        return cut_text(text, self.screen.width - reserved)

    def _paint(self, text: str, style: str) -> str:
        return paint(text, style, color=self.screen.abilities.color) if style else text
