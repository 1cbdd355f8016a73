"""Check runs kept between sessions: the base of a repository need not be checked again for every task."""

from __future__ import annotations

import os
from pathlib import Path

from kimicode.checks.plan import cache_key
from kimicode.core.checks import CheckRun


def load_run(cache: Path, tree: str, environment: str, command: str) -> CheckRun | None:
    """The kept run on that tree in that environment; None when there is none, or it cannot be read."""
    if not environment:
        return None
    try:
        return CheckRun.model_validate_json(_path(cache, tree, environment, command).read_bytes())
    except (OSError, ValueError):
        return None


def save_run(cache: Path, environment: str, run: CheckRun) -> None:
    """Keep a run. One that timed out or wanted a network is not kept: it may end otherwise the next time."""
    if not environment or run.timed_out or run.needs_network:
        return
    path = _path(cache, run.tree, environment, run.command)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(run.model_dump_json())
        temporary.replace(path)
    except OSError:
        # A cache that cannot be written costs time, not correctness.
        temporary.unlink(missing_ok=True)


def _path(cache: Path, tree: str, environment: str, command: str) -> Path:
    return cache / "checks" / f"{cache_key(tree, environment, command)}.json"
