"""Reads what a result changes: for the policy (vet.py) and for people."""

from __future__ import annotations

from dataclasses import dataclass

from kimicode.workspace.git import Git
from kimicode.workspace.objects import ABSENT, GITLINK, Change, decode, diff_trees, list_tree, read_blobs
from kimicode.workspace.vet import Blob, Finding, Policy, vet

SCANNED: int = 4 * 1024 * 1024
"""Blobs up to this size are read whole; of larger ones only the size is judged."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """Lines added and removed in one file; both 0 for a binary file, a mode change or a pure removal of nothing."""

    path: str
    added: int
    removed: int
    binary: bool = False


async def examine(git: Git, base_tree: str, tree: str, policy: Policy | None = None) -> tuple[Finding, ...]:
    """Judge the difference between two trees (`vet.vet`), reading what the policy needs. Worst first."""
    changes = await diff_trees(git, base_tree, tree)
    names = [entry.path for entry in await list_tree(git, tree)] if changes else []
    return vet(changes, blobs=await _blobs(git, changes), names=names, policy=policy)


def stat_patch(patch: bytes) -> tuple[FileStat, ...]:
    """Per file of a git patch (`Checkout.diff`), in its order, for display."""
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    found: list[FileStat] = []
    for section in _sections(patch):
        text = section.decode("utf-8", "replace")
        # unidiff splits at every Unicode line break; git counts line feeds only.
        text = text.translate(dict.fromkeys((0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029), " "))
        binary = "\nGIT binary patch\n" in text or "\nBinary files " in text
        path = _path(section)
        try:
            files = [] if binary else list(PatchSet(text))
        except UnidiffParseError:
            files = []
        found.append(FileStat(path, sum(f.added for f in files), sum(f.removed for f in files), binary))
    return tuple(found)


async def _blobs(git: Git, changes: list[Change]) -> dict[str, Blob]:
    oids = {
        oid
        for change in changes
        for oid, mode in ((change.old, change.old_mode), (change.new, change.new_mode))
        if mode not in (ABSENT, GITLINK)
    }
    if not oids:
        return {}
    ask = "".join(f"{oid}\n" for oid in sorted(oids)).encode()
    sizes: dict[str, int] = {}
    for row in (await git.run("cat-file", "--batch-check", stdin=ask)).splitlines():
        oid, kind, *size = row.decode().split()
        if kind == "blob":
            sizes[oid] = int(size[0])
    small = [(oid, size) for oid, size in sizes.items() if size <= SCANNED]
    data = {oid: content async for oid, content in read_blobs(git, small)}
    return {oid: Blob(size, data.get(oid, b"")) for oid, size in sizes.items()}


def _sections(patch: bytes) -> list[bytes]:
    """The patch of each file; inside of hunks no line starts with "diff --git"."""
    parts = (b"\n" + patch).split(b"\ndiff --git ")
    return [b"diff --git " + part + b"\n" for part in parts[1:]]


def _path(section: bytes) -> str:
    """The path of a section: from its +++ or --- line, else from the header (equal names on both sides)."""
    for line in section.split(b"\n@@")[0].split(b"\n"):
        if line.startswith((b"+++ ", b"--- ")) and line[4:] != b"/dev/null":
            name = line[4:].rstrip(b"\t\r")
            return decode(_unquoted(name)[2:])
    header = section.split(b"\n", 1)[0][len(b"diff --git ") :]
    if header.startswith(b'"'):
        return decode(_unquoted(header[: header.index(b'" ') + 1])[2:])
    return decode(header[2 : (len(header) + 1) // 2 - 0].rstrip(b" "))


def _unquoted(name: bytes) -> bytes:
    if not name.startswith(b'"'):
        return name
    return name[1:-1].decode("unicode_escape").encode("latin-1")
