"""The few interfaces between kimicode's parts. Adapters implement them; only app.py names the adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from kimicode.core.checks import CheckRun
from kimicode.core.message import Delta, Effect, ModelRequest, ModelSpec, Reply, ToolResult, ToolSpec


class Model(Protocol):
    """A model behind an endpoint."""

    @property
    def spec(self) -> ModelSpec: ...

    def stream(self, request: ModelRequest) -> AsyncIterator[Delta | Reply]:
        """Deltas, then exactly one Reply, last; or it raises ModelError, AuthError or UnknownModel.

        Nothing of an attempt that failed may be acted on: a retry starts over.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command did. A command that fails is a result; a sandbox that fails raises SandboxError."""

    exit_code: int
    """Shell convention: 128+n when a signal n ended it; 137 also when the memory limit did; 124 on timeout."""
    output: bytes
    """stdout (with stderr in order of arrival unless merge=False): head and tail when `dropped` > 0."""
    stderr: bytes = b""
    seconds: float = 0.0
    timed_out: bool = False
    dropped: int = 0
    """Bytes left out between head and tail of `output`."""
    head: int = 0
    """When `dropped` > 0: how many bytes of `output` stand before the gap."""
    spill: str = ""
    """Path inside the sandbox of the whole output, when it was larger than `limit` and a spill was asked for."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """Part or all of a regular file."""

    data: bytes
    size: int
    """Of the whole file, in bytes."""
    mode: int
    """Permission bits, e.g. 0o644."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of an atomic write. `data` None deletes it; `mode` None keeps the mode (new files: 0o644)."""

    path: str
    data: bytes | None
    mode: int | None = None


class Sandbox(Protocol):
    """Where everything that the model causes takes place.

    Paths are relative to `root` or absolute; they are resolved inside the sandbox, beneath `root` or `tmp`, never
    through a symlink that leaves them. Methods may be called concurrently; commands with effect "read" run
    in parallel, others one at a time.
    """

    @property
    def name(self) -> str:
        """ "docker", "bwrap", "host" or "memory"."""
        ...

    @property
    def root(self) -> str:
        """Absolute path of the checkout as commands see it."""
        ...

    @property
    def tmp(self) -> str:
        """Absolute path of a writable scratch folder outside the checkout, as commands see it."""
        ...

    @property
    def network(self) -> bool: ...

    async def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        cwd: str = "",
        env: Mapping[str, str] | None = None,
        merge: bool = True,
        limit: int = 65_536,
        spill: bool = False,
        effect: Effect = "exec",
    ) -> ExecResult:
        """Run a command in its own process group, with `cwd` relative to root.

        On timeout the whole group is killed and the partial output returned with timed_out. A program that
        is not there gives exit code 127. `env` is added to the sandbox's own small environment.
        """
        ...

    async def read(self, path: str, *, offset: int = 0, limit: int = 16 * 1024 * 1024) -> FileContent:
        """Raises FileError. Only regular files (symlinks that stay inside are followed); never blocks on a FIFO."""
        ...

    async def write(self, changes: Sequence[FileChange]) -> None:
        """All of them or none. Parents are made. Raises FileError and leaves everything as it was."""
        ...

    async def close(self) -> None:
        """End every process and free everything. May be called twice; never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Slot:
    """Host side of one checkout: what a launcher makes visible inside a sandbox.

    `gitdir` and `objects` appear inside at the very path they have on the host, so the `.git` file in `work`
    means the same on both sides.
    """

    work: Path
    """The filled working tree. Appears inside at `root`."""
    gitdir: Path
    """The agent's private git directory, writable inside. Never trusted by the host."""
    objects: Path
    """Object store of the base pack, read-only inside."""
    root: str
    """Absolute path inside the sandbox: the path that the user's repository has on the host."""
    scratch: Path
    """Folder of this slot for the launcher's own files (temp folder of host and bubblewrap, sockets)."""
    readonly: tuple[tuple[Path, str], ...] = ()
    """More host folders and where they appear inside, read-only or copy-on-write."""


class Launcher(Protocol):
    """Starts sandboxes of one backend."""

    @property
    def name(self) -> str: ...

    @property
    def owner(self) -> tuple[int, int] | None:
        """uid and gid that the files of a slot must belong to; None: leave them as they are."""
        ...

    async def prepare(self, probe: Path) -> str:
        """Prove by trying that this backend works with folders beside `probe`; returns a line saying what is used.

        Raises SandboxUnavailable with the reason and the remedy.
        """
        ...

    async def start(self, slot: Slot, *, env: Mapping[str, str] | None = None) -> Sandbox: ...

    async def close(self) -> None: ...


class Checkout(Protocol):
    """One working tree that an agent may change, checkpointed as git trees by the host."""

    @property
    def slot(self) -> Slot: ...

    @property
    def base(self) -> str:
        """Tree oid that the checkout was first filled with."""
        ...

    async def snapshot(self) -> str:
        """Tree oid of the working tree now: every file git does not ignore, nothing of an agent's git trusted."""
        ...

    async def restore(self, tree: str) -> None:
        """Make the working tree equal to `tree`; files that git ignores stay."""
        ...

    async def diff(self, old: str, new: str) -> bytes:
        """Binary-safe unified diff between two trees (`git diff --binary --full-index`)."""
        ...


class Checks(Protocol):
    """The project's checks as the tools see them; the harness runs them, not the model."""

    async def check(self, tests: Sequence[str]) -> tuple[CheckRun, str]:
        """Run the named tests or the whole check on the agent's checkout; the run and its text for the model."""
        ...

    async def gate(self, title: str, body: str) -> tuple[bool, str]:
        """What `submit` asks: may the run end here? False comes with the failing output for the model."""
        ...


@dataclass(slots=True)
class ToolContext:
    """What a tool may use during one call."""

    sandbox: Sandbox
    checks: Checks
    key: str
    """Unique key of the call, e.g. "7.0": step and index."""
    cwd: str = ""
    """Working directory for commands, relative to root."""
    seen: Mapping[str, str] = field(default_factory=dict)
    """Digest of each file as the model last saw it (ToolResult.files of all earlier calls)."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """How often an edit of each path has failed in a row."""
    progress: Callable[[str], None] = lambda text: None


class Tool(Protocol):
    """A tool of the model. Raises ToolError for what the model should read; anything else ends the run."""

    @property
    def spec(self) -> ToolSpec: ...

    @property
    def effect(self) -> Effect: ...

    def parse(self, arguments: str) -> Any:
        """Arguments from raw JSON; ToolError says which one is wrong and what is expected."""
        ...

    def describe(self, arguments: Any) -> str:
        """One short line for people: what the call is about to do, e.g. the command."""
        ...

    async def __call__(self, context: ToolContext, arguments: Any) -> ToolResult: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policy says about a call, with the name of the rule."""

    decision: Literal["allow", "deny", "ask"]
    rule: str


Approver = Callable[[str, str], Awaitable[bool]]
"""(description, rule) -> allowed. The console asks, CI denies, --yes allows."""
