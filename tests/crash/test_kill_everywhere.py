"""kill -9 at every event of a scripted 12-step fix, torn records included: resume ends with the same single commit."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.crash.scenario import KillAt, Stage, ignore, in_child

PARTS = 4


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A session that has just begun, saved as "begun", and what an uninterrupted run makes of it."""
    stage = Stage(tmp_path_factory.mktemp("crash"))
    stage.make_repository()
    assert in_child(lambda: stage.begin(KillAt(0))) == -signal.SIGKILL
    stage.save("begun")
    assert in_child(lambda: stage.go_on(ignore)) == 0
    stage.clean = stage.result()  # type: ignore[attr-defined]
    stage.kinds = stage.events()  # type: ignore[attr-defined]
    return stage


def test_the_clean_run_is_the_whole_fix(stage: Stage) -> None:
    assert stage.clean["status"] == "unverified"  # type: ignore[attr-defined]
    assert stage.kinds.count("model_replied") == 12  # type: ignore[attr-defined]
    commit = stage.clean["commit"]  # type: ignore[attr-defined]
    stage.load("begun")
    assert in_child(lambda: stage.go_on(ignore)) == 0
    assert stage.result()["commit"] == commit
    assert stage.git("show", f"{commit}:counter.txt") == "x\n" * 4 + "x"
    assert stage.git("log", "--format=%P", "-1", commit) == stage.git("rev-parse", "main")


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("torn", [False, True], ids=["killed", "torn"])
@pytest.mark.timeout(300)
def test_every_event(stage: Stage, part: int, torn: bool) -> None:
    points = [n for n in range(len(stage.kinds) - 1) if n % PARTS == part]  # type: ignore[attr-defined]
    for point in points:
        stage.load("begun")
        assert in_child(lambda p=point: stage.go_on(KillAt(p))) == -signal.SIGKILL, f"event {point}"
        kind = stage.events()[-1]
        if torn:
            # The record was being written when the process died: what follows from it has not happened.
            tear_last_record(stage.session / "log.jsonl")
        assert in_child(lambda: stage.go_on(ignore)) == 0, f"after {kind} ({point})"
        assert stage.result() == stage.clean, f"after {kind} ({point})"  # type: ignore[attr-defined]
        left = [p.name for p in stage.session.rglob("*.lock")]
        assert not left, f"after {kind}: {left}"


def tear_last_record(log: Path) -> None:
    data = log.read_bytes()
    start = data.rstrip(b"\n").rfind(b"\n") + 1
    log.write_bytes(data[: start + (len(data) - start) // 2])
