"""A program that runs `execute` over a scripted piece of work: python -m tests.cli.scripted_run MODE FORMAT [--yes].

Everything but the work is the real thing: console, streams, signals, exit codes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable

from kimicode.cli.execute import Output, execute
from kimicode.config import load
from kimicode.core import event as ev
from kimicode.core.checks import CheckCommand, CheckRun, TestResult
from kimicode.core.message import Message, ToolResult, Usage
from kimicode.core.outcome import FileStat, Outcome
from kimicode.core.plan import Limits
from kimicode.core.ports import Approver
from kimicode.errors import ConfigError, KeyMissing, SandboxUnavailable
from kimicode.session.session import Sink

SESSION = "20260102-030405-abcdef"
Emit = Callable[[ev.Event], None]

STARTED = ev.RunStarted(
    system="",
    tools=(),
    model="kimi-k2.6",
    base_url="http://127.0.0.1:1/v1",
    thinking=True,
    context_window=262_144,
    limits=Limits(),
    sandbox="docker 20.10, image kimicode:test",
    checks=(CheckCommand(command="pytest -q", source="detected", reason="pyproject.toml"),),
)
EDIT = "--- a/src/calc.py\n+++ b/src/calc.py\n@@ -1,2 +1,4 @@\n-old\n+new\n+new\n+new\n+new\n"


def check_run(failed: int, passed: int) -> CheckRun:
    tests = [TestResult(id=f"tests/test_calc.py::test_{i}", outcome="failed") for i in range(failed)]
    tests += [TestResult(id=f"tests/test_calc.py::test_ok_{i}", outcome="passed") for i in range(passed)]
    return CheckRun(
        command="pytest -q",
        tree="t",
        exit_code=1 if failed else 0,
        parser="pytest",
        tests=tuple(tests),
        seconds=4.1,
    )


def emit_first_half(emit: Emit) -> None:
    emit(
        ev.SessionStarted(
            session_id=SESSION, version="0", repo="/home/u/calc", created=1, request={"task": "t"}
        )
    )
    emit(ev.Phase(text="sandbox: docker"))
    emit(STARTED)
    emit(ev.ChecksRan(role="base", run=check_run(1, 3)))
    emit(ev.ModelRequested(step=0, max_output=1))
    emit(ev.ReasoningDelta(text="hmm, let me think\n"))
    for piece in ("I look at ", "the code.\nThen \x1b]0;ti", "tle\x07I fix it."):
        emit(ev.TextDelta(text=piece))
    emit(
        ev.ModelReplied(
            step=0,
            message=Message(role="assistant", text="I look at the code.\nThen I fix it."),
            usage=Usage(input=10_000, cached=8_000, output=500, reasoning=100),
            usd=0.031,
            finish="tool_calls",
            model="kimi-k2.6",
        )
    )


def emit_second_half(emit: Emit) -> None:
    emit(ev.ToolStarted(key="0.0", name="edit_file", effect="write", description="edit_file src/calc.py"))
    result = ToolResult(text="ok", diff=EDIT, summary="1 hunk in src/calc.py")
    emit(ev.ToolFinished(key="0.0", name="edit_file", result=result, seconds=0.02))
    emit(ev.ToolStarted(key="0.1", name="shell", effect="exec", description="pytest -q"))
    text = "\n".join(f"line {i}" for i in range(9))
    failed = ToolResult(text=text, ok=False, summary="exit 1", data={"exit_code": 1})
    emit(ev.ToolFinished(key="0.1", name="shell", result=failed, seconds=12.3))
    emit(ev.ToolRefused(key="0.2", name="edit_file", text="The text to replace is not unique."))
    emit(ev.RunStopped(reason="done", tree="t"))
    emit(ev.ChecksRan(role="result", run=check_run(0, 4)))


OUTCOME = Outcome(
    status="verified",
    exit_code=0,
    verdict="verified",
    branch="kimicode/fix-div-abcdef",
    commit="0123456789abcdef0123456789abcdef01234567",
    files=(FileStat(path="src/calc.py", added=4, removed=1),),
    checks=(
        {"role": "base", "command": "pytest -q", "exit_code": 1, "failed": 1, "passed": 3, "seconds": 4.1},
    ),
    usage=Usage(input=10_000, cached=8_000, output=500),
    cost_usd=0.031,
    steps=1,
    duration_s=61.0,
    session_id=SESSION,
    model="kimi-k2.6",
    sandbox="docker",
    title="Divide by zero raises",
    evidence={"fixed": ["tests/test_calc.py::test_0"]},
)


async def work(mode: str, emit: Emit, approve: Approver) -> Outcome:
    emit_first_half(emit)
    match mode:
        case "bug":
            raise ValueError("a bug with a canary")
        case "config":
            raise ConfigError("the endpoint is wrong", hint="set KIMICODE_BASE_URL")
        case "nokey":
            raise KeyMissing("No API key for api.moonshot.ai: KIMI_API_KEY or MOONSHOT_API_KEY is not set.")
        case "group":
            raise ExceptionGroup(
                "tasks", [SandboxUnavailable("no sandbox works here", hint="install bubblewrap")]
            )
        case "disk":
            raise OSError(28, "No space left on device", "/state/log.jsonl")
        case "slow":
            sys.stderr.write("READY\n")
            await asyncio.sleep(60)
        case "stubborn":
            sys.stderr.write("READY\n")
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(60)
        case "returns":
            sys.stderr.write("READY\n")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return OUTCOME.model_copy(
                    update={"status": "interrupted", "exit_code": 130, "message": "stopped"}
                )
        case "flood":
            for i in range(100_000):
                emit(ev.Phase(text=f"line {i}"))
                await asyncio.sleep(0)
        case "quiet":
            await asyncio.sleep(3.5)
        case "ask":
            answers = [await approve(f"run {name}", "host command") for name in ("first", "second")]
            return OUTCOME.model_copy(update={"message": f"answers {answers}"})
    emit_second_half(emit)
    if mode == "imports":
        found = {m.split(".")[0] for m in sys.modules} & {"rich", "prompt_toolkit", "git", "docker", "openai"}
        return OUTCOME.model_copy(update={"message": f"heavy: {sorted(found)}"})
    return OUTCOME


def main() -> int:
    mode, form, *rest = sys.argv[1:]
    config = load(os.environ).config

    async def run(sinks: list[Sink], approve: Approver) -> Outcome:
        count = 0

        def emit(event: ev.Event) -> None:
            nonlocal count
            event = event.model_copy(update={"seq": count if event.durable else -1, "ts": 1.0})
            count += event.durable
            for sink in sinks:
                sink(event)

        return await work(mode, emit, approve)

    return execute(
        run, config, environ=os.environ, output=Output.standard(form), yes="--yes" in rest, base_name="main"
    )


if __name__ == "__main__":
    sys.exit(main())
