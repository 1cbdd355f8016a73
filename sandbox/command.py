"""One running command of the runner: its processes, its pipes, and the head, tail or whole of its output.

Needs Python 3.5 or newer and only built-in modules.
"""

# ruff: noqa: PTH109, PTH112, PTH208, UP032 (Python 3.5, and few modules)
import errno
import os
import signal
import struct
import time

SPILL_FILE = 32 << 20
MERGE, SPILL = 1, 2
TIMED_OUT, CANCELLED = 1, 2


def text(data):
    return struct.pack(">I", len(data)) + data


def find(name, env):
    """The program that a shell would take. Searching here spares the new process a failed exec for each folder."""
    if b"/" in name:
        return name
    for place in env.get(b"PATH", os.defpath.encode()).split(b":"):
        path = (place or b".") + b"/" + name
        if name and os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    raise FileNotFoundError(errno.ENOENT, "command not found")


def start(argv, env, ends):
    """pid of a new session leader with `ends` as stdin, stdout and stderr, in the current folder."""
    program = find(argv[0] if argv else b"", env)
    signals = (signal.SIGPIPE, signal.SIGXFSZ)
    if hasattr(os, "posix_spawn"):  # no copy of the page tables: half the time of a fork
        actions = [(os.POSIX_SPAWN_DUP2, end, fd) for fd, end in enumerate(ends)]
        try:
            return os.posix_spawn(program, argv, env, file_actions=actions, setsid=True, setsigdef=signals)
        except NotImplementedError:
            pass
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        for fd, end in enumerate(ends):
            os.dup2(end, fd)
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        os.execve(program, argv, env)
    except OSError as error:
        os.write(2, b"kimicode: " + argv[0] + b": " + os.strerror(error.errno).encode() + b"\n")
    finally:
        os._exit(126)


class Capture:
    """Head and tail of a stream, and on demand the whole of a long one in a file."""

    def __init__(self, limit, spill=None):
        self.limit, self.spill, self.total = limit, spill, 0
        self.first, self.last = bytearray(), bytearray()
        self.fd, self.path, self.spilled = -1, b"", 0

    def add(self, data):
        if self.spill and self.total + len(data) > self.limit:
            if self.fd < 0 and not self.path:
                self.path, self.fd = self.spill()
                self._keep(bytes(self.first + self.last))
            self._keep(data)
        self.total += len(data)
        room = self.limit // 2 - len(self.first)
        self.first += data[:room] if room > 0 else b""
        self.last += data[max(room, 0) :]
        if len(self.last) > self.limit + (1 << 20):
            del self.last[: -(self.limit - self.limit // 2) or None]

    def _keep(self, data):
        view = memoryview(data)[: SPILL_FILE - self.spilled]
        try:
            while view and self.fd >= 0:
                count = os.write(self.fd, view)
                self.spilled += count
                view = view[count:]
        except OSError:
            os.close(self.fd)
            self.fd = -1

    def end(self):
        """(bytes, dropped, length of the head)"""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.total > self.limit:
            del self.last[: -(self.limit - self.limit // 2) or None]
        dropped = self.total - len(self.first) - len(self.last)
        return bytes(self.first + self.last), dropped, len(self.first) if dropped else 0


def children():
    """{pid: [pids of its children]} of every process that can be seen."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/" + name + "/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            found.setdefault(parent, []).append(int(name))
    return found


def descendants(pid):
    found, todo, all_of_them = children(), [pid], []
    while todo:
        below = found.get(todo.pop(), ())
        todo.extend(below)
        all_of_them.extend(below)
    return all_of_them


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass


class Job:
    """One running command. The request is read in the order in which frames.py writes it."""

    def __init__(self, number, nonce, request, files, spill):
        self.number, self.nonce = number, nonce
        timeout, limit, flags = request.number(">d"), request.number(">I"), request.number(">B")
        cwd, argv, env, stdin = request.text(), request.texts(), request.texts(), request.text()
        self.output = Capture(limit, spill if flags & SPILL else None)
        self.errors = self.output if flags & MERGE else Capture(limit)
        self.stdin, self.ended, self.status, self.flags = memoryview(stdin), 0.0, 0, 0
        self.fds = {}  # descriptor -> Capture, or None for the command's stdin
        at = files.folder(cwd)
        try:
            self.started = time.monotonic()
            self.deadline = self.started + timeout
            self._spawn(argv, env, at, bool(flags & MERGE), bool(stdin))
        finally:
            os.close(at)

    def _spawn(self, argv, env, at, merge, feed):
        """Start the command, or note why it cannot be started. `at`: descriptor of its folder."""
        full = dict(os.environb)
        full.update(item.split(b"=", 1) for item in env)
        pipes = [os.pipe() for _ in range(3)]
        if not feed:
            os.close(pipes[0][0])
            pipes[0] = (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), pipes[0][1])
        ends = (pipes[0][0], pipes[1][1], pipes[1 if merge else 2][1])
        try:
            os.fchdir(at)
            full[b"PWD"] = os.getcwdb()
            self.pid = start(argv, full, ends)
        except (OSError, ValueError) as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "command not found" if missing else getattr(error, "strerror", None) or str(error)
            self.errors.add(b"kimicode: " + b"".join(argv[:1]) + b": " + reason.encode() + b"\n")
            self.pid, self.status, self.ended = 0, 127 if missing else 126, time.monotonic()
        finally:
            os.chdir("/")
            for fd in (pipes[0][0], pipes[1][1], pipes[2][1]):
                os.close(fd)
        for fd, capture, wanted in (
            (pipes[0][1], None, feed),
            (pipes[1][0], self.output, True),
            (pipes[2][0], self.errors, not merge),
        ):
            if wanted and self.pid:
                os.set_blocking(fd, False)
                self.fds[fd] = capture
            else:
                os.close(fd)

    def pump(self, fd):
        """Move what is ready; False when the pipe is at its end."""
        capture = self.fds[fd]
        try:
            if capture is None:
                self.stdin = self.stdin[os.write(fd, self.stdin[:65536]) :]
                return len(self.stdin) > 0
            data = os.read(fd, 1 << 18)
            capture.add(data)
            return len(data) > 0
        except BlockingIOError:
            return True
        except OSError:
            return False

    def stop(self, flag):
        if not self.flags and not self.ended:
            self.flags = flag
            others = descendants(self.pid)
            self.kill_group()
            for pid in others:
                kill(pid)

    def kill_group(self):
        """While the leader is not yet reaped its number cannot belong to anybody else."""
        try:
            if self.pid:
                os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            pass

    def check(self):
        """Note the exit of the leader; it stays a zombie until the job is finished."""
        if self.ended or not self.pid:
            return
        info = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if info is not None:
            self.ended = time.monotonic()
            if not self.status:
                self.status = info.si_status + (0 if info.si_code == os.CLD_EXITED else 128)

    def result(self):
        output, dropped, head = self.output.end()
        errors = b""
        if self.errors is not self.output:
            errors, lost, at = self.errors.end()
            if lost:
                gap = "\n[... {} bytes left out ...]\n".format(lost).encode()
                errors = errors[:at] + gap + errors[at:]
        status = 124 if self.flags & TIMED_OUT else self.status
        seconds = self.ended - self.started
        front = struct.pack(">iBdQI", status, self.flags, seconds, dropped, head)
        return front + text(output) + text(errors) + text(self.output.path)
