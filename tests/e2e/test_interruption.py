"""Runs that are interrupted, killed or lose their sandbox: nothing is left behind, and `resume` ends them well."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import LOOK, REPAIR, Ran, World, serve, submit
from tests.fakes.kimi_server.script import call, stall
from tests.fakes.kimi_server.server import KimiServer

REAL = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("bwrap", marks=pytest.mark.bwrap),
]
NOTE = "The sandbox was lost and started anew."


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path).make()
    (world.repo / ".gitignore").write_text("build/\n__pycache__/\n")
    world.git("add", "-A")
    world.git("commit", "-qm", "ignore build")
    yield world
    forget_images(world)


def begin(world: World, server: KimiServer, sandbox: str, *args: str) -> subprocess.Popen[str]:
    """`kimicode fix` as a process of its own that signals can be sent to."""
    words = ["fix", "Shares do not add up", "--repo", str(world.repo), "--base-url", server.base_url]
    return subprocess.Popen(
        [sys.executable, "-m", "kimicode", *words, "--sandbox", sandbox, "--yes", *args],
        env=world.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=world.folder,
        start_new_session=True,
    )


def session(world: World) -> Path:
    return next((world.folder / "state" / "sessions").iterdir())


def events(world: World) -> list[dict[str, Any]]:
    """What the log holds so far, but a line that is being written."""
    try:
        lines = (session(world) / "log.jsonl").read_text().splitlines()
    except (OSError, StopIteration):
        return []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def wait(what: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> None:
    """Until `what` holds; fails when the process ends before, or after a minute."""
    for _ in range(600):
        if what():
            return
        if process is not None and process.poll() is not None:
            raise AssertionError(f"it ended before: {process.communicate()}")
        time.sleep(0.1)
    raise AssertionError("it never came to that")


def containers(run: str) -> str:
    words = ["docker", "ps", "-aq", "--filter", f"label=kimicode.run={run}"]
    return subprocess.run(words, capture_output=True, text=True).stdout


def forget_images(world: World) -> None:
    for facts in (world.folder / "cache" / "environments").glob("*/layer.json"):
        if image := json.loads(facts.read_text())["image"]:
            subprocess.run(["docker", "rmi", image], capture_output=True)


def resume(world: World) -> Ran:
    return Ran(world.run("resume", session(world).name, "--output-format", "json"))


@pytest.mark.parametrize("sandbox", REAL)
def test_ctrl_c_during_a_command(world: World, sandbox: str, need_sandbox: None) -> None:
    # The object store of the base is all of the host that the command sees: what the test puts there ends the wait.
    signs = f"{world.folder}/state/sessions/*/base/objects/go"
    command = call("shell", command=f"echo run >> count.txt; ls {signs} || sleep 100; cat count.txt")
    with serve(LOOK, command, REPAIR, submit()) as server:
        process = begin(world, server, sandbox)
        # The runner is up and the command has begun when its first line is there.
        count = lambda: list(world.folder.glob("state/sessions/*/slots/agent/w/count.txt"))  # noqa: E731
        wait(count, process)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        name = session(world).name
        assert process.returncode == 130, (out, err)
        assert f"kimicode resume {name}" in err and "Traceback" not in err and out == ""
        assert events(world)[-1]["kind"] == "tool_started"
        wait(lambda: sandbox != "docker" or not containers(name))
        assert not (session(world) / "store" / "index.lock").exists()
        (session(world) / "base" / "objects" / "go").touch()
        ran = resume(world)
        assert not server.refusals, server.refusals
        # The interrupted command was undone and run again: its line is there once.
        said = [m["content"] for m in server.requests[2].body["messages"] if m["role"] == "tool"][-1]
    assert ran.code == 0 and ran.out["verdict"] == "verified", ran.says()
    assert said.count("run\n") + said.endswith("run") == 1
    assert world.git("show", f"{ran.out['commit']}:count.txt") == "run"


@pytest.mark.parametrize("sandbox", REAL)
def test_killed_while_the_model_answers(world: World, sandbox: str, need_sandbox: None) -> None:
    """What git ignores is afterwards what setup made, the model is told, and the rest is as it was."""
    dirt = call(
        "shell", command="cat build/x; echo mine > build/x; touch build/y ~/z /tmp/z; echo kept > notes.txt"
    )
    look = call("shell", command="cat build/x notes.txt; ls -A build /tmp ~")
    with serve(dirt, stall(100), LOOK, look, REPAIR, submit()) as server:
        process = begin(world, server, sandbox, "--setup", "mkdir -p build && echo layer > build/x")
        wait(lambda: len(server.requests) == 2, process)
        process.kill()
        process.communicate()
        name = session(world).name
        wait(lambda: sandbox != "docker" or not containers(name))
        ran = resume(world)
        assert not server.refusals, server.refusals
        asked = server.requests[-1].body["messages"]
    assert ran.code == 0 and ran.out["verdict"] == "verified", ran.says()
    texts = [m["content"] for m in asked if m["role"] == "tool"]
    assert "layer" in texts[0]
    (seen,) = [text for text in texts if "kept" in text]
    assert "layer\nkept\n" in seen and "mine" not in seen and "\ny" not in seen and "\nz" not in seen
    assert sum(NOTE in str(m.get("content")) for m in asked) == 1
    assert ran.out["steps"] == 5 and world.git("show", f"{ran.out['commit']}:notes.txt") == "kept"
    assert not list(session(world).rglob("*.lock"))
    wait(lambda: sandbox != "docker" or not containers(name))


def test_a_lost_sandbox_is_replaced(world: World) -> None:
    mark = world.folder / "mark"
    dirt = call("shell", command="mkdir build; touch build/y; echo kept > notes.txt")
    # Ends the runner itself, once: the call is then undone and run again in the next sandbox.
    lose = call(
        "shell", command=f"echo half > half.txt; test -e {mark} || {{ touch {mark}; kill -9 $PPID; }}"
    )
    with serve(dirt, lose, call("shell", command="ls"), REPAIR, submit()) as server:
        ran = world.fix(server)
        assert not server.refusals, server.refusals
        asked = server.requests[-1].body["messages"]
    assert ran.code == 0, ran.says()
    assert "sandbox lost" in ran.process.stderr, ran.says()
    assert sum(NOTE in str(m.get("content")) for m in asked) == 1
    listing = [m["content"] for m in asked if m["role"] == "tool"][2]
    assert "notes.txt" in listing and "half.txt" in listing and "build" not in listing
