"""Runs `fix`, `demo` and `resume`: shows the events, turns every way to end into one outcome and an exit code."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from kimicode.cli.signals import Interruption, Stopped, remember_terminal
from kimicode.config import Config
from kimicode.config.repository import find_root
from kimicode.core import event as ev
from kimicode.core.message import Usage
from kimicode.core.outcome import Outcome
from kimicode.core.ports import Approver
from kimicode.core.state import State
from kimicode.errors import DiskFull, KimicodeError, UsageError
from kimicode.session.session import Sink
from kimicode.ui.approve import Prompter, allow_all, deny_all, open_keyboard
from kimicode.ui.console import Console
from kimicode.ui.jsonl import EventStream, outcome_object
from kimicode.ui.lines import money
from kimicode.ui.problem import print_problem
from kimicode.ui.summary import render_summary
from kimicode.ui.terminal import find_abilities, stderr_screen, to_ascii

Work = Callable[[list[Sink], Approver], Coroutine[Any, Any, Outcome]]
"""What app does, given who looks on and who is asked."""


@dataclass(slots=True)
class Record:
    """A sink that keeps what the outcome needs when app cannot give one."""

    begin: float = field(default_factory=time.monotonic)
    session_id: str = ""
    repo: str = ""
    model: str = ""
    sandbox: str = ""
    steps: int = 0
    usage: Usage = Usage()
    cost_usd: float = 0.0

    def __call__(self, event: ev.Event) -> None:
        if isinstance(event, ev.SessionStarted):
            self.session_id, self.repo = event.session_id, event.repo
        elif isinstance(event, ev.RunStarted):
            self.model, self.sandbox = event.model, event.sandbox
        elif isinstance(event, ev.ModelReplied):
            self.steps += 1
            self.usage += event.usage
            self.cost_usd += event.usd

    def seed(self, state: State) -> None:
        self.session_id, self.repo, self.steps = state.session_id, state.repo, state.step
        self.usage, self.cost_usd = state.usage, state.usd
        if state.run:
            self.model, self.sandbox = state.run.model, state.run.sandbox

    def interrupted(self, number: int) -> Outcome:
        """Stopped by signal `number`."""
        hint = f"go on with: kimicode resume {self.session_id}" if self.session_id else ""
        return self.outcome("interrupted", 128 + number, "interrupted", hint)

    def outcome(self, status: Any, exit_code: int, message: str, hint: str = "") -> Outcome:
        return Outcome(
            status=status,
            exit_code=exit_code,
            message=message,
            hint=hint,
            session_id=self.session_id,
            model=self.model,
            sandbox=self.sandbox,
            steps=self.steps,
            usage=self.usage,
            cost_usd=self.cost_usd,
            duration_s=round(time.monotonic() - self.begin, 3),
        )


@dataclass(slots=True)
class Output:
    """Where the result goes and in which form."""

    format: str
    stream: TextIO
    to_file: bool

    @classmethod
    def standard(cls, form: str) -> Output:
        # Closed by the caller (`>&-`): the exit code still says how it ended.
        return cls(form, sys.stdout or io.StringIO(), False)

    @classmethod
    def file(cls, form: str, path: str) -> Output:
        """Raises UsageError for a file that cannot be written, before any work is done."""
        try:
            return cls(form, open(Path(path).expanduser(), "w", encoding="utf-8"), True)
        except OSError as e:
            raise UsageError(
                f"the output file {path} cannot be written: {e.strerror or e}",
                hint="name another file after -o",
            ) from None

    def print_text(self, text: str) -> None:
        """Write the result; a reader that has gone away is no error of ours."""
        if not find_abilities(self.stream, {}).unicode:
            text = to_ascii(text)
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.stream.write(text)
            self.stream.flush()

    def close(self) -> None:
        if self.to_file:
            self.stream.close()


def execute(
    work: Work,
    config: Config,
    *,
    environ: Mapping[str, str],
    output: Output,
    yes: bool = False,
    seed: State | None = None,
    base_name: str = "HEAD",
    notes: tuple[str, ...] = (),
) -> int:
    """Run `work` with a console on stderr and the result on stdout; returns the exit code. Never raises."""
    screen = stderr_screen(environ, color=config.output.color == "auto")
    console = Console(screen, verbose=config.output.verbose, heartbeat_s=config.output.heartbeat_s)
    record = Record()
    if seed is not None:
        console.status.seed(seed)
        record.seed(seed)
    interruption = Interruption(
        lambda text: console.say(f"· {text}", "yellow"), remember_terminal(live=screen.abilities.live)
    )
    sinks: list[Sink] = [record, console]
    stream = None
    if output.format == "stream-json":
        stream = EventStream(output.stream, on_gone=lambda: interruption.stop(signal.SIGPIPE))
        sinks.append(stream)
    for note in notes:
        console.say(f"· {note}", "yellow")
    error: BaseException | None = None
    try:
        outcome = interruption.run(_with_ticks(work(sinks, _approver(console, yes)), console))
        if outcome.status == "interrupted" and interruption.number:
            outcome = outcome.model_copy(update={"exit_code": 128 + interruption.number})
    except Stopped as e:
        outcome = record.interrupted(e.number)
    except Exception as e:
        error = _known(e)
        outcome = _outcome_of_error(error, record, environ, verbose=config.output.verbose)
        if interruption.number and isinstance(error, KimicodeError):
            # What breaks while everything is being cancelled is a consequence, not the reason.
            error, outcome = None, record.interrupted(interruption.number)
    console.close()
    _report(outcome, error, output, stream, console, Place(base_name, elsewhere(record.repo)))
    return outcome.exit_code


def report_early(error: KimicodeError, output: Output) -> int:
    """An error before the run began, in the form that was asked for; returns its exit code."""
    outcome = Record().outcome("error", error.exit_code, str(error), error.hint)
    if output.format == "stream-json":
        EventStream(output.stream).finish(outcome)
    elif output.format == "json":
        output.print_text(outcome_object(outcome))
    print_problem(error)
    output.close()
    return outcome.exit_code


async def _with_ticks(work: Awaitable[Outcome], console: Console) -> Outcome:
    async def tick() -> None:
        while True:
            await asyncio.sleep(1.0)
            console.tick()

    ticker = asyncio.ensure_future(tick())
    try:
        return await work
    finally:
        ticker.cancel()


def _approver(console: Console, yes: bool) -> Approver:
    if yes:
        return allow_all(console)
    with open_keyboard() as keyboard:
        return Prompter(console) if keyboard is not None else deny_all(console)


def _known(error: BaseException) -> BaseException:
    """The error of ours that an exception stands for, else the exception."""
    import errno

    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, BaseExceptionGroup):
        error = next((e for e in error.exceptions if isinstance(e, KimicodeError)), error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = f" ({error.filename})" if error.filename else ""
        return DiskFull(f"the disk is full{place}", hint="free some space, then go on with: kimicode resume")
    return error


def _outcome_of_error(
    error: BaseException, record: Record, environ: Mapping[str, str], *, verbose: bool
) -> Outcome:
    if isinstance(error, KimicodeError):
        return record.outcome("error", error.exit_code, str(error), error.hint)
    from kimicode.cli.crash import keep_traceback

    text = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    if verbose:
        import traceback

        traceback.print_exception(error)
    kept = keep_traceback(error, environ, record.session_id)
    hint = f"this is a bug in kimicode; the traceback is in {kept}" if kept else "this is a bug in kimicode"
    return record.outcome("error", 1, f"internal error: {text}", hint)


@dataclass(frozen=True, slots=True)
class Place:
    """What the user has to call things in the commands that come next."""

    base_name: str
    repo: str


def elsewhere(repo: str) -> str:
    """`repo` when commands typed in the current folder would not reach it, else ""."""
    try:
        here = Path.cwd()
    except OSError:
        return repo
    return "" if not repo or find_root(here) == Path(repo) else repo


def _report(
    outcome: Outcome,
    error: BaseException | None,
    output: Output,
    stream: EventStream | None,
    console: Console,
    place: Place,
) -> None:
    """The result on stdout (or in the file), what went wrong on stderr."""
    screen = console.screen
    if stream is not None:
        stream.finish(outcome)
    elif output.format == "json":
        output.print_text(outcome_object(outcome))
    elif outcome.status not in ("error", "interrupted"):
        able = find_abilities(
            output.stream, os.environ, color=screen.abilities.color or not screen.abilities.live
        )
        width = screen.width if able.live else 80
        output.print_text(
            render_summary(outcome, width=width, color=able.color, base_name=place.base_name, repo=place.repo)
        )
    if outcome.status in ("error", "interrupted"):
        shown = (
            error if isinstance(error, KimicodeError) else KimicodeError(outcome.message, hint=outcome.hint)
        )
        print_problem(shown, screen=screen)
        if outcome.session_id and "kimicode resume" not in outcome.hint:
            steps = f"{outcome.steps} {'step' if outcome.steps == 1 else 'steps'}"
            say = f"  kept so far: {steps}, {money(outcome.cost_usd)}; go on with: kimicode resume {outcome.session_id}"
            console.say(say)
    output.close()
