"""Server-sent events from raw bytes, however they were cut."""

from __future__ import annotations

import re

_line_end = re.compile(rb"\r\n|\n|\r")


class EventReader:
    """Cuts a byte stream into the data of its events. Comments, event names and ids are skipped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self.other = b""
        """The first bytes that were no event stream at all, e.g. a JSON body: a server may ignore `stream`."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of every event that is complete now (lines of one event joined by a line feed)."""
        buffer = self._rest + chunk
        # A carriage return at the end may be the first half of a line end.
        held = buffer.endswith(b"\r")
        lines = _line_end.split(buffer[:-1] if held else buffer)
        self._rest = lines.pop() + (b"\r" if held else b"")
        events: list[bytes] = []
        for line in lines:
            self._take(line, events)
        return events

    def finish(self) -> list[bytes]:
        """What the end of the stream completes: servers leave out the last empty line."""
        events: list[bytes] = []
        if self._rest:
            self._take(self._rest.rstrip(b"\r"), events)
            self._rest = b""
        self._take(b"", events)
        return events

    def _take(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
                self._data = []
            return
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value[1:] if value.startswith(b" ") else value)
        elif field not in (b"", b"event", b"id", b"retry") and len(self.other) < 262_144:
            self.other += line + b"\n"
