"""A real host sandbox over a real git repository in a temporary folder, and one call of one tool in it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from kimicode.core.checks import CheckRun
from kimicode.core.message import ToolResult
from kimicode.core.ports import Sandbox, Slot, ToolContext
from kimicode.errors import ToolError
from kimicode.sandbox.host import HostLauncher
from kimicode.tools.default import default_tools

T = TypeVar("T")
TOOLS = {tool.spec.name: tool for tool in default_tools(patch=True)}


@dataclass
class ScriptedChecks:
    """Checks whose answers are given."""

    run: CheckRun = field(
        default_factory=lambda: CheckRun(command="make", tree="t", exit_code=0, parser="exit")
    )
    text: str = "1 passed, 0.1 s"
    accepts: bool = True
    asked: list[Any] = field(default_factory=list)

    async def check(self, tests: Any) -> tuple[CheckRun, str]:
        self.asked.append(tuple(tests))
        return self.run, self.text

    async def gate(self, title: str, body: str) -> tuple[bool, str]:
        self.asked.append((title, body))
        return self.accepts, self.text


@dataclass
class Place:
    """What a session would hold between calls."""

    sandbox: Sandbox
    work: Path
    checks: ScriptedChecks = field(default_factory=ScriptedChecks)
    cwd: str = ""
    seen: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    async def call(self, name: str, **arguments: Any) -> ToolResult:
        """One call as the agent makes it: JSON in, ToolError as a result, state carried on."""
        tool = TOOLS[name]
        context = ToolContext(self.sandbox, self.checks, "1.0", self.cwd, self.seen, self.failures)
        try:
            result = await tool(context, tool.parse(json.dumps(arguments)))
        except ToolError as e:
            result = ToolResult(text=str(e), ok=False, data=getattr(e, "data", {}))
        self.seen.update(result.files)
        if result.cwd is not None:
            self.cwd = result.cwd
        for path in result.data.get("failed_paths", ()):
            self.failures[path] = self.failures.get(path, 0) + 1
        return result


def git(folder: Path, *arguments: str) -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, env=env)


def in_sandbox(
    tmp: Path, files: Mapping[str, str | bytes], act: Callable[[Place], Awaitable[T]], *, track: bool = True
) -> T:
    """Run `act` over a repository with `files`."""
    work = tmp / "w"
    for name, content in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    work.mkdir(exist_ok=True)
    if track:
        git(work, "init", "-q")
        git(work, "add", "-A")
    slot = Slot(work, tmp / "gd", tmp / "objects", str(work), tmp / "scratch")

    async def main() -> T:
        launcher = HostLauncher()
        sandbox = await launcher.start(slot)
        try:
            return await act(Place(sandbox, work))
        finally:
            await sandbox.close()
            await launcher.close()

    try:
        return asyncio.run(main())
    finally:
        shutil.rmtree(tmp / "scratch", ignore_errors=True)
