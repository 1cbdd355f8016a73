"""Plans a list of edits over one or more files, all or nothing, without touching anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kimicode.edit.crosscheck import check_untouched, judge_syntax
from kimicode.edit.document import BOM, Document, decode, encode, plain_lines
from kimicode.edit.errors import EditError
from kimicode.edit.locate import Applied, Located, Missing, locate_every, locate_span, locate_text
from kimicode.edit.nearest import describe_nearest
from kimicode.edit.ops import Placement, Tier, compare
from kimicode.edit.parse import Append, Edit, Replace, Span
from kimicode.edit.placeholder import refuse_placeholders
from kimicode.edit.replay import Region, replay

IGNORED: dict[Tier, str] = {
    "blank lines": "blank lines at its ends",
    "trailing blanks": "blanks at line ends",
    "unicode": "look-alike characters",
    "indentation": "indentation; the file's was used",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it is, and what is known about the model's view of it."""

    data: bytes
    stale: bool = False
    """It changed since the model read it: only exact matches count."""
    failures: int = 0
    """Edits of it that failed in a row."""


@dataclass(frozen=True, slots=True)
class FileEdit:
    """The result for one file."""

    path: str
    before: bytes
    after: bytes
    regions: tuple[Region, ...]
    """Where the edits stand, in order of the new file; those that changed nothing are not among them."""
    notes: tuple[str, ...] = ()
    """What the model should know: looser matches, edits that were already there."""
    syntax: str = ""

    @property
    def document(self) -> Document:
        return decode(self.after)


def plan(sources: Mapping[str, Source], edits: Sequence[Edit]) -> list[FileEdit]:
    """The result of all `edits`, one entry per path in order of first mention. Raises EditError: then none counts.

    `sources` holds every path that an edit names. Edits of one file mean its lines as they are now; one that only
    fits after another of the same call is applied after it.
    """
    by_path: dict[str, list[tuple[int, Edit]]] = {}
    for number, edit in enumerate(edits, 1):
        by_path.setdefault(edit.path, []).append((number, edit))
    many = len(edits) > 1
    return [_plan_file(path, sources[path], numbered, many) for path, numbered in by_path.items()]


@dataclass(slots=True)
class _Work:
    """What is known while one file is planned."""

    path: str
    source: Source
    many: bool
    notes: list[str] = field(default_factory=list)

    def label(self, number: int) -> str:
        return f"edit {number}: " if self.many else ""


def _plan_file(path: str, source: Source, numbered: Sequence[tuple[int, Edit]], many: bool) -> FileEdit:
    work = _Work(path, source, many)
    before = decode(source.data, path)
    where = Located(before)
    placed: list[Placement] = []
    later: list[tuple[int, Edit, EditError]] = []
    for number, edit in numbered:
        try:
            found = _locate(work, where, number, edit)
        except EditError as e:
            if e.kind != "missing" or len(numbered) == 1:
                raise
            later.append((number, edit, e))
            continue
        if clash := [p for p in placed if any(p.overlaps(f) for f in found)]:
            later.append((number, edit, _overlap(work, number, clash[0])))
            continue
        placed += found
    after, regions = replay(before, placed)
    check_untouched(before, after, regions, path)
    for number, edit, error in later:
        after, regions = _apply_later(work, after, regions, number, edit, error)
    return _finish(work, before, after, regions)


def _finish(work: _Work, before: Document, after: Document, regions: list[Region]) -> FileEdit:
    try:
        data = encode(after)
    except UnicodeEncodeError as e:
        raise EditError(_encoding(work.path, e.object[e.start]), kind="encoding", path=work.path) from None
    if work.source.stale and regions:
        work.notes.append("the file had changed since you read it; the text matched exactly")
    changed = data != work.source.data
    syntax = judge_syntax(work.path, work.source.data, data) if changed else ""
    shown = tuple(sorted(regions, key=lambda r: (r.start, r.end))) if changed else ()
    return FileEdit(work.path, work.source.data, data, shown, tuple(work.notes), syntax)


