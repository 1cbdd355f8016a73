"""The tool `apply_patch`: the envelope that some models were trained on. Offered only where the catalog says so."""

from __future__ import annotations

from kimicode.core.message import ToolResult
from kimicode.core.ports import FileChange, ToolContext
from kimicode.edit.envelope import PatchResult, plan_patch
from kimicode.edit.patch import FilePatch, parse_patch
from kimicode.edit.plan import Source
from kimicode.errors import FileError
from kimicode.text.limit import cut_lines
from kimicode.tools.base import Arguments, plural, shorten, tool
from kimicode.tools.changes import MAX_CHARS, describe_edit, load, unified
from kimicode.tools.paths import digest, relative


class ApplyPatch(Arguments):
    patch: str


def _describe(arguments: ApplyPatch) -> str:
    heads = [line for line in arguments.patch.splitlines() if line.startswith("*** ") and " File: " in line]
    return shorten(", ".join(line.partition(" File: ")[2] for line in heads))


@tool("apply_patch", ApplyPatch, effect="write", describe=_describe)
async def apply_patch(context: ToolContext, arguments: ApplyPatch) -> ToolResult:
    patches = parse_patch(arguments.patch)
    for patch in patches:
        patch.path = relative(patch.path, context.sandbox.root)
        patch.move_to = relative(patch.move_to, context.sandbox.root) if patch.move_to else ""
    sources = {p: await _load(context, p) for patch in patches for p in (patch.path, patch.move_to) if p}
    results = plan_patch(sources, patches)
    await context.sandbox.write([change for result in results for change in await _changes(context, result)])
    text = "\n".join(_describe_result(result) for result in results)
    return ToolResult(
        text=cut_lines(text, max_chars=MAX_CHARS, where="read_file shows them").text,
        diff="".join(_diff(result, sources) for result in results),
        summary=f"{plural(len(results), 'file')}: {', '.join(r.patch.path for r in results)}",
        files={
            r.patch.move_to or r.patch.path: digest(data) for r in results if (data := _data(r)) is not None
        },
    )


async def _load(context: ToolContext, path: str) -> Source | None:
    try:
        return await load(context, path)
    except FileError as e:
        if e.kind == "missing":
            return None
        raise


def _data(result: PatchResult) -> bytes | None:
    return result.edit.after if result.edit else result.content


async def _changes(context: ToolContext, result: PatchResult) -> list[FileChange]:
    patch = result.patch
    if not patch.move_to:
        return [FileChange(patch.path, _data(result))]
    mode = (await context.sandbox.read(patch.path, limit=0)).mode
    return [FileChange(patch.move_to, _data(result), mode), FileChange(patch.path, None)]


def _describe_result(result: PatchResult) -> str:
    patch: FilePatch = result.patch
    if patch.kind == "delete":
        return f"{patch.path}: deleted"
    if patch.kind == "add":
        return f"{patch.path}: created, {plural(patch.content.count(chr(10)), 'line')}"
    assert result.edit is not None
    diff = unified(patch.path, result.edit.before, result.edit.after)
    moved = f"{patch.path} is now {patch.move_to}\n" if patch.move_to else ""
    return moved + describe_edit(result.edit, diff)


def _diff(result: PatchResult, sources: dict[str, Source | None]) -> str:
    source = sources[result.patch.path]
    return unified(result.patch.move_to or result.patch.path, source.data if source else None, _data(result))
