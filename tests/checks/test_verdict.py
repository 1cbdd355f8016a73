"""The verdict: every row of docs/verdict.md, and what must hold for all runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.checks.verdict import Verdict, compare, judge
from kimicode.core.checks import CheckRun, TestResult

DOCUMENT = Path(__file__).parents[2] / "docs" / "verdict.md"
WORDS = {
    "pass": "passed",
    "fail": "failed",
    "error": "error",
    "skip": "skipped",
    "xfail": "xfailed",
    "xpass": "xpassed",
}
RANK = {"failed": 0, "unverified": 1, "verified": 2}


def read_rows() -> list[list[str]]:
    rows = []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8 and cells[0].isdigit():
            rows.append(cells)
    return rows


def make_test(word: str) -> TestResult:
    name, _, said = word.partition("=")
    network = said.endswith("(network)")
    file = "tests/conftest.py" if name == "conftest" else f"tests/test_{name.removesuffix('.py')[0]}.py"
    id = file if name == "conftest" or name.endswith(".py") else f"{file}::test_{name}"
    outcome: Any = WORDS[said.removesuffix("(network)")]
    return TestResult(id=id, outcome=outcome, file=file, needs_network=network)


def make_run(cell: str, command: str = "check") -> list[CheckRun]:
    """The notation of the table as a run; "-" as no run."""
    if cell == "-":
        return []
    exit_code = re.search(r"\bexit (\d+)", cell)
    rest = re.sub(r"\bexit \d+", "", cell)
    timed_out = "timeout" in rest
    words = rest.replace("timeout", "").split()
    tests = tuple(make_test(word) for word in words if word != "nothing")
    red = any(test.outcome in ("failed", "error") for test in tests)
    code = int(exit_code[1]) if exit_code else 124 if timed_out else int(red)
    return [
        CheckRun(
            command=command,
            tree="t",
            exit_code=code,
            parser="exit" if exit_code and not words else "pytest",
            tests=tests,
            timed_out=timed_out,
        )
    ]


def judge_row(cells: list[str]) -> Verdict:
    _, base, two, three, four, given_, _, _ = cells
    options: dict[str, Any] = {}
    for name, value in re.findall(r"(allow|flaky|unrestored) (\S+)", given_):
        if name == "allow":
            options["allowed_test_changes"] = ["tests/test_" + value if value.endswith(".py") else value]
        elif name == "flaky":
            options["flaky"] = {make_test(f"{value}=pass").id}
        else:
            options["unrestored"] = {value}
    return judge(
        make_run(base), make_run(two), make_run(three), result_tests_on_base=make_run(four) or None, **options
    )


def test_the_table_is_whole() -> None:
    rows = read_rows()
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 60
    assert {row[6] for row in rows} == set(RANK)


@pytest.mark.parametrize("row", read_rows(), ids=lambda row: f"{row[0]}-{row[7].replace(' ', '-')}")
def test_row_of_the_table(row: list[str]) -> None:
    verdict = judge_row(row)
    assert verdict.value == row[6], verdict
    assert verdict.reason


def test_evidence_names_the_tests() -> None:
    verdict = judge(
        make_run("a=fail b=pass c=pass d=pass e=fail f=fail(network) g=fail"),
        make_run("a=pass b=fail c=skip e=fail f=fail g=pass"),
        make_run("a=pass b=pass c=skip e=skip f=fail g=pass n=fail"),
        flaky={"tests/test_g.py::test_g"},
    )
    assert verdict.value == "failed"
    assert verdict.fixed == ("tests/test_a.py::test_a",)
    assert verdict.broken == ("tests/test_b.py::test_b",)
    assert verdict.skipped == ("tests/test_c.py::test_c",)
    assert verdict.vanished == ("tests/test_d.py::test_d",)
    assert verdict.evaded == ("tests/test_e.py::test_e",)
    assert verdict.needs_network == ("tests/test_f.py::test_f",)
    assert verdict.flaky == ("tests/test_g.py::test_g",)
    assert verdict.added_failing == ("tests/test_n.py::test_n",)


def test_commands_are_judged_together() -> None:
    def both(cell: str, code: int) -> list[CheckRun]:
        return [*make_run(cell, "pytest"), *make_run(f"exit {code}", "ruff check")]

    fixed = both("a=pass", 0)
    assert judge(both("a=fail", 0), fixed, fixed).value == "verified"
    assert judge(both("a=fail", 1), both("a=pass", 1), both("a=pass", 1)).value == "verified"
    broken = judge(both("a=fail", 0), both("a=pass", 1), fixed)
    assert (broken.value, broken.broken) == ("failed", ("exit code of `ruff check`",))


def test_a_crate_that_does_not_compile_breaks_the_tests_of_all_its_targets() -> None:
    def cargo(*tests: tuple[str, Any], code: int = 0) -> CheckRun:
        results = tuple(TestResult(id=id, outcome=outcome) for id, outcome in tests)
        return CheckRun(command="cargo test", tree="t", exit_code=code, parser="cargo", tests=results)

    base = cargo(("calc::tests::adds", "failed"), ("it::works", "passed"), code=101)
    good = cargo(("calc::tests::adds", "passed"), ("it::works", "passed"))
    bad = cargo(("calc", "error"), code=101)
    assert judge([base], [good], [good]).fixed == ("calc::tests::adds",)
    assert judge([base], [bad], [bad]).broken == ("it::works",)
    assert judge([base], [good], [good], unrestored={"src/lib.rs"}).value == "unverified"


def test_allowed_go_files_are_matched_by_package() -> None:
    def go(outcome: Any) -> CheckRun:
        tests = (
            TestResult(id="example.com/m/calc.TestAdd", outcome=outcome),
            TestResult(
                id="example.com/m/other.TestFix", outcome="failed" if outcome == "passed" else "passed"
            ),
        )
        return CheckRun(command="go test ./...", tree="t", exit_code=1, parser="go", tests=tests)

    runs = [go("passed")], [go("failed")], [go("failed")]
    assert judge(*runs).value == "failed"
    assert judge(*runs, allowed_test_changes=["calc/calc_test.go"]).value == "verified"
    assert judge(*runs, allowed_test_changes=["lc/calc_test.go"]).value == "failed"


def test_compare_takes_a_narrowed_run_for_what_it_ran() -> None:
    base = make_run("a=fail b=pass c=pass")[0]
    narrow = make_run("a=pass b=pass")[0].model_copy(update={"selected": ("x",)})
    verdict = compare(base, narrow)
    assert (verdict.value, verdict.vanished, verdict.broken) == ("verified", (), ())
    worse = make_run("a=pass b=fail")[0].model_copy(update={"selected": ("x",)})
    assert compare(base, worse).broken == ("tests/test_b.py::test_b",)
    green = make_run("b=pass c=pass")[0]
    uncovered = make_run("b=pass exit 2")[0].model_copy(update={"selected": ("x",)})
    assert compare(green, uncovered).broken == ()
    unstarted = make_run("nothing exit 4")[0].model_copy(update={"selected": ("x",)})
    assert compare(green, unstarted).broken == ("exit code of `check`",)


OUTCOME = st.sampled_from(["passed", "failed", "error", "skipped", "xfailed", "xpassed"])
NAMES = [f"tests/test_{letter}.py::test_{number}" for letter in "ab" for number in range(3)]


@st.composite
def a_run(draw: st.DrawFn) -> CheckRun:
    chosen = draw(st.dictionaries(st.sampled_from([*NAMES, "tests/test_a.py"]), OUTCOME, max_size=5))
    tests = tuple(
        TestResult(id=id, outcome=outcome, file=id.partition("::")[0])  # type: ignore[arg-type]
        for id, outcome in chosen.items()
    )
    red = any(test.outcome in ("failed", "error") for test in tests)
    return CheckRun(
        command="check",
        tree="t",
        exit_code=draw(st.sampled_from([0, 1, 2, 5])) if draw(st.booleans()) else int(red),
        parser=draw(st.sampled_from(["pytest", "pytest", "pytest", "exit"])),
        tests=tests,
        timed_out=draw(st.sampled_from([False, False, False, True])),
    )


def without(run: CheckRun, id: str) -> CheckRun:
    return run.model_copy(update={"tests": tuple(test for test in run.tests if test.id != id)})


@settings(max_examples=150, deadline=None)
@given(base=a_run(), two=a_run(), three=a_run(), four=st.none() | a_run(), data=st.data())
def test_what_holds_for_all_runs(
    base: CheckRun, two: CheckRun, three: CheckRun, four: CheckRun | None, data: st.DataObject
) -> None:
    more = [four] if four else None
    verdict = judge([base], [two], [three], result_tests_on_base=more)
    if verdict.value == "verified":
        assert verdict.fixed
        against = verdict.broken + verdict.skipped + verdict.vanished + verdict.evaded + verdict.added_failing
        assert not against
        assert not two.timed_out and not three.timed_out
    assert (verdict.value == "failed") == bool(verdict.broken)
    listed = [*verdict.fixed, *verdict.broken, *verdict.skipped, *verdict.vanished, *verdict.evaded]
    assert len(listed) == len(set(listed))

    # Nothing is verified when nothing changed.
    assert judge([base], [base], [base]).value != "verified"

    # Taking away a test that passed on the base never leads to verified, nor to a better word if it passed.
    passing = [test.id for test in base.tests if test.outcome == "passed"]
    if passing and base.parser != "exit":
        id = data.draw(st.sampled_from(passing))
        fewer = judge([base], [without(two, id)], [without(three, id)], result_tests_on_base=more)
        held = {"tests/test_a.py"} & {test.id for test in (*two.tests, *three.tests)}
        if not held and not two.timed_out and not three.timed_out:
            assert fewer.value != "verified"
        if (
            any(test.id == id and test.outcome == "passed" for test in two.tests)
            and verdict.value == "failed"
        ):
            assert fewer.value == "failed" or id in verdict.broken
    # Naming a test flaky takes it out of all lists.
    if listed:
        id = data.draw(st.sampled_from(listed))
        assert id not in judge([base], [two], [three], result_tests_on_base=more, flaky={id}).fixed
        assert id not in judge([base], [two], [three], result_tests_on_base=more, flaky={id}).broken
    # A fourth run can only add evidence.
    assert RANK[verdict.value] >= RANK[judge([base], [two], [three]).value]
