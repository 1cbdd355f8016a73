"""Lines like "# ... existing code ..." stand for code that the model left out: they never reach a file."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kimicode.edit.errors import EditError

_words = r"existing|rest|remain\w*|unchanged|same|previous|other|omitted|elided|more|keep|original|as before|implementation"
_placeholder = re.compile(
    rf"^\s*(?:#|//|/\*+|<!--|--|;|%|\*|\{{/\*)?\s*"
    rf"(?:(?:\.\.\.|…)\s*\[?\(?[^\"'=]{{0,40}}\b(?:{_words})\b|[^\"'=(]{{0,20}}\b(?:{_words})\b[^\"'=]{{0,40}}(?:\.\.\.|…)\s*)"
    r"[^\"'=]*$",
    re.IGNORECASE,
)


def is_placeholder(line: str) -> bool:
    """Whether a line stands for others: dots together with a word like "existing" or "rest", and nothing else."""
    return len(line) < 160 and bool(_placeholder.match(line))


def refuse_placeholders(added: Iterable[str], present: Iterable[str], path: str) -> None:
    """Raises EditError for an added placeholder that the file does not already have."""
    found = [line for line in added if is_placeholder(line)]
    if not found:
        return
    known = {line.strip() for line in present}
    for line in found:
        if line.strip() not in known:
            raise EditError(
                f"{path}: {line.strip()!r} in the new text stands for code that is not written out; it would replace "
                "that code. Nothing was changed. Write the lines out, or quote less in old so that they stay.",
                kind="placeholder",
                path=path,
            )
