"""The project's checks during a run: on the base beside the agent, for its `check` calls, at the gate of `submit`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from kimicode.agent.prompt import fill
from kimicode.app.run import Run
from kimicode.core import event as ev
from kimicode.core.checks import CheckCommand, CheckRun
from kimicode.core.ports import Sandbox
from kimicode.errors import ToolError
from kimicode.resources import prompt
from kimicode.workspace.checkout import Checkout
from kimicode.workspace.objects import diff_trees

FIRST_MESSAGE_WAIT = 20.0
"""Seconds that the first message waits for the check on the base."""
FIRST_MESSAGE_LIMIT = 60
"""Lines of its output there."""


class Checking:
    """Implements core.ports.Checks. Each run is an event, so that evidence and bills can be computed from the log."""

    def __init__(self, run: Run, sandbox: Callable[[], Sandbox], checkout: Checkout) -> None:
        self._run = run
        self._checkout = checkout
        self._sandbox = sandbox
        self._base: asyncio.Task[tuple[CheckRun, ...]] | None = None

    @property
    def commands(self) -> tuple[CheckCommand, ...]:
        return self._run.checks

    def start_base(self) -> None:
        """Run the checks on the base in a sandbox of their own, beside everything else."""
        if self.commands and self._base is None:
            self._base = asyncio.create_task(self._check_base())

    async def base(self) -> tuple[CheckRun, ...]:
        """The runs on the base, one per command; waits for them."""
        self.start_base()
        return await asyncio.shield(self._base) if self._base else ()

    async def base_text(self) -> str:
        """What the first message says of the base: "" when the check needs longer than it can wait."""
        if self._base is None:
            return ""
        done, _ = await asyncio.wait({self._base}, timeout=FIRST_MESSAGE_WAIT)
        if done:
            return describe_base(await self._base)
        self._base.add_done_callback(self._tell_base)
        return ""

    def tell_base_later(self) -> None:
        """For a session that goes on: say the base's result as a note, unless that was done."""
        if self._base is not None and "base_checks" not in self._run.session.state.topics:
            self._base.add_done_callback(self._tell_base)

    def _tell_base(self, task: asyncio.Task[tuple[CheckRun, ...]]) -> None:
        state = self._run.session.state
        if task.cancelled() or task.exception() or state.stopped or state.submitted:
            return
        text = fill(prompt("remind/base_checks"), result=describe_base(task.result()))
        self._run.session.emit(ev.UserSpoke(text=text, source="harness", topic="base_checks"))

    async def close(self) -> None:
        """Stop a base check that nobody waits for any more."""
        if self._base is not None:
            self._base.cancel()
            await asyncio.gather(self._base, return_exceptions=True)

    async def _check_base(self) -> tuple[CheckRun, ...]:
        from kimicode.checks.results import load_run, save_run

        known = runs_of(self._run, "base")
        missing = [c for c in self.commands if c.command not in known]
        tree = self._run.need_base().tree
        for command in list(missing):
            cached = load_run(self._run.cache, tree, self._run.environment_key, command.command)
            if cached is not None:
                known[command.command] = cached
                missing.remove(command)
                self._run.session.emit(ev.ChecksRan(role="base", run=cached, cached=True))
        if missing:
            checkout = await self._run.open_checkout("base", tree, fresh=True)
            sandbox = await self._run.start_sandbox(checkout)
            try:
                for command in missing:
                    run = await self._one(sandbox, command, tree)
                    self._run.session.emit(ev.ChecksRan(role="base", run=run))
                    save_run(self._run.cache, self._run.environment_key, run)
                    known[command.command] = run
            finally:
                await self._run.end_sandbox(sandbox)
        return tuple(known[c.command] for c in self.commands)

    async def _one(
        self, sandbox: Sandbox, command: CheckCommand, tree: str, tests: Sequence[str] = ()
    ) -> CheckRun:
        from kimicode.checks.run import run_check

        return await run_check(sandbox, command, tree, timeout=self._run.config.checks.timeout_s, tests=tests)

    async def check(self, tests: Sequence[str]) -> tuple[CheckRun, str]:
        """See core.ports.Checks. Raises ToolError when the project has no check."""
        if not self.commands:
            raise ToolError("No check command is known for this project. Run its tests with `shell`.")
        from kimicode.checks.render import render_run

        runs = [await self._one(self._sandbox(), c, "", tests) for c in self.commands]
        for run in runs:
            self._run.session.emit(ev.ChecksRan(role="tool", run=run))
        base = {r.command: r for r in self._finished_base()}
        text = "\n".join(render_run(r, base.get(r.command)) for r in runs)
        worst = next((r for r in runs if r.exit_code != 0), runs[0])
        return worst, text

    def _finished_base(self) -> tuple[CheckRun, ...]:
        if self._base is None or not self._base.done() or self._base.cancelled() or self._base.exception():
            return ()
        return self._base.result()

    async def gate(self, title: str, body: str) -> tuple[bool, str]:
        """What failed on the base and the touched test files first; everything only when these break nothing."""
        if not self.commands:
            return True, ""
        from kimicode.checks.plan import gate_tests
        from kimicode.checks.render import render_run
        from kimicode.checks.verdict import compare

        base = {r.command: r for r in await self.base()}
        touched = await self._touched()
        for command in self.commands:
            before = base[command.command]
            narrow = list(gate_tests(before, touched))
            for tests in [narrow, []] if narrow else [[]]:
                run = await self._one(self._sandbox(), command, "", tests)
                self._run.session.emit(ev.ChecksRan(role="gate", run=run))
                if compare(before, run).broken:
                    return False, fill(prompt("gate"), result=render_run(run, before))
        return True, ""

    async def _touched(self) -> list[str]:
        """Files that the agent has changed or added so far."""
        now = await self._checkout.snapshot()
        changes = await diff_trees(self._run.need_store().git(), self._run.need_base().tree, now)
        return [c.path for c in changes if c.status != "D"]


def runs_of(run: Run, role: ev.CheckRole) -> dict[str, CheckRun]:
    """The newest run in a role for each command."""
    return {c.run.command: c.run for c in run.session.state.checks if c.role == role}


def describe_base(runs: Sequence[CheckRun]) -> str:
    """The base's result for the first message, the first failure whole."""
    from kimicode.checks.render import render_run

    text = "\n".join(render_run(r, None, limit=FIRST_MESSAGE_LIMIT) for r in runs)
    return f"The check on the code as it is now, before any change:\n{text}"
