"""What a run says about any test id, also about tests that it could not reach."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Literal

from kimicode.core.checks import CheckRun, TestResult

Status = Literal["passed", "failed", "xfailed", "skipped", "absent", "unknown"]
"""unknown: the time limit ended the run before it came to the test, or the run was of other tests only."""


def covers(id: str) -> Iterator[str]:
    """The ids whose error would keep the test `id` from running, nearest first.

    "tests/a.py::X::t" -> "tests/a.py::X", "tests/a.py", "tests/conftest.py", "conftest.py"; a dotted id
    ("pkg.mod.X.t", "crate::mod::t") -> each shorter prefix.
    """
    bare = id.split("[", 1)[0]
    at = bare.rfind("::")
    while at > 0:
        yield bare[:at]
        at = bare.rfind("::", 0, at)
    head = bare.split("::", 1)[0]
    if head.endswith(".py"):
        folder = head.rpartition("/")[0]
        while folder:
            yield f"{folder}/conftest.py"
            folder = folder.rpartition("/")[0]
        yield "conftest.py"
        return
    at = head.rfind(".")
    while at > 0:
        yield head[:at]
        at = head.rfind(".", 0, at)


class Outcomes:
    """One run of a command, looked up by test id.

    `exit_only`: nothing but the exit code is used; the command is then one pseudo test with the id `exit_id`.
    """

    def __init__(self, run: CheckRun, *, exit_only: bool = False) -> None:
        self.run = run
        self.exit_only = exit_only
        self.tests: dict[str, TestResult] = {} if exit_only else {test.id: test for test in run.tests}
        if exit_only:
            outcome: Literal["passed", "failed"] = "passed" if run.exit_code == 0 else "failed"
            id = exit_id(run.command)
            if not run.timed_out:
                network = run.needs_network and outcome == "failed"
                self.tests = {id: TestResult(id=id, outcome=outcome, needs_network=network)}
        # pytest's exit code 5 is "no tests were found": they have vanished rather than failed.
        nothing = not self.tests and run.exit_code != 0 and not run.timed_out
        self.aborted = nothing and not (run.parser == "pytest" and run.exit_code == 5)
        """The command ended badly without a single result: it could not even start its tests."""

        errors = self.tests and all(test.outcome == "error" for test in self.tests.values())
        self.collapsed = run.parser == "cargo" and bool(errors)
        """One target does not compile, and cargo then runs no test of any target."""

    def status(self, id: str) -> Status:
        """What happened to a test; an error or a skip of what holds it counts for it."""
        test = self.tests.get(id)
        if test is not None:
            return _status(test)
        holder = self.holder(id)
        if holder is not None:
            return _status(holder)
        if self.run.selected or self.run.timed_out:
            return "unknown"
        if self.aborted or self.collapsed:
            return "failed"
        return "absent"

    def holder(self, id: str) -> TestResult | None:
        """The error or skip of a file, class, package or crate that kept `id` from running."""
        for one in covers(id):
            found = self.tests.get(one)
            if found is not None and found.outcome in ("error", "skipped"):
                return found
        return None

    def held(self, ids: Collection[str]) -> dict[str, Status]:
        """For ids that may name files or classes: what became of the tests in them.

        Failed when one of them failed, passed when at least one passed, else skipped; ids without tests are
        left out.
        """
        found: dict[str, Status] = {}
        wanted = {id for id in ids if id not in self.tests}
        if not wanted:
            return found
        for test in self.tests.values():
            status = _status(test)
            for one in covers(test.id):
                if one in wanted:
                    found[one] = _together(found.get(one), status)
        return found

    def failing(self) -> Iterable[TestResult]:
        return (test for test in self.tests.values() if test.outcome in ("failed", "error"))


def exit_id(command: str) -> str:
    """Id of the pseudo test that stands for the exit code of a command."""
    return f"exit code of `{command}`"


def _status(test: TestResult) -> Status:
    if test.outcome in ("failed", "error"):
        return "failed"
    if test.outcome in ("passed", "xpassed"):
        return "passed"
    return "xfailed" if test.outcome == "xfailed" else "skipped"


def _together(one: Status | None, other: Status) -> Status:
    for status in ("failed", "passed"):
        if status in (one, other):
            return status
    return "skipped"
