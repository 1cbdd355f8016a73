"""Asks a person whether something may be done; Enter means no, and nobody there means no."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from kimicode.core.ports import Approver
from kimicode.text.safe import safe_text
from kimicode.ui.console import Console
from kimicode.ui.terminal import is_tty, paint


def deny_all(console: Console | None) -> Approver:
    """Without a terminal: no, and say what would have been needed."""

    async def approve(description: str, rule: str) -> bool:
        if console is not None:
            about = " ".join(safe_text(description).split())
            console.say(f"· not allowed without a terminal: {about} (--yes allows it)", "yellow")
        return False

    return approve


def allow_all(console: Console | None) -> Approver:
    """For --yes: yes, and say to what."""

    async def approve(description: str, rule: str) -> bool:
        if console is not None:
            about = " ".join(safe_text(description).split())
            console.say(f"· allowed by --yes: {about}", "dim")
        return True

    return approve


@dataclass(slots=True)
class Prompter:
    """Asks on the terminal, one question at a time."""

    console: Console
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, description: str, rule: str) -> bool:
        async with self._turn:
            with open_keyboard() as keyboard:
                if keyboard is None:
                    return await deny_all(self.console)(description, rule)
                self.console.pause()
                try:
                    return await self._ask(keyboard, description, rule)
                finally:
                    self.console.go_on()

    async def _ask(self, keyboard: int, description: str, rule: str) -> bool:
        screen = self.console.screen
        color = screen.abilities.color
        lines = safe_text(description).splitlines() or [""]
        screen.write_lines(paint(f"? {safe_text(rule)}", "yellow", color=color), *(f"  {x}" for x in lines))
        _forget_typed(keyboard)
        while True:
            screen.write_open("  Allow this? y = yes, Enter = no: ")
            answer = (await _read_line(keyboard)).strip().lower()
            if answer in ("y", "yes"):
                return True
            if answer in ("", "n", "no"):
                return False
            screen.write_lines(f"  {safe_text(answer)[:20]!r} is neither y nor n.")


@contextlib.contextmanager
def open_keyboard() -> Iterator[int | None]:
    """A file descriptor to read answers from: stdin, or the terminal itself when stdin is a pipe."""
    if is_tty(sys.stdin):
        yield sys.stdin.fileno()
        return
    handle = None
    if is_tty(sys.stderr):
        with contextlib.suppress(OSError):
            handle = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def _forget_typed(keyboard: int) -> None:
    """Keys pressed before the question was there are no answer to it."""
    import termios

    with contextlib.suppress(termios.error):
        termios.tcflush(keyboard, termios.TCIFLUSH)


async def _read_line(keyboard: int) -> str:
    """One line, waiting without blocking the loop, so that Ctrl-C still works. End of file is the empty line."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[str] = loop.create_future()
    typed = b""

    def read() -> None:
        nonlocal typed
        try:
            data = os.read(keyboard, 4096)
        except OSError:
            data = b""
        typed += data
        if (not data or b"\n" in typed) and not ready.done():
            ready.set_result(typed.split(b"\n")[0].decode(errors="replace"))

    loop.add_reader(keyboard, read)
    try:
        return await ready
    finally:
        loop.remove_reader(keyboard)
