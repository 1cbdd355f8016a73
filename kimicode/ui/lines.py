"""Events as lines for people: pure, so that every renderer says the same."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kimicode.core import event as ev
from kimicode.core.checks import CheckRun
from kimicode.core.message import ToolResult
from kimicode.text.safe import safe_text
from kimicode.ui.terminal import cut_text, paint, text_width

FOLD = 5
"""Lines of a failing command's output that are shown."""

_has_seconds = re.compile(r"\d m?s\b")
"""A summary that names a duration itself."""

ROLES: dict[str, str] = {
    "base": "before",
    "base_again": "before, again",
    "result_base_tests": "after, old tests",
    "result": "after",
    "result_again": "after, again",
    "result_tests_on_base": "before, new tests",
    "gate": "at submit",
    "tool": "",
    "head": "on HEAD alone",
}
"""What a check run was made on, in words."""


def one_line(text: str) -> str:
    """`text` made safe and put on one line."""
    return " ".join(safe_text(text).split())


def tool_lines(
    name: str, description: str, result: ToolResult, seconds: float, *, width: int, color: bool, verbose: bool
) -> list[str]:
    """One line with the outcome of a call; under it the folded output of a command that failed."""
    sign = paint("●", "green", color=color) if result.ok else paint("✗", "red", color=color)
    about = one_line(description)
    if about.startswith(f"{name} "):
        about = about[len(name) + 1 :]
    tail = _outcome(result, about)
    if seconds >= 0.1 and not _has_seconds.search(tail):
        tail = f"{tail}  {duration(seconds)}".strip()
    room = width - 2 - text_width(name) - 1
    tail = cut_text(tail, max(8, room - 12)) if tail else ""
    about = cut_text(about, max(0, room - text_width(tail) - 2)) if about else ""
    style = "dim" if result.ok else "red"
    parts = [f"{sign} {paint(name, 'bold', color=color)}"]
    parts += [about] if about else []
    line = " ".join(parts) + (f"  {paint(tail, style, color=color)}" if tail else "")
    lines = [line]
    if result.diff and verbose:
        lines += diff_lines(result.diff, width=width, color=color)
    elif not result.ok:
        lines += folded(result.text, width=width, color=color)
    return lines


def _outcome(result: ToolResult, about: str) -> str:
    """What came of it in a few words: counted lines of a diff, the tool's own summary, or the first line."""
    parts = []
    summary = one_line(result.summary)
    if result.diff:
        added, removed = count_diff(result.diff)
        parts.append(f"+{added} -{removed}")
    elif summary and summary != about:
        parts.append(summary.removeprefix(about).strip(" :,·") or summary)
    code = result.data.get("exit_code")
    if isinstance(code, int) and code and f"exit {code}" not in summary:
        parts.append(f"exit {code}")
    if not result.ok and not parts:
        parts.append("failed")
    return "  ".join(parts)


def count_diff(diff: str) -> tuple[int, int]:
    """Added and removed lines of a unified diff."""
    lines = diff.splitlines()
    added = sum(1 for x in lines if x.startswith("+") and not x.startswith("+++ "))
    removed = sum(1 for x in lines if x.startswith("-") and not x.startswith("--- "))
    return added, removed


def diff_lines(diff: str, *, width: int, color: bool, limit: int = 60) -> list[str]:
    """A diff for the screen, cut after `limit` lines."""
    lines = safe_text(diff).splitlines()
    shown = []
    for line in lines[:limit]:
        style = "green" if line.startswith("+") else "red" if line.startswith("-") else "dim"
        shown.append("  " + paint(cut_text(line.expandtabs(4), width - 2), style, color=color))
    if len(lines) > limit:
        shown.append(f"  … {len(lines) - limit} more lines")
    return shown


def folded(text: str, *, width: int, color: bool) -> list[str]:
    """The last lines of an output, with how many stand before them."""
    lines = [line.rstrip() for line in safe_text(text).expandtabs(4).splitlines() if line.strip()]
    hidden = len(lines) - FOLD
    shown = [paint("  │ " + cut_text(line, width - 4), "dim", color=color) for line in lines[-FOLD:]]
    if hidden > 0:
        noun = "line" if hidden == 1 else "lines"
        shown.insert(0, paint(f"  │ … {hidden} {noun} before", "dim", color=color))
    return shown


def count_tests(run: CheckRun) -> str:
    """A check run in a few words: "3 failed, 120 passed"."""
    if run.timed_out:
        return "timed out"
    if run.needs_network:
        return "needs network"
    if not run.tests:
        return "passed" if run.exit_code == 0 else f"exit {run.exit_code}"
    counts: dict[str, int] = {}
    for test in run.tests:
        counts[test.outcome] = counts.get(test.outcome, 0) + 1
    failed = counts.get("failed", 0) + counts.get("error", 0)
    parts = [f"{failed} failed"] if failed else []
    parts += [f"{counts[k]} {k}" for k in ("passed", "skipped", "xfailed", "xpassed") if counts.get(k)]
    return ", ".join(parts)


def check_line(event: ev.ChecksRan, *, width: int, color: bool) -> str:
    """One line for a run of the project's check."""
    run = event.run
    good = run.exit_code == 0
    sign = paint("●", "green", color=color) if good else paint("✗", "yellow", color=color)
    role = ROLES.get(event.role, event.role)
    name = f"check {role}:" if role else "check:"
    ending = "known from an earlier run" if event.cached else duration(run.seconds)
    tail = cut_text(f"{count_tests(run)}  {ending}", max(8, width - 3 - text_width(name)))
    room = width - 6 - text_width(name) - text_width(tail)
    about = cut_text(one_line(run.command), room) if room >= 6 else ""
    middle = f" {about}  " if about else " "
    return f"{sign} {paint(name, 'bold', color=color)}{middle}{paint(tail, 'dim', color=color)}"


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3m 05s, 1h 02m."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def money(usd: float) -> str:
    """$0.031, $1.20: three digits below ten cents."""
    return f"${usd:.3f}" if usd < 0.1 else f"${usd:.2f}"


def tokens(count: int) -> str:
    """950, 12k, 1.2M."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.0f}k" if count < 1_000_000 else f"{count / 1_000_000:.1f}M"


def fit_fields(fields: Sequence[str], width: int) -> str:
    """Fields with " · " between them; those on the right are cut, then dropped, first."""
    line = ""
    for i, text in enumerate(fields):
        longer = f"{line} · {text}" if i else text
        if text_width(longer) <= width:
            line = longer
            continue
        room = width - text_width(line) - 3
        if not i:
            return cut_text(text, width)
        return f"{line} · {cut_text(text, room)}" if room >= 10 else line
    return line


def clock(seconds: float) -> str:
    """Like `duration`, in whole seconds: for numbers that move."""
    whole = int(seconds)
    return f"{whole} s" if whole < 60 else duration(whole)
