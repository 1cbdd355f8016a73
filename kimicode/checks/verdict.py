"""The verdict on a result: one pure function over check runs. Its truth table is docs/verdict.md."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from posixpath import dirname
from typing import Literal

from kimicode.checks.outcomes import Outcomes, exit_id
from kimicode.checks.paths import matches
from kimicode.core.checks import CheckRun, TestResult
from kimicode.core.message import Frozen

Value = Literal["verified", "failed", "unverified"]


class Verdict(Frozen):
    """What the runs prove, with the tests that prove it. Lists are sorted ids of tests."""

    value: Value
    reason: str
    """One sentence for people."""
    fixed: tuple[str, ...] = ()
    """Failed on the base, pass on the result: existing tests as the base has them, or tests that the result adds."""
    broken: tuple[str, ...] = ()
    """Passed on the base, fail on the result."""
    skipped: tuple[str, ...] = ()
    """Passed on the base, are skipped or expected to fail on the result."""
    vanished: tuple[str, ...] = ()
    """Passed on the base, are not there on the result."""
    evaded: tuple[str, ...] = ()
    """Failed on the base and were edited, skipped or deleted instead of fixed."""
    still_failing: tuple[str, ...] = ()
    """Failed on the base and fail on the result."""
    added_failing: tuple[str, ...] = ()
    """The result adds them, and they fail."""
    allowed: tuple[str, ...] = ()
    """Would have stood against the result, but the user allowed changes to their files."""
    flaky: tuple[str, ...] = ()
    """Changed their outcome between two runs of one tree: they count for nothing."""
    needs_network: tuple[str, ...] = ()
    """Failed on the base, or were added and fail, for want of a network: outside the verdict."""


def judge(
    base: Sequence[CheckRun],
    base_tests_on_result: Sequence[CheckRun],
    result: Sequence[CheckRun],
    *,
    result_tests_on_base: Sequence[CheckRun] | None = None,
    allowed_test_changes: Sequence[str] = (),
    flaky: Collection[str] = (),
    unrestored: Collection[str] = (),
) -> Verdict:
    """Judge a result by the runs of its checks, matched by command.

    `base`: base code, base tests. `base_tests_on_result`: result code, the base's test files put back.
    `result`: the tree that is committed. `result_tests_on_base`: base code with the result's test files; only
    this run can show that an added test failed before, and without it added tests prove nothing.
    `allowed_test_changes`: patterns of --allow-test-change. `flaky`: ids that changed between runs of one tree.
    `unrestored`: changed files that hold tests beside code, so that the base's tests could not be put back:
    what passes in them proves nothing.
    """
    findings = _Findings()
    patterns = tuple(allowed_test_changes)
    second = {run.command: run for run in base_tests_on_result}
    third = {run.command: run for run in result}
    fourth = {run.command: run for run in result_tests_on_base or ()}
    for run in base:
        if run.command not in second or run.command not in third:
            findings.gaps.append(f"`{run.command}` was not run on the result")
            continue
        pair = _Pair.of(run, second[run.command], third[run.command], fourth.get(run.command))
        _compare(pair, findings, patterns, frozenset(flaky), tuple(unrestored))
    return _conclude(findings, base)


def compare(base: CheckRun, run: CheckRun, *, flaky: Collection[str] = ()) -> Verdict:
    """What one run on the agent's tree says against the base run of the same command: the gate of `submit`.

    A run of named tests (`run.selected`) is compared on what it ran: tests that it left out have not vanished.
    """
    return judge([base], [run], [run], flaky=flaky)


@dataclass(slots=True)
class _Findings:
    fixed: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    vanished: set[str] = field(default_factory=set)
    evaded: set[str] = field(default_factory=set)
    still_failing: set[str] = field(default_factory=set)
    added_failing: set[str] = field(default_factory=set)
    allowed: set[str] = field(default_factory=set)
    flaky: set[str] = field(default_factory=set)
    needs_network: set[str] = field(default_factory=set)
    gaps: list[str] = field(default_factory=list)
    """Why nothing can be proved, whatever passes."""
    notes: list[str] = field(default_factory=list)
    """Why nothing was proved, when nothing else says it."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """The runs of one command."""

    base: Outcomes
    second: Outcomes
    third: Outcomes
    fourth: Outcomes | None

    @staticmethod
    def of(base: CheckRun, second: CheckRun, third: CheckRun, fourth: CheckRun | None) -> _Pair:
        # The base decides: a result that hides its tests must not be judged by its exit code instead.
        exit_only = base.parser == "exit"
        return _Pair(
            Outcomes(base, exit_only=exit_only),
            Outcomes(second, exit_only=exit_only),
            Outcomes(third, exit_only=exit_only),
            None if fourth is None or exit_only else Outcomes(fourth),
        )


def _compare(
    pair: _Pair,
    findings: _Findings,
    patterns: tuple[str, ...],
    flaky: frozenset[str],
    unrestored: tuple[str, ...],
) -> None:
    findings.flaky |= {id for id in flaky if id in pair.base.tests or id in pair.third.tests}
    passed = [test for test in pair.base.tests.values() if pair.base.status(test.id) == "passed"]
    for test in passed:
        if test.id not in flaky:
            _judge_passing(test, pair, findings, patterns)
    failing = [test for test in pair.base.failing() if test.id not in flaky]
    findings.needs_network |= {test.id for test in failing if test.needs_network}
    _judge_failing([test for test in failing if not test.needs_network], pair, findings, patterns)
    for test in pair.third.tests.values():
        if test.id in flaky or pair.third.status(test.id) != "passed":
            continue
        if _is_fixed(test, pair) and not _unproven(test, pair, unrestored):
            findings.fixed.add(test.id)
    _judge_added(pair, findings, patterns, flaky)
    _judge_whole(pair, findings, flaky)
    findings.fixed -= findings.broken | findings.skipped | findings.vanished | findings.evaded


def _judge_passing(test: TestResult, pair: _Pair, findings: _Findings, patterns: tuple[str, ...]) -> None:
    statuses = (pair.second.status(test.id), pair.third.status(test.id))
    if all(status in ("passed", "unknown") for status in statuses):
        return
    if _named(test, patterns):
        findings.allowed.add(test.id)
    elif "failed" in statuses:
        findings.broken.add(test.id)
    elif "absent" in statuses:
        findings.vanished.add(test.id)
    else:
        findings.skipped.add(test.id)


def _judge_failing(
    failing: list[TestResult], pair: _Pair, findings: _Findings, patterns: tuple[str, ...]
) -> None:
    """A test that failed on the base must be fixed or stay: editing, skipping or deleting it proves nothing."""
    ids = [test.id for test in failing]
    held_second, held_third = pair.second.held(ids), pair.third.held(ids)
    for test in failing:
        second = held_second.get(test.id) or pair.second.status(test.id)
        third = held_third.get(test.id) or pair.third.status(test.id)
        if third == "failed":
            findings.still_failing.add(test.id)
        elif third == "unknown" or (second == "passed" and third == "passed"):
            continue
        elif _named(test, patterns):
            findings.allowed.add(test.id)
        elif second != "unknown":
            findings.evaded.add(test.id)


def _is_fixed(test: TestResult, pair: _Pair) -> bool:
    """Whether a test that passes on the result is known to fail on the base."""
    before = pair.base.tests.get(test.id)
    cause = before or pair.base.holder(test.id)
    if cause is not None and cause.needs_network and cause.outcome in ("failed", "error"):
        return False
    if cause is None and (pair.base.aborted or pair.base.collapsed):
        return False  # a base that could not even start its tests says nothing about any of them
    if pair.base.status(test.id) in ("failed", "xfailed"):
        if pair.second.status(test.id) == "passed":
            return True
        if before is not None and before.outcome != "xfailed":
            return False  # it stands in `evaded`: the base's version of it still fails
    if pair.fourth is None or pair.fourth.aborted:
        return False
    cause = pair.fourth.tests.get(test.id)
    if cause is None and pair.base.status(test.id) != "passed":
        # An added test whose file the base's code cannot even load. A conftest.py that it cannot load would
        # make every test count, and so would an added import for tests that the base has too.
        cause = pair.fourth.holder(test.id)
        cause = None if cause is not None and cause.id.endswith("conftest.py") else cause
    return cause is not None and cause.outcome in ("failed", "error") and not cause.needs_network


def _unproven(test: TestResult, pair: _Pair, unrestored: tuple[str, ...]) -> bool:
    """Whether the test stands in a file whose base version could not be put back."""
    if not unrestored:
        return False
    if pair.third.run.parser == "cargo" and not test.file.startswith("tests/"):
        return any(path.endswith(".rs") for path in unrestored)
    return test.file in unrestored


def _judge_added(pair: _Pair, findings: _Findings, patterns: tuple[str, ...], flaky: frozenset[str]) -> None:
    for test in pair.third.failing():
        if test.id in pair.base.tests or test.id in flaky or pair.base.status(test.id) != "absent":
            continue
        if test.id in findings.broken or _holds(test, pair.base):
            continue
        if test.needs_network:
            findings.needs_network.add(test.id)
        else:
            (findings.allowed if _named(test, patterns) else findings.added_failing).add(test.id)


def _holds(test: TestResult, base: Outcomes) -> bool:
    """Whether the failing id is a file or class whose tests the base knows: they are counted themselves."""
    return bool(base.held([test.id]))


def _judge_whole(pair: _Pair, findings: _Findings, flaky: frozenset[str]) -> None:
    """The exit code, and runs that did not end or did not begin."""
    command = pair.base.run.command
    for run, where in ((pair.second, "with the base's tests"), (pair.third, "with its own tests")):
        if run.run.timed_out:
            findings.gaps.append(f"`{command}` did not end within its time limit on the result {where}")
            continue
        silent = (run.tests or run.aborted) and not any(run.failing())
        if exit_id(command) in flaky or (run.run.selected and run.tests):
            continue  # a part of the tests may well miss a limit of coverage
        if pair.base.run.exit_code == 0 and run.run.exit_code != 0 and silent:
            # Nothing failed by name, yet the command did: a coverage limit, a crash on the way or at the end.
            findings.broken.add(exit_id(command))
    if pair.base.run.timed_out and not pair.base.tests:
        findings.notes.append(f"`{command}` did not end within its time limit on the base")
    elif pair.base.aborted:
        findings.notes.append(f"`{command}` could not run its tests on the base")


def _named(test: TestResult, patterns: tuple[str, ...]) -> bool:
    """Whether the user allowed changes to the test's file; Go tells only packages, so folders compare there."""
    if not patterns:
        return False
    if test.file:
        return matches(test.file, patterns)
    if matches(test.id, patterns):
        return True
    package = test.id.rpartition("/")[0] + "/" + test.id.rpartition("/")[2].split(".", 1)[0]
    folders = [dirname(pattern) for pattern in patterns if pattern.endswith("_test.go")]
    return any(folder and package.endswith("/" + folder) for folder in folders)


