"""Results of a project's checks, as values: what the parsers make and what the verdict is computed from."""

from __future__ import annotations

from typing import ClassVar, Literal

from kimicode.core.message import Frozen

TestOutcome = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed"]
CheckSource = Literal["given", "configured", "detected"]


class CheckCommand(Frozen):
    """A command that checks the project, as a shell line."""

    command: str
    source: CheckSource
    reason: str = ""
    """Where it was found, e.g. "pyproject.toml [tool.pytest]"."""


class TestResult(Frozen):
    """One test of one run."""

    __test__: ClassVar[bool] = False
    """pytest would take it for a test class."""

    id: str
    """Stable within the project, as its runner names it: "tests/test_a.py::test_b", "pkg.TestX", "crate::mod::t"."""
    outcome: TestOutcome
    file: str = ""
    """Repository-relative path of the file that holds the test, where it is known."""
    message: str = ""
    """The assertion or error in one or a few lines."""
    frame: str = ""
    """Innermost frame inside the project: "src/a.py:12 in f"."""
    needs_network: bool = False
    """Its failure shows name resolution, no route, or a refused connection outside loopback."""


class CheckRun(Frozen):
    """One run of one check command on one tree."""

    command: str
    tree: str
    exit_code: int
    parser: str
    """"pytest", "unittest", "go", "cargo", "jest" or "exit": exit means that only the exit code is known."""
    tests: tuple[TestResult, ...] = ()
    output: str = ""
    """Head and tail of what it printed."""
    seconds: float = 0.0
    timed_out: bool = False
    needs_network: bool = False
    """Failures show name resolution or a refused connection outside loopback."""
    selected: tuple[str, ...] = ()
    """The tests that were asked for; empty: the whole check. Others are then not known, rather than gone."""
