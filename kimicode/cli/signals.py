"""Runs the asynchronous part of a command so that signals end it well: once cleanly, twice at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
AGAIN_S = 2.0
"""A second signal within this time leaves at once."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """The work was cancelled by a signal (or by `Interruption.stop`); `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Interruption:
    """Counts the signals of one run."""

    def __init__(self, announce: Callable[[str], None], leave: Callable[[], None]) -> None:
        self.number = 0
        """The first signal that came, 0 while there was none."""
        self._announce = announce
        self._leave = leave
        self._last = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end. Raises Stopped when a signal cancelled it and it did not return a value."""
        with self._handlers():
            try:
                with asyncio.Runner() as runner:
                    self._loop = runner.get_loop()
                    return runner.run(self._hold(work))
            except (asyncio.CancelledError, KeyboardInterrupt):
                raise Stopped(self.number or signal.SIGINT) from None

    async def _hold(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.get_running_loop().create_task(work)
        self._task = task
        if self.number:
            task.cancel()
        return await task

    def stop(self, number: int) -> None:
        """As if signal `number` had come."""
        first = not self.number
        self.number = self.number or number
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._cancel, first)

    def _cancel(self, first: bool) -> None:
        if first:
            self._announce("stopping; press Ctrl-C again to leave at once")
            if self._task is not None:
                self._task.cancel()
        else:
            self._announce("still stopping; press Ctrl-C twice to leave at once")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.number and now - self._last <= AGAIN_S:
            # Nothing may wait here: a thread or a blocked loop is why somebody is in a hurry.
            self._leave()
            os._exit(128 + number)
        self._last = now
        self.stop(number)

    @contextlib.contextmanager
    def _handlers(self) -> Iterator[None]:
        """Signals that our parent told us to ignore (nohup, `&` in a script) stay ignored."""
        kept = {n: signal.getsignal(n) for n in SIGNALS}
        for number, handler in kept.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


def remember_terminal(*, live: bool) -> Callable[[], None]:
    """A function that puts the terminal back as it is now: modes and, where lines are rewritten, the cursor."""
    try:
        handle = sys.stderr.fileno() if sys.stderr.isatty() else -1
    except (OSError, ValueError, AttributeError):
        handle = -1
    if handle < 0:
        return lambda: None
    import termios

    try:
        modes = termios.tcgetattr(handle)
    except termios.error:
        return lambda: None

    def restore() -> None:
        with contextlib.suppress(OSError, termios.error):
            # From the background the kernel would stop us for touching the terminal.
            if os.tcgetpgrp(handle) == os.getpgrp():
                if live:
                    os.write(handle, b"\r\x1b[K\x1b[0m\x1b[?25h")
                termios.tcsetattr(handle, termios.TCSANOW, modes)

    return restore