def _apply_later(
    work: _Work, document: Document, regions: list[Region], number: int, edit: Edit, error: EditError
) -> tuple[Document, list[Region]]:
    """An edit that only fits the result of the others: exact, or the first error stands."""
    if not isinstance(edit, Replace):
        raise error
    where = Located(document)
    try:
        found = [locate_text(where, edit.old, edit.new, work.path, exact_only=True)]
    except Applied as e:
        work.notes.append(f"{work.label(number)}no change needed, lines {e.first}-{e.last} already read so")
        return document, regions
    except (Missing, EditError):
        raise error from None
    _vet(work, where, found)
    after, added = replay(document, found)
    check_untouched(document, after, added, work.path)
    return after, [_move(r, added[0]) for r in regions] + added


def _move(region: Region, later: Region) -> Region:
    """Where a region stands after one more edit; it grows over an edit inside it."""
    shift = (later.end - later.start) - (later.old_end - later.old_start)
    if region.start >= later.old_end:
        return Region(region.old_start, region.old_end, region.start + shift, region.end + shift)
    if region.end <= later.old_start:
        return region
    return Region(
        region.old_start, region.old_end, min(region.start, later.start), max(region.end + shift, later.end)
    )


def _locate(work: _Work, where: Located, number: int, edit: Edit) -> list[Placement]:
    """Where an edit goes; [] when it is already there. Raises EditError."""
    path = work.path
    try:
        if isinstance(edit, Append):
            found = _append(where, edit)
        elif isinstance(edit, Span):
            found = [locate_span(where, edit.first, edit.last, edit.new, path)]
        elif edit.every:
            found = locate_every(where, edit.old, edit.new, path)
            work.notes.append(
                f"{work.label(number)}replaced on {len(found)} line{'s' if len(found) > 1 else ''}"
            )
        else:
            found = [locate_text(where, edit.old, edit.new, path)]
    except Applied as e:
        work.notes.append(f"{work.label(number)}no change needed, lines {e.first}-{e.last} already read so")
        return []
    except Missing:
        if lines := _already(where, edit):
            work.notes.append(
                f"{work.label(number)}no change needed, lines {lines[0]}-{lines[1]} already read so"
            )
            return []
        raise _missing(work, where, number, edit) from None
    except EditError as e:
        if work.many:
            raise EditError(f"Edit {number}: {e}", kind=e.kind, path=e.path) from None
        raise
    _vet(work, where, found, number)
    return found


def _vet(work: _Work, where: Located, found: Sequence[Placement], number: int = 0) -> None:
    """What no placement may do, and what is said about a looser match."""
    for p in found:
        refuse_placeholders(p.added_after(where.before(p.start)), where.texts, work.path)
        _refuse_characters(where.document, p, work.path)
        if p.tier != "exact":
            if work.source.stale:
                raise EditError(_stale(work, where, p), kind="stale", path=work.path)
            work.notes.append(f"{work.label(number)}matched ignoring {IGNORED[p.tier]}")
        if p.note:
            work.notes.append(f"{work.label(number)}{p.note}")


def _append(where: Located, edit: Append) -> list[Placement]:
    lines = where.document.lines
    end = len(lines)
    text = edit.text.replace("\r\n", "\n")
    final = text.endswith("\n") or not lines or bool(lines[-1].eol)
    added = text.removesuffix("\n").split("\n")
    return [Placement(end, end, tuple(("+", line) for line in added), final_newline=final)]


