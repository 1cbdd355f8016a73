"""Runs inside.py in the sandbox, for `search` and `list_files`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from kimicode.core.ports import ToolContext
from kimicode.errors import ToolError

TIMEOUT = 30.0
LIMIT = 4 * 1024 * 1024


async def run_inside(context: ToolContext, *arguments: str) -> tuple[list[str], list[str]]:
    """The words of the first line ("found 3 2 3", "missing", "bad ...") and the lines after it.

    Raises ToolError when the program cannot run in this sandbox or takes too long.
    """
    result = await context.sandbox.exec(
        ["python3", "-I", "-S", "-B", "-c", _source(), *arguments],
        timeout=TIMEOUT,
        merge=False,
        limit=LIMIT,
        effect="read",
    )
    name = arguments[0]
    if result.timed_out:
        raise ToolError(
            f"This took longer than {TIMEOUT:.0f} s and was ended. Name a smaller `path` or a `glob`"
            f"{', or write a simpler pattern (nested repetitions are slow)' if name == 'search' else ''}."
        )
    lines = result.output.decode("utf-8", "replace").split("\n")
    if result.exit_code == 127:
        raise ToolError(
            "This needs python3 in the sandbox and there is none. Use `shell` instead: "
            + ("grep -rnE PATTERN ." if name == "search" else "git ls-files, or find . -name PATTERN")
        )
    if result.exit_code or not lines[0]:
        reason = result.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2] or "no output"
        raise ToolError(
            f"This failed in the sandbox (exit code {result.exit_code}: {reason}). Use `shell` instead."
        )
    return lines[0].split(" "), lines[1:-1]


@cache
def _source() -> str:
    return Path(__file__).with_name("inside.py").read_text(encoding="utf-8")
