"""The events of a session: the only truth, and all that a screen, a bill or a resume is computed from.

Durable events are in the log, in the order of `seq`; ephemeral ones are shown and forgotten. Order that readers
may rely on: SessionStarted is first; BaseCaptured before RunStarted; RunStarted before any request; each
ModelRequested is followed by ModelReplied or ModelFailed (or by nothing, when the process died); a call's events
are ToolRefused alone, or ApprovalAsked, ApprovalGiven, ToolStarted, ToolFinished (approval only where the policy
asks); RunStopped, then ChecksRan of the verification, then RunFinished, then Published.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, TypeAdapter

from kimicode.core.checks import CheckCommand, CheckRun
from kimicode.core.message import Effect, FinishReason, Frozen, Message, ToolResult, ToolSpec, Usage
from kimicode.core.plan import Limits

FORMAT = 1
"""Version of the log. A reader refuses to write to a log of a newer format."""

StopReason = Literal["done", "stuck", "steps", "budget", "time", "error", "cancelled"]
CheckRole = Literal[
    "base",
    "base_again",
    "result_base_tests",
    "result",
    "restored_again",
    "result_again",
    "result_tests_on_base",
    "gate",
    "tool",
    "head",
]


class EventBase(Frozen):
    """What every event carries. `seq` and `ts` are set when it is emitted."""

    durable: ClassVar[bool] = True
    seq: int = -1
    ts: float = 0.0
    """Seconds since the epoch. For display and budgets; order is by `seq` alone."""
    agent: str = "root"


class SessionStarted(EventBase):
    kind: Literal["session_started"] = "session_started"
    session_id: str
    format: int = FORMAT
    version: str
    repo: str
    """Absolute path of the user's repository."""
    created: int
    """Seconds since the epoch: the frozen date of the commit."""
    request: dict[str, Any]
    """What the user asked for, enough to go on after a kill."""


class BaseCaptured(EventBase):
    kind: Literal["base_captured"] = "base_captured"
    base: dict[str, Any]
    """workspace.capture.Base as JSON."""
    notes: tuple[str, ...] = ()
    """Lines for the user: files left out, submodules that are not there."""


class EnvironmentReady(EventBase):
    kind: Literal["environment_ready"] = "environment_ready"
    environment: dict[str, Any]
    """app.environment: key, image, layer, interpreter; what every checkout and container of the session gets."""


class RunStarted(EventBase):
    kind: Literal["run_started"] = "run_started"
    system: str
    tools: tuple[ToolSpec, ...]
    model: str
    base_url: str
    thinking: bool
    context_window: int
    limits: Limits
    sandbox: str
    """The line that names the sandbox and says why it was taken."""
    checks: tuple[CheckCommand, ...] = ()
    identity: tuple[str, str] = ("", "")
    """Author's name and e-mail, frozen so that a resumed run makes the same commit."""


class UserSpoke(EventBase):
    kind: Literal["user_spoke"] = "user_spoke"
    text: str
    source: Literal["task", "user", "harness"] = "user"
    topic: str = ""
    """For harness notes: what it is about, so that each is said once ("base_checks", "stuck", "half")."""


class ModelRequested(EventBase):
    kind: Literal["model_requested"] = "model_requested"
    step: int
    max_output: int


class ModelReplied(EventBase):
    kind: Literal["model_replied"] = "model_replied"
    step: int
    message: Message
    usage: Usage
    usd: float
    """Priced when it happened; never computed again."""
    finish: FinishReason
    model: str
    trace_id: str = ""
    seconds: float = 0.0


class ModelFailed(EventBase):
    kind: Literal["model_failed"] = "model_failed"
    step: int
    error: str
    """Class of the error, e.g. "AuthError"."""
    text: str
    hint: str = ""
    exit_code: int = 75


class ToolRefused(EventBase):
    kind: Literal["tool_refused"] = "tool_refused"
    key: str
    name: str
    text: str
    """The result that the model reads: what was wrong with the call."""


class ApprovalAsked(EventBase):
    kind: Literal["approval_asked"] = "approval_asked"
    key: str
    description: str
    rule: str


class ApprovalGiven(EventBase):
    kind: Literal["approval_given"] = "approval_given"
    key: str
    allowed: bool


