"""Writes files into the user's working tree, all or none, without following a symlink."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from kimicode.workspace.folder import open_folder, remove_empty
from kimicode.workspace.merge import Side
from kimicode.workspace.objects import EXECUTABLE

FOLDER: Final = "is a folder there"


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that stands in the way of a result."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class State:
    """A path of the user's work tree as it was looked at."""

    kind: Literal["absent", "file", "symlink", "other"]
    reason: str = ""
    """For "other": what it is."""
    signature: tuple[int, ...] = ()
    """Changes when the file does."""
    mode: int = 0


def look(root: Path, path: str) -> State:
    """What stands at `path`, without following links."""
    parent, _, name = path.rpartition("/")
    try:
        fd = open_folder(root, parent)
    except FileNotFoundError:
        return State("absent")
    except NotADirectoryError:
        # A file or a symlink in the place of a folder. The file may be one that the result removes.
        return (
            State("absent")
            if not _through_symlink(root, parent)
            else State("other", "lies behind a symbolic link")
        )
    except OSError as error:
        return State("other", f"cannot be reached ({error.strerror})")
    try:
        facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return State("absent")
    except OSError as error:
        return State("other", f"cannot be read ({error.strerror})")
    finally:
        os.close(fd)
    signature = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    if stat.S_ISREG(facts.st_mode):
        return State("file", signature=signature, mode=stat.S_IMODE(facts.st_mode))
    if stat.S_ISLNK(facts.st_mode):
        return State("symlink", signature=signature)
    return State("other", FOLDER if stat.S_ISDIR(facts.st_mode) else "is no regular file there")


def _through_symlink(root: Path, folder: str) -> bool:
    parts = folder.split("/")
    return any((root / "/".join(parts[: i + 1])).is_symlink() for i in range(len(parts)))


class Placing:
    """One attempt. Each step can be undone; the first that fails undoes all before it."""

    def __init__(self, root: Path, source: Path, kept: Path, states: Mapping[str, State]) -> None:
        self._root = root
        self._source = source
        self._kept = kept
        self._states = states
        self._undo: list[tuple[str, str]] = []
        """(path, what stood there before: a name in `kept`, or "" for nothing)."""

    def run(self, planned: Mapping[str, Side | None]) -> list[Conflict]:
        """Put everything in its place; conflicts (and an unchanged tree) when the user was faster."""
        self._kept.mkdir()
        # Removals first: a file may give way to a folder of the same name, and the other way round.
        order = sorted(planned, key=lambda path: (planned[path] is not None, path))
        for path in order:
            try:
                reason = self._place(path, planned[path])
            except OSError as error:
                reason = f"cannot be written ({error.strerror})"
            if reason:
                self._roll_back()
                return [Conflict(path, reason)]
        return []

    def _place(self, path: str, side: Side | None) -> str:
        before = self._states[path]
        now = look(self._root, path)
        if before.kind == "other" and now.kind == "absent":
            before = now  # the folder that was there is empty now and gone
        if (now.kind, now.signature) != (before.kind, before.signature):
            return now.reason or "was changed just now"
        parent, _, name = path.rpartition("/")
        if side is not None:
            self._make_folders(parent)
        if side is None and now.kind == "absent":
            return ""
        fd = open_folder(self._root, parent)
        try:
            self._keep(path, name, fd, now)
            if side is None:
                os.unlink(name, dir_fd=fd)
            else:
                self._put(path, name, fd, side, now)
        finally:
            os.close(fd)
        if side is None:
            remove_empty(self._root, parent)
        return ""

    def _keep(self, path: str, name: str, fd: int, now: State) -> None:
        kept = "" if now.kind == "absent" else str(len(self._undo))
        if now.kind == "symlink":
            (self._kept / kept).symlink_to(os.readlink(name, dir_fd=fd))
        elif now.kind == "file":
            source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            with open(source, "rb") as read, (self._kept / kept).open("xb") as write:
                shutil.copyfileobj(read, write)
            (self._kept / kept).chmod(now.mode)
        self._undo.append((path, kept))

    def _put(self, path: str, name: str, fd: int, side: Side, now: State) -> None:
        source = self._source / path
        if source.is_symlink():
            mode = 0
        else:
            mode = stat.S_IMODE(source.stat().st_mode)
            if now.kind == "file":  # the user's own permissions, with git's one bit
                reading = now.mode & 0o444
                mode = (now.mode & ~0o111) | (reading >> 2 if side.mode == EXECUTABLE else 0)
                if bool(now.mode & 0o100) == (side.mode == EXECUTABLE):
                    mode = now.mode
        _replace(source, fd, name, mode)

    def _make_folders(self, parent: str) -> None:
        parts = parent.split("/") if parent else []
        for i in range(len(parts)):
            above = open_folder(self._root, "/".join(parts[:i]))
            try:
                os.mkdir(parts[i], dir_fd=above)
            except FileExistsError:
                pass
            finally:
                os.close(above)

    def _roll_back(self) -> None:
        for path, kept in reversed(self._undo):
            parent, _, name = path.rpartition("/")
            try:
                if kept:
                    self._make_folders(parent)
                fd = open_folder(self._root, parent)
            except OSError:
                continue
            try:
                if kept:
                    source = self._kept / kept
                    mode = 0 if source.is_symlink() else stat.S_IMODE(source.stat().st_mode)
                    _replace(source, fd, name, mode)
                else:
                    os.unlink(name, dir_fd=fd)
            except OSError:
                continue
            finally:
                os.close(fd)
            if not kept:
                remove_empty(self._root, parent)


def _replace(source: Path, fd: int, name: str, mode: int) -> None:
    """Put a copy of `source` at `name` in the folder `fd`: written beside it, then renamed over it."""
    temporary = f".kimicode-{secrets.token_hex(8)}"
    try:
        if source.is_symlink():
            os.symlink(source.readlink(), temporary, dir_fd=fd)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with source.open("rb") as read, open(os.open(temporary, flags, 0o600, dir_fd=fd), "wb") as write:
                shutil.copyfileobj(read, write)
                os.fchmod(write.fileno(), mode)
        os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
    except OSError:
        try:
            os.unlink(temporary, dir_fd=fd)
        except OSError:
            pass
        raise
