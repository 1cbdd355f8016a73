"""Where sessions live, and which there are."""

from __future__ import annotations

import re
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from kimicode.core.state import State, fold
from kimicode.errors import JournalError, UsageError
from kimicode.session.journal import LOG, Journal, read_contents

_id = re.compile(r"^\d{8}-\d{6}-[0-9a-f]{6}$")


def new_id(now: float) -> str:
    """A session's id: time of its start (UTC) and six random hex digits, which are its short id."""
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(now)) + "-" + secrets.token_hex(3)


def short_id(session_id: str) -> str:
    return session_id.rsplit("-", 1)[-1]


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One row of `kimicode sessions`."""

    id: str
    folder: Path
    created: int
    repo: str
    task: str
    status: str
    """"done", "stopped" (can be resumed), or "unreadable"."""
    steps: int
    cost_usd: float
    branch: str


class Store:
    """The sessions below one folder (`<state dir>/sessions`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, session_id: str) -> Path:
        return self.root / session_id

    def find(self, wanted: str) -> str:
        """Full id from an id, its short form, or any unique part of it. Raises UsageError."""
        ids = self.ids()
        if wanted in ids:
            return wanted
        hits = [i for i in ids if wanted and wanted in i]
        if len(hits) == 1:
            return hits[0]
        what = "no session" if not hits else f"{len(hits)} sessions"
        raise UsageError(f"{what} with the id {wanted!r}", hint="kimicode sessions lists them")

    def ids(self) -> list[str]:
        """All ids, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if _id.match(p.name) and (p / LOG).is_file())

    def newest_open(self) -> str:
        """The newest session that can be resumed. Raises UsageError when there is none."""
        for session_id in reversed(self.ids()):
            if self.describe(session_id).status == "stopped":
                return session_id
        raise UsageError("there is no session to go on with", hint="kimicode sessions lists all of them")

    def load(self, session_id: str) -> State:
        """The state of a session, read without taking its lock."""
        return fold(read_contents((self.folder(session_id) / LOG).read_bytes()).events)

    def describe(self, session_id: str) -> SessionInfo:
        folder = self.folder(session_id)
        try:
            state = self.load(session_id)
        except (JournalError, OSError):
            return SessionInfo(session_id, folder, 0, "", "", "unreadable", 0, 0.0, "")
        return SessionInfo(
            id=session_id,
            folder=folder,
            created=state.created,
            repo=state.repo,
            task=str(state.request.get("task", "")),
            status="done" if state.published else "stopped",
            steps=state.step,
            cost_usd=state.usd,
            branch=state.published.branch if state.published else "",
        )

    def remove(self, session_id: str) -> None:
        """Delete a session whole. Raises JournalError while another process uses it."""
        folder = self.folder(session_id)
        journal, _ = Journal.reopen(folder)
        try:
            _make_removable(folder)
            shutil.rmtree(folder)
        finally:
            journal.close()


def _make_removable(folder: Path) -> None:
    """An agent may have left folders that their owner cannot write."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
