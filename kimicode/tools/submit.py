"""The tool `submit`: the end of a run, when the checks allow it."""

from __future__ import annotations

from kimicode.core.message import ToolResult
from kimicode.core.ports import ToolContext
from kimicode.errors import ToolError
from kimicode.tools.base import Arguments, shorten, tool


class Submit(Arguments):
    title: str
    body: str


@tool("submit", Submit, effect="exec", describe=lambda a: shorten(a.title))
async def submit(context: ToolContext, arguments: Submit) -> ToolResult:
    title, body = " ".join(arguments.title.split()), arguments.body.strip()
    if not title:
        raise ToolError("submit: `title` is empty. It becomes the first line of the commit message.")
    accepted, text = await context.checks.gate(title, body)
    if not accepted:
        return ToolResult(text=text, ok=False, summary="refused: the check fails")
    return ToolResult(
        text=text or "Submitted.", summary="accepted", data={"submitted": {"title": title, "body": body}}
    )
