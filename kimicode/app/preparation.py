"""Before the model is asked: the base, the sandbox, the check command, and what the model is told first."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict

from kimicode.agent.prompt import first_message
from kimicode.app.adapters import Wanted
from kimicode.app.run import Run
from kimicode.core import event as ev
from kimicode.core.checks import CheckCommand
from kimicode.resources import prompt
from kimicode.sandbox.choose import choose
from kimicode.workspace.base import Base
from kimicode.workspace.capture import capture
from kimicode.workspace.checkout import Checkout
from kimicode.workspace.git import Git
from kimicode.workspace.objects import Entry, list_tree
from kimicode.workspace.store import Store

READ_LIMIT = 1_000_000
"""Bytes of a file that is read for detection or instructions."""


async def capture_base(run: Run) -> Base:
    """The tree that the session starts from; the one of a former process where there is one."""
    run.store = Store.create(run.folder, run.repository)
    base = Base.load(run.store) if run.session.state.base else None
    if base is None:
        base = await capture(
            run.repository, run.store, base=run.request.base, paths=run.request.paths, cache=run.cache
        )
        run.session.emit(ev.BaseCaptured(base=asdict(base), notes=describe_base_notes(base)), sync=True)
    run.base = base
    if (run.folder / "include.json").exists() or (run.repository.root / ".worktreeinclude").is_file():
        from kimicode.workspace.include import collect

        run.included = await collect(run.repository, run.store)
    return base


def describe_base_notes(base: Base) -> tuple[str, ...]:
    """Lines for the user about what the agent does not get."""
    notes = [f"left out: {item.path} ({item.reason})" for item in base.left_out]
    notes += [f"submodule {s.path}: {s.note}" for s in base.submodules if s.note]
    missing = [f.path for f in base.lfs if not f.filled]
    if missing:
        notes.append(f"LFS content not here, pointers only: {', '.join(missing[:10])}")
    return tuple(notes)


async def choose_launcher(run: Run) -> None:
    """Take the first backend that works here, proved by trying it. Raises SandboxUnavailable (exit 6)."""
    settings = run.config.sandbox
    wanted = Wanted(
        backend=settings.backend,
        image=settings.image,
        bundled=run.request.bundled,
        session=run.folder.name,
        proofs=run.cache / "docker-proofs.json",
        progress=run.say,
    )
    probe = run.folder / "probe"
    probe.mkdir(exist_ok=True)
    run.launcher, lines = await choose(run.adapters.launchers(wanted), probe)
    run.sandbox_line = lines[-1]
    for line in lines:
        run.say(f"sandbox: {line}")


class Contents:
    """Files of the base as the harness reads them: by the tree's own list, never through a symlink.

    The checkout must be fresh: nothing but git has written to it yet.
    """

    def __init__(self, checkout: Checkout, entries: Sequence[Entry]) -> None:
        self.files = tuple(e.path for e in entries if e.mode != "160000")
        self._modes = {e.path: e.mode for e in entries}
        self._oids = {e.path: e.oid for e in entries}
        self._work = checkout.slot.work

    @classmethod
    async def of(cls, checkout: Checkout, git: Git, tree: str) -> Contents:
        return cls(checkout, await list_tree(git, tree))

    def oid(self, path: str) -> str:
        """Blob of a file of the tree."""
        return self._oids[path]

    def read(self, path: str) -> bytes | None:
        """At most READ_LIMIT bytes of a regular file of the tree; None for anything else."""
        if self._modes.get(path) not in ("100644", "100755"):
            return None
        try:
            file = os.open(self._work / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with open(file, "rb") as f:
            return f.read(READ_LIMIT)


def find_commands(run: Run, contents: Contents) -> tuple[CheckCommand, ...]:
    """The project's check: given or configured, proposed by the repository, or detected."""
    settings, proposed = run.config.checks, run.config.proposed
    if settings.commands is not None:
        return tuple(CheckCommand(command=c, source="given") for c in settings.commands)
    if proposed.checks:
        return tuple(
            CheckCommand(command=c, source="detected", reason=proposed.source) for c in proposed.checks
        )
    from kimicode.checks.find import find_checks

    interpreter = run.environment.interpreter if run.environment else ""
    return find_checks(contents.files, contents.read, interpreter=interpreter or "python3")[:1]


def first_words(run: Run, contents: Contents, base_checks: str) -> str:
    """The first user message."""
    return first_message(
        prompt("fix"),
        files=contents.files,
        read=contents.read,
        checks=run.checks,
        base_checks=base_checks,
        task=run.request.task,
        context=run.request.context,
        now=time.time(),
        root=run.repository.root.as_posix(),
    )
