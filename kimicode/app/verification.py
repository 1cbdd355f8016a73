"""Evidence: the checks on the base and on the result, in fresh checkouts and sandboxes, and what they prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kimicode.app.run import Run
from kimicode.checks.plan import (
    Composition,
    flaky_tests,
    needs_fourth_run,
    reruns,
    tests_carried,
    tests_restored,
)
from kimicode.checks.run import run_check
from kimicode.checks.verdict import Verdict, judge
from kimicode.core import event as ev
from kimicode.core.checks import CheckRun
from kimicode.workspace.compose import compose, write_blob
from kimicode.workspace.objects import EXECUTABLE, REGULAR, Entry, list_tree, read_blob

AGAIN: Mapping[str, ev.CheckRole] = {
    "base": "base_again",
    "result_base_tests": "restored_again",
    "result": "result_again",
}


class Verification:
    """The runs on one pair of trees. Runs that the log has already are not made again."""

    def __init__(self, run: Run, base_tree: str, result_tree: str) -> None:
        self._run = run
        self._base, self._result = base_tree, result_tree
        self._entries: dict[str, dict[str, Entry]] = {}
        self._unrestored: set[str] = set()
        """Source files whose inline tests could not be put into another version for sure."""

    async def judge(self) -> Verdict:
        base_files, result_files = await self._files(self._base), await self._files(self._result)
        restored = tests_restored(base_files, result_files)
        restored_tree = await self._compose(self._result, self._base, restored)
        base = await self._check("base", self._base)
        second = await self._check("result_base_tests", restored_tree)
        third = await self._check("result", self._result)
        patterns = self._run.request.allow_test_change
        changed = {p for p in {*base_files, *result_files} if base_files.get(p) != result_files.get(p)}
        fourth: Sequence[CheckRun] | None = None

        def conclude(flaky: frozenset[str] = frozenset()) -> Verdict:
            return judge(
                base,
                second,
                third,
                result_tests_on_base=fourth,
                allowed_test_changes=patterns,
                flaky=flaky,
                unrestored=self._unrestored,
            )

        verdict = conclude()
        if needs_fourth_run(verdict, base, third, changed):
            tree = await self._compose(self._base, self._result, tests_carried(base_files, result_files))
            fourth = await self._check("result_tests_on_base", tree)
            verdict = conclude()
        first = {"base": base, "result_base_tests": second, "result": third}
        trees = {"base": self._base, "result_base_tests": restored_tree, "result": self._result}
        flaky: frozenset[str] = frozenset()
        for role, tests in reruns(verdict).items():
            again = await self._check(AGAIN[role], trees[role], tests)
            for one, two in zip(first[role], again, strict=True):
                flaky |= flaky_tests(one, two)
        return conclude(flaky) if flaky else verdict

    async def _files(self, tree: str) -> dict[str, str]:
        entries = await list_tree(self._run.need_store().git(), tree)
        self._entries[tree] = {e.path: e for e in entries}
        return {e.path: f"{e.mode} {e.oid}" for e in entries}

    async def _compose(self, over: str, source: str, change: Composition) -> str:
        rows: dict[str, Entry | None] = {path: self._entries[source][path] for path in change.take}
        rows.update(dict.fromkeys(change.drop))
        for path in change.merge:
            rows[path] = await self._merge(self._entries[over][path], self._entries[source][path])
        return await compose(self._run.need_store(), over, rows)

    async def _merge(self, code: Entry, donor: Entry) -> Entry:
        """A Rust file with the inline tests of its other version; as it is where that cannot be done for sure."""
        if {code.mode, donor.mode} <= {REGULAR, EXECUTABLE}:
            from kimicode.checks.inline import restore

            git = self._run.need_store().git()
            content, sure = restore(await read_blob(git, code.oid), await read_blob(git, donor.oid))
            if sure:
                return replace(code, oid=await write_blob(self._run.need_store(), content))
        self._unrestored.add(code.path)
        return code

    async def _check(self, role: ev.CheckRole, tree: str, tests: Sequence[str] = ()) -> tuple[CheckRun, ...]:
        """One run per command on a fresh checkout of `tree`; a run of an equal tree serves again."""
        run, known = self._run, self._known(tree, tests, again=role in AGAIN.values())
        missing = [c for c in run.checks if c.command not in known]
        if missing:
            name = f"verify-{role.replace('_', '-')}-{tree[:8]}"
            checkout = await run.open_checkout(name, tree, fresh=True)
            sandbox = await run.start_sandbox(checkout)
            try:
                for command in missing:
                    timeout = run.config.checks.timeout_s
                    result = await run_check(sandbox, command, tree, timeout=timeout, tests=tests)
                    known[command.command] = result
                    run.session.emit(ev.ChecksRan(role=role, run=result))
            finally:
                await run.end_sandbox(sandbox)
                await checkout.remove()
        for command in run.checks:
            if command not in missing and runs_missing(run, role, known[command.command]):
                run.session.emit(ev.ChecksRan(role=role, run=known[command.command], cached=True))
        return tuple(known[c.command] for c in run.checks)

    def _known(self, tree: str, tests: Sequence[str], *, again: bool) -> dict[str, CheckRun]:
        """Whole runs of the same tree that the log has; a second run for flakiness is only itself."""
        known: dict[str, CheckRun] = {}
        for ran in self._run.session.state.checks:
            is_again = ran.role in AGAIN.values()
            if ran.run.tree == tree and ran.role not in ("tool", "gate") and is_again == again:
                known[ran.run.command] = ran.run
        return known


def runs_missing(run: Run, role: ev.CheckRole, result: CheckRun) -> bool:
    """Whether the log does not have this run under this role yet."""
    return not any(c.role == role and c.run == result for c in run.session.state.checks)


async def verify(run: Run, base_tree: str, result_tree: str) -> Verdict | None:
    """Judge a result by its checks; None when there is nothing to judge (no change)."""
    if base_tree == result_tree:
        return None
    if not run.checks:
        return judge([], [], [])
    return await Verification(run, base_tree, result_tree).judge()
