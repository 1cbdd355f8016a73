"""The tool `shell`: one command line in a fresh shell that starts where the last one ended."""

from __future__ import annotations

import posixpath
import re

from kimicode.core.message import ToolResult
from kimicode.core.ports import ExecResult, ToolContext
from kimicode.errors import FileError, ToolError
from kimicode.text.limit import MAX_LINE, cut_line, gap
from kimicode.text.safe import safe_text
from kimicode.tools.base import Arguments, shorten, tool

TIMEOUT = 120
MAX_TIMEOUT = 1800
LIMIT = 20_000
"""Bytes of output that the model sees; more is kept in a file."""
HEAD_LINES, TAIL_LINES = 200, 300
"""Of an output that is larger than LIMIT."""

NOTE = "KIMICODE_CWD"
"""Variable that names the file in which a command that ends in another folder leaves its path."""
PREFIX = (
    f'if [ -e "${NOTE}" ] || [ -L "${NOTE}" ]; then rm -rf -- "${NOTE}"; fi; {NOTE}_BEGIN=$PWD; '
    f'trap \'[ "$PWD" = "${NOTE}_BEGIN" ] || pwd >"${NOTE}" 2>/dev/null\' EXIT; '
)
"""Stands on the command's own first line, so that line numbers in the shell's messages are the command's. Starts no
process and writes no file while commands stay where they are."""
NO_BASH = b"kimicode: bash: command not found\n"
"""What the runner says instead of starting a program that is not there (with exit code 127)."""
SH = "if (set -o pipefail) 2>/dev/null; then set -o pipefail; fi; "

ENVIRONMENT = {
    "CI": "1",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "MANPAGER": "cat",
    "SYSTEMD_PAGER": "",
    "GIT_EDITOR": "true",
    "EDITOR": "true",
    "GIT_TERMINAL_PROMPT": "0",
    "DEBIAN_FRONTEND": "noninteractive",
    "PIP_NO_INPUT": "1",
    # Partial output on a timeout is worth nothing when it is still in the process's buffer.
    "PYTHONUNBUFFERED": "1",
}

_overwritten = re.compile(r"[^\n]*\r(?=[^\n\r])")


class Shell(Arguments):
    command: str
    timeout_s: int = TIMEOUT


@tool("shell", Shell, effect="exec", describe=lambda a: shorten(a.command, 200))
async def shell(context: ToolContext, arguments: Shell) -> ToolResult:
    command, seconds = arguments.command, arguments.timeout_s
    if not command.strip() or "\0" in command:
        raise ToolError("shell: `command` is empty or holds a NUL character. Nothing was run.")
    if not 1 <= seconds <= MAX_TIMEOUT:
        raise ToolError(
            f"shell: `timeout_s` must be from 1 to {MAX_TIMEOUT}, not {seconds}. Nothing was run."
        )
    note = f"{context.sandbox.tmp.rstrip('/')}/.kimicode-cwd"
    result, gone = await _run(context, command, seconds, note)
    cwd, remark = await _where(context, note)
    if gone and cwd is None:
        cwd = ""
    output = gone + await show_output(context, result)
    facts = _facts(result, seconds)
    text = "\n".join(part for part in (facts, output.rstrip("\n") or "(no output)", remark) if part)
    outcome = "timed out" if result.timed_out else f"exit {result.exit_code}"
    return ToolResult(
        text=text,
        ok=result.exit_code == 0,
        cwd=cwd,
        summary=f"{outcome}, {result.seconds:.1f} s",
        data={"exit_code": result.exit_code, "seconds": round(result.seconds, 3)},
    )


async def _run(context: ToolContext, command: str, seconds: int, note: str) -> tuple[ExecResult, str]:
    """The command's result; a line for the model when its working directory is not there any more."""

    async def start(argv: list[str], cwd: str) -> ExecResult:
        return await context.sandbox.exec(
            argv, timeout=seconds, cwd=cwd, env={**ENVIRONMENT, NOTE: note}, limit=LIMIT, spill=True
        )

    # One process, bash itself: a wrapper in sh would cost as much again as a short command.
    argv = ["bash", "-o", "pipefail", "-c", PREFIX + command, "bash"]
    cwd, gone = context.cwd, ""
    try:
        result = await start(argv, cwd)
    except FileError:
        folder = posixpath.join(context.sandbox.root, cwd)
        cwd, gone = "", f"[the working directory {folder} is gone; started at the repository's root]\n"
        result = await start(argv, cwd)
    if result.exit_code == 127 and result.output == NO_BASH:
        result = await start(["sh", "-c", SH + PREFIX + command, "sh"], cwd)
    return result, gone


