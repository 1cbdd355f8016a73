"""The tool `list_files`: what is in a folder, without what git ignores."""

from __future__ import annotations

from kimicode.core.message import ToolResult
from kimicode.core.ports import ToolContext
from kimicode.errors import FileError
from kimicode.tools.base import Arguments, plural, tool
from kimicode.tools.paths import explain_missing, relative
from kimicode.tools.program import run_inside

DEPTH = 2
MAX_ENTRIES = 200


class ListFiles(Arguments):
    path: str = ""
    glob: str = ""
    depth: int = 0
    """0: 2 without a glob, no limit with one."""


@tool(
    "list_files", ListFiles, effect="read", describe=lambda a: " ".join(filter(None, (a.path or ".", a.glob)))
)
async def list_files(context: ToolContext, arguments: ListFiles) -> ToolResult:
    path = relative(arguments.path, context.sandbox.root)
    return await listing(context, path, glob=arguments.glob, depth=arguments.depth)


async def listing(context: ToolContext, path: str, *, glob: str = "", depth: int = 0) -> ToolResult:
    """The entries of a folder as `list_files` gives them."""
    depth = max(0, depth) or (0 if glob else DEPTH)
    head, lines = await run_inside(context, "list", path, glob, str(depth), str(MAX_ENTRIES))
    if head[0] == "missing":
        raise FileError(await explain_missing(context, path), kind="missing", path=path)
    found, every, cut = (int(word) for word in head[1:4])
    name = path or "the repository"
    if not found:
        text = (
            f"{name} holds no files"
            if not every
            else f"None of the {plural(every, 'file')} in {name} fits {glob!r}"
        )
        return ToolResult(text=f"{text} (what git ignores is left out).", summary="no files")
    title = f"{name}: {plural(found, 'file')}{f' that fit {glob!r}' if glob else ''}"
    if cut:
        title += f", shown to depth {cut} because there are many: give a path or a glob to see more"
    return ToolResult(text="\n".join((title, *lines)), summary=plural(found, "file"))
