"""`kimicode sessions` and `kimicode resume` on sessions that are really there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kimicode.core import event as ev
from kimicode.core.message import Message, Usage
from kimicode.core.plan import Limits
from kimicode.session.journal import Journal
from kimicode.session.session import Session
from tests.cli.programs import KIMICODE, run
from tests.cli.scripted_run import OUTCOME

OLD, NEW = "20200102-030405-aaaaaa", "20260102-030405-bbbbbb"


def make_session(folder: Path, *, created: int, task: str, finished: bool) -> None:
    request = {"task": task, "repo": "/home/u/calc", "config": {}}
    with Journal.create(folder) as journal:
        session = Session(journal, clock=lambda: float(created))
        session.emit(
            ev.SessionStarted(
                session_id=folder.name, version="0", repo="/home/u/calc", created=created, request=request
            )
        )
        session.emit(
            ev.RunStarted(
                system="s",
                tools=(),
                model="kimi-k2.6",
                base_url="http://127.0.0.1:1/v1",
                thinking=True,
                context_window=1000,
                limits=Limits(),
                sandbox="bwrap",
            )
        )
        session.emit(ev.ModelRequested(step=0, max_output=1))
        reply = Message(role="assistant", text="done")
        session.emit(
            ev.ModelReplied(
                step=0,
                message=reply,
                usage=Usage(input=1200, output=30),
                usd=0.012,
                finish="stop",
                model="kimi-k2.6",
            )
        )
        if finished:
            outcome = OUTCOME.model_copy(update={"session_id": folder.name}).model_dump(mode="json")
            session.emit(ev.Published(branch="kimicode/fix-aaaaaa", commit="c" * 40, outcome=outcome))


@pytest.fixture
def sessions(own_folders: Path) -> Path:
    root = own_folders / "state" / "sessions"
    make_session(root / OLD, created=1_577_934_245, task="old and \x1b]0;done\x07 done", finished=True)
    make_session(root / NEW, created=1_767_323_045, task="new\nand open", finished=False)
    return root


def test_the_list_is_newest_first(sessions: Path) -> None:
    lines = run([*KIMICODE, "sessions"]).stdout.splitlines()
    assert lines[0] == f"{NEW}  stopped       1 steps   $0.012  new and open"
    assert lines[1] == f"{OLD}  done          1 steps   $0.012  old and done"
    found = json.loads(run([*KIMICODE, "sessions", "--json"]).stdout)
    assert [(s["id"], s["status"]) for s in found] == [(NEW, "stopped"), (OLD, "done")]
    assert found[1]["branch"] == "kimicode/fix-aaaaaa"


def test_without_sessions_nothing_is_listed() -> None:
    done = run([*KIMICODE, "sessions"])
    assert (done.returncode, done.stdout) == (0, "")
    assert "there are no sessions yet" in done.stderr
    assert run([*KIMICODE, "sessions", "--json"]).stdout == "[]\n"


def test_one_session_is_shown_by_any_part_of_its_id(sessions: Path) -> None:
    text = run([*KIMICODE, "sessions", "show", "bbbb"]).stdout
    for line in (
        "status      stopped",
        "task        new",
        "model       kimi-k2.6",
        f"next: kimicode resume {NEW}",
    ):
        assert line in text.splitlines()
    found = json.loads(run([*KIMICODE, "sessions", "show", OLD, "--json"]).stdout)
    assert found["outcome"]["exit_code"] == 0
    for wanted, message in (("zzz", "no session"), ("2", "2 sessions")):
        done = run([*KIMICODE, "sessions", "show", wanted])
        assert done.returncode == 2
        assert message in done.stderr
        assert "kimicode sessions lists them" in done.stderr


def test_prune_deletes_what_is_done_and_old_or_named(sessions: Path) -> None:
    assert "nothing to delete" in run([*KIMICODE, "sessions", "prune", "--days", "100000"]).stderr
    journal, _ = Journal.reopen(sessions / OLD)
    with journal:
        done = run([*KIMICODE, "sessions", "prune"])
        assert done.returncode == 1
        assert "is kept" in done.stderr
    done = run([*KIMICODE, "sessions", "prune"])
    assert done.stdout == f"deleted {OLD}\n"
    assert [p.name for p in sessions.iterdir()] == [NEW]
    assert run([*KIMICODE, "sessions", "prune", "bbbbbb"]).returncode == 0
    assert list(sessions.iterdir()) == []


def test_a_session_that_is_done_already_is_told_again(sessions: Path) -> None:
    done = run([*KIMICODE, "resume", "aaaaaa", "--output-format", "stream-json"])
    assert done.returncode == 0
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["kind"], result["status"], result["session_id"]) == ("result", "verified", OLD)


def test_resume_without_a_session_is_a_usage_error() -> None:
    done = run([*KIMICODE, "resume"])
    assert done.returncode == 2
    assert "there is no session to go on with" in done.stderr
    done = run([*KIMICODE, "resume", "abc", "--output-format", "json"])
    assert json.loads(done.stdout)["exit_code"] == 2
