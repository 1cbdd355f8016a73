"""The process inside every sandbox: it runs commands and reads and writes files, by frames on stdin and stdout.

Usage: runner.py ROOT TMP. Needs Python 3.5 or newer and nothing but built-in modules (slim images carry
python3-minimal). It is the container's main process, or a child subreaper where there is no pid namespace, and
ends, with everything that it started, when its stdin closes. The frames are described in kimicode/sandbox/frames.py.
"""

import os
import select
import signal
import struct
import sys
import time

from command import CANCELLED, TIMED_OUT, Job, descendants, kill, text
from files import Failure, Files, failure

VERSION = 1
MAX_FRAME = 64 << 20
SPILL_FILES = 8
GRACE = 0.1  # seconds for the pipes of an ended command to close by themselves (process substitution)
HELLO, EXEC, READ, WRITE, CANCEL, RESULT, DATA, DONE, FAIL = range(1, 10)
HEAD = struct.Struct(">IBI16s")


class Request:
    """Fields of a frame, in order."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        value = struct.unpack_from(form, self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def text(self):
        size = self.number(">I")
        self.at += size
        return bytes(self.data[self.at - size : self.at])

    def texts(self):
        return [self.text() for _ in range(self.number(">I"))]


class Runner:
    def __init__(self, root, tmp):
        self.files, self.tmp = Files([(root, root), (tmp, tmp)]), tmp
        self.jobs, self.spills = [], []
        self.poll, self.owners = select.poll(), {}
        self.incoming, self.outgoing, self.ending = bytearray(), bytearray(), False
        wake, self.waker = os.pipe()
        for fd in (0, 1, wake, self.waker):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self.waker)
        # a stray `pkill python` must not end the sandbox: it ends when stdin closes. Handlers, unlike SIG_IGN, are not
        # inherited by commands.
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self.wake = wake
        self.poll.register(wake, select.POLLIN)
        self.poll.register(0, select.POLLIN)

    def run(self):
        version = "{}.{}.{}".format(*sys.version_info[:3]).encode()
        hello = struct.pack(">HIII", VERSION, os.getpid(), os.getuid(), os.getgid()) + text(version)
        self.send(HELLO, 0, bytes(16), hello)
        try:
            while not self.ending:
                for fd, _ in self.poll.poll(self._patience()):
                    self._serve(fd)
                self._settle()
        finally:
            for job in self.jobs:
                job.stop(CANCELLED)
            self._sweep()

    def _patience(self):
        times = [job.ended + GRACE if job.ended else job.deadline for job in self.jobs]
        return max(0, int((min(times) - time.monotonic()) * 1000) + 1) if times else None

    def _serve(self, fd):
        if fd == self.wake:
            os.read(fd, 4096)
        elif fd == 0:
            self._receive()
        elif fd == 1:
            self._flush()
        elif fd in self.owners and not self.owners[fd].pump(fd):
            self._close(fd)

    def _close(self, fd):
        self.poll.unregister(fd)
        del self.owners.pop(fd).fds[fd]
        os.close(fd)

    def _receive(self):
        try:
            data = os.read(0, 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self.ending = True
            return
        self.incoming += data
        while len(self.incoming) >= HEAD.size:
            size, kind, number, nonce = HEAD.unpack_from(self.incoming)
            if size > MAX_FRAME:
                raise SystemExit("frame too large")
            if len(self.incoming) < 4 + size:
                return
            request = Request(bytes(self.incoming[HEAD.size : 4 + size]))
            del self.incoming[: 4 + size]
            try:
                self._handle(kind, number, nonce, request)
            except (Failure, OSError) as error:
                if isinstance(error, OSError):
                    error = failure(error, b"")
                body = text(error.kind.encode()) + text(error.path) + text(error.message.encode())
                self.send(FAIL, number, nonce, body)

    def _handle(self, kind, number, nonce, request):
        if kind == EXEC:
            job = Job(number, nonce, request, self.files, self._spill)
            self.jobs.append(job)
            for fd, capture in job.fds.items():
                self.owners[fd] = job
                self.poll.register(fd, select.POLLOUT if capture is None else select.POLLIN)
        elif kind == READ:
            offset, limit = request.number(">Q"), request.number(">Q")
            data, size, mode = self.files.read(request.text(), offset, limit)
            self.send(DATA, number, nonce, struct.pack(">QI", size, mode) + text(data))
        elif kind == WRITE:
            changes = []
            for _ in range(request.number(">I")):
                flags, mode = request.number(">B"), request.number(">I")
                path, data = request.text(), request.text()
                changes.append((path, None if flags & 1 else data, mode if flags & 2 else None))
            self.files.write(changes)
            self.send(DONE, number, nonce, b"")
        elif kind == CANCEL:
            for job in self.jobs:
                if job.nonce == nonce:
                    job.stop(CANCELLED)

    def _spill(self):
        """(path, descriptor) of a new file for a whole output; only the last few are kept."""
        path = self.tmp + b"/output-" + os.urandom(6).hex().encode() + b".txt"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path, flags, 0o600)
        except OSError:
            return b"", -1
        self.spills.append(path)
        while len(self.spills) > SPILL_FILES:
            try:
                os.unlink(self.spills.pop(0))
            except OSError:
                pass
        return path, fd

    def _settle(self):
        self._reap()
        now = time.monotonic()
        for job in list(self.jobs):
            job.check()
            if not job.ended and now >= job.deadline:
                job.stop(TIMED_OUT)
            elif job.ended and (now >= job.ended + GRACE or not any(job.fds.values())):
                self._finish(job)

    def _finish(self, job):
        job.kill_group()
        self.jobs.remove(job)
        if job.pid:
            os.waitpid(job.pid, 0)
        if not self.jobs:
            self._sweep()
        for fd, capture in list(job.fds.items()):
            if capture is not None:
                self._drain(job, fd)
            self._close(fd)
        self.send(RESULT, job.number, job.nonce, job.result())

    def _drain(self, job, fd):
        """What stands in a pipe of an ended command; at most a pipe's size, for its writer may still live."""
        left = 1 << 20
        while left > 0:
            before = job.fds[fd].total
            if not job.pump(fd) or job.fds[fd].total == before:
                return
            left -= job.fds[fd].total - before

    def _reap(self):
        """Orphans that ended meanwhile; a leader stays a zombie until its job is finished."""
        leaders = [job.pid for job in self.jobs]
        try:
            while True:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if info is None or info.si_pid in leaders:
                    return
                os.waitpid(info.si_pid, os.WNOHANG)
        except ChildProcessError:
            pass

    def _sweep(self):
        """Kill and reap every process that is left over."""
        until = time.monotonic() + 2
        while time.monotonic() < until:
            try:
                if os.waitpid(-1, os.WNOHANG)[0]:
                    continue
            except ChildProcessError:
                return
            if os.getpid() == 1:
                try:
                    os.kill(-1, signal.SIGKILL)
                except OSError:
                    pass
            else:
                for pid in descendants(os.getpid()):
                    kill(pid)
            time.sleep(0.0005)

    def send(self, kind, number, nonce, body):
        self.outgoing += HEAD.pack(HEAD.size - 4 + len(body), kind, number, nonce) + body
        self._flush()

    def _flush(self):
        try:
            while self.outgoing:
                del self.outgoing[: os.write(1, self.outgoing)]
        except BlockingIOError:
            self.poll.register(1, select.POLLOUT)
            return
        except OSError:
            self.ending = True
        try:
            self.poll.unregister(1)
        except (KeyError, OSError):
            pass


if __name__ == "__main__":
    os.umask(0o022)
    Runner(os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2])).run()
