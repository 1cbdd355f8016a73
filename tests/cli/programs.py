"""Runs programs of ours as a user would: through pipes, or on a terminal that the test looks at."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
KIMICODE = (sys.executable, "-m", "kimicode")
SCRIPTED = (sys.executable, "-m", "tests.cli.scripted_run")
WAIT_S = 60.0


def environment(**more: str) -> dict[str, str]:
    """The test's own environment with our package importable from any folder."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR", "TERM", "COLUMNS", "LINES")}
    return {**kept, "PYTHONPATH": path, "TERM": "xterm-256color", "PYTHONUTF8": "1", **more}


def run(
    command: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run to the end through pipes; without `stdin` it reads /dev/null."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL if stdin is None else None,
        input=stdin,
        capture_output=True,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=WAIT_S,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass
class Terminal:
    """A program on a pseudo terminal of its own session, and all that it wrote."""

    command: Sequence[str]
    columns: int = 80
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: int | None = None
    """A file descriptor in place of the terminal."""
    written: bytes = b""

    def __enter__(self) -> Terminal:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, self.columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            self.command,
            stdin=self.slave if self.stdin is None else self.stdin,
            stdout=self.slave,
            stderr=self.slave,
            env=environment(**self.env),
            preexec_fn=self._take_terminal,
            start_new_session=True,
        )
        return self

    def _take_terminal(self) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def read_until(self, done: Callable[[str], bool]) -> str:
        """Read until `done(text)`, or fail with what was there."""
        deadline = time.monotonic() + WAIT_S
        while not done(self.text):
            assert time.monotonic() < deadline, f"not seen in:\n{self.text}"
            self._read(0.1)
        return self.text

    def finish(self) -> int:
        """Read until the program has ended; its exit code (negative: a signal)."""
        deadline = time.monotonic() + WAIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"does not end:\n{self.text}"
            self._read(0.1)
        while self._read(0.05):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.written += data
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @property
    def modes(self) -> list[object]:
        return termios.tcgetattr(self.slave)

    @property
    def text(self) -> str:
        return self.written.decode(errors="replace")

    @property
    def screen(self) -> list[str]:
        """The lines that stand on the screen in the end, styles left out."""
        return render(self.text)


def render(text: str) -> list[str]:
    """What a terminal shows of `text`: knows styles, carriage return, erase to end of line, show cursor."""
    lines: list[str] = [""]
    column = 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if part == "\n":
            lines.append("")
            column = 0
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b["):
            assert part.endswith(("m", "K", "h")), f"an escape that we do not send: {part!r}"
            if part == "\x1b[K":
                lines[-1] = lines[-1][:column]
        else:
            lines[-1] = lines[-1][:column] + part + lines[-1][column + len(part) :]
            column += len(part)
    return lines
