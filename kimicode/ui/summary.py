"""The end of a run as text: verdict, evidence, changes, cost, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from kimicode.core.outcome import Outcome
from kimicode.text.safe import safe_text
from kimicode.ui.lines import ROLES, duration, money, one_line, tokens
from kimicode.ui.terminal import cut_text, paint, text_width

LISTED = 10
"""Tests or files that are listed before the rest is counted."""

_HEADS: dict[str, tuple[str, str]] = {
    "verified": ("✓ verified", "green"),
    "unverified": ("● unverified", "yellow"),
    "failed": ("✗ failed", "red"),
    "not_applicable": ("● not applicable", "yellow"),
    "unchanged": ("● nothing to change", "yellow"),
    "stuck": ("✗ stuck", "red"),
    "limit": ("● limit reached", "yellow"),
    "error": ("✗ error", "red"),
    "interrupted": ("● interrupted", "yellow"),
}

_MEANING: dict[str, str] = {
    "verified": "a failing test passes now, and nothing that passed fails",
    "unverified": "no test went from failing to passing",
    "failed": "something that passed before fails now",
}

_EVIDENCE: tuple[tuple[str, str, str], ...] = (
    ("fixed", "failed before, passes now", "green"),
    ("broken", "passed before, fails now", "red"),
    ("vanished", "passed before, is gone now", "red"),
    ("skipped", "passed before, is skipped now", "red"),
    ("flaky", "changes its result by itself: not counted", "yellow"),
    ("needs_network", "needs network: not counted", "yellow"),
)


def render_summary(
    outcome: Outcome, *, width: int, color: bool, base_name: str = "HEAD", repo: str = ""
) -> str:
    """The whole text, newline at the end.

    `base_name`: what the user calls the base; `repo`: the folder for `git -C`, "" where plain git will do. Both
    are for the commands to type next.
    """
    blocks = [
        _head(outcome, color),
        _evidence(outcome, width, color),
        _checks(outcome, width),
        _files(outcome, width, color),
        [f"note: {one_line(note)}" for note in outcome.notes],
        _facts(outcome),
        _next(outcome, base_name, repo, color),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _head(outcome: Outcome, color: bool) -> list[str]:
    word, style = _HEADS.get(outcome.status, (outcome.status, "bold"))
    said = one_line(outcome.message) or _MEANING.get(outcome.status, "")
    lines = [paint(word, style, color=color) + (f": {said}" if said else "")]
    if outcome.title:
        lines.append(f"  {paint(one_line(outcome.title), 'bold', color=color)}")
    return lines


def _evidence(outcome: Outcome, width: int, color: bool) -> list[str]:
    lines: list[str] = []
    for key, meaning, style in _EVIDENCE:
        ids = _texts(outcome.evidence.get(key)) or (_texts(outcome.flaky) if key == "flaky" else [])
        if not ids:
            continue
        lines.append(f"{paint(str(len(ids)), style, color=color)} {meaning}")
        lines += [f"  {cut_text(name, width - 2)}" for name in ids[:LISTED]]
        if len(ids) > LISTED:
            lines.append(f"  … and {len(ids) - LISTED} more")
    return lines


def _texts(value: Any) -> list[str]:
    return [one_line(str(v)) for v in value] if isinstance(value, list | tuple) else []


def _checks(outcome: Outcome, width: int) -> list[str]:
    rows = [
        (
            ROLES.get(str(check.get("role", "")), str(check.get("role", ""))) or "check",
            _counts(check),
            one_line(str(check.get("command", ""))),
        )
        for check in outcome.checks
    ]
    return format_rows(rows, width)


def _counts(check: dict[str, Any]) -> str:
    counts = [f"{check[k]} {k}" for k in ("failed", "passed", "skipped") if check.get(k)]
    text = ", ".join(counts) or f"exit {check.get('exit_code', '?')}"
    seconds = check.get("seconds")
    return f"{text}, {duration(float(seconds))}" if isinstance(seconds, int | float) else text


def format_rows(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Columns side by side; below 60 columns, or when they do not fit, one under the other."""
    if not rows:
        return []
    widths = [max(text_width(row[i]) for row in rows) for i in range(len(rows[0]))]
    if width >= 60 and sum(widths[:-1]) + 2 * len(widths) + 10 <= width:
        lines = []
        for row in rows:
            cells = [cell + " " * (w - text_width(cell)) for cell, w in zip(row[:-1], widths, strict=False)]
            lines.append(cut_text("  ".join([*cells, row[-1]]).rstrip(), width))
        return lines
    lines = []
    for row in rows:
        lines.append(cut_text(row[0], width))
        lines += [cut_text(f"  {cell}", width) for cell in row[1:] if cell]
    return lines


