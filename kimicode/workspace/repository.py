"""The user's repository, read without executing anything of it and without writing to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from kimicode.errors import RepositoryError
from kimicode.workspace.git import Git, Output

TEXT_LIMIT: Final = 1024 * 1024
"""Largest ignore or attributes file that is taken over, in bytes."""

PLAIN_SETTINGS: Final = (
    "core.autocrlf",
    "core.eol",
    "core.filemode",
    "core.symlinks",
    "core.ignorecase",
    "core.precomposeunicode",
)
"""Settings of the user that change what a file's bytes become in git. Plain values: they name no command.

Line endings need no filter: git itself converts by these and by the attributes `text` and `eol`, so a file
with CRLF in the user's tree has CRLF in the agent's, and the blob that is committed is the one git would make.
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a commit is by."""

    name: str
    email: str
    own: bool = True
    """False: the user has none configured and this is kimicode's fixed one."""


KIMICODE: Final = Identity("kimicode", "kimicode@localhost", own=False)


@dataclass(frozen=True, slots=True)
class Repository:
    """Facts about one work tree at the moment it was opened."""

    root: Path
    """Top of the work tree, symlinks resolved."""
    git_dir: Path
    common_dir: Path
    """Same as git_dir, except in a linked worktree."""
    head: str
    head_tree: str
    head_time: str
    """Committer date of HEAD as git writes it: "1700000000 +0100"."""
    subject: str
    """First line of HEAD's message."""
    branch: str | None
    """Short name; None when HEAD is detached."""
    object_format: str
    """"sha1" or "sha256"."""
    shallow: bool
    partial: bool
    """A clone that fetches missing objects on demand. kimicode never does."""
    sparse: bool
    identity: Identity
    settings: tuple[tuple[str, str], ...]
    """The PLAIN_SETTINGS that the user has, lower-cased key and value."""
    excludes: str
    """Ignore patterns from the user's own files: core.excludesFile, then info/exclude."""
    attributes: str
    """Attributes from the user's own files: core.attributesFile, then info/attributes."""

    @property
    def linked(self) -> bool:
        return self.git_dir != self.common_dir

    @property
    def objects(self) -> Path:
        return self.common_dir / "objects"

    @property
    def index(self) -> Path:
        return self.git_dir / "index"

    def git(self) -> Git:
        """Git on this repository, for commands that read no work tree and run no filter."""
        return Git(gitdir=self.git_dir)

    async def resolve_base(self, revision: str) -> str:
        """Commit oid of a revision the user named. Raises RepositoryError when there is no such commit."""
        if "\0" in revision or "\n" in revision or not revision.strip():
            raise RepositoryError(f"{revision!r} names no commit.", hint="Give a branch, tag or commit id.")
        found = await self.git().run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}", check=False
        )
        if not found.strip():
            shallow = " It is a shallow clone: older commits may be missing." if self.shallow else ""
            raise RepositoryError(
                f"There is no commit {revision!r} in {self.root}.{shallow}",
                hint="git log --oneline and git branch -a list what there is.",
            )
        return found.decode().split()[-1]


async def open_repository(path: Path | str) -> Repository:
    """The repository whose work tree holds `path` (a folder).

    Raises RepositoryError: no such folder, not in a repository, bare, owned by someone else, no commit yet.
    """
    folder = _folder(Path(path))
    git = Git(cwd=folder)
    values, places, head, branch = await _ask(git)
    if "dubious ownership" in places.stderr:
        safe = tuple(f"safe.directory={value}" for value in values.user.get("safe.directory", ()))
        git = replace(git, config=safe)
        values, places, head, branch = await _ask(git)
    root, git_dir, common_dir, object_format, shallow = _located(folder, places)
    if head is None:
        raise RepositoryError(
            f"The repository {root} has no commit yet.",
            hint='Commit first: git add -A && git commit -m "first commit"',
        )
    one = values.last
    return Repository(
        root=root,
        git_dir=git_dir,
        common_dir=common_dir,
        head=head.oid,
        head_tree=head.tree,
        head_time=head.time,
        subject=head.subject,
        branch=branch,
        object_format=object_format,
        shallow=shallow,
        partial="extensions.partialclone" in one or any(k.endswith(".promisor") for k in one),
        sparse=_true(one.get("core.sparsecheckout", "false")),
        identity=_identity(one),
        settings=tuple((key, one[key]) for key in PLAIN_SETTINGS if key in one),
        excludes=_texts(values.user, "core.excludesfile", "ignore", common_dir / "info" / "exclude"),
        attributes=_texts(
            values.user, "core.attributesfile", "attributes", common_dir / "info" / "attributes"
        ),
    )


async def _ask(git: Git) -> tuple[_Values, Output, Commit | None, str | None]:
    return await asyncio.gather(_settings(git), _places(git), read_commit(git, "HEAD"), _branch(git))


def _folder(path: Path) -> Path:
    if "\0" in str(path):
        raise RepositoryError(f"{str(path)!r} is no path.", hint="Give the folder of a git repository.")
    try:
        folder = path.expanduser().resolve()
        if folder.is_dir():
            return folder
        what = "is not a folder" if folder.exists() else "does not exist"
    except OSError as error:
        raise RepositoryError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    raise RepositoryError(f"{path} {what}.", hint="Give the folder of a git repository with --repo.")


# --- settings ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Values:
    last: Mapping[str, str]
    """Every key with the value that counts."""
    user: Mapping[str, tuple[str, ...]]
    """Only from the user's own files: what may name a file to read."""


