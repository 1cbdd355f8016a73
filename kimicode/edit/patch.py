"""The apply_patch envelope, for models that were trained on it: parsed into the same edits as everything else.

*** Begin Patch
*** Add File: PATH        lines with "+"
*** Delete File: PATH
*** Update File: PATH     then perhaps *** Move to: PATH, then hunks: "@@ header", " keep", "-drop", "+add"
*** End Patch
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kimicode.edit.errors import EditError
from kimicode.edit.ops import Op

_HEADS: dict[str, Literal["add", "delete", "update"]] = {
    "*** Add File: ": "add",
    "*** Delete File: ": "delete",
    "*** Update File: ": "update",
}


@dataclass(frozen=True, slots=True)
class Hunk:
    """Operations on consecutive lines, somewhere after the line that `headers` name, one after another."""

    headers: tuple[str, ...]
    ops: tuple[Op, ...]
    at_end: bool = False
    number: int = 0
    """Line of the envelope where it begins."""

    @property
    def old(self) -> list[str]:
        return [text for kind, text in self.ops if kind != "+"]


@dataclass(slots=True)
class FilePatch:
    """What an envelope does to one file."""

    kind: Literal["add", "delete", "update"]
    path: str
    move_to: str = ""
    content: str = ""
    """Of an added file."""
    hunks: list[Hunk] = field(default_factory=list)


def parse_patch(text: str) -> list[FilePatch]:
    """The files of an envelope. Text around it (prose, a code fence, a heredoc) is left out. Raises EditError."""
    lines = text.replace("\r\n", "\n").split("\n")
    begin = next((i for i, line in enumerate(lines) if line.strip() == "*** Begin Patch"), None)
    if begin is None:
        raise _malformed("there is no line '*** Begin Patch'", 0)
    end = next((i for i in range(begin + 1, len(lines)) if lines[i].strip() == "*** End Patch"), None)
    if end is None:
        raise _malformed("there is no line '*** End Patch': the patch may have been cut off", len(lines))
    numbered = iter([(i + 1, lines[i]) for i in range(begin + 1, end)])
    patches = list(_files(numbered))
    if not patches:
        raise _malformed("it names no file", begin + 1)
    paths = [p.path for p in patches]
    if twice := {p for p in paths if paths.count(p) > 1}:
        raise _malformed(f"{sorted(twice)[0]} is named twice; put all its hunks under one header", begin + 1)
    return patches


def _files(lines: Iterator[tuple[int, str]]) -> Iterator[FilePatch]:
    current: FilePatch | None = None
    body: list[tuple[int, str]] = []
    for number, line in lines:
        head = next((h for h in _HEADS if line.startswith(h)), None)
        if head is None and line.startswith("*** Move to: ") and current is not None and not body:
            current.move_to = _path(line.removeprefix("*** Move to: "), number)
        elif head is None and current is None:
            if line.strip():
                raise _malformed(f"{line[:80]!r} stands before the first file header", number)
        elif head is None:
            body.append((number, line))
        else:
            if current is not None:
                yield _close(current, body)
            current, body = FilePatch(_HEADS[head], _path(line[len(head) :], number)), []
    if current is not None:
        yield _close(current, body)


def _path(text: str, number: int) -> str:
    path = text.strip()
    if not path:
        raise _malformed("a file header without a path", number)
    return path


def _close(patch: FilePatch, body: Sequence[tuple[int, str]]) -> FilePatch:
    if patch.kind == "update":
        patch.hunks = list(_hunks(body))
        if not patch.hunks and not patch.move_to:
            raise _malformed(f"{patch.path}: an update without hunks", body[0][0] if body else 0)
        return patch
    for number, line in body:
        if patch.kind == "delete" and line.strip():
            raise _malformed(f"{patch.path}: a deleted file has no lines", number)
        if patch.kind == "add" and line and not line.startswith("+"):
            raise _malformed(
                f"{patch.path}: each line of an added file begins with '+', this one does not: {line[:80]!r}",
                number,
            )
    while body and not body[-1][1]:
        body = body[:-1]
    patch.content = "".join(line[1:] + "\n" for _, line in body)
    return patch


def _hunks(body: Sequence[tuple[int, str]]) -> Iterator[Hunk]:
    headers: list[str] = []
    ops: list[Op] = []
    begin, at_end = 0, False
    for number, line in body:
        if line.startswith("@@"):
            if ops:
                yield _hunk(headers, ops, at_end, begin)
                headers, ops, at_end = [], [], False
            header = (
                line.strip("@").strip()
                if line.startswith("@@ -")
                else line[2:].strip().removesuffix("@@").strip()
            )
            if header and not header.startswith("-"):
                headers.append(header)
        elif line.strip() == "*** End of File":
            at_end = True
        else:
            begin = begin if ops else number
            ops.append(_op(line, number))
    if ops:
        yield _hunk(headers, ops, at_end, begin)


def _op(line: str, number: int) -> Op:
    if line.startswith("+"):
        return "+", line[1:]
    if line.startswith("-"):
        return "-", line[1:]
    if line.startswith(" ") or not line:
        return " ", line[1:]
    raise _malformed(
        f"each line of a hunk begins with ' ', '-' or '+', this one does not: {line[:80]!r}", number
    )


def _hunk(headers: Sequence[str], ops: list[Op], at_end: bool, number: int) -> Hunk:
    while ops and ops[-1] == (" ", ""):
        ops = ops[:-1]
    if not any(kind != " " for kind, _ in ops):
        raise _malformed("a hunk changes nothing", number)
    return Hunk(tuple(headers), tuple(ops), at_end, number)


def _malformed(reason: str, number: int) -> EditError:
    where = f" (line {number} of the patch)" if number else ""
    return EditError(
        f"The patch cannot be read: {reason}{where}. Nothing was changed. Send it again.", kind="malformed"
    )
