"""The folders of one checkout and the files in them that are not the working tree.

slots/<name>/w          working tree, seen by the sandbox; w/.git is a file that names gd
slots/<name>/gd         the agent's own git directory, seen by the sandbox, never trusted by the host
slots/<name>/scratch    for the launcher
slots/<name>/index/     the host's index of w
slots/<name>/excludes   ignore patterns of the user, and paths that snapshots leave out
slots/<name>/slot.json  written last: a slot without it is incomplete
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kimicode.workspace import folder
from kimicode.workspace.base import Base
from kimicode.workspace.git import Git
from kimicode.workspace.paths import quoted_pattern
from kimicode.workspace.store import Store, make_gitdir, read_json, write_json, write_text

Owner = tuple[int, int]
"""uid and gid."""


@dataclass(frozen=True, slots=True)
class SlotFolder:
    """Where a checkout lives. Methods are synchronous and touch the disk."""

    store: Store
    base: Base
    path: Path

    @property
    def work(self) -> Path:
        return self.path / "w"

    @property
    def gitdir(self) -> Path:
        return self.path / "gd"

    @property
    def scratch(self) -> Path:
        return self.path / "scratch"

    @property
    def excludes(self) -> Path:
        return self.path / "excludes"

    def make(self) -> None:
        """Empty folders, whatever was there before. Other users may enter them: a sandbox may be one."""
        folder.remove(self.path)
        for place in (self.work, self.gitdir, self.scratch, self.path / "index"):
            place.mkdir(parents=True)
            place.chmod(0o755)

    def facts(self) -> dict[str, Any] | None:
        return read_json(self.path / "slot.json")

    def save(self, facts: dict[str, Any]) -> None:
        write_json(self.path / "slot.json", facts)

    # --- the host's side --------------------------------------------------------------------------------

    def git(self, index: str) -> Git:
        """The host's git on the working tree: the store's directory, an index of this slot."""
        config = (f"core.excludesFile={self.excludes}",)
        return replace(self.store.git(index=self.path / "index" / index), worktree=self.work, config=config)

    def take_over(self) -> Git:
        """Go on with a copy of the index: a git that outlived its killed parent may still write the old one."""
        place = self.path / "index"
        old = sorted((p for p in place.iterdir() if p.suffix != ".lock"), key=lambda p: p.lstat().st_mtime_ns)
        name = secrets.token_hex(8)
        if old:
            shutil.copy2(old[-1], place / name)
        for path in place.iterdir():
            if path.name != name:
                path.unlink(missing_ok=True)
        return self.git(name)

    def write_excludes(self, paths: Sequence[str]) -> None:
        user = self.store.excludes.read_bytes().decode("utf-8", "surrogateescape")
        own = [module.path for module in self.base.submodules] + list(paths)
        lines = "".join(quoted_pattern(path) + "\n" for path in own if "\n" not in path)
        write_text(self.excludes, user + lines)

    # --- the agent's side -------------------------------------------------------------------------------

    def write_gitdir(self, index: Path | None) -> None:
        """The base as the only commit, so that status, log, diff and commit work. `index`: of this very tree."""
        base = self.base
        refs = [(f"refs/heads/{base.branch}", base.commit)]
        if base.tag:
            refs.append((f"refs/tags/{base.tag}", base.commit))
        make_gitdir(
            self.gitdir,
            config=self.store.config(),
            head=f"ref: refs/heads/{base.branch}",
            alternates=(self.store.base_objects,),
            refs=refs,
        )
        shutil.copyfile(self.excludes, self.gitdir / "info" / "exclude")
        shutil.copyfile(self.store.gitdir / "info" / "attributes", self.gitdir / "info" / "attributes")
        if index is not None:
            shutil.copy2(index, self.gitdir / "index")

    def copy_excludes(self) -> None:
        """Tell the agent's git about changed excludes."""
        info = self.gitdir / "info"
        if info.is_dir() and not info.is_symlink():  # the agent may write here
            folder.remove(info / "exclude")
            shutil.copyfile(self.excludes, info / "exclude")

    def mend(self, owner: Owner | None) -> None:
        """Put (back) the `.git` file and take away the locks that a killed command left."""
        pointer = self.work / ".git"
        folder.remove(pointer)
        fd = os.open(pointer, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(fd, "wb") as file:
            file.write(os.fsencode(f"gitdir: {self.gitdir}\n"))
            os.fchmod(fd, 0o644)
            if owner is not None:
                os.fchown(fd, *owner)
        for name in ("index.lock", "HEAD.lock", "config.lock", "packed-refs.lock"):
            folder.remove(self.gitdir / name)

    def give_away(self, owner: Owner) -> None:
        for path in (self.work, self.gitdir, self.scratch):
            folder.change_owner(path, *owner)
