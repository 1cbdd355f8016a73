"""What a session starts from, as a value that is kept on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from kimicode.workspace.store import Store, read_json, write_json


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file of the user that the agent does not get."""

    path: str
    reason: str
    """E.g. "environment file", "GitHub token", "nested git repository", "not readable"."""


@dataclass(frozen=True, slots=True)
class Submodule:
    """A gitlink of the base. Its contents are never part of a result."""

    path: str
    oid: str
    files: int
    """How many files were taken over from the user's checkout of it."""
    note: str = ""
    """Why it is empty or partly empty, e.g. "not checked out"."""


@dataclass(frozen=True, slots=True)
class LfsFile:
    """A Git LFS pointer of the base."""

    path: str
    oid: str
    """sha256 of the content."""
    size: int
    filled: bool
    """Whether the content was found in the user's checkout; if not, the checkout holds the pointer's text."""
    mode: str
    blob: str
    """Mode and oid of the pointer in the base's tree."""


@dataclass(frozen=True, slots=True)
class Base:
    """The tree a session starts from. `head` is the only parent of the commit that comes out."""

    head: str
    head_tree: str
    tree: str
    """`head_tree` plus uncommitted changes, minus what was left out."""
    commit: str
    """Commit without parents of `tree`: the HEAD inside a sandbox. Never enters the user's repository."""
    dirty: bool
    """Whether uncommitted changes of the user are part of `tree`."""
    branch: str
    """Name that the branch has inside a sandbox."""
    tag: str
    """The tag that `git describe` names, on `commit` inside a sandbox; "" when there is none."""
    files: int
    size: int
    """Of all files together, in bytes."""
    paths: tuple[str, ...] = ()
    """What --paths limited the checkout to."""
    left_out: tuple[LeftOut, ...] = ()
    submodules: tuple[Submodule, ...] = ()
    lfs: tuple[LfsFile, ...] = ()

    def save(self, store: Store) -> None:
        write_json(store.folder / "base.json", asdict(self))

    @classmethod
    def load(cls, store: Store) -> Base | None:
        """What was captured for this session; None when the capture did not end."""
        facts: dict[str, Any] | None = read_json(store.folder / "base.json")
        if facts is None:
            return None
        for key, kind in (("left_out", LeftOut), ("submodules", Submodule), ("lfs", LfsFile)):
            facts[key] = tuple(kind(**item) for item in facts[key])
        return cls(**{**facts, "paths": tuple(facts["paths"])})
