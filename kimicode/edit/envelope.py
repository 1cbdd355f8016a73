"""Plans an apply_patch envelope: every hunk is located by the same tiers as any edit, and all of them or none count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kimicode.edit.crosscheck import check_untouched, judge_syntax
from kimicode.edit.document import decode, encode
from kimicode.edit.errors import EditError
from kimicode.edit.indent import learn
from kimicode.edit.locate import TIERS, Located, ambiguous, shift, windows
from kimicode.edit.nearest import describe_nearest
from kimicode.edit.ops import Placement, Tier, place
from kimicode.edit.patch import FilePatch, Hunk
from kimicode.edit.placeholder import refuse_placeholders
from kimicode.edit.plan import IGNORED, FileEdit, Source
from kimicode.edit.replay import replay


@dataclass(frozen=True, slots=True)
class PatchResult:
    """What becomes of one file. `edit` None: it is deleted, or added as `content`."""

    patch: FilePatch
    edit: FileEdit | None = None
    content: bytes | None = None


def plan_patch(sources: Mapping[str, Source | None], patches: Sequence[FilePatch]) -> list[PatchResult]:
    """`sources`: every path and move target; None: not there. Raises EditError, and then nothing counts."""
    results: list[PatchResult] = []
    for patch in patches:
        source = sources[patch.path]
        target = patch.move_to or (patch.path if patch.kind == "add" else "")
        if target and sources.get(target) is not None:
            raise _refuse(patch, f"{target} exists already. Use Update File, or delete it in the same patch")
        if patch.kind == "add":
            results.append(PatchResult(patch, content=patch.content.encode()))
        elif source is None:
            raise _refuse(patch, f"there is no file {patch.path}")
        elif patch.kind == "delete":
            results.append(PatchResult(patch))
        else:
            results.append(PatchResult(patch, _update(patch, source)))
    return results


def _refuse(patch: FilePatch, reason: str) -> EditError:
    return EditError(f"{patch.path}: {reason}. Nothing was changed.", kind="malformed", path=patch.path)


def _update(patch: FilePatch, source: Source) -> FileEdit:
    document = decode(source.data, patch.path)
    where = Located(document)
    placed: list[Placement] = []
    notes: list[str] = []
    cursor = 0
    for hunk in patch.hunks:
        start, placement = _place(where, hunk, patch.path, cursor, source)
        cursor = start + len(hunk.old)
        refuse_placeholders(placement.added_after(where.before(placement.start)), where.texts, patch.path)
        if placement.tier != "exact":
            notes.append(f"matched ignoring {IGNORED[placement.tier]}")
        placed.append(placement)
    after, regions = replay(document, placed)
    check_untouched(document, after, regions, patch.path)
    try:
        data = encode(after)
    except UnicodeEncodeError:
        raise EditError(
            f"{patch.path} is not UTF-8 and cannot hold the new text. Nothing was changed. Use only ASCII.",
            kind="encoding",
            path=patch.path,
        ) from None
    syntax = judge_syntax(patch.path, source.data, data) if data != source.data else ""
    return FileEdit(patch.path, source.data, data, tuple(regions), tuple(notes), syntax)


def _place(where: Located, hunk: Hunk, path: str, cursor: int, source: Source) -> tuple[int, Placement]:
    """Where a hunk goes: after the one before it and after its headers, and unique there."""
    begin = _after_headers(where, hunk, path, cursor)
    old = hunk.old
    if not old:
        at = begin if hunk.headers else len(where.texts)
        return at, place(at, hunk.ops, "exact")
    hits, tier = _hits(where, old, begin)
    if hunk.at_end:
        hits = [h for h in hits if h + len(old) == len(where.texts)]
    if not hits:
        near = describe_nearest(where.texts, old, failures=source.failures)
        raise EditError(
            f"{path}: the hunk at line {hunk.number} of the patch fits nowhere. Nothing was changed. {near}",
            kind="missing",
            path=path,
        )
    if len(hits) > 1:
        raise ambiguous(path, f"the hunk at line {hunk.number} of the patch", hits, where.texts)
    if tier != "exact" and source.stale:
        raise EditError(
            f"{path} changed since you read it and the hunk at line {hunk.number} does not match exactly. "
            "Nothing was changed. Read it again.",
            kind="stale",
            path=path,
        )
    ops = list(hunk.ops)
    if tier == "indentation":
        ops = shift(ops, learn(old, where.texts[hits[0] : hits[0] + len(old)], path))
    return hits[0], place(hits[0], ops, tier)


def _hits(where: Located, old: Sequence[str], begin: int) -> tuple[list[int], Tier]:
    """Places from line `begin` on, by the first tier that has any."""
    if hits := [h for h in windows(where.texts, old) if h >= begin]:
        return hits, "exact"
    for tier, key in TIERS:
        if hits := [h for h in windows(where.keys(tier, key), [key(line) for line in old]) if h >= begin]:
            return hits, tier
    return [], "exact"


def _after_headers(where: Located, hunk: Hunk, path: str, cursor: int) -> int:
    """Index of the first line that the hunk may begin on. A header that occurs nowhere is a hint that failed."""
    begin = cursor
    for header in hunk.headers:
        hits = [i for i in range(begin, len(where.texts)) if where.texts[i].strip() == header.strip()]
        if not hits:
            hits = [i for i in range(begin, len(where.texts)) if header.strip() in where.texts[i]]
        if len(hits) > 1 and not hunk.old:
            raise ambiguous(path, f"the header {header!r}", hits, where.texts)
        if len(hits) == 1:
            begin = hits[0]
    if hunk.headers and not hunk.old:
        return min(begin + 1, len(where.texts))
    return begin
