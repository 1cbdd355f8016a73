"""The append-only log of one session: JSON lines that prove themselves, one writer, torn tails repaired.

A line is one JSON object whose last member is "crc": the CRC-32 (eight hex digits) of the line's bytes before
`,"crc"`. The file therefore stays valid JSONL for jq. Formats newer than ours are refused, never rewritten.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kimicode.core.event import FORMAT, Event, parse_event
from kimicode.errors import DiskFull, JournalError

LOG = "log.jsonl"
LOCK = "lock"
_CRC = b',"crc":"'
_TAIL = len(_CRC) + 8 + 2  # ,"crc":"xxxxxxxx"}


def encode_record(event: Event) -> bytes:
    """One line of the log, newline included."""
    head = event.model_dump_json().encode()[:-1]
    return b'%s%s%08x"}\n' % (head, _CRC, zlib.crc32(head))


def decode_record(line: bytes) -> Event:
    """The event of one line (no newline). Raises ValueError when a byte of it is not as it was written."""
    return parse_event(_prove(line))


def _prove(line: bytes) -> bytes:
    """The record without its checksum, which must be right. Raises ValueError."""
    head, tail = line[:-_TAIL], line[-_TAIL:]
    if not tail.startswith(_CRC) or not tail.endswith(b'"}'):
        raise ValueError("record without a checksum")
    if b"%08x" % zlib.crc32(head) != tail[len(_CRC) : -2]:
        raise ValueError("checksum differs")
    return head + b"}"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a log holds."""

    events: tuple[Event, ...]
    good: int
    """Length in bytes up to the end of the last whole record."""
    bad: tuple[tuple[int, bytes], ...] = ()
    """Line number (from 1) and bytes of records in the middle that cannot be trusted."""
    torn: bytes = b""
    """Bytes after the last whole record: a write that a crash cut short."""


def read_contents(data: bytes) -> Contents:
    """Parse a whole log. Raises JournalError when it was written by a newer kimicode."""
    events: list[Event] = []
    bad: list[tuple[int, int, bytes]] = []
    good = position = number = 0
    while position < len(data):
        number, start = number + 1, position
        end = data.find(b"\n", position)
        line = data[position:] if end < 0 else data[position:end]
        position = len(data) if end < 0 else end + 1
        try:
            if end < 0:
                raise ValueError("no end of line")
            record = _prove(line)
            _refuse_newer(record)
            events.append(parse_event(record))
            good = position
        except ValueError:
            bad.append((start, number, line))
    # Whatever stands behind the last good record is a torn tail, not a quarantine case.
    middle = tuple((number, line) for start, number, line in bad if start < good)
    return Contents(events=tuple(events), good=good, bad=middle, torn=data[good:])


def _refuse_newer(record: bytes) -> None:
    """The first record of a newer format may have a shape that we cannot read, but it names its format."""
    if not record.startswith(b'{"seq":0,'):
        return
    found = json.loads(record).get("format", 0)
    if isinstance(found, int) and found > FORMAT:
        raise JournalError(
            f"this session was written by a newer kimicode (log format {found}, this one knows {FORMAT})",
            hint="update kimicode",
        )


class Journal:
    """The one writer of a session's log. Open it with `create` or `reopen`; it holds the lock until closed."""

    def __init__(self, folder: Path, file: int, lock: int, size: int) -> None:
        self._folder = folder
        self._file = file
        self._lock = lock
        self._size = size

    @classmethod
    def create(cls, folder: Path) -> Journal:
        """Start a log in `folder`, which is made with mode 0700."""
        try:
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            lock = _take_lock(folder)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(folder / LOG, flags, 0o600)
            _sync_folder(folder)
        except OSError as e:
            raise _storage_error(e, folder) from e
        return cls(folder, file, lock, 0)

    @classmethod
    def reopen(cls, folder: Path) -> tuple[Journal, Contents]:
        """Take up a log again. A torn tail is cut off and kept in `log.torn`, bad records in `log.bad`."""
        if not (folder / LOG).is_file():
            raise JournalError(
                f"there is no session in {folder}", hint="kimicode sessions lists those that exist"
            )
        lock = _take_lock(folder)
        try:
            contents = read_contents((folder / LOG).read_bytes())
            file = os.open(folder / LOG, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
            if contents.torn:
                _keep_aside(folder / "log.torn", contents.torn)
                os.ftruncate(file, contents.good)
                os.fdatasync(file)
            for _, line in contents.bad:
                _keep_aside(folder / "log.bad", line)
        except OSError as e:
            os.close(lock)
            raise _storage_error(e, folder) from e
        except JournalError:
            os.close(lock)
            raise
        return cls(folder, file, lock, contents.good), contents

    @property
    def folder(self) -> Path:
        return self._folder

    def append(self, event: Event) -> None:
        """Write one record: it survives a kill of this process. All of it or nothing is in the log after an error."""
        line = encode_record(event)
        written = 0
        try:
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as e:
            if written:
                os.ftruncate(self._file, self._size)
            raise _storage_error(e, self._folder) from e
        self._size += len(line)

    def sync(self) -> None:
        """Put all records on the disk: they survive a power loss. Needed before an effect that is not a read."""
        try:
            os.fdatasync(self._file)
        except OSError as e:
            raise _storage_error(e, self._folder) from e

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            os.close(self._lock)
            self._file = self._lock = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self.close()


def _take_lock(folder: Path) -> int:
    """The kernel frees this lock when its process dies, so a dead owner never blocks."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(folder / LOCK, flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise JournalError(
            f"session {folder.name} is in use by another kimicode process",
            hint="wait until it ends, or stop it",
        ) from None
    return lock


def _keep_aside(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    try:
        os.write(file, data + b"\n")
    finally:
        os.close(file)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _storage_error(e: OSError, folder: Path) -> DiskFull | JournalError:
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"no space left for the session's log in {folder}",
            hint=f"free some space, then: kimicode resume {folder.name}",
        )
    return JournalError(f"the session's log in {folder} cannot be used: {e.strerror or e}")
