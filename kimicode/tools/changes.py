"""What edit_file, write_file and apply_patch share: reading sources, writing results, and the text about them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from kimicode.core.message import ToolResult
from kimicode.core.ports import FileChange, ToolContext
from kimicode.edit.document import decode, is_binary
from kimicode.edit.plan import FileEdit, Source
from kimicode.edit.replay import Region
from kimicode.errors import FileError
from kimicode.text.limit import cut_line, cut_lines
from kimicode.text.numbered import number_lines
from kimicode.tools.base import plural
from kimicode.tools.paths import digest, read_all

AROUND = 3
"""Lines shown before and after a change."""
MAX_HUNK = 60
"""Lines of one hunk that are shown; a longer one by its ends."""
MAX_CHARS = 12_000


async def load(context: ToolContext, path: str) -> Source:
    """A file with the model's view of it. Raises FileError."""
    try:
        content = await read_all(context, path)
    except FileError as e:
        raise _Failed(str(e), kind=e.kind, path=path) from None
    known = context.seen.get(path)
    stale = known is not None and known != digest(content.data)
    return Source(content.data, stale, context.failures.get(path, 0))


class _Failed(FileError):
    """A FileError that counts as a failed edit of its path."""

    @property
    def data(self) -> dict[str, list[str]]:
        return {"failed_paths": [self.path]}


async def write_edits(context: ToolContext, edits: Sequence[FileEdit], count: int) -> ToolResult:
    """Write what was planned, all or nothing, and say how the changed places read now."""
    changed = [edit for edit in edits if edit.after != edit.before]
    if changed:
        await context.sandbox.write([FileChange(edit.path, edit.after) for edit in changed])
    hunks = sum(len(_hunks(edit.regions, len(edit.document.lines))) for edit in changed)
    diffs = {edit.path: unified(edit.path, edit.before, edit.after) for edit in edits}
    text = "\n".join(describe_edit(edit, diffs[edit.path]) for edit in edits)
    title = f"{plural(count, 'edit')} done.\n" if len(edits) > 1 and changed else ""
    summary = (
        f"{plural(hunks, 'hunk')} in {', '.join(edit.path for edit in changed)}"
        if changed
        else "no change needed"
    )
    return ToolResult(
        text=cut_lines(title + text, max_chars=MAX_CHARS, where="read_file shows them").text,
        diff="".join(diffs.values()),
        summary=summary,
        files={edit.path: digest(edit.after) for edit in edits},
    )


def describe_edit(edit: FileEdit, diff: str) -> str:
    """One file's result for the model: lines added and dropped, notes, syntax, each hunk with its new numbers."""
    facts = [*edit.notes, *([edit.syntax] if edit.syntax else [])]
    if diff:
        lines = diff.split("\n")[2:]
        counts = f"+{sum(x[:1] == '+' for x in lines)} -{sum(x[:1] == '-' for x in lines)} lines"
        facts.insert(0, counts)
    head = f"{edit.path}: {'; '.join(facts)}"
    texts = edit.document.texts
    parts = [head]
    for first, last in _hunks(edit.regions, len(texts)):
        parts.append(
            f"lines {first + 1}-{last} of {len(texts)} now:\n{_hunk(texts, first, last)}".rstrip("\n")
        )
    if edit.before != edit.after and not texts:
        parts.append("the file is empty now")
    return "\n".join(parts)


def _hunk(texts: Sequence[str], first: int, last: int) -> str:
    lines = [cut_line(text, 500) for text in texts[first:last]]
    if len(lines) <= MAX_HUNK:
        return number_lines(lines, first + 1)
    half = MAX_HUNK // 2
    skipped = f"[lines {first + half + 1}-{last - half} as you sent them]\n"
    return number_lines(lines[:half], first + 1) + skipped + number_lines(lines[-half:], last - half + 1)


def _hunks(regions: Sequence[Region], total: int) -> list[tuple[int, int]]:
    """Line ranges to show, with context, merged where they touch."""
    merged: list[tuple[int, int]] = []
    for region in regions:
        first, last = max(0, region.start - AROUND), min(total, region.end + AROUND)
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        elif first < last:
            merged.append((first, last))
    return merged


def unified(path: str, before: bytes | None, after: bytes | None) -> str:
    """Unified diff for display. None: the file is not there."""
    if is_binary(before or b"") or is_binary(after or b""):
        return f"Binary file {path} changed\n"
    old, new = decode(before or b"").texts, decode(after or b"").texts
    names = (
        f"a/{path}" if before is not None else "/dev/null",
        f"b/{path}" if after is not None else "/dev/null",
    )
    lines = difflib.unified_diff(old, new, *names, lineterm="")
    return "".join(line + "\n" for line in lines)