def _facts(result: ExecResult, limit: int) -> str:
    if result.timed_out:
        return (
            f"Timed out after {limit} s: the command and everything it started was ended. "
            f"What it had printed until then (set timeout_s up to {MAX_TIMEOUT} for more time):"
        )
    signal = ""
    if 128 < result.exit_code < 160:
        names = {
            130: "SIGINT",
            134: "SIGABRT",
            135: "SIGBUS",
            136: "SIGFPE",
            137: "SIGKILL, perhaps out of memory",
        }
        names |= {139: "SIGSEGV, segmentation fault", 141: "SIGPIPE", 143: "SIGTERM"}
        signal = f" ({names.get(result.exit_code, f'signal {result.exit_code - 128}')})"
    return f"exit code {result.exit_code}{signal}, {result.seconds:.1f} s"


async def _where(context: ToolContext, note: str) -> tuple[str | None, str]:
    """The next command's folder relative to the root, and a remark; None: it stays as it was."""
    sandbox = context.sandbox
    try:
        folder = (await sandbox.read(note, limit=8192)).data.decode("utf-8", "surrogateescape").rstrip("\n")
    except FileError:
        return None, ""
    if not folder.startswith("/"):
        return None, ""
    inside = posixpath.relpath(folder, sandbox.root)
    if inside != ".." and not inside.startswith("../"):
        cwd = "" if inside == "." else inside
        if cwd == context.cwd:
            return cwd, ""
        return cwd, f"[the next command starts in {cwd or 'the repository root'}]"
    return (
        None,
        f"[{folder} is outside the repository: the next command starts in {context.cwd or 'its root'} again]",
    )


async def show_output(context: ToolContext, result: ExecResult) -> str:
    """Output without terminal codes, cut by lines; the lines left out are named, with the file that holds all."""
    if not result.dropped:
        return clean(result.output)
    head, tail = result.output[: result.head], result.output[result.head :]
    first = head.rfind(b"\n") + 1 or len(head)
    start = tail.find(b"\n") + 1 if b"\n" in tail[:-1] else 0
    head, tail = head[:first], tail[start:]
    begin, end = clean(head).rstrip("\n").split("\n"), clean(tail).rstrip("\n").split("\n")
    begin, end = begin[:HEAD_LINES], end[-TAIL_LINES:]
    total = await _count_lines(context, result.spill)
    where = f"the whole output is in {result.spill}" if result.spill else "the rest was not kept"
    if total > len(begin) + len(end):
        left_out = len(begin) + 1, total - len(end)
        if result.spill:
            where += f", e.g. read_file {result.spill}:{left_out[0]}-{min(left_out[0] + 199, left_out[1])}"
        middle = gap(*left_out, total, where)
    else:
        middle = f"[{result.dropped:,} bytes left out: {where}]"
    return "\n".join([*(cut_line(x, MAX_LINE) for x in begin), middle, *(cut_line(x, MAX_LINE) for x in end)])


async def _count_lines(context: ToolContext, path: str) -> int:
    """Lines of the file that holds the whole output; 0 when it cannot be said."""
    if not path:
        return 0
    result = await context.sandbox.exec(
        ["wc", "-l", path], timeout=10, merge=False, limit=1024, effect="read"
    )
    word = result.output.split(maxsplit=1)[0] if result.output.strip() else b""
    if result.exit_code or not word.isdigit():
        return 0
    last = await context.sandbox.exec(["tail", "-c1", path], timeout=10, merge=False, limit=8, effect="read")
    return int(word) + (last.output not in (b"", b"\n"))


def clean(output: bytes) -> str:
    """Text as a person would have seen it at the end: no colours, progress bars at their last state."""
    text = output.decode("utf-8", "replace").replace("\r\n", "\n")
    return safe_text(_overwritten.sub("", text))
