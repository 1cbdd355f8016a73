"""Rust keeps tests inside source files: those of one version are put into the code of another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.world import World, edit, serve, submit
from tests.fakes.kimi_server.script import call, say

BUG, FIX = "    a - b\n", "    a + b\n"
CODE = "pub fn add(a: i64, b: i64) -> i64 {\n" + BUG + "}\n"
TESTS = """
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero() {
        assert_eq!(add(0, 0), 0);
    }

    #[test]
    fn adds() {
        assert_eq!(add(2, 3), 5);
    }
}
"""
ADDED = "    #[test]\n    fn negative() {\n        assert_eq!(add(-1, -2), -3);\n    }\n"
MANIFEST = '[package]\nname = "tiny"\nversion = "0.1.0"\nedition = "2021"\n'

pytestmark = [
    pytest.mark.bwrap,
    pytest.mark.parametrize("sandbox", ["bwrap"]),
    pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed"),
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    files = {"Cargo.toml": MANIFEST, "src/lib.rs": CODE + TESTS, ".gitignore": "target\nCargo.lock\n"}
    for name, text in files.items():
        (world.repo / name).parent.mkdir(parents=True, exist_ok=True)
        (world.repo / name).write_text(text)
    world.git("init", "-q", "-b", "main")
    world.git("add", "-A")
    world.git("commit", "-qm", "base")
    return world


def test_a_fix_beside_its_tests_is_proved(world: World, sandbox: str, need_sandbox: None) -> None:
    """The file holds the fix, the test that failed, and a test that is new: each counts."""
    added = edit("src/lib.rs", "    #[test]\n    fn adds", ADDED + "\n    #[test]\n    fn adds")
    with serve(edit("src/lib.rs", BUG, FIX), added, submit("Add", "It subtracted.")) as server:
        ran = world.fix(server, sandbox=sandbox)
    assert ran.code == 0, ran.says()
    assert ran.out["verdict"] == "verified"
    assert {test.rpartition("::")[2] for test in ran.out["evidence"]["fixed"]} >= {"adds"}


def test_an_added_inline_test_is_run_on_the_bases_code(
    world: World, sandbox: str, need_sandbox: None
) -> None:
    path = world.repo / "src/lib.rs"
    path.write_text(path.read_text().replace("add(2, 3), 5", "add(2, 0), 2"))
    world.git("commit", "-qam", "nothing fails")
    added = edit("src/lib.rs", "    #[test]\n    fn adds", ADDED + "\n    #[test]\n    fn adds")
    with serve(edit("src/lib.rs", BUG, FIX), added, submit("Add", "It subtracted.")) as server:
        ran = world.fix(server, sandbox=sandbox)
    assert ran.code == 0, ran.says()
    assert [test.rpartition("::")[2] for test in ran.out["evidence"]["fixed"]] == ["negative"]


def test_an_inline_test_cannot_be_bent_to_the_code(world: World, sandbox: str, need_sandbox: None) -> None:
    with serve(
        edit("src/lib.rs", "add(2, 3), 5", "add(2, 3), -1"), submit("Adjust", "x"), say("x"), say("y")
    ) as server:
        ran = world.fix(server, sandbox=sandbox)
    assert ran.code in (1, 4) and ran.out["verdict"] != "verified", ran.says()


def test_tests_that_cannot_be_told_from_the_code_prove_nothing(
    world: World, sandbox: str, need_sandbox: None
) -> None:
    """A test outside a `#[cfg(test)] mod`: the base's version of it cannot be put back for sure."""
    loose = call("edit_file", edits=[{"path": "src/lib.rs", "append": "#[test]\nfn loose() {}\n"}])
    with serve(edit("src/lib.rs", BUG, FIX), loose, submit("Add", "It subtracted.")) as server:
        ran = world.fix(server, sandbox=sandbox)
    assert ran.code == 4 and ran.out["verdict"] == "unverified", ran.says()
