"""Every way in which a run can end: streams, signals, exit codes, the last line."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kimicode.core.outcome import Outcome
from kimicode.session.journal import decode_record
from tests.cli.programs import SCRIPTED, WAIT_S, environment, run
from tests.cli.scripted_run import SESSION

ENDINGS = {"ok": 0, "config": 3, "nokey": 3, "group": 6, "disk": 74, "bug": 1}


def test_text_puts_the_result_on_stdout_and_the_progress_on_stderr() -> None:
    done = run([*SCRIPTED, "ok", "text"])
    assert done.returncode == 0
    assert done.stdout.startswith("✓ verified: ")
    for line in (
        "1 failed before, passes now",
        "  tests/test_calc.py::test_0",
        "  src/calc.py  +4 -1",
        "branch   kimicode/fix-div-abcdef at 0123456789ab",
        "  git -C /home/u/calc diff main...kimicode/fix-div-abcdef  look at it",
        "  git -C /home/u/calc merge kimicode/fix-div-abcdef        take it",
    ):
        assert line in done.stdout.splitlines()
    progress = done.stderr.splitlines()
    for line in (
        f"· session {SESSION}",
        "· check: pytest -q (detected: pyproject.toml)",
        "✗ check before: pytest -q  1 failed, 3 passed  4.1 s",
        "I look at the code.",
        "Then I fix it.",
        "● edit_file src/calc.py  +4 -1",
        "✗ shell pytest -q  exit 1  12 s",
        "  │ … 4 lines before",
        "  │ line 8",
        "✗ edit_file  refused: The text to replace is not unique.",
    ):
        assert line in progress
    assert "let me think" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(("mode", "code"), ENDINGS.items())
def test_json_is_one_object_whatever_happens(mode: str, code: int) -> None:
    done = run([*SCRIPTED, mode, "json"])
    assert done.returncode == code
    found = json.loads(done.stdout)
    assert set(found) == set(Outcome.model_fields)
    assert (found["schema_version"], found["exit_code"]) == (1, code)
    assert found["status"] == ("verified" if mode == "ok" else "error")
    assert (found["session_id"], found["model"], found["steps"]) == (SESSION, "kimi-k2.6", 1)
    assert found["usage"] == {
        "input": 10_000,
        "cached": 8_000,
        "output": 500,
        "reasoning": found["usage"]["reasoning"],
    }
    if mode != "ok":
        assert "kimicode: " in done.stderr
        assert found["message"].split("\n")[0].rstrip(".") in done.stderr


@pytest.mark.parametrize("mode", ["ok", "config", "bug"])
def test_a_stream_is_the_logs_lines_and_ends_with_the_result(mode: str) -> None:
    done = run([*SCRIPTED, mode, "stream-json"])
    lines = done.stdout.splitlines()
    parsed: list[dict[str, Any]] = [json.loads(line) for line in lines]
    for line, found in zip(lines[:-1], parsed[:-1], strict=True):
        if found.get("ephemeral"):
            assert found["kind"] in ("phase", "text_delta", "reasoning_delta")
        else:
            assert decode_record(line.encode()).kind == found["kind"]
    assert [f["seq"] for f in parsed[:-1] if not f.get("ephemeral")] == list(
        range(sum(1 for f in parsed[:-1] if not f.get("ephemeral")))
    )
    result = parsed[-1]
    assert result["kind"] == "result"
    assert result["exit_code"] == ENDINGS[mode] == done.returncode
    assert set(result) == {"kind", *Outcome.model_fields}


def test_a_bug_leaves_one_line_and_a_traceback_that_only_the_user_can_read(own_folders: Path) -> None:
    folder = own_folders / "state" / "sessions" / SESSION
    folder.mkdir(parents=True)
    done = run([*SCRIPTED, "bug", "text"], env={"SOME_TOKEN": "with a canary"})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "kimicode: internal error: ValueError: a bug" in done.stderr
    assert f"kimicode resume {SESSION}" in done.stderr
    (kept,) = folder.glob("traceback-*.txt")
    assert str(kept) in done.stderr
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    text = kept.read_text()
    assert "scripted_run.py" in text
    assert "canary" not in text
    shown = run([*SCRIPTED, "bug", "text"], env={"KIMICODE_VERBOSE": "1"}).stderr
    assert "Traceback" in shown
    assert "hmm, let me think" in shown


def test_a_missing_key_is_one_line_without_a_terminal() -> None:
    done = run([*SCRIPTED, "nokey", "text"])
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("kimicode:")]
    assert "KIMI_API_KEY or MOONSHOT_API_KEY is not set" in line
    assert "kimicode demo" in line
    assert "Three ways" not in done.stderr
    assert done.stdout == ""


def start(mode: str, form: str) -> subprocess.Popen[str]:
    """The scripted program, up to the point at which it waits."""
    process = subprocess.Popen(
        [*SCRIPTED, mode, form],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(),
        start_new_session=True,
    )
    assert process.stderr is not None
    while process.stderr.readline() != "READY\n":
        assert process.poll() is None
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("mode", ["slow", "returns"])
def test_one_signal_stops_cleanly_and_says_how_to_go_on(mode: str, number: signal.Signals) -> None:
    process = start(mode, "stream-json")
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + number
    assert "press Ctrl-C again to leave at once" in err
    assert f"kimicode resume {SESSION}" in err
    assert "Traceback" not in err
    result = json.loads(out.splitlines()[-1])
    assert (result["kind"], result["status"], result["exit_code"]) == ("result", "interrupted", 128 + number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_leaves_at_once(number: signal.Signals) -> None:
    process = start("stubborn", "text")
    process.send_signal(number)
    assert process.stderr is not None
    while "stopping" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 128 + number
    assert (out, "Traceback" in err) == ("", False)


def test_what_the_parent_ignores_stays_ignored() -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            'trap "" HUP; "$@" & pid=$!; sleep 1.5; kill -HUP $pid; wait $pid',
            "sh",
            *SCRIPTED,
            "quiet",
            "json",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        timeout=WAIT_S,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "verified"


@pytest.mark.parametrize("form", ["text", "stream-json"])
def test_a_reader_that_goes_away_is_no_drama(form: str) -> None:
    redirect = "2>&1" if form == "text" else ""
    line = f'set -o pipefail; "$@" {redirect} | head -n 2'
    done = subprocess.run(
        ["bash", "-c", line, "bash", *SCRIPTED, "flood" if form == "stream-json" else "ok", form],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        timeout=WAIT_S,
    )
    assert b"Traceback" not in done.stdout + done.stderr
    assert b"Exception ignored" not in done.stdout + done.stderr
    assert done.stdout.count(b"\n") == 2
    # A stream without a reader is stopped: nobody would see what it costs. A result without one is no reason to.
    assert done.returncode == (128 + signal.SIGPIPE if form == "stream-json" else 0)


def test_plain_runs_say_that_they_are_alive() -> None:
    done = run([*SCRIPTED, "quiet", "text"], env={"KIMICODE_HEARTBEAT": "1"})
    beats = [x for x in done.stderr.splitlines() if x.startswith("… still at it: step 1, ")]
    assert beats
    assert "$0.031" in beats[0]


def test_questions_without_a_terminal_are_answered_no_and_with_yes_yes() -> None:
    done = run([*SCRIPTED, "ask", "json"], stdin=b"y\ny\n")
    assert json.loads(done.stdout)["message"] == "answers [False, False]"
    assert "not allowed without a terminal: run first (--yes allows it)" in done.stderr
    done = run([*SCRIPTED, "ask", "json", "--yes"])
    assert json.loads(done.stdout)["message"] == "answers [True, True]"
    assert "allowed by --yes: run second" in done.stderr


def test_streams_that_are_closed_do_not_matter() -> None:
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&- 2>&- <&-', "sh", *SCRIPTED, "ok", "json"], env=environment(), timeout=WAIT_S
    )
    assert closed.returncode == 0
    latin = run(
        [*SCRIPTED, "ok", "text"], env={"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    )
    assert latin.returncode == 0
    assert "+ verified" in latin.stdout
    assert "* edit_file src/calc.py  +4 -1" in latin.stderr
    assert os.sep in latin.stdout


def test_showing_a_run_imports_nothing_heavy() -> None:
    done = run([*SCRIPTED, "imports", "json"])
    assert json.loads(done.stdout)["message"] == "heavy: []"
