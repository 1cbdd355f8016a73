"""The task and what is piped in beside it: text, `-`, `@file`, standard input."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from kimicode.errors import UsageError

MAX_TASK = 200_000
"""Bytes of a task. What is longer is material, not a task."""
HEAD, TAIL = 64 * 1024, 192 * 1024
"""Bytes kept of piped input: tools print what they do first and what went wrong last."""
FIRST_BYTE_S = 1.0
"""How long an open pipe may be silent before kimicode goes on without it."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the user asked for."""

    text: str
    context: str = ""
    """Piped input; data, not instructions."""
    notes: tuple[str, ...] = ()
    """For the user: what was done about standard input."""


def read_task(argument: str, *, stdin: int = 0) -> Task:
    """The task from its argument. `-`: standard input is the task. `@file`: the file is. `@@x`: the text "@x".

    Input piped in next to a task becomes its context. Raises UsageError.
    """
    if argument == "-":
        return Task(_check(_all_of(stdin), "standard input"))
    if argument.startswith("@") and not argument.startswith("@@"):
        text = _check(_file(argument[1:]), argument[1:])
    else:
        text = _check(argument.removeprefix("@") if argument.startswith("@@") else argument, "the task")
    context, notes = piped_input(stdin)
    return Task(text, context, notes)


def _check(text: str, source: str) -> str:
    if not text.strip():
        raise UsageError(
            f"{source} is empty",
            hint='say what is to be done: kimicode fix "tests/test_a.py fails since ..."',
        )
    if "\0" in text:
        raise UsageError(f"{source} is binary, not text", hint="give a text file or a sentence")
    size = len(text.encode(errors="replace"))
    if size > MAX_TASK:
        raise UsageError(
            f"{source} has {size} bytes; a task may have {MAX_TASK}",
            hint='pipe long material in beside a short task: kimicode fix "make this pass" < output.txt',
        )
    return text.strip().encode(errors="replace").decode()


def _file(name: str) -> str:
    if not name:
        raise UsageError(
            "@ is not followed by a file name",
            hint="@issue.md reads the task from a file; @@ begins a text with @",
        )
    path = Path(name).expanduser()
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        raise UsageError(
            f"the task file {name} cannot be read: {e.strerror or e}",
            hint="check the path; to begin a task with @, write @@",
        ) from None
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"{name} is a folder, not a task file", hint="give a text file")
        os.set_blocking(handle, True)
        with open(handle, "rb", closefd=False) as file:
            return file.read(MAX_TASK + 1).decode(errors="replace")
    except OSError as e:
        raise UsageError(f"the task file {name} cannot be read: {e.strerror or e}") from None
    finally:
        os.close(handle)


def _all_of(stdin: int) -> str:
    if sys.stdin is None:
        raise UsageError(
            "standard input is closed, and - reads the task from it", hint="give the task as text"
        )
    if os.isatty(stdin):
        sys.stderr.write("kimicode: type the task, then Ctrl-D on an empty line\n")
    data = bytearray()
    try:
        while len(data) <= MAX_TASK and (chunk := os.read(stdin, 65536)):
            data += chunk
    except OSError as e:
        raise UsageError(f"standard input cannot be read: {e.strerror or e}") from None
    return data.decode(errors="replace")


def piped_input(stdin: int) -> tuple[str, tuple[str, ...]]:
    """What was piped in, and notes about it.

    Files are read. A terminal, a closed input and devices such as /dev/null hold nothing. A pipe or socket
    is waited for FIRST_BYTE_S: CI systems leave one open that never speaks. Only when another command of the same
    pipeline holds the pipe's other end is it waited for as long as that command runs
    (`pytest 2>&1 | kimicode fix ...` says nothing before its buffer is full).
    """
    try:
        info = os.fstat(stdin)
    except OSError:
        return "", ()
    if stat.S_ISREG(info.st_mode):
        return _collect(stdin)
    if not (stat.S_ISFIFO(info.st_mode) or stat.S_ISSOCK(info.st_mode)):
        return "", ()
    if not _readable(stdin, FIRST_BYTE_S):
        if not (stat.S_ISFIFO(info.st_mode) and has_pipeline_writer(info.st_ino)):
            note = "standard input is open but silent: going on without it (- waits for it)"
            return "", (note,)
        sys.stderr.write("kimicode: waiting for the command that is piped in\n")
        _readable(stdin, None)
    return _collect(stdin)


def _readable(stdin: int, seconds: float | None) -> bool:
    """There is data, or the end of it. Waits again when a stopped process goes on."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if select.select([stdin], [], [], left)[0]:
            return True
        if deadline is not None and time.monotonic() >= deadline:
            return False


def _collect(stdin: int) -> tuple[str, tuple[str, ...]]:
    """Everything up to the end, of which head and tail are kept."""
    head, tail, total = bytearray(), bytearray(), 0
    try:
        while chunk := os.read(stdin, 65536):
            total += len(chunk)
            room = HEAD - len(head)
            head += chunk[:room]
            tail += chunk[max(room, 0) :]
            if len(tail) > 4 * TAIL:
                del tail[:-TAIL]
    except OSError as e:
        return "", (f"standard input cannot be read: {e.strerror or e}",)
    if total <= HEAD + TAIL:
        return _text(head + tail), ()
    left_out = total - HEAD - TAIL
    text = f"{_text(head)}\n[{left_out} bytes left out here]\n{_text(tail[-TAIL:])}"
    return text, (f"piped input: {total} bytes, of which {left_out} in the middle are left out",)


def _text(data: bytearray) -> str:
    return data.decode(errors="replace").replace("\0", "")


def has_pipeline_writer(inode: int) -> bool:
    """Another process of our process group, not one of our ancestors, holds the pipe's writing end.

    A shell puts the commands of a pipeline into one group; a CI runner that merely left a pipe open is our
    ancestor, or in another group. Without /proc nothing is known, which counts as no.
    """
    group, above = os.getpgrp(), _ancestors()
    try:
        ids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return False
    for pid in ids:
        if pid == os.getpid() or pid in above:
            continue
        try:
            if os.getpgid(pid) == group and _writes_to(pid, inode):
                return True
        except OSError:
            continue
    return False


def _ancestors() -> set[int]:
    found: set[int] = set()
    pid = os.getpid()
    while pid > 1:
        try:
            # The name in parentheses may hold anything, so count from the last parenthesis.
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
        found.add(pid)
    return found


def _writes_to(pid: int, inode: int) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(link.readlink()) != f"pipe:[{inode}]":
                continue
            flags = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split("flags:")[1].split()[0]
        except (OSError, IndexError):
            continue
        if int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
            return True
    return False