def _files(outcome: Outcome, width: int, color: bool) -> list[str]:
    if not outcome.files:
        return []
    added, removed = sum(f.added for f in outcome.files), sum(f.removed for f in outcome.files)
    noun = "file" if len(outcome.files) == 1 else "files"
    lines = [f"{len(outcome.files)} {noun} changed, +{added} -{removed}"]
    for file in outcome.files[:LISTED]:
        counts = f"+{file.added} -{file.removed}"
        path = cut_text(one_line(file.path), max(10, width - len(counts) - 4))
        plus, minus = (
            paint(f"+{file.added}", "green", color=color),
            paint(f"-{file.removed}", "red", color=color),
        )
        lines.append(f"  {path}  {plus} {minus}")
    if len(outcome.files) > LISTED:
        lines.append(f"  … and {len(outcome.files) - LISTED} more")
    return lines


def _facts(outcome: Outcome) -> list[str]:
    lines = []
    if outcome.branch:
        commit = f" at {outcome.commit[:12]}" if outcome.commit else ""
        lines.append(f"branch   {one_line(outcome.branch)}{commit}")
    elif outcome.commit:
        lines.append(f"commit   {outcome.commit[:12]}")
    if outcome.applied:
        count = len(outcome.applied)
        lines.append(f"applied  {count} {'file' if count == 1 else 'files'} in your working tree")
    if outcome.patch:
        lines.append(f"patch    {one_line(outcome.patch)}")
    if outcome.steps or outcome.cost_usd:
        usage = outcome.usage
        cached = f", {100 * usage.cached // usage.input}% cached" if usage.input else ""
        spent = f"{tokens(usage.input)} in{cached}, {tokens(usage.output)} out"
        steps = f"{outcome.steps} {'step' if outcome.steps == 1 else 'steps'}"
        lines.append(f"cost     {money(outcome.cost_usd)} ({spent}), {steps}, {duration(outcome.duration_s)}")
    sandbox = one_line(outcome.sandbox).partition(":")[0]
    where = " in ".join(x for x in (one_line(outcome.model), sandbox) if x)
    if where:
        lines.append(f"made by  {where}")
    if outcome.session_id:
        lines.append(f"session  {one_line(outcome.session_id)}")
    return lines


def _next(outcome: Outcome, base_name: str, repo: str, color: bool) -> list[str]:
    """The commands that make sense now."""
    git = f"git -C {shlex.quote(safe_text(repo))}" if repo else "git"
    steps: list[tuple[str, str]] = []
    if outcome.branch:
        branch = shlex.quote(safe_text(outcome.branch))
        steps.append((f"{git} diff {shlex.quote(base_name)}...{branch}", "look at it"))
        steps.append((f"{git} merge {branch}", "take it"))
        steps.append((f"{git} branch -D {branch}", "throw it away"))
    elif outcome.patch and not outcome.applied:
        steps.append((f"{git} apply --3way {shlex.quote(safe_text(outcome.patch))}", "try the patch"))
    if outcome.session_id and outcome.status in ("interrupted", "error"):
        steps.append((f"kimicode resume {shlex.quote(outcome.session_id)}", "go on"))
    lines = [f"  {x}" for x in safe_text(outcome.hint).rstrip().split("\n")] if outcome.hint else []
    wide = max((len(command) for command, _ in steps), default=0)
    lines += [f"  {paint(command.ljust(wide), 'cyan', color=color)}  {what}" for command, what in steps]
    return ["next:", *lines] if lines else []
