"""The tool `edit_file`: a list of edits over one or more files, all or nothing."""

from __future__ import annotations

import asyncio

from kimicode.core.message import ToolResult
from kimicode.core.ports import ToolContext
from kimicode.edit.errors import EditError
from kimicode.edit.parse import parse_edit
from kimicode.edit.plan import plan
from kimicode.tools.base import Arguments, shorten, tool
from kimicode.tools.changes import load, write_edits
from kimicode.tools.paths import relative


class OneEdit(Arguments):
    path: str
    old: str | None = None
    new: str | None = None
    replace_all: bool | None = None
    from_line: str | None = None
    to_line: str | None = None
    append: str | None = None


class EditFile(Arguments):
    edits: list[OneEdit]


def _describe(arguments: EditFile) -> str:
    counts: dict[str, int] = {}
    for edit in arguments.edits:
        counts[edit.path] = counts.get(edit.path, 0) + 1
    return shorten(", ".join(path if n == 1 else f"{path} ({n})" for path, n in counts.items()))


@tool("edit_file", EditFile, effect="write", describe=_describe)
async def edit_file(context: ToolContext, arguments: EditFile) -> ToolResult:
    if not arguments.edits:
        raise EditError("edit_file: `edits` is empty. Nothing was changed.", kind="malformed")
    edits = []
    for number, one in enumerate(arguments.edits, 1):
        item = one.model_dump()
        item["path"] = relative(one.path, context.sandbox.root) if one.path.strip() else ""
        edits.append(parse_edit(item, number))
    paths = list(dict.fromkeys(edit.path for edit in edits))
    sources = await asyncio.gather(*(load(context, path) for path in paths))
    planned = plan(dict(zip(paths, sources, strict=True)), edits)
    return await write_edits(context, planned, len(edits))
