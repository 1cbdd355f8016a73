"""The tool `search`: a regular expression over the files that git does not ignore."""

from __future__ import annotations

from kimicode.core.message import ToolResult
from kimicode.core.ports import ToolContext
from kimicode.errors import FileError, ToolError
from kimicode.text.limit import cut_lines
from kimicode.tools.base import Arguments, plural, shorten, tool
from kimicode.tools.paths import explain_missing, relative
from kimicode.tools.program import run_inside
from kimicode.tools.regex import hint, translate

MAX_CONTEXT = 20


class Search(Arguments):
    pattern: str
    path: str = ""
    glob: str = ""
    context: int = 0
    ignore_case: bool = False
    literal: bool = False


def _describe(arguments: Search) -> str:
    where = " ".join(filter(None, (arguments.path, arguments.glob)))
    return f"{shorten(arguments.pattern, 60)!r}{' in ' + where if where else ''}"


@tool("search", Search, effect="read", describe=_describe)
async def search(context: ToolContext, arguments: Search) -> ToolResult:
    regex = translate(arguments.pattern, literal=arguments.literal, ignore_case=arguments.ignore_case)
    path = relative(arguments.path, context.sandbox.root)
    head, lines = await run_inside(
        context,
        "search",
        path,
        arguments.glob,
        str(min(max(arguments.context, 0), MAX_CONTEXT)),
        "i" if arguments.ignore_case else "",
        regex.python,
        regex.quick,
    )
    if head[0] == "missing":
        raise FileError(await explain_missing(context, path), kind="missing", path=path)
    if head[0] == "bad":
        raise ToolError(f"search: the sandbox's Python refuses the pattern: {' '.join(head[1:])}.")
    matches, files, shown, searched = (int(word) for word in head[1:5])
    if not matches:
        return ToolResult(text=_nothing(arguments, path, searched), summary="no match")
    rest = [line[5:] for line in lines if line.startswith("rest ")]
    body = "\n".join(line for line in lines if not line.startswith("rest "))
    title = f"{plural(matches, 'match', 'matches')} in {plural(files, 'file')}"
    if shown < matches:
        title += f"; {shown} shown: narrow with path, glob or a longer pattern"
    more = f"\nNot shown (file, matches): {', '.join(rest)}{', …' if len(rest) == 20 else ''}" if rest else ""
    text = cut_lines(f"{title}\n{body}", where="narrow the search or set less context").text
    return ToolResult(text=text + more, summary=plural(matches, "match", "matches"))


def _nothing(arguments: Search, path: str, searched: int) -> str:
    where = " ".join(filter(None, (path, arguments.glob))) or "the repository"
    if not searched:
        return f"No files to search in {where} (what git ignores is searched only when `path` names it)."
    text = f"No match in {plural(searched, 'file')} of {where}."
    if not arguments.ignore_case and arguments.pattern.lower() != arguments.pattern:
        text += " Case counts: set ignore_case to find other spellings."
    return text + hint(arguments.pattern, literal=arguments.literal)
