"""The only place that runs git: by argument list, with a cleaned environment and nothing a repository could execute.

Three rules make git safe on a repository that someone else wrote. Git is told where the git directory and the work tree
are and never finds them itself (an agent may have planted a `.git`). Every configuration key that names a command is
overridden on the command line, which beats all files. Nothing of the user's environment that begins with GIT_
arrives. Sources: reference/security.md B1-B5.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kimicode.errors import ConfigError, DiskFull, KimicodeError

HARDENING: Final = (
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=",
    "core.sshCommand=false",
    "core.gitProxy=",
    "core.alternateRefsCommand=",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.quotePath=false",
    "credential.helper=",
    "diff.external=",
    "diff.ignoreSubmodules=all",
    "submodule.recurse=false",
    "gpg.program=false",
    "gpg.ssh.program=false",
    "log.showSignature=false",
    "commit.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "safe.bareRepository=explicit",
    "uploadpack.packObjectsHook=",
    "advice.addEmbeddedRepo=false",
)
"""Configuration given to every command. Filters, textconv and merge drivers have names of their own choosing and
cannot be listed: commands that would run them read only configuration that kimicode wrote (see `store.py`)."""

_PASSED: Final = ("PATH", "TMPDIR", "SUDO_UID", "SYSTEMROOT")
_FULL: Final = ("No space left on device", "Disk quota exceeded", "out of disk space")


class GitError(KimicodeError):
    """A git command failed. `stderr`: what it said; `returncode`: negative for a signal."""

    def __init__(self, message: str, *, hint: str = "", returncode: int = 1, stderr: str = "") -> None:
        super().__init__(message, hint=hint)
        self.returncode = returncode
        self.stderr = stderr


@dataclass(frozen=True, slots=True)
class Output:
    """What one git command did. `stderr` is English (LC_ALL=C); bytes that are not UTF-8 are escaped in it."""

    returncode: int
    stdout: bytes
    stderr: str


@functools.cache
def git_program() -> str:
    """Absolute path of git. Relative entries of PATH do not count: a repository may hold a file named git."""
    folders = [
        folder
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        if Path(folder).is_absolute()
    ]
    found = shutil.which("git", path=os.pathsep.join(folders))
    if found is None:
        raise ConfigError(
            "git is not installed, or not on PATH.", hint="Install git 2.32 or newer, e.g. apt install git."
        )
    return found


def quote_alternate(path: Path) -> str:
    """A path as one entry of GIT_ALTERNATE_OBJECT_DIRECTORIES or objects/info/alternates."""
    text = str(path)
    if not re.search(r'[:;"\n\\#]', text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


@dataclass(frozen=True, slots=True)
class Git:
    """Where a git command works. Frozen: `dataclasses.replace` makes variants.

    `gitdir` None lets git find the repository from `cwd`: only for a repository of the user, never for a
    tree that an agent may have written.
    """

    gitdir: Path | None = None
    worktree: Path | None = None
    index: Path | None = None
    objects: Path | None = None
    """Where new objects go, when not into the git directory."""
    alternates: tuple[Path, ...] = ()
    """More object folders to read from."""
    config: tuple[str, ...] = ()
    """Further `key=value` settings; they win over HARDENING."""
    cwd: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    """Variables that are not set after all, unless `env` of a call sets them."""

    async def run(
        self, *args: str, stdin: bytes = b"", check: bool = True, env: Mapping[str, str] | None = None
    ) -> bytes:
        """Run one command and return its standard output.

        With check=True a failure raises GitError (DiskFull when the disk is full); with False whatever it
        printed is returned, and a full disk still raises.
        """
        return (await self.run_all([args], stdin=stdin, check=check, env=env))[-1].stdout

    async def probe(self, *args: str, stdin: bytes = b"") -> Output:
        """Run one command whose failure is an answer."""
        return (await self.run_all([args], stdin=stdin, check=False))[-1]

    async def run_all(
        self,
        commands: Sequence[Sequence[str]],
        *,
        stdin: bytes = b"",
        check: bool = True,
        env: Mapping[str, str] | None = None,
        proceed: Callable[[Output], bool] | None = None,
    ) -> list[Output]:
        """Run commands one after another in one worker thread (changing threads costs as much as half a command).

        Stops after the first that fails, or of whose output `proceed` (called in the thread) says False; the
        outputs are those of the commands that ran. `stdin` goes to the first. When the caller is cancelled the
        running command is told to end, which makes git remove its lock files, and waited for.
        """
        process = _Process(proceed)
        environment = self._environment(env)
        argvs = [self._argv(command) for command in commands]
        # In the work tree, or git cannot see which entries of an index it rewrites are too young to be trusted
        # (racy entries): changes of the same size would go unseen.
        cwd = str(self.worktree or self.cwd)
        task = asyncio.create_task(asyncio.to_thread(process.run, argvs, environment, cwd, stdin))
        try:
            outputs = await asyncio.shield(task)
        except asyncio.CancelledError:
            process.stop()
            await asyncio.wait([task])
            raise
        last = outputs[-1]
        if last.returncode != 0:
            self._raise(commands[len(outputs) - 1], last, check)
        return outputs

    def _argv(self, args: Sequence[str]) -> list[str]:
        argv = [
            git_program(),
            "--no-pager",
            "--literal-pathspecs",
            "--no-optional-locks",
            "--no-replace-objects",
        ]
        for setting in (*HARDENING, *self.config):
            argv += ("-c", setting)
        return [*argv, *args]

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        env = {name: os.environ[name] for name in _PASSED if name in os.environ}
        env |= {
            "LC_ALL": "C",
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_PAGER": "cat",
            "GIT_EDITOR": "false",
            "GIT_ASKPASS": "",
        }
        for name, path in (
            ("GIT_DIR", self.gitdir),
            ("GIT_WORK_TREE", self.worktree),
            ("GIT_INDEX_FILE", self.index),
            ("GIT_OBJECT_DIRECTORY", self.objects),
        ):
            if path is not None:
                env[name] = str(path)
        if self.alternates:
            env["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = ":".join(map(quote_alternate, self.alternates))
        for name in self.dropped:
            del env[name]
        return env | dict(self.environment) | dict(extra or {})

    def _raise(self, command: Sequence[str], output: Output, check: bool) -> None:
        if any(text in output.stderr for text in _FULL):
            raise DiskFull(
                f"The disk is full: git {command[0]} could not write.",
                hint="Free some space (kimicode sessions prune removes old sessions), then kimicode resume.",
            )
        if check:
            said = output.stderr.strip() or f"exit code {output.returncode}"
            raise GitError(
                f"git {command[0]} failed: {said[-2000:]}", returncode=output.returncode, stderr=output.stderr
            )


class _Process:
    """The command that runs now, so that another thread can end it."""

    def __init__(self, proceed: Callable[[Output], bool] | None) -> None:
        self._proceed = proceed
        self._current: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, argvs: Sequence[list[str]], env: dict[str, str], cwd: str, stdin: bytes) -> list[Output]:
        outputs: list[Output] = []
        for argv in argvs:
            if self._stopped:
                break
            outputs.append(self._one(argv, env, cwd, stdin))
            stdin = b""
            if outputs[-1].returncode != 0 or (self._proceed is not None and not self._proceed(outputs[-1])):
                break
        return outputs

    def stop(self) -> None:
        self._stopped = True
        process = self._current
        if process is not None and process.poll() is None:
            process.terminate()

    def _one(self, argv: list[str], env: dict[str, str], cwd: str, stdin: bytes) -> Output:
        try:
            # A session of its own: Ctrl-C in the terminal must not end a snapshot half-way. The umask makes
            # files that a sandbox of another user can read, whatever mask protects kimicode's own files.
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=env,
                cwd=cwd,
                umask=0o022,
                start_new_session=True,
            )
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull(
                    "The disk is full: git could not be started.", hint="Free some space."
                ) from error
            if error.errno == errno.E2BIG:
                raise GitError(f"git {argv[-1]}: too many arguments for one command.") from error
            if not Path(cwd).is_dir():
                raise GitError(f"The folder {cwd} is gone.", hint="It was removed meanwhile.") from error
            raise GitError(
                f"git could not be started: {error}.", hint="Is git installed and executable?"
            ) from error
        self._current = process
        out, err = process.communicate(stdin or None)
        return Output(process.returncode, out, err.decode("utf-8", "backslashreplace"))


IGNORES_CASE: Final = sys.platform in ("darwin", "win32")
