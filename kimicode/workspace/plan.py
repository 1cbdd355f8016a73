"""Decides, file by file, what of the user's state goes into the captured tree."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from kimicode.workspace.base import LeftOut
from kimicode.workspace.lfs import Pointer, describe_file
from kimicode.workspace.objects import ABSENT, GITLINK, SYMLINK, Entry
from kimicode.workspace.secrets import is_fixture, scan_file

NESTED: Final = "nested git repository"
MISSING: Final = "not in this partial clone"
SPECIAL: Final = "not a regular file"
COMMITTED: Final = "in an uncommitted change; the committed version is used"


@dataclass(frozen=True, slots=True)
class Changed:
    """A file whose index entry or content differs from the commit, or an untracked one."""

    path: str
    """Ends with "/" for a nested repository."""
    untracked: bool


@dataclass(slots=True)
class Plan:
    """How the captured tree differs from the commit's."""

    drop: dict[str, str] = field(default_factory=dict)
    """Paths that are not in it and why; "" for what is not named (gitlinks)."""
    committed: list[Entry] = field(default_factory=list)
    """Changed files of which the committed version is taken instead."""
    update: list[str] = field(default_factory=list)
    """Changed or untracked files that are taken from the work tree, or removed when gone from it."""
    pointers: dict[str, Pointer] = field(default_factory=dict)
    """LFS files with new content: their new pointers."""
    written: dict[str, str] = field(default_factory=dict)
    """Oids of those pointers as blobs, once written."""
    notes: list[LeftOut] = field(default_factory=list)
    """What to tell about files that are in it, but not as they stand."""

    @property
    def dirty(self) -> bool:
        return bool(self.update or self.pointers)

    @property
    def empty(self) -> bool:
        """Whether the captured tree is the commit's."""
        return not (self.update or self.drop or self.committed or self.pointers)

    def named(self) -> tuple[LeftOut, ...]:
        left_out = [LeftOut(path, reason) for path, reason in self.drop.items() if reason]
        return tuple(sorted([*left_out, *self.notes], key=lambda item: item.path))

    def judge_tree(self, entries: Sequence[Entry], secrets: Mapping[str, str], keep: frozenset[str]) -> None:
        """What is committed: submodules (filled elsewhere), secrets and missing blobs are left out."""
        for entry in entries:
            if entry.mode == GITLINK:
                self.drop[entry.path] = ""
            elif entry.path in secrets and entry.path not in keep and not is_fixture(entry.path):
                self.drop[entry.path] = secrets[entry.path]
            elif entry.size < 0:
                self.drop[entry.path] = MISSING

    def judge_changes(
        self,
        root: Path,
        entries: Sequence[Entry],
        changed: Sequence[Changed],
        pointers: Mapping[str, Pointer],
        keep: frozenset[str],
    ) -> None:
        """What is changed or new, read from the work tree. Call after judge_tree."""
        known = {entry.path: entry for entry in entries}
        for path in dict.fromkeys(change.path for change in changed):
            if path.endswith("/"):
                self.drop[path] = NESTED
            elif self.drop.get(path, MISSING) == MISSING:
                self._judge(root, path, known.get(path), pointers.get(path), kept=path in keep)

    def _judge(
        self, root: Path, path: str, entry: Entry | None, pointer: Pointer | None, *, kept: bool
    ) -> None:
        try:
            mode = (root / path).lstat().st_mode
        except OSError:
            self.update.append(path)
            return
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
            self.drop[path] = SPECIAL
            return
        if pointer is not None and stat.S_ISREG(mode):
            now = describe_file(root / path)
            if now is not None and now not in (pointer, _of_text(pointer)):
                self.pointers[path] = now
            return
        reason = None if kept or stat.S_ISDIR(mode) else scan_file(root, path)
        if reason is None:
            self.update.append(path)
            self.drop.pop(path, None)
        elif entry is not None and entry.mode != SYMLINK and entry.size >= 0:
            self.committed.append(entry)
            self.notes.append(LeftOut(path, f"{reason} {COMMITTED}"))
        else:
            self.drop[path] = reason

    def lfs(self, entries: Sequence[Entry], pointers: Mapping[str, Pointer]) -> dict[Entry, Pointer]:
        """The LFS files of the captured tree. Call when the new pointers are written."""
        gone = {*self.drop, *self.update}
        found: dict[Entry, Pointer] = {}
        for entry in entries:
            if entry.path in self.pointers:
                found[replace(entry, oid=self.written[entry.path])] = self.pointers[entry.path]
            elif entry.path in pointers and entry.path not in gone:
                found[entry] = pointers[entry.path]
        return found

    def index_rows(self, head_tree: str, entries: Sequence[Entry], outside: Sequence[str]) -> list[str]:
        """Lines for `update-index --index-info`; `outside`: paths beyond --paths."""
        zero = "0" * len(head_tree)
        modes = {entry.path: entry.mode for entry in entries}
        rows = [f"{ABSENT} {zero}\t{path}" for path in (*outside, *self.drop) if not path.endswith("/")]
        rows += [f"{entry.mode} {entry.oid}\t{entry.path}" for entry in self.committed]
        rows += [f"{modes[path]} {oid}\t{path}" for path, oid in self.written.items()]
        return rows


def _of_text(pointer: Pointer) -> Pointer:
    """Facts of the pointer's own text: what stands in the work tree when contents were never fetched."""
    text = pointer.text()
    return Pointer(hashlib.sha256(text).hexdigest(), len(text))
