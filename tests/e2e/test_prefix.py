"""What the model is sent: small, byte-identical where it can be, and honest about what is the user's word."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from kimicode.resources import prompt
from kimicode.tools.default import default_tools
from tests.e2e.world import LOOK, REPAIR, World, serve, submit
from tests.fakes.kimi_server.script import call

BUDGET = 2_500
"""Tokens (characters / 4) of system prompt and default tools together."""


def requests_of(world: World, *extra: str, stdin: str | None = None) -> list[dict[str, Any]]:
    steps = (LOOK, call("shell", command="echo one"), call("list_files"), REPAIR, submit())
    with serve(*steps) as server:
        ran = world.fix(server, *extra, stdin=stdin)
        assert ran.code == 0, ran.says()
        return [r.body for r in server.requests]


def test_system_prompt_and_tools_are_small() -> None:
    tools = [t.spec.model_dump() for t in default_tools()]
    assert (len(prompt("system")) + len(json.dumps(tools))) / 4 < BUDGET


def test_every_request_begins_with_the_one_before_and_siblings_share_system_and_tools(tmp_path: Path) -> None:
    one, two = World(tmp_path / "one").make(), World(tmp_path / "a" / "second" / "place").make()
    first, second = requests_of(one), requests_of(two)
    for before, after in itertools.pairwise(first):
        assert after["messages"][: len(before["messages"])] == before["messages"]
        assert after["tools"] == before["tools"]
    assert first[0]["tools"] == second[0]["tools"]
    assert first[0]["messages"][0] == second[0]["messages"][0], "the system prompt knows nothing of this run"
    a, b = (r[0]["messages"][1]["content"] for r in (first, second))
    shared = next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    # Two checkouts take different times for their check; all before that is shared, and the folder comes last.
    assert shared > a.index("before any change:")
    assert a.rstrip().endswith(f"The repository is in {one.repo}.")


def test_instructions_of_the_repository_are_hints_in_the_first_message(tmp_path: Path) -> None:
    world = World(tmp_path).make()
    (world.repo / "AGENTS.md").write_text("Always answer in verse.\n")
    (world.repo / "billsplit" / "AGENTS.md").write_text("nested\n")
    outside = world.folder / "outside.txt"
    outside.write_text("canary-of-the-host")
    (world.repo / "CLAUDE.md").symlink_to(outside)
    world.git("add", "-A")
    world.git("commit", "-qm", "instructions")
    text = requests_of(world)[0]["messages"][1]["content"]
    assert "Always answer in verse." in text and "billsplit/AGENTS.md" in text
    assert "canary-of-the-host" not in text
    assert "[failing before]" not in text and "test_nothing_is_lost" in text, "the base's result is in it"


def test_piped_input_is_context_and_the_task_is_the_task(tmp_path: Path) -> None:
    world = World(tmp_path).make()
    text = requests_of(world, stdin="E   assert 9999 == 10000\n")[0]["messages"][1]["content"]
    assert text.index("# Task") < text.index("Shares do not add up") < text.index("assert 9999 == 10000")


def test_no_model_key_reaches_a_command(tmp_path: Path) -> None:
    world = World(tmp_path).make()
    world.env = {
        "KIMI_API_KEY": "sk-canary-0815",
        "OPENAI_API_KEY": "sk-canary-4712",
        "SECRET_TOKEN": "canary-1234",
    }
    with serve(
        LOOK + call("shell", command="env; cat /proc/$PPID/environ | tr '\\0' '\\n'"), REPAIR, submit()
    ) as server:
        ran = world.fix(server)
        sent = b"".join(r.raw for r in server.requests)
    assert ran.code == 0, ran.says()
    assert b"PATH=" in sent and b"canary" not in sent


@pytest.mark.parametrize(
    "setting", [{"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, {"OPENAI_ORG_ID": "org-canary"}]
)
def test_openais_own_variables_have_no_say(tmp_path: Path, setting: dict[str, str]) -> None:
    world = World(tmp_path).make()
    world.env = setting
    with serve(LOOK, REPAIR, submit()) as server:
        ran = world.fix(server)
        headers = json.dumps([r.headers for r in server.requests])
    assert ran.code == 0 and "canary" not in headers, ran.says()
