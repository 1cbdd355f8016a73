"""The user's uncommitted changes: seen by the agent, never touched, never committed; --apply, --patch, --branch."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.world import BUG, FIX, LOOK, REPAIR, World, edit, serve, submit
from tests.fakes.kimi_server.script import call


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path).make()


def test_changes_are_part_of_the_base_but_not_of_the_commit(world: World) -> None:
    (world.repo / "billsplit" / "money.py").write_text(
        (world.repo / "billsplit" / "money.py").read_text() + "\n\nCURRENCY = 'EUR'\n"
    )
    (world.repo / "draft.txt").write_text("a draft\n")
    (world.repo / ".env").write_text("TOKEN=canary-4711\n")
    world.git("add", "draft.txt")
    before = world.fingerprint()
    look = call("shell", command="cat draft.txt .env; tail -1 billsplit/money.py")
    with serve(LOOK + look, REPAIR, submit()) as server:
        ran = world.fix(server)
        everything = b"".join(r.raw for r in server.requests)
    assert ran.code == 0, ran.says()
    assert world.fingerprint() == before
    assert b"a draft" in everything and b"CURRENCY" in everything and b"canary-4711" not in everything
    assert world.git("diff", "--name-only", "main", ran.out["commit"]) == "billsplit/split.py"
    assert any(".env" in note for note in ran.out["notes"])
    log = next((world.folder / "state" / "sessions").iterdir()) / "log.jsonl"
    assert "canary-4711" not in log.read_text()


def test_a_result_that_needs_the_users_changes_makes_no_branch(world: World) -> None:
    """The agent calls what only the uncommitted change defines: the commit alone would fail."""
    money = world.repo / "billsplit" / "money.py"
    money.write_text(money.read_text() + "\n\ndef odd(cents, people):\n    return divmod(cents, people)\n")
    repaired = FIX.replace("divmod(", "odd(")
    whole = '"""Who pays how much."""\n'
    with serve(
        LOOK,
        edit("billsplit/split.py", BUG, repaired)
        + edit("billsplit/split.py", whole, whole + "\nfrom billsplit.money import odd as _odd\n"),
        edit("billsplit/split.py", "= odd(", "= _odd("),
        submit(),
    ) as server:
        ran = world.fix(server)
    assert ran.code == 4, ran.says()
    assert ran.out["status"] == "not_applicable" and world.branches() == []
    assert "--apply" in ran.out["hint"] and Path(ran.out["patch"]).read_text().count("_odd") == 2


def test_apply_writes_the_users_files_and_merges_with_their_changes(world: World) -> None:
    split = world.repo / "billsplit" / "split.py"
    with serve(LOOK, REPAIR, submit()) as server:
        ran = world.fix(server, "--apply")
    assert ran.code == 0, ran.says()
    assert FIX in split.read_text() and world.branches() == []
    assert world.git("diff", "--cached", "--name-only") == "" and ran.out["applied"] == ["billsplit/split.py"]


def test_apply_with_a_conflict_writes_nothing(world: World) -> None:
    """The user changes the same lines while the agent works."""
    split = world.repo / "billsplit" / "split.py"
    theirs = split.read_text().replace("round(cents / people)", "cents // people")

    def meanwhile(request: dict[str, object]) -> object:
        messages = request["messages"]
        step = sum(m["role"] == "assistant" for m in messages)  # type: ignore[attr-defined,union-attr]
        if step == 1:
            split.write_text(theirs)
        return (LOOK, REPAIR, submit())[step]

    from tests.fakes.kimi_server.script import Script

    with serve() as server:
        server.script = Script(function=meanwhile)
        ran = world.fix(server, "--apply")
    assert ran.code == 4, ran.says()
    assert split.read_text() == theirs
    assert "divmod" in Path(ran.out["patch"]).read_text()


def test_branch_and_patch_are_what_was_asked_for(world: World) -> None:
    patch = world.folder / "out.patch"
    with serve(LOOK, REPAIR, submit()) as server:
        ran = world.fix(server, "--branch", "fix/odd-cents", "--patch", str(patch))
        assert ran.code == 0, ran.says()
        assert world.git("rev-parse", "fix/odd-cents") == ran.out["commit"]
        world.git("apply", "--check", str(patch))
        again = world.fix(server, "--branch", "fix/odd-cents")
    assert again.code == 2 and "fix/odd-cents" in again.out["message"]
    assert len(server.requests) == 3, "an impossible branch is told before the model is asked"


def test_another_base(world: World) -> None:
    world.git("tag", "old")
    (world.repo / "later.txt").write_text("later\n")
    world.git("add", "-A")
    world.git("commit", "-qm", "later")
    with serve(LOOK + call("list_files"), REPAIR, submit()) as server:
        ran = world.fix(server, "--base", "old")
        listing = server.requests[1].body["messages"][-1]["content"]
    assert ran.code == 0, ran.says()
    assert "later.txt" not in listing
    assert world.git("rev-parse", f"{ran.out['commit']}^") == world.git("rev-parse", "old")


def test_ignored_files_that_worktreeinclude_names_are_there_and_stay_the_users(world: World) -> None:
    (world.repo / ".worktreeinclude").write_text("local/*.csv\n.env\n")
    with (world.repo / ".gitignore").open("a") as f:
        f.write("local/\n.env\n")
    world.git("add", "-A")
    world.git("commit", "-qm", "include")
    (world.repo / "local").mkdir()
    (world.repo / "local" / "rates.csv").write_text("eur,1\n")
    (world.repo / ".env").write_text("TOKEN=canary-4711\n")
    before = world.fingerprint()
    look = call("shell", command="cat local/rates.csv; echo mine > local/rates.csv; cat .env")
    with serve(LOOK + look, REPAIR, submit()) as server:
        ran = world.fix(server)
        everything = b"".join(r.raw for r in server.requests)
    assert ran.code == 0, ran.says()
    assert b"eur,1" in everything and b"canary-4711" not in everything
    assert world.fingerprint() == before
    assert world.git("diff", "--name-only", "main", ran.out["commit"]) == "billsplit/split.py"
    assert any(".env" in note for note in ran.out["notes"])
