"""A check run as text for the model: one line when green, the failures and nothing else when red."""

from __future__ import annotations

import re
from collections import Counter

from kimicode.checks.outcomes import Outcomes
from kimicode.core.checks import CheckRun, TestOutcome, TestResult

DEFAULT_LIMIT = 12_000
"""Characters of a rendered run."""
_OTHERS = 4
"""Lines of the message of each failure after the first."""
_NOISE = re.compile(
    r"\b(?:Pending)?DeprecationWarning\b|\bFutureWarning\b|^\(node:\d+\) \[DEP\d+\]|npm warn deprecated"
)
_ORDER: tuple[TestOutcome, ...] = ("failed", "error", "passed", "skipped", "xfailed", "xpassed")


def render_run(run: CheckRun, base: CheckRun | None = None, *, limit: int = DEFAULT_LIMIT) -> str:
    """Text of at most about `limit` characters in whole lines, except that the first failure is always whole.

    Green: "1660 passed, 4.7 s". Red: the counts, then each failing test with `new` or `failing before` (when
    `base` is given), the innermost frame in the project and the assertion, new ones first. When no test could
    be named: the end of the output. Warnings about deprecations are left out.
    """
    failing = [test for test in run.tests if test.outcome in ("failed", "error")]
    if run.exit_code == 0 and not failing and not run.timed_out:
        return _counts(run)
    lines = [_counts(run) + _ending(run)]
    if not failing:
        return "\n".join([*lines, "", *_tail(run.output, limit)])
    before = Outcomes(base, exit_only=base.parser == "exit" and not base.tests) if base is not None else None
    failing.sort(key=lambda test: _mark(test, before) == "failing before")
    left = limit - len(lines[0])
    for number, test in enumerate(failing):
        block = ["", *_block(test, _mark(test, before), whole=number == 0)]
        size = sum(len(line) + 1 for line in block)
        if number and size > left - 100:
            lines += ["", *_rest(failing[number:], before, left)]
            break
        lines += block
        left -= size
    if run.parser == "exit":
        lines += ["", "Only failing tests are named in this output."]
    return "\n".join(lines)


def _counts(run: CheckRun) -> str:
    seconds = f"{run.seconds:.1f} s"
    counts = Counter(test.outcome for test in run.tests)
    if run.parser == "exit" or not counts:
        said = f"{counts['failed'] + counts['error']} failed, " if counts["failed"] + counts["error"] else ""
        return f"{said}exit code {run.exit_code}, {seconds}"
    plural = {"error": "errors" if counts["error"] != 1 else "error"}
    parts = [f"{counts[outcome]} {plural.get(outcome, outcome)}" for outcome in _ORDER if counts[outcome]]
    return ", ".join([*parts, seconds])


def _ending(run: CheckRun) -> str:
    if run.timed_out:
        return f" (ended by the time limit after {run.seconds:.0f} s)"
    return f" (exit code {run.exit_code})" if run.parser != "exit" and run.tests else ""


def _mark(test: TestResult, before: Outcomes | None) -> str:
    if before is None:
        return ""
    return "failing before" if before.status(test.id) == "failed" else "new"


def _block(test: TestResult, mark: str, *, whole: bool) -> list[str]:
    lines = [f"{test.id}  [{mark}]" if mark else test.id]
    if test.frame:
        lines.append(f"  {test.frame}")
    message = [line for line in test.message.split("\n") if line.strip() and not _NOISE.search(line)]
    shown = message if whole else message[:_OTHERS]
    lines += [f"  {line}" for line in shown]
    if len(shown) < len(message):
        lines.append(f"  ... {len(message) - len(shown)} more lines")
    return lines


def _rest(failing: list[TestResult], before: Outcomes | None, room: int) -> list[str]:
    """Names alone, as many as there is room for."""
    names: list[str] = []
    for number, test in enumerate(failing):
        mark = _mark(test, before)
        name = f"{test.id}  [{mark}]" if mark else test.id
        if len(name) + 30 > room:
            return [*names, f"... and {len(failing) - number} more failing tests"]
        room -= len(name) + 1
        names.append(name)
    return names


def _tail(output: str, room: int) -> list[str]:
    """The last lines that say something, without warnings."""
    kept: list[str] = []
    skipping = False
    for line in output.split("\n"):
        if re.match(r"^=+ warnings summary", line):
            skipping = True
        elif skipping and re.match(r"^(=|-- Docs: )", line):
            skipping = False
            continue
        if not skipping and not _NOISE.search(line):
            kept.append(line.rstrip()[:500])
    while kept and not kept[-1]:
        kept.pop()
    first = len(kept)
    while first > 0 and room > len(kept[first - 1]) + 1:
        first -= 1
        room -= len(kept[first]) + 1
    cut = [f"... {first} lines before"] if first else []
    return [*cut, *kept[first:]] or ["(no output)"]
