"""Works on a folder that an agent may have filled: never follows a symlink, never enters anything else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kimicode.errors import KimicodeError

MAX_PATH: Final = 3_000
"""Folders with longer paths (bytes, relative) are not looked into. Git's own limit is 4,096 with the top's path."""

READ_BY_GIT: Final = (".gitignore", ".gitattributes", ".gitmodules")


@dataclass(slots=True)
class Survey:
    """What a careful look at a working tree found. Paths are relative."""

    nested: list[str] = field(default_factory=list)
    """Folders, other than the top, that contain something named `.git`."""
    special: list[str] = field(default_factory=list)
    """FIFOs, sockets and devices."""
    too_deep: list[str] = field(default_factory=list)
    """Folders beyond MAX_PATH."""
    opened: list[str] = field(default_factory=list)
    """Files and folders whose owner had no read permission and now has."""


def survey(top: Path) -> Survey:
    """Look at every file once; gives the owner read permission where it is missing (git records no such bit)."""
    found = Survey()
    for folder, entry, mode in _walk(top, found):
        path = f"{folder}/{entry}" if folder else entry
        if entry == ".git":
            if folder:
                found.nested.append(folder)
        elif stat.S_ISREG(mode):
            if not mode & 0o400 and grant(top, path, mode | 0o400):
                found.opened.append(path)
        elif not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
            found.special.append(path)
    return found


def make_writable(top: Path) -> None:
    """Give the owner all rights on every folder, so that files in it can be replaced and removed."""
    for folder, entry, mode in _walk(top, Survey(), enter_git=True):
        if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
            grant(top, f"{folder}/{entry}" if folder else entry, mode | 0o700)


def change_owner(top: Path, uid: int, gid: int) -> None:
    """Make everything beneath `top`, and `top`, belong to this user."""
    facts = top.lstat()
    if (facts.st_uid, facts.st_gid) != (uid, gid):
        os.lchown(top, uid, gid)
    for _, files, fd in _levels(top, enter_git=True):
        for entry in files:
            now = os.stat(entry, dir_fd=fd, follow_symlinks=False)
            if (now.st_uid, now.st_gid) != (uid, gid):
                os.chown(entry, uid, gid, dir_fd=fd, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a file, link or folder with everything in it, however deep or write-protected; missing is fine."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except NotADirectoryError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
        return
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        pass
    grant(path.parent, path.name, mode | 0o700)
    make_writable(path)
    # rm walks by directory handles without recursion: paths longer than the system's limit are no obstacle.
    done = subprocess.run(["/bin/rm", "-rf", "--", str(path)], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0 and os.path.lexists(path):
        said = done.stderr.decode("utf-8", "backslashreplace").strip()[-500:]
        raise KimicodeError(f"{path} cannot be removed: {said}", hint="Check who owns it; remove it by hand.")


def remove_empty(top: Path, path: str) -> None:
    """Remove the folder `path` beneath `top` and its parents as far as they are empty."""
    while path:
        try:
            (top / path).rmdir()
        except OSError:
            return
        path = path.rpartition("/")[0]


def remove_empty_below(top: Path) -> None:
    """Remove `top` as far as it consists of empty folders."""
    for folder in reversed([name for name, _, _ in _levels(top, enter_git=False)]):
        try:
            (top / folder).rmdir()
        except OSError:
            continue


def remove_unseen(top: Path) -> None:
    """Remove what git neither sees nor replaces: FIFOs, sockets, devices, and folders with endless paths."""
    found = survey(top)
    for path in found.special:
        (top / path).unlink(missing_ok=True)
    for path in found.too_deep:
        remove(top / path)


def remove_blocking(top: Path) -> None:
    """Remove FIFOs in the place of files that git opens and reads; a git that waits at one goes on."""
    for path in survey(top).special:
        if path.rsplit("/", 1)[-1] not in READ_BY_GIT:
            continue
        parent, _, name = path.rpartition("/")
        try:
            fd = open_folder(top, parent)
        except OSError:
            continue
        try:
            # Opened for a moment and closed, so that whoever reads sees the end of the file.
            writer = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        except OSError:
            writer = -1
        try:
            os.unlink(name, dir_fd=fd)
        except OSError:
            pass
        if writer >= 0:
            os.close(writer)
        os.close(fd)


def grant(top: Path, path: str, mode: int) -> bool:
    """chmod of a path beneath `top` that follows no link on the way. False when it is not ours to change."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
    fds = []
    try:
        fds.append(os.open(top, flags | os.O_DIRECTORY))
        *folders, name = path.split("/")
        for folder in folders:
            fds.append(os.open(folder, flags | os.O_DIRECTORY, dir_fd=fds[-1]))
        if hasattr(os, "O_PATH"):
            fds.append(os.open(name, flags, dir_fd=fds[-1]))
            if stat.S_ISLNK(os.fstat(fds[-1]).st_mode):
                return False
            Path(f"/proc/self/fd/{fds[-1]}").chmod(stat.S_IMODE(mode))
        else:
            os.chmod(name, stat.S_IMODE(mode), dir_fd=fds[-1], follow_symlinks=False)
    except (OSError, NotImplementedError):
        return False
    finally:
        for fd in fds:
            os.close(fd)
    return True


def _walk(top: Path, found: Survey, *, enter_git: bool = False) -> Iterator[tuple[str, str, int]]:
    """(folder, name, st_mode) of everything beneath `top`, folders before what is in them."""
    for folder, files, fd in _levels(top, enter_git=enter_git):
        if len(os.fsencode(folder)) > MAX_PATH:
            found.too_deep.append(folder)
        for entry in files:
            try:
                mode = os.stat(entry, dir_fd=fd, follow_symlinks=False).st_mode
            except OSError:
                continue
            if stat.S_ISDIR(mode) and mode & 0o500 != 0o500:
                path = f"{folder}/{entry}" if folder else entry
                if grant(top, path, mode | 0o500):
                    found.opened.append(path)
            yield folder, entry, mode


def _levels(top: Path, *, enter_git: bool) -> Iterator[tuple[str, list[str], int]]:
    """(folder, names, directory handle) for `top` and every folder beneath it, parents first."""
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            fd = open_folder(top, folder)
        except OSError:
            continue
        try:
            names = os.listdir(fd)  # noqa: PTH208
            yield folder, names, fd
            if len(os.fsencode(folder)) <= MAX_PATH:
                for name in names:
                    try:
                        kind = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
                    except OSError:
                        continue
                    if stat.S_ISDIR(kind) and (enter_git or name != ".git"):
                        pending.append(f"{folder}/{name}" if folder else name)
        except OSError:
            continue
        finally:
            os.close(fd)


def open_folder(top: Path, folder: str) -> int:
    """Handle of a folder beneath `top` ("" is top itself), following no symlink: NotADirectoryError for one."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(top, flags)
    for name in folder.split("/") if folder else ():
        try:
            deeper = os.open(name, flags, dir_fd=fd)
        finally:
            os.close(fd)
        fd = deeper
    return fd
