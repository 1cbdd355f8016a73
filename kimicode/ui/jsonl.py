"""The readers of events for programs: the log's own lines, and the result as one object."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TextIO

from kimicode.core.event import Event
from kimicode.core.outcome import Outcome
from kimicode.session.journal import encode_record


def event_line(event: Event) -> str:
    """Durable events as they stand in the log; ephemeral ones with `"ephemeral":true`. Newline included."""
    if event.durable:
        return encode_record(event).decode()
    return event.model_dump_json()[:-1] + ',"ephemeral":true}\n'


def result_line(outcome: Outcome) -> str:
    """The last line of a stream: the outcome with kind "result". Newline included."""
    fields: dict[str, Any] = {"kind": "result", **outcome.model_dump(mode="json")}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"


def outcome_object(outcome: Outcome) -> str:
    """The outcome as one indented JSON object. Newline included."""
    return json.dumps(outcome.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"


class EventStream:
    """A sink that writes one JSON line per event.

    It never raises: when the reader has gone, `on_gone` is called once and nothing is written any more.
    """

    def __init__(self, stream: TextIO, on_gone: Callable[[], None] = lambda: None) -> None:
        self._stream = stream
        self._on_gone = on_gone
        self.gone = False

    def __call__(self, event: Event) -> None:
        self._put(event_line(event))

    def finish(self, outcome: Outcome) -> None:
        self._put(result_line(outcome))

    def _put(self, line: str) -> None:
        if self.gone:
            return
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            self.gone = True
            self._on_gone()
