"""Files beneath a few folders, for the runner and for the in-memory sandbox: no step ever leaves the folders.

Needs Python 3.5 or newer and only built-in modules. Every component of a path is opened on the descriptor of the
folder before it and never through a symbolic link, so that a tree which changes meanwhile cannot lead outside.
"""

# ruff: noqa: B904 (chained errors only fill the log here)
import errno
import os

MAX_DATA = 48 << 20
FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
KINDS = {
    errno.ENOENT: ("missing", "no such file"),
    errno.ENOTDIR: ("not_regular", "a part of the path is not a folder"),
    errno.EISDIR: ("directory", "is a folder"),
    errno.ELOOP: ("outside", "a symbolic link on the way cannot be followed"),
    errno.ENXIO: ("not_regular", "is not a regular file"),
    errno.ENOSPC: ("disk_full", "no space left"),
    errno.EDQUOT: ("disk_full", "the disk quota is used up"),
    errno.EFBIG: ("too_large", "larger than the file size limit"),
    errno.ENAMETOOLONG: ("missing", "a name is too long"),
}


class Failure(Exception):
    def __init__(self, kind, path, message):
        Exception.__init__(self, message)
        self.kind, self.path, self.message = kind, path, message


def failure(error, path):
    kind, message = KINDS.get(error.errno, ("permission", os.strerror(error.errno or 0)))
    return Failure(kind, path, message)


def regular(status):
    return status.st_mode & 0o170000 == 0o100000


def folder(status):
    return status.st_mode & 0o170000 == 0o040000


class Step:
    """One change of an atomic write."""

    def __init__(self, path, at, name):
        self.path, self.at, self.name = path, at, name
        self.temp = self.backup = None
        self.existed = self.placed = False


