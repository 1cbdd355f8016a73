"""Lines like "# ... existing code ..." stand for code that the model left out: they never reach a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kimicode.edit.errors import EditError

_words = (
    r"\b(?:existing|rest|remain\w*|unchanged|same|previous|other|omitted|elided|more|keep|original|as before|"
    r"implementation)\b"
)
_comment = r"(?:#|//|/\*+|<!--|--|;|%|\*|\{/\*)?"
_dots = r"(?:\.\.\.|…)"
_placeholder = re.compile(
    rf"^\s*{_comment}\s*(?:{_dots}\s*\[?\(?[^\"'=]{{0,40}}{_words}|[^\"'=(]{{0,20}}{_words}[^\"'=]{{0,40}}{_dots}\s*)"
    r"[^\"'=]*$",
    re.IGNORECASE,
)

_only_dots = re.compile(r"^\s*(?:#|//|/\*+|<!--|--|;|%|\{/\*)\s*(?:\.\.\.|…)\s*(?:\*/\}?|-->)?\s*$")
_bare = re.compile(r"^\s*(?:\.\.\.|…)(?:\s+(?:\.\.\.|…))*\s*$")


def is_placeholder(line: str) -> bool:
    """Whether a line stands for others: dots in a comment, or together with a word like "existing" or "rest"."""
    return len(line) < 160 and bool(_placeholder.match(line) or _only_dots.match(line))


def refuse_placeholders(added: Sequence[tuple[str, str]], present: Iterable[str], path: str) -> None:
    """Raises EditError for an added placeholder that the file does not already have.

    `added`: each added line after the last line before it that is not blank. A bare "..." is a placeholder too,
    except where it is a statement of Python: alone in a body.
    """
    python = path.endswith((".py", ".pyi"))
    found = [line for _, line in added if is_placeholder(line)]
    for previous, line in added:
        body = python and previous.rstrip().endswith((":", '"""', "'''"))
        if _bare.match(line) and not body:
            found.append(line)
    if not found:
        return
    known = {line.strip() for line in present}
    for line in found:
        # In Python the file's other bodies of "..." say nothing about this one.
        if line.strip() not in known or _bare.match(line):
            raise EditError(
                f"{path}: {line.strip()!r} in the new text stands for code that is not written out; it would replace "
                "that code. Nothing was changed. Write the lines out, or quote less in old so that they stay.",
                kind="placeholder",
                path=path,
            )
