"""Which runs a verdict needs, on which trees, and how those trees are put together: pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from kimicode.checks.outcomes import Outcomes
from kimicode.checks.paths import is_test_file, is_test_module
from kimicode.checks.verdict import Verdict
from kimicode.core.checks import CheckCommand, CheckRun
from kimicode.core.message import Frozen

Role = Literal["base", "result_base_tests", "result", "result_tests_on_base"]
Files = Mapping[str, str]
"""Path -> anything that is equal for equal files: mode and blob oid."""

RERUN_LIMIT = 50
"""Tests that are run a second time to find out whether they are flaky."""


class Composition(Frozen):
    """How one tree is made from another: a tree `over` with the test files of a tree `source`."""

    take: tuple[str, ...] = ()
    """Paths whose content comes from `source`."""
    drop: tuple[str, ...] = ()
    """Test files of `over` that `source` does not have."""
    merge: tuple[str, ...] = ()
    """Rust files in both that differ and may hold inline tests: their content comes from inline.restore."""

    @property
    def empty(self) -> bool:
        """Whether the tree stays as it is (apart from `merge`)."""
        return not self.take and not self.drop


class PlannedRun(Frozen):
    """One run that the verdict needs."""

    roles: tuple[Role, ...]
    """What it stands for: one run serves several roles when their trees are equal."""
    tree: str
    command: CheckCommand


def tests_restored(base: Files, result: Files) -> Composition:
    """Run two: the result's code with the base's test files put back; test files that the result adds go."""
    return compose(over=result, source=base)


def tests_carried(base: Files, result: Files) -> Composition:
    """Run four: the base's code with the result's test files."""
    return compose(over=base, source=result)


def compose(*, over: Files, source: Files) -> Composition:
    """The changes that give `over` the test files of `source`."""
    take = [path for path, blob in source.items() if is_test_file(path) and over.get(path) != blob]
    drop = [path for path in over if path not in source and is_test_file(path)]
    merge = [
        path
        for path, blob in source.items()
        if path.endswith(".rs") and path in over and over[path] != blob and not is_test_file(path)
    ]
    return Composition(take=tuple(sorted(take)), drop=tuple(sorted(drop)), merge=tuple(sorted(merge)))


def plan_runs(
    base_tree: str, restored_tree: str, result_tree: str, commands: Sequence[CheckCommand]
) -> tuple[PlannedRun, ...]:
    """The three runs of each command, base first; equal trees share a run.

    `restored_tree`: the result with the base's tests, equal to `result_tree` when no test file was changed.
    """
    runs: list[PlannedRun] = []
    for command in commands:
        roles: dict[str, list[Role]] = {base_tree: ["base"]}
        roles.setdefault(restored_tree, []).append("result_base_tests")
        roles.setdefault(result_tree, []).append("result")
        runs += [PlannedRun(roles=tuple(names), tree=tree, command=command) for tree, names in roles.items()]
    return tuple(runs)


def needs_fourth_run(
    verdict: Verdict, base: Sequence[CheckRun], result: Sequence[CheckRun], changed: Collection[str]
) -> bool:
    """Whether the result's tests must be run on the base's code: only when that could still verify the result.

    `verdict` is the one of three runs; `changed` are the paths that differ between base and result. True when
    nothing stands against the result, nothing is known to be fixed, test files were changed, and at least one
    runner named its tests.
    """
    against = (verdict.broken, verdict.skipped, verdict.vanished, verdict.evaded, verdict.added_failing)
    if verdict.value != "unverified" or verdict.fixed or any(against):
        return False
    named = any(run.parser != "exit" for run in base) and any(
        run.tests for run in result if not run.timed_out
    )
    return named and any(is_test_file(path) or path.endswith(".rs") for path in changed)


def reruns(verdict: Verdict) -> dict[Literal["base", "result_base_tests", "result"], tuple[str, ...]]:
    """Tests to run once more per tree, so that flaky ones neither prove nor spoil anything.

    On the base those that seem fixed or evaded; on the results those that seem broken, evaded or fixed, or were
    added and fail; at most RERUN_LIMIT each. Compare with `flaky_tests`. Tests that vanished cannot be named to
    a runner: they are not run again.
    """
    again: dict[Literal["base", "result_base_tests", "result"], tuple[str, ...]] = {
        "base": verdict.fixed + verdict.evaded,
        "result_base_tests": verdict.broken + verdict.evaded,
        "result": verdict.broken + verdict.added_failing + verdict.fixed,
    }
    return {role: tests[:RERUN_LIMIT] for role, tests in again.items() if tests}


def flaky_tests(first: CheckRun, again: CheckRun) -> frozenset[str]:
    """Ids whose outcome differs between two runs of one tree; tests that only one run names do not count."""
    exit_only = first.parser == "exit"
    one, two = Outcomes(first, exit_only=exit_only), Outcomes(again, exit_only=exit_only)
    return frozenset(id for id in two.tests if id in one.tests and one.status(id) != two.status(id))


def gate_tests(base: CheckRun, changed: Collection[str]) -> tuple[str, ...]:
    """What `submit` runs first: tests that failed on the base, and test files that the agent touched.

    For a runner that is asked by file the touched files are named as files; else by the ids that the base
    knows for them. Empty: nothing can be narrowed, run the whole check.
    """
    failed = [
        test.id for test in base.tests if test.outcome in ("failed", "error") and not test.needs_network
    ]
    touched = sorted(path for path in changed if is_test_module(path))
    if base.parser in ("pytest", "jest", "unittest", "go"):
        kept = [id for id in failed if id.partition("::")[0] not in touched]
        return (*kept, *touched)
    if base.parser == "cargo":
        return tuple(failed)
    return ()


def cache_key(tree: str, environment: str, command: str, tests: Sequence[str] = ()) -> str:
    """Key of a cached run: hex digest of what its outcome depends on.

    `environment` is the key of environment/cache.py, or a name of the sandbox and its image without one. Runs
    that timed out, or whose failures are flaky, are better not kept.
    """
    text = json.dumps([1, tree, environment, command, sorted(tests)], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
