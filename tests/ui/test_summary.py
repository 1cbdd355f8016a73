"""The end of a run as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.core.message import Usage
from kimicode.core.outcome import FileStat, Outcome
from kimicode.ui.summary import format_rows, render_summary
from kimicode.ui.terminal import text_width


def check(role: str, failed: int, passed: int) -> dict[str, object]:
    return {
        "role": role,
        "command": "python -m pytest -q",
        "exit_code": 1,
        "failed": failed,
        "passed": passed,
        "seconds": 2,
    }


VERIFIED = Outcome(
    status="verified",
    exit_code=0,
    verdict="verified",
    branch="kimicode/fix-abcdef",
    commit="0123456789abcdef",
    files=tuple(FileStat(path=f"src/module_{i}.py", added=i, removed=1) for i in range(12)),
    checks=(check("base", 2, 10), check("result_base_tests", 0, 12), check("result", 0, 12)),
    flaky=("tests/test_clock.py::test_now",),
    usage=Usage(input=1_000_000, cached=900_000, output=12_000),
    cost_usd=0.35,
    steps=14,
    duration_s=123.0,
    session_id="20260102-030405-abcdef",
    model="kimi-k2.6",
    sandbox="bwrap",
    title="Split the rest fairly",
    notes=("left out: .env (environment file)",),
    evidence={"fixed": [f"tests/test_a.py::test_{i}" for i in range(11)]},
)


def test_everything_that_matters_is_there() -> None:
    lines = render_summary(VERIFIED, width=80, color=False, base_name="main").splitlines()
    for line in (
        "✓ verified: a failing test passes now, and nothing that passed fails",
        "  Split the rest fairly",
        "11 failed before, passes now",
        "  … and 1 more",
        "1 changes its result by itself: not counted",
        "  tests/test_clock.py::test_now",
        "before            2 failed, 10 passed, 2.0 s  python -m pytest -q",
        "12 files changed, +66 -12",
        "  … and 2 more",
        "note: left out: .env (environment file)",
        "branch   kimicode/fix-abcdef at 0123456789ab",
        "cost     $0.35 (1.0M in, 90% cached, 12k out), 14 steps, 2m 03s",
        "made by  kimi-k2.6 in bwrap",
        "  git diff main...kimicode/fix-abcdef  look at it",
        "  git merge kimicode/fix-abcdef        take it",
    ):
        assert line in lines, line


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            {"status": "failed", "branch": "", "evidence": {"broken": ["t::a"]}},
            ["✗ failed", "1 passed before, fails now"],
        ),
        (
            {
                "status": "not_applicable",
                "branch": "",
                "patch": "/state/a b.patch",
                "hint": "commit first, or use --apply",
            },
            ["● not applicable", "git apply --3way '/state/a b.patch'", "commit first, or use --apply"],
        ),
        (
            {"branch": "", "commit": "", "applied": ("a.py",), "patch": "/p"},
            ["applied  1 file in your working tree"],
        ),
        ({"status": "unchanged", "branch": "", "files": ()}, ["● nothing to change"]),
        (
            {"status": "limit", "message": "Stopped: the limit of 3 steps is reached."},
            ["● limit reached: Stopped"],
        ),
    ],
)
def test_other_ends(change: dict[str, object], parts: list[str]) -> None:
    text = render_summary(VERIFIED.model_copy(update=change), width=80, color=False)
    for part in parts:
        assert part in text
    if change.get("branch") == "":
        assert "git merge" not in text


def test_rows_become_a_list_where_it_is_narrow() -> None:
    rows = [("before", "1 failed", "pytest"), ("after", "2 passed", "pytest")]
    assert format_rows(rows, 80) == ["before  1 failed  pytest", "after   2 passed  pytest"]
    assert format_rows(rows, 40) == ["before", "  1 failed", "  pytest", "after", "  2 passed", "  pytest"]
    assert format_rows([], 80) == []


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("ab \x1b[2J\r\n\x9b修"), max_size=30), st.integers(40, 100))
def test_hostile_names_do_no_harm(text: str, width: int) -> None:
    outcome = VERIFIED.model_copy(
        update={
            "title": text,
            "message": text,
            "branch": f"k/{text}",
            "notes": (text,),
            "evidence": {"fixed": [text]},
        }
        | {"files": (FileStat(path=text, added=1, removed=1),)}
    )
    shown = render_summary(outcome, width=width, color=False)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
    for line in shown.splitlines():
        if line.startswith("  tests/") or re.match(r"  .*  \+\d+ -\d+$", line):
            assert text_width(line) <= width