class ToolStarted(EventBase):
    kind: Literal["tool_started"] = "tool_started"
    key: str
    name: str
    effect: Effect
    description: str = ""
    network: bool = False


class ToolFinished(EventBase):
    kind: Literal["tool_finished"] = "tool_finished"
    key: str
    name: str
    result: ToolResult
    seconds: float = 0.0


class Snapshotted(EventBase):
    kind: Literal["snapshotted"] = "snapshotted"
    tree: str
    """The checkout as it was before the next effect: what an interrupted effect is rolled back to."""


class RolledBack(EventBase):
    kind: Literal["rolled_back"] = "rolled_back"
    keys: tuple[str, ...]
    tree: str = ""
    """Empty when nothing had to be restored (only reads were interrupted)."""


class Compacted(EventBase):
    kind: Literal["compacted"] = "compacted"
    messages: tuple[Message, ...]
    """The whole history from now on, the system message excepted."""
    before: int
    """Estimated tokens before, for people."""
    after: int


class ChecksRan(EventBase):
    kind: Literal["checks_ran"] = "checks_ran"
    role: CheckRole
    run: CheckRun
    cached: bool = False


class Submitted(EventBase):
    kind: Literal["submitted"] = "submitted"
    title: str
    body: str


class RunStopped(EventBase):
    kind: Literal["run_stopped"] = "run_stopped"
    reason: StopReason
    detail: str = ""
    tree: str
    """The checkout as the agent left it."""
    title: str = ""
    body: str = ""
    exit_code: int = 0
    """For reason "error": the exit code of the error that ended the run."""


class RunFinished(EventBase):
    kind: Literal["run_finished"] = "run_finished"
    verdict: str
    """"verified", "failed", "unverified" or "" when there was nothing to judge."""
    evidence: dict[str, Any] = {}
    notes: tuple[str, ...] = ()


class Published(EventBase):
    kind: Literal["published"] = "published"
    branch: str = ""
    commit: str = ""
    patch: str = ""
    applied: tuple[str, ...] = ()
    outcome: dict[str, Any]
    """core.outcome.Outcome as JSON: what `resume` prints when all was done already."""


class Resumed(EventBase):
    kind: Literal["resumed"] = "resumed"
    pid: int


class TextDelta(EventBase):
    durable: ClassVar[bool] = False
    kind: Literal["text_delta"] = "text_delta"
    text: str


class ReasoningDelta(EventBase):
    durable: ClassVar[bool] = False
    kind: Literal["reasoning_delta"] = "reasoning_delta"
    text: str


class ToolProgress(EventBase):
    durable: ClassVar[bool] = False
    kind: Literal["tool_progress"] = "tool_progress"
    key: str
    text: str


class RetryWaiting(EventBase):
    durable: ClassVar[bool] = False
    kind: Literal["retry_waiting"] = "retry_waiting"
    seconds: float
    reason: str
    """Deltas shown since the last ModelRequested are void: the attempt starts over."""


class Phase(EventBase):
    """What kimicode itself is doing: "sandbox: docker, image kimicode:1a2b", "checks on the base…"."""

    durable: ClassVar[bool] = False
    kind: Literal["phase"] = "phase"
    text: str


DurableEvent = (
    SessionStarted
    | BaseCaptured
    | EnvironmentReady
    | RunStarted
    | UserSpoke
    | ModelRequested
    | ModelReplied
    | ModelFailed
    | ToolRefused
    | ApprovalAsked
    | ApprovalGiven
    | ToolStarted
    | ToolFinished
    | Snapshotted
    | RolledBack
    | Compacted
    | ChecksRan
    | Submitted
    | RunStopped
    | RunFinished
    | Published
    | Resumed
)
EphemeralEvent = TextDelta | ReasoningDelta | ToolProgress | RetryWaiting | Phase
Event = DurableEvent | EphemeralEvent


@cache
def _adapter() -> TypeAdapter[Event]:
    # Takes 20 ms, and only a log that is read needs it.
    return TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def parse_event(line: bytes | str) -> Event:
    """An event from its JSON text. Raises pydantic.ValidationError (a ValueError)."""
    return _adapter().validate_json(line)
