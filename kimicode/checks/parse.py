"""From what a check printed to test results: picks the parser of its runner."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from kimicode.checks.command import runner_of
from kimicode.checks.parsers import cargo, go, jest, pytest, unittest
from kimicode.checks.parsers.common import Parsed, Place

Parser = Literal["pytest", "unittest", "go", "cargo", "jest", "exit"]

_PARSERS: dict[Parser, Callable[[str, bytes | None, Place], Parsed]] = {
    "pytest": pytest.parse,
    "unittest": unittest.parse,
    "go": go.parse,
    "cargo": cargo.parse,
    "jest": jest.parse,
}

_SIGNS: tuple[tuple[Parser, re.Pattern[str]], ...] = (
    (
        "pytest",
        re.compile(
            r"^=+ test session starts =+$|^=* ?\d+ (?:passed|failed|errors?)\b.{0,200} in [\d.]+s", re.M
        ),
    ),
    ("cargo", re.compile(r"^test result: (?:ok|FAILED)\. \d+ passed;|^error: could not compile `", re.M)),
    ("go", re.compile(r'^(?:ok  |FAIL|---)\t\S|^=== RUN   \S|^\{"(?:Time|Action|ImportPath)":"', re.M)),
    ("unittest", re.compile(r"^Ran \d+ tests? in [\d.]+s\r?$", re.M)),
    ("jest", re.compile(r"^Test Suites: .* total|^ Test Files {2}\S", re.M)),
)


def parse(parser: Parser, output: str, report: bytes | None = None, place: Place | None = None) -> Parsed:
    """Results of a run. Never raises on any input; bounded in time by the size of the input."""
    if parser == "exit":
        return Parsed(complete=False)
    return _PARSERS[parser](output, report, place or Place())


def guess_parser(command: str, output: str) -> Parser:
    """The runner that the command names, else the one whose output this looks like, else "exit"."""
    runner = runner_of(command)
    if runner is not None:
        return runner
    sample = output if len(output) <= 400_000 else output[:200_000] + "\n" + output[-200_000:]
    for parser, sign in _SIGNS:
        if sign.search(sample):
            return parser
    return "exit"
