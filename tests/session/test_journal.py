"""The log proves itself: every truncation, every flipped byte, every failed write."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import zlib
from pathlib import Path

import pytest

from kimicode.core import event as ev
from kimicode.core.message import Message, ToolCall, Usage
from kimicode.errors import DiskFull, JournalError
from kimicode.session.journal import Journal, decode_record, encode_record, read_contents


def sample(n: int) -> list[ev.Event]:
    events: list[ev.Event] = [
        ev.SessionStarted(
            session_id="20260101-000000-abcdef", version="0", repo="/r", created=1, request={}, seq=0
        )
    ]
    for i in range(1, n):
        if i % 3 == 0:
            call = ToolCall(id=f"shell:{i}", name="shell", arguments='{"command": "echo \\"ä\u2028\\n\\""}')
            message = Message(role="assistant", text="日本", reasoning="", tool_calls=(call,))
            events.append(
                ev.ModelReplied(
                    step=i,
                    message=message,
                    usage=Usage(input=i),
                    usd=0.1,
                    finish="tool_calls",
                    model="m",
                    seq=i,
                )
            )
        else:
            events.append(ev.UserSpoke(text=f"line {i}\nwith \x00 and \x85", seq=i))
    return events


def test_every_line_is_json_and_comes_back(tmp_path: Path) -> None:
    events = sample(12)
    with Journal.create(tmp_path / "s") as journal:
        for event in events:
            journal.append(event)
        journal.sync()
    data = (tmp_path / "s" / "log.jsonl").read_bytes()
    assert [json.loads(line)["seq"] for line in data.splitlines()] == list(range(12))
    assert read_contents(data).events == tuple(events)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "s" / "log.jsonl").stat().st_mode & 0o777 == 0o600


def test_truncation_at_every_byte_keeps_the_longest_prefix(tmp_path: Path) -> None:
    events = sample(50)
    lines = [encode_record(e) for e in events]
    data = b"".join(lines)
    ends = [sum(map(len, lines[: i + 1])) for i in range(len(lines))]
    for cut in range(len(data)):
        contents = read_contents(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert contents.events == tuple(events[:whole])
        assert contents.torn == data[ends[whole - 1] if whole else 0 : cut]
        assert not contents.bad


def test_a_flip_of_every_byte_loses_only_its_record() -> None:
    events = sample(50)
    lines = [encode_record(e) for e in events]
    data = b"".join(lines)
    position = 0
    for number, line in enumerate(lines):
        for offset in range(len(line)):
            flipped = bytearray(data)
            flipped[position + offset] ^= 0x04
            survivors = read_contents(bytes(flipped)).events
            lost = [e for e in events if e not in survivors]
            # The end of a line joins two records: both are lost then, never more.
            expected = events[number : number + (2 if offset == len(line) - 1 else 1)]
            assert lost == expected[: len(lost)] and 1 <= len(lost) <= 2
            assert all(e in events for e in survivors)
        position += len(line)


def test_a_torn_tail_is_kept_aside_and_the_log_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    events = sample(5)
    with Journal.create(folder) as journal:
        for event in events[:4]:
            journal.append(event)
    with (folder / "log.jsonl").open("ab") as f:
        f.write(encode_record(events[4])[:-7])
    journal, contents = Journal.reopen(folder)
    with journal:
        assert contents.events == tuple(events[:4])
        journal.append(events[4])
    assert read_contents((folder / "log.jsonl").read_bytes()).events == tuple(events)
    assert (folder / "log.torn").read_bytes().startswith(b'{"seq":4')


def test_one_writer_and_a_dead_one_never_blocks(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    pid = os.fork()
    if pid == 0:
        Journal.create(folder)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    journal, _ = Journal.reopen(folder)
    with journal, pytest.raises(JournalError, match="in use"):
        Journal.reopen(folder)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with Journal.create(folder) as journal:
        journal.append(sample(1)[0].model_copy(update={"format": 99}))
    # A later format may also have other members: only its number can be relied on.
    head = (folder / "log.jsonl").read_bytes().replace(b'"repo"', b'"place"').rpartition(b',"crc"')[0]
    (folder / "log.jsonl").write_bytes(b'%s,"crc":"%08x"}\n' % (head, zlib.crc32(head)))
    with pytest.raises(JournalError, match="newer kimicode"):
        Journal.reopen(folder)


def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path) -> None:
    """A real limit of the kernel: RLIMIT_FSIZE makes write() fail in the middle of a record."""
    folder = tmp_path / "s"
    events = sample(40)
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
        code = 1
        try:
            with Journal.create(folder) as journal:
                for event in events:
                    journal.append(event)
        except JournalError as e:
            code = 0 if isinstance(e.__cause__, OSError) and e.__cause__.errno == errno.EFBIG else 2
        except DiskFull:
            code = 0
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    contents = read_contents((folder / "log.jsonl").read_bytes())
    assert contents.events and contents.events == tuple(events[: len(contents.events)])
    assert contents.torn == b""


def test_a_record_without_its_checksum_is_no_record() -> None:
    line = encode_record(sample(1)[0]).rstrip(b"\n")
    assert decode_record(line)
    for broken in (b"", b"{}", line[:-1], line + b" ", b'{"seq":0}', line[:-12] + b'00000000"}'):
        with pytest.raises(ValueError):
            decode_record(broken)
