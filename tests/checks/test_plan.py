"""Planning runs, composing trees, narrowing, keeping and rendering runs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.checks import plan
from kimicode.checks.inline import has_inline_tests, restore, swap_tests
from kimicode.checks.plan import cache_key, flaky_tests, gate_tests, needs_fourth_run, plan_runs, reruns
from kimicode.checks.render import render_run
from kimicode.checks.results import load_run, save_run
from kimicode.checks.verdict import judge
from kimicode.core.checks import CheckCommand, CheckRun, TestResult

PATHS = st.sampled_from(
    ["a.py", "src/b.py", "tests/test_a.py", "tests/data.json", "conftest.py", "src/l.rs", "t_test.go"]
)
TREES = st.dictionaries(PATHS, st.sampled_from(["1", "2", "3"]))


def run(*tests: tuple[str, Any], **more: Any) -> CheckRun:
    results = tuple(TestResult(id=id, outcome=outcome, file=id.partition("::")[0]) for id, outcome in tests)
    red = any(test.outcome in ("failed", "error") for test in results)
    facts: dict[str, Any] = {
        "command": "pytest",
        "tree": "t",
        "exit_code": int(red),
        "parser": "pytest",
        "seconds": 4.68,
    }
    return CheckRun(tests=results, **{**facts, **more})


@settings(max_examples=100, deadline=None)
@given(base=TREES, result=TREES)
def test_a_restored_tree_has_the_tests_of_the_base_and_the_code_of_the_result(
    base: dict[str, str], result: dict[str, str]
) -> None:
    made = dict(result)
    composition = plan.tests_restored(base, result)
    for path in composition.drop:
        del made[path]
    for path in composition.take:
        made[path] = base[path]
    tests = {"tests/test_a.py", "tests/data.json", "conftest.py", "t_test.go"}
    assert {p: b for p, b in made.items() if p in tests} == {p: b for p, b in base.items() if p in tests}
    assert {p: b for p, b in made.items() if p not in tests} == {
        p: b for p, b in result.items() if p not in tests
    }
    assert composition.empty == (made == result)
    assert ("src/l.rs" in composition.merge) == (
        "src/l.rs" in base and base["src/l.rs"] != result.get("src/l.rs", base["src/l.rs"])
    )
    assert plan.tests_carried(base, result) == plan.tests_restored(result, base)


def test_equal_trees_share_a_run() -> None:
    check = CheckCommand(command="pytest", source="detected")
    assert [(r.tree, r.roles) for r in plan_runs("b", "m", "r", [check])] == [
        ("b", ("base",)),
        ("m", ("result_base_tests",)),
        ("r", ("result",)),
    ]
    assert [r.roles for r in plan_runs("b", "r", "r", [check, check])] == [
        ("base",),
        ("result_base_tests", "result"),
    ] * 2
    assert [r.roles for r in plan_runs("b", "b", "b", [check])] == [("base", "result_base_tests", "result")]


def test_when_the_fourth_run_is_made() -> None:
    base, result = run(("a.py::a", "passed")), run(("a.py::a", "passed"), ("a.py::n", "passed"))
    open_question = judge([base], [base], [result])
    assert needs_fourth_run(open_question, [base], [result], ["tests/test_n.py"])
    assert not needs_fourth_run(open_question, [base], [result], ["src/n.py"])
    broken = judge([base], [run(("a.py::a", "failed"))], [result])
    assert not needs_fourth_run(broken, [base], [result], ["tests/test_n.py"])
    failing = run(("a.py::a", "failed"))
    assert not needs_fourth_run(judge([failing], [base], [base]), [failing], [base], ["tests/test_n.py"])
    code = run(parser="exit")
    assert not needs_fourth_run(judge([code], [code], [code]), [code], [code], ["tests/test_n.py"])


def test_flaky_tests_are_found_by_running_again() -> None:
    base = run(("a", "failed"), ("b", "passed"))
    good, bad = run(("a", "passed"), ("b", "passed")), run(("a", "passed"), ("b", "failed"))
    verdict = judge([base], [bad], [bad])
    assert reruns(verdict) == {"base": ("a",), "result_base_tests": ("b",), "result": ("b", "a")}
    again = flaky_tests(bad, run(("b", "passed"), selected=("b",)))
    assert again == {"b"}
    assert judge([base], [bad], [bad], flaky=again).value == "verified"
    assert reruns(judge([good], [good], [good])) == {}
    edited = judge([base], [base], [good])
    assert reruns(edited) == {"base": ("a",), "result_base_tests": ("a",)}
    red = run(exit_code=1, parser="exit")
    assert flaky_tests(red, run(parser="exit")) == {"exit code of `pytest`"}


def test_what_the_gate_runs_first() -> None:
    base = run(("tests/test_a.py::a", "failed"), ("tests/test_b.py::b", "passed"))
    assert gate_tests(base, ["src/x.py", "tests/test_b.py", "tests/data.json"]) == (
        "tests/test_a.py::a",
        "tests/test_b.py",
    )
    assert gate_tests(base, ["tests/test_a.py"]) == ("tests/test_a.py",)
    assert gate_tests(run(parser="exit"), ["tests/test_a.py"]) == ()


def test_kept_runs(tmp_path: Path) -> None:
    kept = run(("a", "failed"), output="é\n")
    assert save_run(tmp_path, "env", kept)
    assert load_run(tmp_path, "t", "env", "pytest") == kept
    assert load_run(tmp_path, "t", "other", "pytest") is None
    assert load_run(tmp_path, "u", "env", "pytest") is None
    for odd in ({"timed_out": True}, {"selected": ("a",)}, {"needs_network": True}, {"exit_code": 127}):
        assert not save_run(tmp_path, "odd", run(**odd))
    path = tmp_path / "checks" / f"{cache_key('t', 'env', 'pytest')}.json"
    path.write_text(path.read_text()[:-5])
    assert load_run(tmp_path, "t", "env", "pytest") is None
    os.utime(path, (time.time() - 1e6,) * 2)
    assert save_run(tmp_path, "env", kept) and load_run(tmp_path, "t", "env", "pytest") == kept
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_green_is_one_line() -> None:
    tests = [(f"a.py::t{n}", "passed") for n in range(1660)]
    assert render_run(run(*tests)) == "1660 passed, 4.7 s"
    assert (
        render_run(run(*tests, ("a.py::s", "skipped"), ("a.py::x", "xfailed")))
        == "1660 passed, 1 skipped, 1 xfailed, 4.7 s"
    )
    assert render_run(run(parser="exit")) == "exit code 0, 4.7 s"


def test_red_says_what_to_know() -> None:
    base = run(("a.py::old", "failed"), ("a.py::t0", "passed"))
    message = "assert 1 == 2\n" + "\n".join(f"line {n}" for n in range(20)) + "\nDeprecationWarning: no"
    results = [TestResult(id="a.py::old", outcome="failed", message="x", frame="b.py:1")]
    results += [
        TestResult(id=f"a.py::t{n}", outcome="failed", message=message, frame="src/a.py:3 in f")
        for n in range(300)
    ]
    red = run(exit_code=1).model_copy(update={"tests": tuple(results)})
    text = render_run(red, base, limit=2_000)
    assert text.startswith(
        "301 failed, 4.7 s (exit code 1)\n\na.py::t0  [new]\n  src/a.py:3 in f\n  assert 1 == 2\n  line 0"
    )
    assert "line 19\n" in text  # the first failure is whole
    assert text.count("line 2\n") == text.count("more lines\n") + 1
    assert "more failing tests" in text and "Deprecation" not in text and len(text) < 2_200
    assert "a.py::old  [failing before]\n  b.py:1\n  x" in render_run(red, base, limit=200_000)
    assert "[new]" not in render_run(red)
    # However small the room, the first failure is there.
    assert "line 19" in render_run(red, base, limit=10)


def test_red_without_named_tests_and_timeouts() -> None:
    output = "building\nsrc/a.c:3: DeprecationWarning: old\n" + "noise\n" * 5000 + "error: no rule\n"
    text = render_run(run(exit_code=2, parser="exit", output=output), limit=500)
    assert text.startswith("exit code 2, 4.7 s\n\n... ") and text.endswith("error: no rule")
    assert len(text) < 600
    slow = run(("a.py::a", "passed"), ("a.py::b", "error"), exit_code=124, timed_out=True)
    assert "ended by the time limit after 5 s" in render_run(slow)


RUST = """
pub fn add(a: i32, b: i32) -> i32 { a - b } // #[cfg(test)] mod no { }
const S: &str = "#[cfg(test)] mod fake { \\" {";
const R: &str = r#"mod "x" {"#;
fn life<'a>(x: &'a str) -> char { '{' }
#[cfg(test)]
#[allow(dead_code)]
mod tests {
    use super::*;
    /* { /* nested { */ */
    #[test]
    fn adds() { assert_eq!(add(1, 2), 3, "{{"); }
}
pub fn after() {}
"""


def test_rust_tests_are_put_back_into_their_file() -> None:
    assert has_inline_tests(RUST) and not has_inline_tests("fn x() {}")
    fixed = RUST.replace("a - b", "a + b")
    edited = fixed.replace("assert_eq!(add(1, 2), 3", "assert_eq!(1, 1")
    assert swap_tests(edited, RUST) == fixed
    assert swap_tests(fixed, RUST) == fixed
    start = RUST.index("#[cfg(test)]\n")
    deleted = fixed[: fixed.index("#[cfg(test)]\n")] + "pub fn after() {}\n"
    restored = swap_tests(deleted, RUST)
    assert restored is not None and "fn adds()" in restored and "a + b" in restored
    assert swap_tests(fixed, deleted) == fixed[:start] + fixed[fixed.index("\npub fn after") :]
    assert swap_tests(RUST + "#[test]\nfn loose() {}\n", RUST) is None
    assert swap_tests(RUST + "/* open", RUST) is None
    assert swap_tests(RUST.replace("pub fn after() {}", "#[cfg(test)] mod tests { }"), RUST) is None


def test_content_of_a_composed_rust_file() -> None:
    fixed = RUST.replace("a - b", "a + b").encode()
    edited = fixed.replace(b"assert_eq!(add(1, 2), 3", b"assert_eq!(1, 1")
    assert restore(edited, RUST.encode()) == (fixed, True)
    assert restore(b"fn x() {}", b"fn y() {}") == (b"fn x() {}", True)
    assert restore(b"#[test]\nfn x() {}", b"fn y() {}") == (b"#[test]\nfn x() {}", False)
    assert restore(b"\xff", b"") == (b"\xff", False)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "#[cfg(test)]",
                " mod a {",
                "}",
                "{",
                '"',
                "'",
                "//",
                "/*",
                "*/",
                "\n",
                "#[test]",
                'r#"',
                '"#',
                "x",
            ]
        ),
        max_size=30,
    ).map("".join)
)
def test_swapping_with_itself_changes_nothing(code: str) -> None:
    swapped = swap_tests(code, code)
    assert swapped is None or swapped == code
