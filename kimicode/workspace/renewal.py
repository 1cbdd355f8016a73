"""Brings back what no snapshot holds: the ignored files of a checkout, and the launcher's folder beside it.

Called after a sandbox was lost or a process was killed, when no sandbox uses the slot. What the environment layer holds
is placed anew by the caller.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from kimicode.workspace import folder
from kimicode.workspace.base import Submodule
from kimicode.workspace.fill import copy_file
from kimicode.workspace.git import Git
from kimicode.workspace.slot import Owner, SlotFolder


async def renew(git: Git, at: SlotFolder, owner: Owner | None) -> None:
    """Remove what git ignores, fill the submodules again, and empty the scratch folder."""
    # A FIFO in the place of a .gitignore would hold git up for ever.
    await asyncio.to_thread(folder.remove_blocking, at.work)
    out = await git.run("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    names = [os.fsdecode(name).rstrip("/") for name in out.split(b"\0")[:-1]]
    await asyncio.to_thread(_renew, at, names, owner)


def _renew(at: SlotFolder, names: Sequence[str], owner: Owner | None) -> None:
    for name in names:
        # Some stand twice: as themselves and in a folder with nothing else in it.
        folder.remove(at.work / name)
        folder.remove_empty(at.work, name.rpartition("/")[0])
    for module in at.base.submodules:
        _fill(at, module, owner)
    folder.remove(at.scratch)
    at.scratch.mkdir(mode=0o755)
    if owner is not None:
        os.lchown(at.scratch, *owner)


def _fill(at: SlotFolder, module: Submodule, owner: Owner | None) -> None:
    """Put a submodule's contents back, unless the agent has put something else into its place or on the way to it."""
    place = at.work
    for name in Path(module.path).parts:
        place = place / name
        if place.is_symlink() or (os.path.lexists(place) and not place.is_dir()):
            return
        if not place.is_dir():
            place.mkdir()
            if owner is not None:
                os.lchown(place, *owner)
    source = at.store.fill / module.path
    if module.files and source.is_dir() and not any(place.iterdir()):
        shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True, copy_function=copy_file)
    if owner is not None:
        folder.change_owner(place, *owner)
