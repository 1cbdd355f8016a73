"""kill -9 around the setup step: the next process has the whole environment, or makes it anew, never half of it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from kimicode.app.adapters import Adapters
from kimicode.config import Config
from kimicode.core import event as ev
from kimicode.core.message import Reply
from kimicode.models.scripted import FREE, ScriptedModel, make_reply
from tests.crash.scenario import Stage, ignore, in_child
from tests.e2e.conftest import refusal

pytestmark = pytest.mark.bwrap

SETUP = "mkdir -p build && echo one > build/1.tmp && echo run >> ~/runs && cp ~/runs build/runs.tmp"
SEE = "cat build/1.tmp build/runs.tmp ~/runs > seen.txt"
SCRIPT: tuple[Reply, ...] = (
    make_reply("", ("shell", {"command": SEE})),
    make_reply("", ("submit", {"title": "See", "body": ""})),
)


class Connection:
    """A model without an endpoint."""

    spec = FREE
    base_url = ""
    secrets: tuple[str, ...] = ()

    def model(self, session: object) -> ScriptedModel:
        return ScriptedModel(SCRIPT)


class KillAtText:
    """A sink that kills its own process when kimicode says, or logs, this."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, event: ev.Event) -> None:
        said = event.text if isinstance(event, ev.Phase) else event.kind
        if said.startswith(self._text):
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("point", ["setup: bwrap", "setup, once", "environment_ready", "run_started"])
def test_killed(tmp_path: Path, point: str) -> None:
    reason = refusal("bwrap", tmp_path)
    if reason:
        pytest.skip(reason)
    config = Config.model_validate(
        {"sandbox": {"backend": "bwrap"}, "checks": {"commands": []}, "setup": {"command": SETUP}}
    )
    stage = Stage(tmp_path, Adapters(connect=lambda c, e: Connection()), config)
    stage.make_repository()
    assert in_child(lambda: stage.begin(KillAtText(point))) == -signal.SIGKILL
    half = stage.session / "slots" / "setup" / "w"
    if half.is_dir():
        # The command had begun: what it made must not be taken for the environment.
        (half / "build").mkdir()
        (half / "build" / "half.tmp").write_text("")
    agent = stage.session / "slots" / "agent" / "w"
    if (agent / "build").is_dir():
        shutil.rmtree(agent / "build")
        (agent / "build").mkdir()
        (agent / "build" / "1.tmp").write_text("torn")
    assert in_child(lambda: stage.go_on(ignore)) == 0
    result = stage.result()
    assert stage.git("show", f"{result['commit']}:seen.txt") == "one\nrun\nrun"
    layer = next((stage.live / "cache" / "environments").iterdir())
    assert sorted(p.name for p in (layer / "files" / "build").iterdir()) == ["1.tmp", "runs.tmp"]
    assert stage.events().count("environment_ready") == 1
