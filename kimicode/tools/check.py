"""The tool `check`: the project's own check, run by kimicode."""

from __future__ import annotations

from kimicode.core.message import ToolResult
from kimicode.core.ports import ToolContext
from kimicode.tools.base import Arguments, plural, shorten, tool


class Check(Arguments):
    tests: list[str] = []


@tool("check", Check, effect="exec", describe=lambda a: shorten(" ".join(a.tests)) or "the whole check")
async def check(context: ToolContext, arguments: Check) -> ToolResult:
    run, text = await context.checks.check([test for test in arguments.tests if test.strip()])
    bad = sum(test.outcome in ("failed", "error") for test in run.tests)
    if run.timed_out:
        summary = "timed out"
    elif bad:
        summary = f"{bad} of {plural(len(run.tests), 'test')} failed"
    else:
        passed = sum(test.outcome == "passed" for test in run.tests)
        summary = f"{passed} passed" if run.tests and run.exit_code == 0 else f"exit {run.exit_code}"
    return ToolResult(
        text=text,
        ok=run.exit_code == 0 and not run.timed_out,
        summary=f"{summary}, {run.seconds:.1f} s",
        data={"exit_code": run.exit_code},
    )
