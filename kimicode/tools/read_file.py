"""The tool `read_file`: files or ranges of lines, verbatim."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from kimicode.core.message import ToolResult
from kimicode.core.ports import FileContent, ToolContext
from kimicode.edit.document import Document, decode, is_binary
from kimicode.errors import FileError, ToolError
from kimicode.text.limit import cut_line
from kimicode.text.numbered import number_lines
from kimicode.tools.base import Arguments, plural, shorten, tool
from kimicode.tools.list_files import listing
from kimicode.tools.paths import digest, read_all, relative

MAX_CHARS = 40_000
"""Of one call, over all its files."""
MAX_LINES = 800
"""Of a file for which no range is given."""
MAX_LINE = 1_000
AROUND = (20, 40)
"""Lines before and after the one line that "path:120" names."""

_ranges = re.compile(r"^(.+?):(\d+(?:-\d*)?(?:,\d+(?:-\d*)?)*)$", re.DOTALL)

_MAGIC = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF", "PDF"),
    (b"\x7fELF", "ELF executable"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"SQLite format 3", "SQLite database"),
    (b"\xff\xfe", "UTF-16 text: `iconv -f UTF-16 -t UTF-8` shows it"),
    (b"\xfe\xff", "UTF-16 text: `iconv -f UTF-16 -t UTF-8` shows it"),
)


class ReadFile(Arguments):
    files: list[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file of a call and the ranges asked for; none: the whole file."""

    path: str
    ranges: tuple[tuple[int, int, int], ...] = ()
    """First line, last line (0: to the end), and the line that was asked for."""


def _describe(arguments: ReadFile) -> str:
    return shorten(", ".join(arguments.files))


@tool("read_file", ReadFile, effect="read", describe=_describe)
async def read_file(context: ToolContext, arguments: ReadFile) -> ToolResult:
    wanted = [parse_entry(entry, context.sandbox.root) for entry in arguments.files]
    if not wanted:
        raise ToolError('read_file: `files` is empty. Name at least one file, e.g. ["src/a.py:10-80"].')
    contents = await asyncio.gather(*(_fetch(context, one) for one in wanted))
    parts: list[str] = []
    seen: dict[str, str] = {}
    left, failed, lines = MAX_CHARS, 0, 0
    for one, content in zip(wanted, contents, strict=True):
        if isinstance(content, str):
            parts.append(content)
            failed += 1
            continue
        seen[one.path] = digest(content.data)
        text, count = show_file(one, content, left)
        lines += count
        left = max(0, left - len(text))
        parts.append(text)
    summary = plural(lines, "line") if lines or not failed else "not found"
    return ToolResult(text="\n".join(parts), ok=failed < len(wanted), files=seen, summary=summary)


def parse_entry(entry: str, root: str) -> Wanted:
    """ "path", "path:10-80", "path:10-", "path:120", "path:10-80,200-240". Raises ToolError."""
    match = _ranges.match(entry.strip())
    if not match:
        return Wanted(relative(entry, root))
    ranges: list[tuple[int, int, int]] = []
    for part in match[2].split(","):
        first, dash, last = part.partition("-")
        start = int(first)
        end = int(last or 0) if dash else start + AROUND[1]
        if not dash:
            start -= AROUND[0]
        if dash and last and end < start:
            raise ToolError(f"read_file: {entry}: the range {part} ends before it begins.")
        ranges.append((max(1, start), end, max(1, int(first))))
    return Wanted(relative(match[1], root), tuple(ranges))


async def _fetch(context: ToolContext, wanted: Wanted) -> FileContent | str:
    """The file, or what the model should read instead."""
    try:
        return await read_all(context, wanted.path)
    except FileError as e:
        if e.kind == "directory":
            return f"{wanted.path or 'This'} is a folder. {(await listing(context, wanted.path, depth=1)).text}\n"
        return f"{e}\n"


def show_file(wanted: Wanted, content: FileContent, room: int) -> tuple[str, int]:
    """Text of a file within `room` characters, and how many of its lines are in it."""
    data = content.data
    if is_binary(data):
        kind = next((name for magic, name in _MAGIC if data.startswith(magic)), "binary")
        return f"{wanted.path}: not text ({kind}, {content.size:,} bytes). Look at it with `shell`.\n", 0
    document = decode(data)
    total = len(document.lines)
    if not total:
        return f"{wanted.path}: empty (0 lines)\n", 0
    facts = describe_bytes(document, content.mode)
    parts: list[str] = []
    shown = 0
    for first, last, asked in wanted.ranges or ((1, min(total, MAX_LINES), 1),):
        if asked > total:
            parts.append(f"{wanted.path}: there is no line {asked}, the file ends at line {total}\n")
            continue
        text, count = _show_range(wanted.path, document, first, min(last or total, total), room, facts)
        room = max(0, room - len(text))
        shown += count
        parts.append(text)
        facts = ""
    return "".join(parts), shown


def _show_range(
    path: str, document: Document, first: int, last: int, room: int, facts: str
) -> tuple[str, int]:
    lines: list[str] = []
    used = shortened = 0
    total = len(document.lines)
    for line in document.lines[first - 1 : last]:
        text = cut_line(line.text, MAX_LINE)
        used += len(text) + 3
        if used > room and (lines or room < MAX_LINE):
            break
        shortened += text != line.text
        lines.append(text)
    if not lines:
        return f"{path}:{first}-{last} not shown: this call is full, ask again\n", 0
    end = first + len(lines) - 1
    notes = [facts] if facts else []
    if shortened:
        notes.append(f"{plural(shortened, 'long line')} shortened")
    head = f"{path} lines {first}-{end} of {total}{' (' + '; '.join(notes) + ')' if notes else ''}\n"
    more = end < last or (end < total and first == 1 and end == MAX_LINES)
    tail = (
        f"[lines {end + 1}-{total if end >= last else last} not shown: read {path}:{end + 1}-]\n"
        if more
        else ""
    )
    return head + number_lines(lines, first) + tail, len(lines)


def describe_bytes(document: Document, mode: int = 0o644) -> str:
    """What the text alone does not show: line ends, BOM, encoding, no newline at the end, executable."""
    ends = {line.eol for line in document.lines if line.eol}
    notes = []
    if ends == {"\r\n"}:
        notes.append("CRLF line ends")
    elif len(ends) > 1:
        notes.append("mixed line ends")
    if document.bom:
        notes.append("BOM")
    if document.encoding != "utf-8":
        notes.append("not UTF-8, shown as Latin-1")
    if document.lines and not document.lines[-1].eol:
        notes.append("no newline at the end")
    if mode & 0o111:
        notes.append("executable")
    return ", ".join(notes)
