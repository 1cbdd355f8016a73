"""The system prompt and the first message: what siblings share comes first, what they do not comes last."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from kimicode.core.checks import CheckCommand

_slot = re.compile(r"\{\{(\w+)\}\}")
INSTRUCTION_FILES = ("AGENTS.md", "CLAUDE.md", "GEMINI.md", ".cursor/rules", ".cursorrules")
"""The project's instructions: the first that exists in a folder counts there."""
MAX_INSTRUCTIONS = 8_000
"""Characters of instructions that enter the prompt."""
MAX_ENTRIES = 60
"""Top-level entries that are listed."""


def fill(template: str, **values: str) -> str:
    """Put values into `{{name}}` slots. A missing or left-over name is a programming error: KeyError."""
    used: set[str] = set()

    def put(match: re.Match[str]) -> str:
        used.add(match[1])
        return values[match[1]]

    text = _slot.sub(put, template)
    if unused := set(values) - used:
        raise KeyError(f"no slot for {sorted(unused)}")
    return text


def first_message(
    template: str,
    *,
    files: Sequence[str],
    read: Callable[[str], bytes | None],
    checks: Sequence[CheckCommand],
    base_checks: str,
    task: str,
    context: str,
    now: float,
    root: str,
) -> str:
    """The first user message. `files`: repository-relative paths; `base_checks`: "" while they still run."""
    return fill(
        template,
        top_level=describe_top_level(files),
        checks=describe_checks(checks),
        instructions=describe_instructions(files, read),
        base_checks=f"\n{base_checks.strip()}\n" if base_checks else "",
        task=task.strip(),
        context=f"\nContext given with the task:\n{context.strip()}\n" if context.strip() else "",
        date=time.strftime("%Y-%m-%d", time.gmtime(now)),
        root=root,
    )


def describe_top_level(files: Sequence[str]) -> str:
    """The top level with the number of files in each folder, folders first."""
    folders: dict[str, int] = {}
    plain: list[str] = []
    for path in files:
        head, sep, _ = path.partition("/")
        if sep:
            folders[head] = folders.get(head, 0) + 1
        else:
            plain.append(head)
    entries = [f"{name}/ ({count} files)" for name, count in sorted(folders.items())] + sorted(plain)
    shown = entries[:MAX_ENTRIES]
    more = f", and {len(entries) - len(shown)} more" if len(entries) > len(shown) else ""
    return f"Top level of {len(files)} files: {', '.join(shown)}{more}."


def describe_checks(checks: Sequence[CheckCommand]) -> str:
    if not checks:
        return "No check command is known for this project: look for its tests yourself.\n"
    lines = [f"- `{c.command}` ({c.source}{': ' + c.reason if c.reason else ''})" for c in checks]
    return "The project's check, run by the `check` tool:\n" + "\n".join(lines) + "\n"


def describe_instructions(files: Sequence[str], read: Callable[[str], bytes | None]) -> str:
    """The project's own instructions as hints: they can ask for style and commands, never widen a permission."""
    present = set(files)
    parts: list[str] = []
    left = MAX_INSTRUCTIONS
    for path in find_instructions(present):
        text = (read(path) or b"").decode("utf-8", "replace").strip()
        if not text or left <= 0:
            continue
        cut = text[:left]
        left -= len(cut)
        more = f"\n[{len(text) - len(cut)} more characters in {path}]" if len(cut) < len(text) else ""
        parts.append(f"\nFrom the project's {path}:\n{cut}{more}\n")
    nested = [p for p in sorted(present) if p.rpartition("/")[2] == INSTRUCTION_FILES[0] and "/" in p]
    if nested:
        shown = ", ".join(nested[:10])
        parts.append(f"\nFolders with instructions of their own, read them before you work there: {shown}\n")
    return "".join(parts)


def find_instructions(present: set[str]) -> list[str]:
    """Instruction files of the top level: the first name that exists, every file below it for a folder."""
    for name in INSTRUCTION_FILES:
        if name in present:
            return [name]
        below = sorted(p for p in present if p.startswith(name + "/"))
        if below:
            return below
    return []