def _already(where: Located, edit: Edit) -> tuple[int, int] | None:
    """Lines (from 1) that read as a Replace wants them, when there is one such place and it says something."""
    if not isinstance(edit, Replace) or not edit.new.strip():
        return None
    old, new = plain_lines(edit.old), plain_lines(edit.new)
    quoted = {_squeeze(line) for line in old}
    added = [_squeeze(text) for kind, text in compare(old, new) if kind == "+"]
    # Something must be new in it, and the whole must say enough not to stand there by chance.
    if len(_squeeze(edit.new)) < 12 or not any(len(text) >= 4 and text not in quoted for text in added):
        return None
    hits = where.occurrences(edit.new.replace("\r\n", "\n").rstrip("\n"))
    if len(hits) != 1:
        return None
    first = where.line_at(hits[0])
    return first + 1, first + len(new)


def _squeeze(line: str) -> str:
    return "".join(line.split())


def _refuse_characters(document: Document, placement: Placement, path: str) -> None:
    """No NUL; and in a file of unknown encoding only characters that its matched lines prove."""
    added = "".join(placement.added)
    if "\0" in added:
        raise EditError(
            f"{path}: the new text holds a NUL character. Nothing was changed.", kind="malformed", path=path
        )
    if document.encoding != "utf-8" and not added.isascii():
        known = {c for line in document.lines[placement.start : placement.end] for c in line.text}
        unknown = next((c for c in added if not c.isascii() and c not in known), "")
        if unknown:
            raise EditError(_encoding(path, unknown), kind="encoding", path=path)


def _encoding(path: str, char: str) -> str:
    return (
        f"{path} is not UTF-8, so {char!r} cannot be added without guessing its encoding. Nothing was changed. "
        "Use only ASCII in new, or convert the file with `shell` (iconv)."
    )


def _stale(work: _Work, where: Located, placement: Placement) -> str:
    first, last = max(0, placement.start - 3), min(len(where.texts), placement.end + 3)
    lines = "\n".join(where.texts[first:last])
    return (
        f"{work.path} changed since you read it, and old does not match it exactly any more. Nothing was changed. "
        f"Lines {first + 1}-{last} are now:\n{lines}"
    )


def _overlap(work: _Work, number: int, other: Placement) -> EditError:
    return EditError(
        f"Edit {number} ({work.path}) changes lines that another edit of this call changes too (near line "
        f"{other.start + 1}). Nothing was changed. Make them one edit.",
        kind="overlap",
        path=work.path,
    )


def _missing(work: _Work, where: Located, number: int, edit: Edit) -> EditError:
    """Not found: the nearest region, and after repeated failures more of it and another way."""
    name, quoted = _quoted(where, edit)
    failures = work.source.failures
    near = describe_nearest(where.texts, quoted, failures=failures)
    head = (
        f"{f'Edit {number}: ' if work.many else ''}{name} was not found in {work.path}. Nothing was changed. "
    )
    if not near:
        total = len(where.texts)
        near = f"No line of it is in the file ({total} lines). Read it first, and check the path."
    if failures >= 2:
        near += "\nCopy from here, or replace the block by its ends with from_line and to_line."
    return EditError(head + near, kind="missing", path=work.path)


def _quoted(where: Located, edit: Edit) -> tuple[str, list[str]]:
    if not isinstance(edit, Span):
        return "old", plain_lines(edit.old if isinstance(edit, Replace) else "")
    for name, text in (("from_line", edit.first), ("to_line", edit.last)):
        try:
            locate_span(where, text, text, "", edit.path)
        except Missing:
            return name, plain_lines(text)
        except EditError:
            continue
    return "to_line (after from_line)", plain_lines(edit.last)


def write_text(text: str, before: bytes | None) -> bytes:
    """Bytes of a whole file: UTF-8, with the BOM of the one it replaces, and CRLF when all its lines had it."""
    if before is None or b"\0" in before:
        return text.encode()
    old = decode(before)
    if "\r\n" not in text and {line.eol for line in old.lines if line.eol} == {"\r\n"}:
        text = text.replace("\n", "\r\n")
    return (BOM if old.bom and not text.startswith(BOM) else "").encode() + text.encode()