class Files:
    """Files beneath a few folders. `bases`: (absolute path as commands see it, path to open), as bytes."""

    def __init__(self, bases):
        self.bases = bases

    def split(self, path):
        """(folder to open, names beneath it)"""
        if b"\0" in path:
            raise Failure("missing", path, "a path cannot hold a NUL byte")
        if not path.startswith(b"/"):
            return self.bases[0][1], [part for part in path.split(b"/") if part not in (b"", b".")]
        names = [part for part in path.split(b"/") if part not in (b"", b".")]
        for seen, real in self.bases:
            base = [part for part in seen.split(b"/") if part]
            if names[: len(base)] == base:
                return real, names[len(base) :]
        raise Failure("outside", path, "outside the checkout and the temporary folder")

    def locate(self, path, made=None):
        """(folder descriptor, last name), no symlink left. `made`: make missing folders and note them there."""
        real, names = self.split(path)
        names.reverse()
        fds, links = [], 0
        try:
            fds.append(os.open(real, FOLDER & ~os.O_NOFOLLOW))
            while names:
                name = names.pop()
                if name == b"..":
                    if len(fds) == 1:
                        raise Failure("outside", path, "outside the checkout and the temporary folder")
                    os.close(fds.pop())
                    continue
                try:
                    target = os.readlink(name, dir_fd=fds[-1])
                except OSError as error:
                    if error.errno not in (errno.EINVAL, errno.ENOENT):
                        raise
                    if not names:
                        return fds.pop(), name
                    if error.errno == errno.ENOENT and made is not None:
                        os.mkdir(name, dir_fd=fds[-1])
                        made.append((os.dup(fds[-1]), name))
                    fds.append(os.open(name, FOLDER, dir_fd=fds[-1]))
                    continue
                links += 1
                if links > 40:
                    raise Failure("outside", path, "too many symbolic links")
                if target.startswith(b"/"):
                    real, parts = self.split(target)
                    while fds:
                        os.close(fds.pop())
                    fds.append(os.open(real, FOLDER & ~os.O_NOFOLLOW))
                else:
                    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
                names.extend(reversed(parts))
            return fds.pop(), b"."
        except OSError as error:
            raise failure(error, path)
        finally:
            for fd in fds:
                os.close(fd)

    def folder(self, path):
        """Descriptor of a folder."""
        at, name = self.locate(path)
        try:
            return os.open(name, FOLDER, dir_fd=at)
        except OSError as error:
            raise failure(error, path)
        finally:
            os.close(at)

    def read(self, path, offset, limit):
        """(data, size, mode)"""
        at, name = self.locate(path)
        fd = -1
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            fd = os.open(name, flags, dir_fd=at)
            status = os.fstat(fd)
            if folder(status):
                raise Failure("directory", path, "is a folder")
            if not regular(status):
                raise Failure("not_regular", path, "is not a regular file")
            left, parts = min(limit, MAX_DATA), []
            while left > 0:
                part = os.pread(fd, min(left, 1 << 20), offset)
                if not part:
                    break
                parts.append(part)
                offset += len(part)
                left -= len(part)
            return b"".join(parts), status.st_size, status.st_mode & 0o777
        except OSError as error:
            raise failure(error, path)
        finally:
            os.close(at)
            if fd >= 0:
                os.close(fd)

    def write(self, changes):
        """All of [(path, data or None, mode or None)], or nothing: everything is staged before the first rename."""
        made, steps = [], []
        try:
            try:
                for path, data, mode in changes:
                    self._stage(steps, made, path, data, mode)
                for step in steps:
                    self._place(step)
            except (Failure, OSError) as error:
                self._revert(steps, made)
                if isinstance(error, Failure):
                    raise
                raise failure(error, step.path)
            for step in steps:
                self._forget(step)
        finally:
            for fd in [step.at for step in steps] + [fd for fd, _ in made]:
                os.close(fd)

    def _stage(self, steps, made, path, data, mode):
        at, name = self.locate(path, made if data is not None else None)
        step = Step(path, at, name)
        steps.append(step)
        try:
            place = os.fstat(at)
            for other in steps[:-1]:
                if other.name == name and os.path.samestat(os.fstat(other.at), place):
                    raise Failure("exists", path, "is named twice in one write")
            try:
                status = os.stat(name, dir_fd=at, follow_symlinks=False)
            except FileNotFoundError:
                if data is None:
                    raise
            else:
                if folder(status):
                    raise Failure("directory", path, "is a folder")
                if not regular(status):
                    raise Failure("not_regular", path, "is not a regular file")
                step.existed = True
                mode = status.st_mode & 0o777 if mode is None else mode
            if data is None:
                return
            step.temp = b".kimicode-" + os.urandom(8).hex().encode()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(step.temp, flags, 0o600, dir_fd=at)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fchmod(fd, (0o644 if mode is None else mode) & 0o777)
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error, path)

    def _place(self, step):
        if step.existed:
            backup = b".kimicode-" + os.urandom(8).hex().encode()
            try:
                if step.temp is None:
                    raise OSError
                os.link(step.name, backup, src_dir_fd=step.at, dst_dir_fd=step.at, follow_symlinks=False)
            except OSError:
                os.rename(step.name, backup, src_dir_fd=step.at, dst_dir_fd=step.at)
            step.backup = backup
        if step.temp is not None:
            os.rename(step.temp, step.name, src_dir_fd=step.at, dst_dir_fd=step.at)
            step.temp = None
            step.placed = True

    def _forget(self, step):
        for name in (step.temp, step.backup):
            try:
                if name:
                    os.unlink(name, dir_fd=step.at)
            except OSError:
                pass

    def _revert(self, steps, made):
        for step in reversed(steps):
            try:
                if step.backup:
                    os.rename(step.backup, step.name, src_dir_fd=step.at, dst_dir_fd=step.at)
                elif step.placed:
                    os.unlink(step.name, dir_fd=step.at)
            except OSError:
                pass
            self._forget(step)
        for fd, name in reversed(made):
            try:
                os.rmdir(name, dir_fd=fd)
            except OSError:
                pass
