"""How a run ended, for programs and people, and the one table that turns it into an exit code."""

from __future__ import annotations

from typing import Any, Literal

from kimicode.core.event import StopReason
from kimicode.core.message import Frozen, Usage

SCHEMA_VERSION = 1

Status = Literal[
    "verified",
    "unverified",
    "failed",
    "not_applicable",
    "unchanged",
    "stuck",
    "limit",
    "error",
    "interrupted",
]

EXIT_CODES: dict[int, str] = {
    0: "verified: a failing test passes now and nothing that passed fails",
    1: "failed, stuck, or not fixed",
    2: "usage: the command line or its input is wrong",
    3: "configuration or key missing or refused",
    4: "unverified, or the result is not applicable to the user's tree",
    5: "a budget, step or time limit was reached",
    6: "no sandbox works here, or it was lost for good",
    7: "nothing to change",
    74: "disk full, or the session's log cannot be written",
    75: "provider trouble: try again later",
    130: "interrupted (Ctrl-C)",
    143: "terminated (SIGTERM)",
}


class FileStat(Frozen):
    path: str
    added: int
    removed: int


class Outcome(Frozen):
    """The result of `fix`, `demo` and `resume`; `--output-format json` prints it as one object."""

    schema_version: int = SCHEMA_VERSION
    status: Status
    exit_code: int
    verdict: str = ""
    branch: str = ""
    commit: str = ""
    base: str = ""
    """Commit that the user's HEAD (or --base) named."""
    patch: str = ""
    """Path of the kept patch."""
    files: tuple[FileStat, ...] = ()
    checks: tuple[dict[str, Any], ...] = ()
    """One per check run: role, command, exit_code, passed, failed, skipped, seconds."""
    flaky: tuple[str, ...] = ()
    usage: Usage = Usage()
    cost_usd: float = 0.0
    steps: int = 0
    duration_s: float = 0.0
    session_id: str = ""
    model: str = ""
    sandbox: str = ""
    stop_reason: str = ""
    message: str = ""
    """One sentence: what happened."""
    hint: str = ""
    """What to do next."""
    notes: tuple[str, ...] = ()
    title: str = ""
    body: str = ""
    evidence: dict[str, Any] = {}
    """fixed, broken, vanished, skipped, flaky, needs_network: lists of test ids."""
    applied: tuple[str, ...] = ()


def classify(
    reason: StopReason, verdict: str, *, changed: bool, applicable: bool = True, error_code: int = 75
) -> tuple[Status, int]:
    """Status and exit code from stop reason x verdict: the table of docs/exit-codes.md.

    A limit or a standstill is told even when what stands there by then is verified: the model had not said that
    it was done.
    """
    if reason == "error":
        return "error", error_code or 1
    if reason == "cancelled":
        return "interrupted", 130
    if reason in ("steps", "budget", "time"):
        return "limit", 5
    if reason == "stuck":
        return "stuck", 1
    if not changed:
        return "unchanged", 7
    if verdict == "failed":
        return "failed", 1
    if not applicable:
        return "not_applicable", 4
    if verdict == "verified":
        return "verified", 0
    return "unverified", 4
