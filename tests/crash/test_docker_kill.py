"""kill -9 at one point of each kind of event with real containers: the same commit, no container, no lock."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any, get_args

import pytest

from kimicode.app.adapters import Adapters
from kimicode.config import Config
from kimicode.core import event as ev
from kimicode.core.message import Reply
from kimicode.models.scripted import FREE, ScriptedModel, make_reply
from tests.crash.scenario import Stage, ignore, in_child
from tests.e2e.conftest import refusal

pytestmark = pytest.mark.docker

TEST = (
    "import unittest\nfrom src.calc import add\n\n\nclass AddTest(unittest.TestCase):\n"
    "    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n"
)
COUNT = "echo x >> counter.txt; mkdir -p build; echo made > build/log.tmp"
"""Not idempotent: run twice, it would leave another tree."""

SCRIPT: tuple[Reply, ...] = (
    make_reply("Look.", ("read_file", {"files": ["src/calc.py"]}), ("shell", {"command": COUNT})),
    make_reply("", ("edit_file", {"edits": [{"path": "src/calc.py", "old": "a - b", "new": "a + b"}]})),
    make_reply("", ("shell", {"command": COUNT})),
    make_reply("", ("submit", {"title": "Add instead of subtract", "body": "The sign was wrong."})),
)


class Connection:
    """A model without an endpoint."""

    spec = FREE
    base_url = ""
    secrets: tuple[str, ...] = ()

    def model(self, session: object) -> ScriptedModel:
        return ScriptedModel(SCRIPT)


CONFIG = Config.model_validate(
    {"sandbox": {"backend": "docker"}, "checks": {"commands": ["python3 -m unittest discover -t . -s tests"]}}
)


def tool(effect: str) -> Callable[[Any], bool]:
    return lambda e: e.kind == "tool_started" and e.effect == effect


def kind(name: str) -> Callable[[Any], bool]:
    return lambda e: bool(e.kind == name)


def check(role: str) -> Callable[[Any], bool]:
    return lambda e: e.kind == "checks_ran" and e.role == role


POINTS: dict[str, Callable[[Any], bool]] = {
    "base_captured": kind("base_captured"),
    "check of the base": check("base"),
    "run_started": kind("run_started"),
    "user_spoke": kind("user_spoke"),
    "model_requested": kind("model_requested"),
    "model_replied": kind("model_replied"),
    "command started": tool("exec"),
    "write started": tool("write"),
    "snapshotted": kind("snapshotted"),
    "tool_finished": lambda e: e.kind == "tool_finished" and e.name == "shell",
    "run_stopped": kind("run_stopped"),
    "check of the result": check("result"),
    "run_finished": kind("run_finished"),
}


ELSEWHERE = {
    *("tool_refused", "approval_asked", "approval_given", "rolled_back", "compacted", "model_failed"),
    *("environment_ready", "submitted"),
}
"""Kinds that a fix without trouble, questions and setup does not have."""


class KillWhen:
    """A sink that kills its own process at the first event that a point names, once that is in the log."""

    def __init__(self, wanted: Callable[[Any], bool]) -> None:
        self._wanted = wanted

    def __call__(self, event: ev.Event) -> None:
        if event.durable and self._wanted(event):
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A session killed when it had just begun, saved as "begun", and what it comes to without another kill."""
    reason = refusal("docker", tmp_path_factory.getbasetemp())
    if reason:
        pytest.skip(reason)
    stage = Stage(tmp_path_factory.mktemp("crash"), Adapters(connect=lambda c, e: Connection()), CONFIG)
    tests = stage.repo / "tests"
    tests.mkdir(parents=True)
    (tests / "__init__.py").write_text("")
    (tests / "test_calc.py").write_text(TEST)
    stage.make_repository()
    assert in_child(lambda: stage.begin(KillWhen(kind("session_started")))) == -signal.SIGKILL
    stage.save("begun")
    assert in_child(lambda: stage.go_on(ignore)) == 0
    stage.clean = stage.result()  # type: ignore[attr-defined]
    stage.kinds = stage.events()  # type: ignore[attr-defined]
    return stage


def containers(run: str, *, running: bool = False) -> list[str]:
    words = ["docker", "ps", "-q" if running else "-aq", "--filter", f"label=kimicode.run={run}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def gone(run: str, *, running: bool = False) -> bool:
    """Whether a session's containers (or only those that run) have ended by themselves, which takes a moment."""
    for _ in range(100):
        if not containers(run, running=running):
            return True
        time.sleep(0.1)
    return False


def test_the_clean_run_is_verified_and_holds_every_kind(stage: Stage) -> None:
    assert stage.clean["status"] == "verified"  # type: ignore[attr-defined]
    assert stage.git("show", f"{stage.clean['commit']}:counter.txt") == "x\nx"  # type: ignore[attr-defined]
    known = {kind.model_fields["kind"].default for kind in get_args(ev.DurableEvent)}
    assert known - set(stage.kinds) == ELSEWHERE  # type: ignore[attr-defined]
    assert gone(stage.session.name)


@pytest.mark.parametrize("point", POINTS)
def test_killed(stage: Stage, point: str) -> None:
    stage.load("begun")
    assert in_child(lambda: stage.go_on(KillWhen(POINTS[point]))) == -signal.SIGKILL
    # One that was made but not started yet runs nothing; the next process sweeps it away.
    assert gone(stage.session.name, running=True), "containers outlived the process that started them"
    assert in_child(lambda: stage.go_on(ignore)) == 0
    assert stage.result() == stage.clean  # type: ignore[attr-defined]
    assert not [path.name for path in stage.session.rglob("*.lock")]
    assert gone(stage.session.name)
