"""The session's own git directory: snapshots and results live here, and everything git reads here kimicode wrote.

<session>/store/            git directory: objects of snapshots and of the result, no hooks, no filters
<session>/base/objects/     pack of the base commit alone, shown read-only to sandboxes
<session>/fill/             contents that git does not hold (submodules, LFS files), copied into each checkout
<session>/slots/<name>/     one checkout each (checkout.py)
<session>/base.json         what was captured (base.py)
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kimicode.errors import ConfigError, DiskFull
from kimicode.workspace.git import IGNORES_CASE, Git, quote_alternate
from kimicode.workspace.repository import Repository

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Store:
    """Folders of one session and the git that works in them."""

    folder: Path
    """The session's folder."""
    root: str
    """The user's work tree, which is also where a checkout appears inside a sandbox."""
    user_objects: Path
    object_format: str
    line_endings: tuple[tuple[str, str], ...]
    """core.autocrlf and core.eol of the user, for git inside a sandbox too."""

    @classmethod
    def create(cls, folder: Path, repository: Repository) -> Store:
        """Make the folders of a session; may be called again on the same folder."""
        store = cls(
            folder=folder.resolve(),
            root=str(repository.root),
            user_objects=repository.objects,
            object_format=repository.object_format,
            line_endings=tuple(s for s in repository.settings if s[0] in ("core.autocrlf", "core.eol")),
        )
        for path in (store.base_objects / "pack", store.base_objects / "info", store.slots, store.fill):
            path.mkdir(parents=True, exist_ok=True)
        text = _config(repository.object_format, store.line_endings, bare=True)
        make_gitdir(store.gitdir, config=text, head=repository.head, alternates=(store.base_objects,))
        write_text(store.gitdir / "info" / "attributes", repository.attributes)
        write_text(store.excludes, repository.excludes)
        if repository.shallow:
            shutil.copyfile(repository.common_dir / "shallow", store.gitdir / "shallow")
        facts = {
            "format": FORMAT,
            "root": store.root,
            "user_objects": str(store.user_objects),
            "object_format": store.object_format,
            "line_endings": store.line_endings,
        }
        write_json(store.folder / "store.json", facts)
        return store

    @classmethod
    def open(cls, folder: Path) -> Store:
        """The store of a session that exists. Raises ConfigError when it is missing or of another version."""
        folder = folder.resolve()
        facts = read_json(folder / "store.json")
        if facts is None or facts.get("format") != FORMAT:
            raise ConfigError(
                f"The session folder {folder} has no usable object store.",
                hint="It was interrupted while it was made, or another version made it: start a new session.",
            )
        return cls(
            folder=folder,
            root=facts["root"],
            user_objects=Path(facts["user_objects"]),
            object_format=facts["object_format"],
            line_endings=tuple((key, value) for key, value in facts["line_endings"]),
        )

    @property
    def gitdir(self) -> Path:
        return self.folder / "store"

    @property
    def base_objects(self) -> Path:
        return self.folder / "base" / "objects"

    @property
    def fill(self) -> Path:
        return self.folder / "fill"

    @property
    def slots(self) -> Path:
        return self.folder / "slots"

    @property
    def excludes(self) -> Path:
        """The user's own ignore patterns."""
        return self.gitdir / "user-excludes"

    def git(self, *, index: Path | None = None, user: bool = False) -> Git:
        """Git on the store; with user=True it also reads the objects of the user's repository."""
        return Git(gitdir=self.gitdir, index=index, alternates=(self.user_objects,) if user else ())

    def config(self) -> str:
        """Configuration for a git directory inside a sandbox."""
        return _config(self.object_format, self.line_endings, bare=False)


def make_gitdir(
    path: Path, *, config: str, head: str, alternates: Sequence[Path], refs: Sequence[tuple[str, str]] = ()
) -> None:
    """Write a git directory file by file (`git init` takes as long as a snapshot). `head`: oid or "ref: ..."."""
    for part in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (path / part).mkdir(parents=True, exist_ok=True)
    write_text(path / "config", config)
    write_text(path / "objects/info/alternates", "".join(quote_alternate(item) + "\n" for item in alternates))
    if refs:
        # The header says that nothing is known about peeling; refs must be sorted.
        body = "".join(f"{oid} {name}\n" for name, oid in sorted(refs))
        write_text(path / "packed-refs", "# pack-refs with: sorted \n" + body)
    write_text(path / "HEAD", head + "\n")


def _config(object_format: str, line_endings: Sequence[tuple[str, str]], *, bare: bool) -> str:
    sha256 = object_format != "sha1"
    lines = [
        "[core]",
        f"\trepositoryformatversion = {1 if sha256 else 0}",
        "\tfilemode = true",
        f"\tbare = {str(bare).lower()}",
        "\tsafecrlf = false",
        # Agents' objects are small and short-lived: speed counts.
        "\tlooseCompression = 1",
        *(f'\t{key.removeprefix("core.")} = "{value}"' for key, value in line_endings if value.isalnum()),
        *(["\tignorecase = true", "\tprecomposeunicode = true"] if IGNORES_CASE else []),
        "[gc]",
        "\tauto = 0",
        "[index]",
        # checkout.py looks for gitlinks in the file itself and needs uncompressed names and a checksum.
        "\tversion = 2",
        "\tskipHash = false",
        "[checkout]",
        "\tworkers = 0",
    ]
    if sha256:
        lines += ["[extensions]", f"\tobjectFormat = {object_format}"]
    return "\n".join(lines) + "\n"


def write_text(path: Path, text: str) -> None:
    """Replace a small file at once: a reader sees the old or the new one."""
    data = text.encode("utf-8", "surrogateescape")
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(fd, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        raise _full(error, path) from error


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _full(error: OSError, path: Path) -> Exception:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(
            f"The disk is full: {path} could not be written.", hint="Free some space, then kimicode resume."
        )
    return ConfigError(
        f"{path} could not be written: {error.strerror}.", hint="Check the folder's permissions."
    )
