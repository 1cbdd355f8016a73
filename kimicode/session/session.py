"""A running session: `emit` is append, then apply, then publish."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from kimicode.core.event import Event
from kimicode.core.state import State, apply, fold
from kimicode.session.journal import Contents, Journal

Sink = Callable[[Event], None]
"""Reads the stream of events. Never blocks and never raises; called in order, after the event is in the log."""


class Session:
    """State of one session with its log and its readers. The only mutable state is the newest fold."""

    def __init__(
        self,
        journal: Journal,
        *,
        sinks: Sequence[Sink] = (),
        events: Iterable[Event] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.journal = journal
        self.state: State = fold(events)
        self.clock = clock
        self._sinks = tuple(sinks)

    @classmethod
    def reopen(
        cls,
        journal: Journal,
        contents: Contents,
        *,
        sinks: Sequence[Sink] = (),
        clock: Callable[[], float] = time.time,
    ) -> Session:
        return cls(journal, sinks=sinks, events=contents.events, clock=clock)

    def emit(self, event: Event, *, sync: bool = False) -> None:
        """Log it (durable events), fold it into the state, show it.

        `sync` puts the log on the disk first: needed before an effect and before anything leaves the machine.
        """
        event = event.model_copy(
            update={"ts": self.clock(), "seq": self.state.seq + 1 if event.durable else -1}
        )
        if event.durable:
            self.journal.append(event)
            if sync:
                self.journal.sync()
            self.state = apply(self.state, event)
        for sink in self._sinks:
            sink(event)
