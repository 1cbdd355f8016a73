"""The tool `write_file`: a whole file, new or known to the model."""

from __future__ import annotations

from kimicode.core.message import ToolResult
from kimicode.core.ports import FileChange, ToolContext
from kimicode.edit.crosscheck import judge_syntax
from kimicode.edit.document import decode, is_binary
from kimicode.edit.errors import EditError
from kimicode.edit.ops import Placement
from kimicode.edit.placeholder import refuse_placeholders
from kimicode.edit.plan import write_text
from kimicode.errors import FileError, ToolError
from kimicode.tools.base import Arguments, plural, tool
from kimicode.tools.changes import unified
from kimicode.tools.paths import MAX_SIZE, digest, relative


class WriteFile(Arguments):
    path: str
    content: str


@tool(
    "write_file",
    WriteFile,
    effect="write",
    describe=lambda a: f"{a.path} ({plural(len(a.content), 'character')})",
)
async def write_file(context: ToolContext, arguments: WriteFile) -> ToolResult:
    path = relative(arguments.path, context.sandbox.root) if arguments.path.strip() else ""
    if not path or arguments.path.endswith("/"):
        raise ToolError(f"write_file: {arguments.path!r} names no file. Nothing was written.")
    before = await _present(context, path)
    _refuse_unseen(context, path, before)
    if "\0" in arguments.content:
        raise ToolError(
            "write_file: `content` holds a NUL character. Nothing was written. Use `shell` for binary data."
        )
    old = decode(before).texts if before and not is_binary(before) else []
    if before is not None:
        whole = Placement(0, 0, tuple(("+", line) for line in arguments.content.split("\n")))
        refuse_placeholders(whole.added_after(""), old, path)
    data = write_text(arguments.content, before)
    if data == before:
        return ToolResult(
            text=f"{path} already has exactly this content.", files={path: digest(data)}, summary="same"
        )
    await context.sandbox.write([FileChange(path, data)])
    lines = plural(len(decode(data).lines), "line")
    syntax = judge_syntax(path, before, data)
    text = (
        f"{path}: {'written' if before is not None else 'created'}, {lines}{'; ' + syntax if syntax else ''}"
    )
    if before is not None:
        text += f" (it had {len(old)} before)"
    if b"\r\n" in data and "\r\n" not in arguments.content:
        text += "; its CRLF line ends were kept"
    return ToolResult(
        text=text, diff=unified(path, before, data), summary=f"{lines} in {path}", files={path: digest(data)}
    )


async def _present(context: ToolContext, path: str) -> bytes | None:
    """The file as it is; None when there is none."""
    try:
        content = await context.sandbox.read(path, limit=MAX_SIZE)
    except FileError as e:
        if e.kind == "missing":
            return None
        raise
    if content.size > len(content.data):
        raise ToolError(
            f"{path} has {content.size:,} bytes and is too large to be replaced here. Use `shell`."
        )
    return content.data


def _refuse_unseen(context: ToolContext, path: str, before: bytes | None) -> None:
    if not before:
        return
    known = context.seen.get(path)
    if known == digest(before):
        return
    if known is None:
        reason = f"{path} exists ({plural(len(before), 'byte')}) and you have not read it"
    else:
        reason = f"{path} changed since you read it"
    raise EditError(
        f"{reason}. Nothing was written. Read it with read_file first, or change parts of it with edit_file.",
        kind="stale",
        path=path,
    )
