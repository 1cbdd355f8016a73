"""Check runs kept between sessions: the base of a repository need not be checked again for every task."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from kimicode.checks.plan import cache_key
from kimicode.core.checks import CheckRun

KEPT = 200
"""Runs that are kept; the oldest go first."""
_MOMENTARY = (126, 127, 137)
"""Exit codes of a program that is not there or was killed: they say nothing about the tree."""


def load_run(cache: Path, tree: str, environment: str, command: str) -> CheckRun | None:
    """The kept run on that tree in that environment; None when there is none, or it cannot be read."""
    if not environment:
        return None
    try:
        run = CheckRun.model_validate_json(_path(cache, tree, environment, command).read_bytes())
    except (OSError, ValueError):
        return None
    return run if (run.tree, run.command, run.selected) == (tree, command, ()) else None


def save_run(cache: Path, environment: str, run: CheckRun) -> bool:
    """Keep the run of a whole check, atomically; says whether it was kept.

    Not kept is what may end otherwise the next time: a run that timed out, wanted a network, was narrowed to
    some tests, or could not be started.
    """
    momentary = run.timed_out or run.needs_network or run.exit_code in _MOMENTARY
    if not environment or not run.tree or run.selected or momentary:
        return False
    path = _path(cache, run.tree, environment, run.command)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with open(handle, "wb") as file:
                file.write(run.model_dump_json().encode())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _forget_old(path.parent)
    except OSError:
        return False  # a cache that cannot be written costs time, not correctness
    return True


def _path(cache: Path, tree: str, environment: str, command: str) -> Path:
    return cache / "checks" / f"{cache_key(tree, environment, command)}.json"


def _forget_old(folder: Path) -> None:
    with os.scandir(folder) as entries:
        kept = [(entry.stat().st_mtime, entry.path) for entry in entries if entry.name.endswith(".json")]
    for _, path in sorted(kept)[:-KEPT]:
        Path(path).unlink(missing_ok=True)
