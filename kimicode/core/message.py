"""What is said between kimicode and the model, as values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of every value that crosses a boundary (disk, wire, process)."""

    # A validator is built when the class is first used: a run uses a few of the many, and not one while it starts.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


Role = Literal["system", "user", "assistant", "tool"]
Effect = Literal["read", "write", "exec"]


class ToolCall(Frozen):
    """One call as the model sent it."""

    id: str
    """The id of the wire, kept verbatim. Kimi's ids repeat within a conversation: never use it as a key."""
    name: str
    arguments: str
    """Raw JSON text, perhaps empty, perhaps malformed."""


class Media(Frozen):
    """An image or video beside a message."""

    mime: str
    data: str
    """Base64."""


class Message(Frozen):
    """One message of the history, stored raw; models/wire.py derives the wire form of each backend."""

    role: Role
    text: str = ""
    reasoning: str | None = None
    """None: the reply carried no reasoning. "" is not None: Kimi wants an empty reasoning echoed too."""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """For role "tool": the raw wire id of the call that it answers."""
    media: tuple[Media, ...] = ()


class Usage(Frozen):
    """Tokens of one or many calls. `cached` is part of `input`, `reasoning` is part of `output`."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            cached=self.cached + other.cached,
            output=self.output + other.output,
            reasoning=self.reasoning + other.reasoning,
        )


class ToolSpec(Frozen):
    """A tool as it is declared to the model."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON Schema, flat: root object, every property typed (Moonshot refuses what its own subset lacks)."""


class ToolResult(Frozen):
    """What a tool gives back. `text` goes to the model, all the rest to people and to the state."""

    text: str
    ok: bool = True
    diff: str = ""
    """Unified diff of what an edit changed, for display."""
    summary: str = ""
    """One line for people, e.g. "2 hunks in src/calc.py"."""
    cwd: str | None = None
    """Set by the shell: the working directory that the next command starts in."""
    files: dict[str, str] = {}
    """Digest (sha256 hex) of each file as the model has now seen it, by repository-relative path."""
    data: dict[str, Any] = {}


class Delta(Frozen):
    """A piece of a reply while it streams: shown, never kept."""

    kind: Literal["text", "reasoning", "call"]
    text: str
    """For "call": the name of the tool, sent once when it is known."""


FinishReason = Literal["stop", "tool_calls", "length", "content_filter", "unknown"]


class Reply(Frozen):
    """A whole, well-ended answer of the model: the only thing that may be acted on."""

    message: Message
    usage: Usage
    finish: FinishReason
    model: str
    """The id under which the endpoint answered."""
    trace_id: str = ""
    seconds: float = 0.0
    lost: Usage = Usage()
    """Tokens of answers to the same request that were thrown away (empty, cut off): billed, never shown."""


class ModelRequest(Frozen):
    """One request in the history's own terms."""

    messages: tuple[Message, ...]
    """The first is the system message."""
    tools: tuple[ToolSpec, ...] = ()
    max_output: int = 16_384
    """Tokens of reasoning and answer together (Kimi counts both against one cap)."""
    thinking: bool = True
    session_id: str = ""
    """Sent as `prompt_cache_key` where the backend knows it."""


class ModelSpec(Frozen):
    """What the catalog knows about a model on a backend. Prices in USD per million tokens."""

    id: str
    backend: str
    context_window: int
    price_input: float
    price_cached: float
    price_output: float
    wants_apply_patch: bool = False

    def cost(self, usage: Usage) -> float:
        """USD of `usage` at this model's prices; reasoning is billed as output."""
        fresh = max(0, usage.input - usage.cached)
        total = fresh * self.price_input + usage.cached * self.price_cached + usage.output * self.price_output
        return total / 1_000_000
