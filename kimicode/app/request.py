"""What a user asks of `fix`: enough, with the settings, to go on after a kill."""

from __future__ import annotations

from pathlib import Path

from kimicode.core.message import Frozen


class FixRequest(Frozen):
    """One task on one repository."""

    task: str
    context: str = ""
    """What was piped in beside the task; data, not instructions."""
    repo: Path
    base: str | None = None
    """A revision to start from instead of HEAD with the user's changes."""
    paths: tuple[str, ...] = ()
    """Limits checkout and index to these folders and files."""
    apply: bool = False
    """Write the result into the user's files instead of making a branch."""
    patch: Path | None = None
    """Also write the result as a patch here."""
    branch: str | None = None
    allow_test_change: tuple[str, ...] = ()
    yes: bool = False
    """Every question is answered with yes: the user's consent is given beforehand."""
    interactive: bool = False
    """A person is there to answer questions."""
    bundled: bool = False
    """The repository is kimicode's own demonstration."""
