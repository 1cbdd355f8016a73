"""The error tree of kimicode.

    KimicodeError                     exit_code 1
    ├── UsageError                    2   the command line or its input is wrong
    │   └── RepositoryError           2   not a repository, no such base, unborn HEAD
    ├── ConfigError                   3   settings or repository cannot be used as they are
    │   ├── KeyMissing                3   no API key
    │   ├── AuthError                 3   the endpoint refused the key
    │   └── UnknownModel              3   the endpoint does not serve the model
    ├── NotApplicable                 4   the result does not fit the user's tree
    ├── SandboxError                  6   the sandbox itself failed (never: a command in it failed)
    │   ├── SandboxUnavailable        6   no backend works here
    │   └── SandboxLost               6   it worked, then went away; may be started again (retryable)
    ├── DiskFull                      74
    ├── JournalError                  74  the log cannot be written or read
    ├── ModelError                    75  the provider failed; `retryable` says whether asking again can help
    │   ├── ContextOverflow           75  the request is longer than the model's window
    │   └── QuotaExceeded             75  no balance left: never retried
    ├── Interrupted                   130
    └── ToolError                     --  text for the model: it becomes the tool's result, never an exit
        └── FileError                 --  a path that cannot be read or written, with the kind of reason

`exit_code` and `retryable` are data on the class, so that one place (cli) turns errors into exits and one
place (models/wrap.py) decides on retries. Every message says what happened, why, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar, Literal


class KimicodeError(Exception):
    """Base of all errors that a user may see. `str(error)` is the message, `hint` the next step."""

    exit_code: ClassVar[int] = 1
    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(KimicodeError):
    exit_code = 2


class RepositoryError(UsageError):
    pass


class ConfigError(KimicodeError):
    exit_code = 3


class KeyMissing(ConfigError):
    pass


class AuthError(ConfigError):
    pass


class UnknownModel(ConfigError):
    """The endpoint answered 404 for the model. `served`: the ids that it lists, if it said."""

    def __init__(self, message: str, *, hint: str = "", served: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.served = served


class NotApplicable(KimicodeError):
    exit_code = 4


class SandboxError(KimicodeError):
    exit_code = 6


class SandboxUnavailable(SandboxError):
    pass


class SandboxLost(SandboxError):
    retryable = True


class DiskFull(KimicodeError):
    exit_code = 74


class JournalError(KimicodeError):
    exit_code = 74


class ModelError(KimicodeError):
    """The provider failed.

    `kind`: the endpoint's `error.type` or one of ours (`connection`, `timeout`, `stream_cut`, `bad_reply`,
    `empty_reply`). `wait_s`: what Retry-After asked for, None when it said nothing.
    """

    exit_code = 75

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        kind: str = "server_error",
        status: int = 0,
        retryable: bool = False,
        wait_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.status = status
        self.retryable = retryable
        self.wait_s = wait_s


class ContextOverflow(ModelError):
    pass


class QuotaExceeded(ModelError):
    pass


class Interrupted(KimicodeError):
    exit_code = 130


class ToolError(KimicodeError):
    """Goes to the model as the result of its call. Any other exception ends the run."""


FileProblem = Literal[
    "missing", "directory", "not_regular", "outside", "too_large", "permission", "exists", "disk_full"
]


class FileError(ToolError):
    """A path that cannot be read or written inside the sandbox."""

    def __init__(self, message: str, *, kind: FileProblem, path: str) -> None:
        super().__init__(message)
        self.kind: FileProblem = kind
        self.path = path
