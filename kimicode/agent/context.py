"""The history within the model's window: estimate and compaction, both pure."""

from __future__ import annotations

from collections.abc import Sequence

from kimicode.core.message import Message

KEEP_LAST = 12
"""Messages at the end that compaction never touches."""
ELIDE_OVER = 600
"""Characters of a tool result above which it is elided."""
TARGET = 0.5
"""Share of the window that the history should have after compaction."""


def estimate_tokens(messages: Sequence[Message]) -> int:
    """Tokens, roughly: four ASCII characters or one other character each, as Kimi's own client counts."""
    total = 0
    for m in messages:
        texts = (m.text, m.reasoning or "", *(c.arguments + c.name for c in m.tool_calls))
        for text in texts:
            wide = 0 if text.isascii() else sum(ch > "\x7f" for ch in text)
            total += (len(text) - wide) // 4 + wide
        total += 4 + 2_000 * len(m.media)
    return total


def compact(messages: Sequence[Message], *, window: int) -> tuple[tuple[Message, ...], int, int]:
    """A shorter history with the tokens before and after.

    The user's own words (and the harness's) stay verbatim, so do the last messages; old tool outputs and
    reasoning go first, and when that is not enough the oldest steps go as a whole. A call is never parted from
    its result: Kimi answers 400 for either without the other.
    """
    before = estimate_tokens(messages)
    start = _tail_start(messages)
    head = [_elide(m) for m in messages[:start]]
    result = (*head, *messages[start:])
    if window and estimate_tokens(result) > window * TARGET:
        result = (*_drop_steps(head), *messages[start:])
    return result, before, estimate_tokens(result)


def _tail_start(messages: Sequence[Message]) -> int:
    """Where the untouched end begins: never between a call and its results."""
    start = max(0, len(messages) - KEEP_LAST)
    while start > 0 and messages[start].role == "tool":
        start -= 1
    return start


def _elide(message: Message) -> Message:
    if message.role == "tool" and len(message.text) > ELIDE_OVER:
        first = message.text[: ELIDE_OVER // 3].rsplit("\n", 1)[0]
        lines = message.text.count("\n") + 1
        return message.model_copy(
            update={"text": f"{first}\n[elided: {lines} lines of an earlier result; call again if needed]"}
        )
    if message.role == "assistant" and message.reasoning:
        return message.model_copy(update={"reasoning": ""})
    return message


def _drop_steps(head: Sequence[Message]) -> tuple[Message, ...]:
    """Only what was said by people and the harness, with one line for the steps between."""
    kept = [m for m in head if m.role == "user"]
    names: dict[str, int] = {}
    for m in head:
        for call in m.tool_calls:
            names[call.name] = names.get(call.name, 0) + 1
    if names:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(names.items()))
        kept.append(
            Message(
                role="user", text=f"[Earlier steps were left out to save space. Calls made there: {counts}.]"
            )
        )
    return tuple(kept)
