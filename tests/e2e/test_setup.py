"""The setup step: on whose word it runs, what it leaves for the checkouts, and that it leaves no settings."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World, edit, serve, submit
from tests.fakes.kimi_server.script import call

SETUP = "python3 -m venv .venv && .venv/bin/python -m pip install -q --no-index --no-deps -e ."
PROJECT = """[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tinypack"
version = "1.0"
"""
BACKEND = '''"""A build backend without dependencies: what setuptools does for `pip install -e`."""
import os
import zipfile

FILES = {
    "tinypack.pth": os.getcwd() + "\\n",
    "tinypack-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: tinypack\\nVersion: 1.0\\n",
    "tinypack-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    "tinypack-1.0.dist-info/RECORD": "",
}

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name = "tinypack-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        for path, text in FILES.items():
            wheel.writestr(path, text)
    return name

build_wheel = build_editable
'''
TEST = """import unittest

import tinypack


class AnswerTest(unittest.TestCase):
    def test_answer(self):
        self.assertEqual(tinypack.answer(), 42)
"""
PYTHON = "/.venv/bin/python"
REAL = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("bwrap", marks=pytest.mark.bwrap),
]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A package whose tests import it as installed."""
    world = World(tmp_path)
    files = {
        "pyproject.toml": PROJECT,
        "backend.py": BACKEND,
        "tinypack/__init__.py": "def answer():\n    return 41\n",
        "tests/__init__.py": "",
        "tests/test_answer.py": TEST,
        ".gitignore": ".venv/\n*.egg-info/\nbuild/\n__pycache__/\n",
    }
    for name, text in files.items():
        (world.repo / name).parent.mkdir(parents=True, exist_ok=True)
        (world.repo / name).write_text(text)
    world.git("init", "-q", "-b", "main")
    world.git("add", "-A")
    world.git("commit", "-qm", "base")
    yield world
    for image in images(world):
        subprocess.run(["docker", "rmi", image], capture_output=True)


def images(world: World) -> list[str]:
    """Images that setup made in this test."""
    kept = (world.folder / "cache" / "environments").glob("*/layer.json")
    return [image for facts in kept if (image := json.loads(facts.read_text())["image"])]


def seen(server: object, number: int) -> str:
    return str(server.requests[number].body["messages"][-1]["content"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("sandbox", REAL)
def test_an_editable_install_imports_the_agents_edit(world: World, sandbox: str, need_sandbox: None) -> None:
    """The environment stands at the repository's own path, so that what it names is the agent's code."""
    show = f"cd / && {world.repo}{PYTHON} -c 'import tinypack; print(tinypack.answer(), tinypack.__file__)'"
    wreck = "rm -rf .venv && mkdir -p build && touch build/later"
    check = f"{world.repo}{PYTHON} -m unittest discover -t . -s tests"
    options = ("--setup", SETUP, "--check", check)
    for turn in range(2):
        with serve(
            call("shell", command=show),
            edit("tinypack/__init__.py", "41", "42") + call("shell", command=show),
            call("shell", command=wreck),
            submit("Answer", "It is 42."),
            submit("Answer", "It is 42."),
        ) as server:
            ran = world.fix(server, *options, sandbox=sandbox)
            assert not server.refusals, server.refusals
            first, second = seen(server, 1), seen(server, 2)
        file = f"{world.repo}/tinypack/__init__.py"
        assert f"41 {file}" in first and f"42 {file}" in second, ran.says()
        # The agent took its own environment away; the checks have the one that setup made.
        assert ran.out["verdict"] == "verified", ran.says()
        assert ("taken from an earlier run" in ran.process.stderr) == bool(turn), ran.says()
        assert world.git("diff", "--name-only", "main", ran.out["commit"]) == "tinypack/__init__.py"
    assert not (world.repo / ".venv").exists()


@pytest.mark.parametrize("sandbox", REAL)
def test_the_users_index_settings_reach_the_command_and_nothing_else(
    world: World, sandbox: str, need_sandbox: None
) -> None:
    canary, wheels = secrets.token_hex(16), world.folder / "wheels"
    wheels.mkdir()
    (wheels / "here.txt").write_text("packages\n")
    bundle = world.folder / "ca.pem"
    bundle.write_text(f"certificate {canary}\n")
    world.env = {
        "PIP_INDEX_URL": f"https://user:{canary}@packages.example/simple",
        "PIP_FIND_LINKS": str(wheels),
        "SSL_CERT_FILE": str(bundle),
        "AWS_SECRET_ACCESS_KEY": canary,
    }
    command = (
        'set -x; test -z "${AWS_SECRET_ACCESS_KEY:-}"; grep -q certificate "$SSL_CERT_FILE"; echo "$PIP_INDEX_URL"'
        ' && cat "$PIP_FIND_LINKS/here.txt" > build.txt && touch ~/kept && mkdir -p build && cp build.txt build/'
        ' && test ! -w "$PIP_FIND_LINKS" && test ! -e ~/.ssh'
    )
    probe = "env; cat build/build.txt; ls -a ~ /tmp; ls " + str(wheels)
    with serve(
        call("shell", command=probe), edit("tinypack/__init__.py", "41", "42"), submit("Answer", "x")
    ) as server:
        ran = world.fix(server, "--setup", f"sh -ec '{command}'", "--check", "true", sandbox=sandbox)
        shown = seen(server, 1)
        asked = json.dumps([exchange.body for exchange in server.requests])
    assert ran.code == 4 and "setup failed" not in ran.process.stderr, ran.says()
    assert "packages\n" in shown and "kept" in shown and "here.txt" not in shown
    assert "PIP_INDEX_URL" not in shown and "SSL_CERT_FILE" not in shown
    assert canary not in asked + ran.process.stderr + ran.process.stdout
    left = subprocess.run(
        ["grep", "-rlF", canary, str(world.folder / "state"), str(world.folder / "cache"), str(world.repo)],
        capture_output=True,
        text=True,
    )
    assert left.stdout == ""
    if sandbox == "docker":
        assert_no_image_has(world, canary)


def assert_no_image_has(world: World, canary: str) -> None:
    """Neither the image's configuration, nor its history, nor a file that its own layer changed."""
    (image,) = images(world)
    for words in (["inspect", image], ["history", "--no-trunc", image]):
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=True)
        assert canary not in done.stdout
    line = f"grep -rlsF {canary} /home /tmp /root /etc /opt /var /run"
    argv = ["docker", "run", "--rm", "--network=none", "--entrypoint=sh", image, "-c", line]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout == "" and done.returncode in (1, 2), done.stderr


@pytest.mark.parametrize("sandbox", [pytest.param("bwrap", marks=pytest.mark.bwrap)])
def test_a_detected_command_needs_a_word(world: World, sandbox: str, need_sandbox: None) -> None:
    """--yes stands for a person at a terminal: where there is none, only `--setup auto` runs what was found."""
    (world.repo / "package.json").write_text(json.dumps({"name": "tiny", "dependencies": {}}))
    (world.repo / ".kimicode.toml").write_text('[setup]\ncommand = "touch build.log"\n')
    (world.repo / ".gitignore").write_text("*.log\n")
    world.git("add", "-A")
    world.git("commit", "-qm", "a proposal")
    for words, ran_it in ((), False), (("--setup", "auto"), True), (("--setup", "none"), False):
        with serve(call("shell", command="ls"), submit("x", "y")) as server:
            ran = world.fix(server, "--check", "none", *words, sandbox=sandbox)
            listing = seen(server, 1)
        assert ("build.log" in listing) is ran_it, ran.says()
        skipped = "setup not run: touch build.log (proposed by .kimicode.toml); --setup auto runs it"
        assert (skipped in ran.process.stderr) is (words == ()), ran.says()
