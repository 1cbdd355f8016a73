"""The numbers of a run, folded from its events, and the status line that shows them."""

from __future__ import annotations

from dataclasses import dataclass, field

from kimicode.core import event as ev
from kimicode.core.state import State
from kimicode.ui.lines import clock, duration, fit_fields, money, one_line


@dataclass(slots=True)
class Status:
    """What the status line and the heartbeat show. Times are seconds on the console's clock."""

    begin: float
    since: float
    """When the present activity began."""
    activity: str = "starting"
    model: str = ""
    window: int = 0
    max_cost: float | None = None
    step: int = 0
    context: int = 0
    input: int = 0
    cached: int = 0
    usd: float = 0.0
    open: dict[str, str] = field(default_factory=dict)
    """Descriptions of the calls that run now, by key."""

    def seed(self, state: State) -> None:
        """Take up the numbers of a session that is resumed."""
        self.step, self.context, self.usd = state.step, state.context, state.usd
        self.input, self.cached = state.usage.input, state.usage.cached
        if state.run:
            self.take_run(state.run)

    def take_run(self, run: ev.RunStarted) -> None:
        self.model, self.window = one_line(run.model), run.context_window
        self.max_cost = run.limits.max_cost

    def take_reply(self, reply: ev.ModelReplied) -> None:
        self.step += 1
        self.context = reply.usage.input + reply.usage.output
        self.input += reply.usage.input
        self.cached += reply.usage.cached
        self.usd += reply.usd

    def act(self, activity: str, now: float) -> None:
        """What is being done from now on; "" falls back to a call that still runs."""
        if not activity and self.open:
            activity = next(reversed(self.open.values()))
        if activity != self.activity:
            self.activity, self.since = activity, now

    def footer(self, now: float, width: int) -> str:
        """Model, step, context share, cached share, cost, time, activity; the right end goes first."""
        fields = [self.model or "kimicode", f"step {self.step}"]
        if self.window:
            fields.append(f"ctx {100 * self.context // self.window}%")
        if self.input:
            fields.append(f"cached {100 * self.cached // self.input}%")
        limit = f"/{self.max_cost:.2f}" if self.max_cost else ""
        fields += [money(self.usd) + limit, clock(now - self.begin)]
        if self.activity:
            quiet = now - self.since
            fields.append(self.activity + (f" {clock(quiet)}" if quiet >= 3 else ""))
        return fit_fields(fields, width)

    def describe(self, now: float) -> str:
        """For a heartbeat: "step 7, pytest -q for 65 s, $0.031"."""
        doing = [f"{self.activity} for {duration(now - self.since)}"] if self.activity else []
        return ", ".join([f"step {self.step}", *doing, money(self.usd)])