async def _settings(git: Git) -> _Values:
    """All settings as the user's own git sees them. Listing runs nothing, so their real files are read here."""
    own = {
        k: v
        for k, v in os.environ.items()
        if k in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
    }
    own.setdefault("HOME", _home())
    # An empty variable still counts as set for git: these two must be absent, not empty.
    listing = replace(git, dropped=("GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL"))
    text = await listing.run("config", "--list", "-z", "--show-scope", check=False, env=own)
    last: dict[str, str] = {}
    user: dict[str, tuple[str, ...]] = {}
    parts = text.decode("utf-8", "surrogateescape").split("\0")
    for scope, pair in zip(parts[::2], parts[1::2], strict=False):
        if scope == "command":
            continue
        key, separator, value = pair.partition("\n")
        key = key if "." not in key else key.lower() if key.count(".") == 1 else key
        value = value if separator else "true"
        last[key] = value
        if scope in ("global", "system"):
            user[key] = (*user.get(key, ()), value)
    return _Values(last, user)


def _true(value: str) -> bool:
    return value.lower() in ("true", "yes", "on", "1")


def _identity(values: Mapping[str, str]) -> Identity:
    name, email = (_clean(values.get(key, "")) for key in ("user.name", "user.email"))
    return Identity(name, email) if name and email else KIMICODE


def _clean(text: str) -> str:
    """Without what git refuses in an identity."""
    return "".join(c for c in text if c not in "<>\n\0" and c.isprintable()).strip(" .,:;\"'\\")


def _texts(user: Mapping[str, tuple[str, ...]], key: str, default: str, own: Path) -> str:
    """Text of the user's global file and of the repository's own one.

    A global file counts only when the user's own configuration names it: a repository's configuration that
    names ~/.ssh/id_rsa would otherwise put that file's text into the sandbox.
    """
    named = user.get(key, ())
    if named:
        path = Path(os.path.expanduser(named[-1])) if named[-1] else None  # noqa: PTH111
    else:
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path(_home()) / ".config")
        path = Path(home) / "git" / default
    return "".join(_text(file) for file in (path, own) if file is not None)


def _home() -> str:
    return os.path.expanduser("~")  # noqa: PTH111 -- Path.home() raises for a user without a passwd entry


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > TEXT_LIMIT:
            return ""
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    return text if not text or text.endswith("\n") else text + "\n"


# --- places and HEAD ---------------------------------------------------------------------------------


async def _places(git: Git) -> Output:
    return await git.probe(
        "rev-parse", "--path-format=absolute", "--is-bare-repository", "--show-object-format",
        "--is-shallow-repository", "--absolute-git-dir", "--git-common-dir", "--show-toplevel",
    )  # fmt: skip


def _located(folder: Path, output: Output) -> tuple[Path, Path, Path, str, bool]:
    lines = os.fsdecode(output.stdout).split("\n")[:-1]
    said = output.stderr
    if "dubious ownership" in said:
        raise RepositoryError(
            f"The repository at {folder} belongs to another user, and git does not trust it.",
            hint=f"If you do: git config --global --add safe.directory {folder}",
        )
    if "cannot use bare repository" in said or "must be run in a work tree" in said or lines[:1] == ["true"]:
        raise RepositoryError(
            f"{folder} is a bare repository or inside a git directory: there is no working tree.",
            hint="Clone it, or give the folder of a worktree.",
        )
    if output.returncode != 0:
        if "not a git repository" in said:
            raise RepositoryError(
                f"{folder} is not in a git repository.",
                hint="Run git init and commit, or give another folder with --repo.",
            )
        raise RepositoryError(
            f"git cannot open {folder}: {said.strip()[-500:]}", hint="git status there says more."
        )
    if len(lines) != 6:
        raise RepositoryError(
            f"The path of the repository at {str(folder)!r} contains a line break.", hint="Rename the folder."
        )
    root, git_dir, common_dir = (Path(line).resolve() for line in (lines[5], lines[3], lines[4]))
    if folder != root and root not in folder.parents:
        raise RepositoryError(
            f"The repository at {folder} keeps its working tree elsewhere ({root}, core.worktree).",
            hint=f"If that is meant, give --repo {root}.",
        )
    return root, git_dir, common_dir, lines[1], lines[2] == "true"


@dataclass(frozen=True, slots=True)
class Commit:
    """What is needed of a commit object."""

    oid: str
    tree: str
    time: str
    """Committer date as git writes it: "1700000000 +0100"."""
    subject: str


async def read_commit(git: Git, revision: str) -> Commit | None:
    """The commit that a revision names; None when there is none."""
    out = await git.run("cat-file", "--batch", stdin=revision.encode() + b"\n", check=False)
    first, _, body = out.partition(b"\n")
    fields = first.split()
    if len(fields) != 3 or fields[1] != b"commit":
        return None
    headers, _, message = body.partition(b"\n\n")
    values = dict(_header_lines(headers.split(b"\n")))
    return Commit(
        oid=fields[0].decode(),
        tree=values[b"tree"].decode(),
        time=b" ".join(values[b"committer"].split()[-2:]).decode(),
        subject=message.split(b"\n", 1)[0].decode("utf-8", "replace").strip(),
    )


async def _branch(git: Git) -> str | None:
    name = await git.run("symbolic-ref", "--quiet", "HEAD", check=False)
    ref = name.decode("utf-8", "surrogateescape").strip()
    return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None


def _header_lines(lines: Iterable[bytes]) -> Iterable[tuple[bytes, bytes]]:
    for line in lines:
        key, _, value = line.partition(b" ")
        if key in (b"tree", b"committer"):
            yield key, value
