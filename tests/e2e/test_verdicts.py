"""`kimicode fix` whole, against the strict server: what each kind of result is called, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.world import BUG, FIX, LOOK, REPAIR, World, edit, serve, submit
from tests.fakes.kimi_server.script import call, say

TEST = "tests.test_split.SplitTest.test_nothing_is_lost"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path).make()


def test_a_fix_is_verified_and_nothing_of_the_users_is_touched(world: World) -> None:
    world.git("stash", "list")
    before, head = world.fingerprint(), world.git("rev-parse", "HEAD")
    with serve(LOOK, REPAIR + call("check"), submit()) as server:
        ran = world.fix(server)
        assert not server.refusals, server.refusals
        assert server.connections == 1
    assert ran.code == 0, ran.says()
    out = ran.out
    assert (out["status"], out["verdict"], out["schema_version"]) == ("verified", "verified", 1)
    assert out["evidence"]["fixed"] == [TEST]
    assert world.fingerprint() == before
    assert world.branches() == [out["branch"]] and out["branch"].startswith("kimicode/keep-the-odd-cents-")
    assert world.git("rev-parse", f"{out['branch']}^") == head == out["base"]
    assert world.git("diff", "--name-only", "main", out["commit"]) == "billsplit/split.py"
    message = world.git("log", "-1", "--format=%B", out["commit"])
    assert message.startswith("Keep the odd cents\n\nThey were rounded away.\n")
    assert f"Kimicode-Fixed: {TEST}" in message and f"Kimicode-Session: {out['session_id']}" in message
    assert [f["path"] for f in out["files"]] == ["billsplit/split.py"]
    assert out["steps"] == 3 and out["usage"]["input"] > 0 and out["cost_usd"] > 0


def test_a_fix_that_breaks_another_test_fails(world: World) -> None:
    wrong = "    return [cents] + [0] * (people - 1) if people > 1 else [cents]\n"
    with serve(
        LOOK, edit("billsplit/split.py", BUG, wrong), submit(), say("It stays as it is."), say("Done.")
    ) as server:
        ran = world.fix(server)
    assert ran.code == 1, ran.says()
    assert ran.out["status"] == "failed" and ran.out["evidence"]["broken"] == [
        "tests.test_split.SplitTest.test_even"
    ]


def test_submit_refuses_while_something_is_broken_and_the_agent_can_repair_it(world: World) -> None:
    wrong = "    return [cents] + [0] * (people - 1)\n"
    with serve(
        LOOK,
        edit("billsplit/split.py", BUG, wrong),
        submit(),
        edit("billsplit/split.py", wrong, FIX),
        submit(),
    ) as server:
        ran = world.fix(server)
        refusal = server.requests[3].body["messages"][-1]["content"]
    assert ran.code == 0, ran.says()
    assert "test_even" in refusal and "new" in refusal


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("edited", "sum(split(10000, 3)), 10000", "sum(split(10000, 3)), 9999"),
        (
            "skipped",
            "    def test_nothing_is_lost",
            '    @unittest.skip("later")\n    def test_nothing_is_lost',
        ),
        (
            "deleted",
            "    def test_nothing_is_lost(self):\n        self.assertEqual(sum(split(10000, 3)), 10000)\n",
            "",
        ),
    ],
)
def test_the_failing_test_cannot_be_talked_away(world: World, name: str, old: str, new: str) -> None:
    with serve(
        call("read_file", files=["tests/test_split.py"]),
        edit("tests/test_split.py", old, new),
        submit(),
        say("x"),
        say("y"),
    ) as server:
        ran = world.fix(server)
    assert ran.code in (1, 4), ran.says()
    assert ran.out["verdict"] != "verified"


def test_a_change_that_proves_nothing_is_unverified(world: World) -> None:
    with serve(call("write_file", path="NOTES.md", content="later\n"), submit()) as server:
        ran = world.fix(server)
    assert ran.code == 4 and ran.out["status"] == "unverified", ran.says()
    assert ran.out["branch"] in world.branches()


def test_no_change_is_said_and_leaves_no_branch(world: World) -> None:
    with serve(LOOK, say("Not reproducible\n\nThe shares add up here.")) as server:
        ran = world.fix(server)
    assert ran.code == 7 and ran.out["status"] == "unchanged", ran.says()
    assert world.branches() == [] and "add up here" in ran.out["body"]


def test_an_added_test_that_fails_on_the_base_is_evidence(world: World) -> None:
    """Nothing failed before: the repository's own test of the bug is removed first."""
    test = "    def test_nothing_is_lost(self):\n        self.assertEqual(sum(split(10000, 3)), 10000)\n"
    path = world.repo / "tests" / "test_split.py"
    path.write_text(path.read_text().replace(test, ""))
    world.git("commit", "-qam", "no test for it")
    added = call("edit_file", edits=[{"path": "tests/test_split.py", "append": "\n" + test}])
    with serve(LOOK, REPAIR + added, submit()) as server:
        ran = world.fix(server)
    assert ran.code == 0, ran.says()
    assert ran.out["evidence"]["fixed"] == [TEST]


@pytest.mark.parametrize("limit", [["--max-steps", "1"], ["--max-cost", "0.0001"]])
def test_a_limit_ends_with_5_and_keeps_the_work(world: World, limit: list[str]) -> None:
    with serve(REPAIR, LOOK, LOOK, LOOK) as server:
        ran = world.fix(server, *limit)
    assert ran.code == 5 and ran.out["status"] == "limit", ran.says()
    assert ran.out["branch"] in world.branches() and ran.out["verdict"] == "verified"


def test_the_same_call_again_and_again_is_stopped(world: World) -> None:
    with serve(*[call("read_file", files=["README.md"])] * 8) as server:
        ran = world.fix(server)
        told = [m["content"] for m in server.requests[-1].body["messages"] if m["role"] == "user"]
    assert ran.code == 1 and ran.out["status"] == "stuck", ran.says()
    assert len(server.requests) == 5 and "three times" in told[-1]


@pytest.mark.docker
@pytest.mark.parametrize("sandbox", ["docker", "bwrap"])
def test_the_same_in_a_real_sandbox(world: World, sandbox: str, need_sandbox: None) -> None:
    before = world.fingerprint()
    probe = call(
        "shell",
        command="pwd; id -u; cat /proc/net/dev | wc -l; ls -a ~ | wc -l; git status --short; git log --oneline",
    )
    with serve(LOOK + probe, REPAIR + call("check"), submit()) as server:
        ran = world.fix(server, sandbox=sandbox)
        seen = server.requests[1].body["messages"][-1]["content"]
    assert ran.code == 0, ran.says()
    assert str(world.repo) in seen and world.fingerprint() == before
    assert ran.out["sandbox"].startswith(sandbox)