def _conclude(found: _Findings, base: Sequence[CheckRun]) -> Verdict:
    value, reason = _value(found, base)
    lists = {
        name: tuple(sorted(getattr(found, name)))
        for name in (
            "fixed",
            "broken",
            "skipped",
            "vanished",
            "evaded",
            "still_failing",
            "added_failing",
            "allowed",
            "flaky",
            "needs_network",
        )
    }
    return Verdict(value=value, reason=reason, **lists)


def _value(found: _Findings, base: Sequence[CheckRun]) -> tuple[Value, str]:
    if found.broken:
        return (
            "failed",
            f"{_count(found.broken, 'test')} passed before and {_verb(found.broken, 'fails')} now",
        )
    if not base:
        return "unverified", "no check was run"
    obstacles = (
        (found.gaps, "; ".join(found.gaps)),
        (
            found.vanished,
            f"{_count(found.vanished, 'test')} passed before and {_verb(found.vanished, 'is')} gone now",
        ),
        (
            found.skipped,
            f"{_count(found.skipped, 'test')} passed before and {_verb(found.skipped, 'is')} skipped now",
        ),
        (
            found.evaded,
            f"{_count(found.evaded, 'failing test')} changed, skipped or deleted instead of fixed",
        ),
        (
            found.added_failing,
            f"{_count(found.added_failing, 'added test')} {_verb(found.added_failing, 'fails')}",
        ),
    )
    for present, reason in obstacles:
        if present:
            return "unverified", reason
    if found.fixed:
        return (
            "verified",
            f"{_count(found.fixed, 'test')} failed before and {_verb(found.fixed, 'passes')} now",
        )
    if found.notes:
        return "unverified", "; ".join(found.notes)
    if found.still_failing:
        return (
            "unverified",
            f"{_count(found.still_failing, 'test')} failed before and still {_verb(found.still_failing, 'fails')}",
        )
    if found.needs_network:
        return "unverified", "the tests that failed before need a network"
    return "unverified", "no test failed before and passes now"


def _count(ids: Collection[str], noun: str) -> str:
    return f"{len(ids)} {noun}" + ("" if len(ids) == 1 else "s")


_PLURAL = {"fails": "fail", "is": "are", "passes": "pass"}


def _verb(ids: Collection[str], verb: str) -> str:
    return verb if len(ids) == 1 else _PLURAL[verb]
