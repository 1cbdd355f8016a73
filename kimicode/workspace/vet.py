"""Judges a result before it leaves the session: pure functions from changed files to findings.

Sources: reference/security.md A8 (files that run or decide by themselves), B8 and C4 (gitlinks, names), §2 A (secrets).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from kimicode.text.redact import secret_content, secret_name
from kimicode.workspace.lfs import parse_pointer
from kimicode.workspace.objects import ABSENT, EXECUTABLE, GITLINK, REGULAR, SYMLINK, Change
from kimicode.workspace.paths import folded, is_dot_git
from kimicode.workspace.secrets import is_fixture

Level = Literal["block", "review", "allow"]
"""block: nothing is published. review: published and shown first. allow: not mentioned."""

ProtectedClass = Literal["ci", "owners", "git", "hooks", "editor", "agents", "startup", "locks", "symlinks"]

FOLDERS: Final[Mapping[ProtectedClass, tuple[str, ...]]] = MappingProxyType(
    {
        "ci": (".github/workflows", ".github/actions", ".circleci", ".buildkite", ".gitea/workflows",
               ".forgejo/workflows", ".woodpecker"),
        "hooks": (".husky", ".githooks", ".git-hooks"),
        "editor": (".vscode", ".idea", ".devcontainer", ".zed", ".fleet"),
        "agents": (".claude", ".cursor", ".gemini", ".codex", ".kimi", ".kimicode", ".agents"),
    }
)  # fmt: skip
"""Folders whose files belong to a class, at the top of the repository."""

NAMES: Final[Mapping[ProtectedClass, tuple[str, ...]]] = MappingProxyType(
    {
        "ci": (r"\.gitlab-ci\.ya?ml", r"\.travis\.ya?ml", r"azure-pipelines\.ya?ml", r"jenkinsfile", r"\.drone\.ya?ml",
               r"bitbucket-pipelines\.ya?ml", r"\.cirrus\.ya?ml", r"appveyor\.ya?ml", r"action\.ya?ml"),
        "owners": (r"codeowners",),
        "git": (r"\.gitmodules", r"\.gitattributes", r"\.lfsconfig"),
        "hooks": (r"\.pre-commit-config\.ya?ml", r"\.?lefthook(-local)?\.(ya?ml|toml|json)", r"\.huskyrc.*"),
        "editor": (r"\.envrc", r"\.devcontainer\.json", r".*\.code-workspace"),
        "agents": (r"agents\.md", r"claude\.md", r"gemini\.md", r"\.mcp\.json", r"\.kimicode\.toml", r"\.cursorrules"),
        "startup": (r"conftest\.py", r"setup\.py", r"sitecustomize\.py", r"usercustomize\.py", r".*\.pth", r"\.npmrc",
                    r"\.yarnrc(\.yml)?", r"pip\.conf", r"noxfile\.py"),
        "locks": (r"package-lock\.json", r"npm-shrinkwrap\.json", r"yarn\.lock", r"pnpm-lock\.yaml", r"bun\.lockb?",
                  r"poetry\.lock", r"uv\.lock", r"pdm\.lock", r"pipfile\.lock", r"cargo\.lock", r"go\.sum",
                  r"gemfile\.lock", r"composer\.lock", r"flake\.lock"),
    }
)  # fmt: skip
"""Names, at any depth, that belong to a class: regular expressions over the folded name."""

_NAMES: Final = {kind: re.compile("|".join(f"(?:{n})" for n in names)) for kind, names in NAMES.items()}

MEANING: Final[Mapping[ProtectedClass, str]] = MappingProxyType(
    {
        "ci": "runs in continuous integration",
        "owners": "decides who must review",
        "git": "changes how git treats files",
        "hooks": "runs on git operations",
        "editor": "runs when an editor opens the folder",
        "agents": "instructs coding agents",
        "startup": "runs by itself when tests, builds or installs start",
        "locks": "decides which dependencies are installed",
        "symlinks": "is a symbolic link",
    }
)

_BIDI: Final = re.compile(rb"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
"""U+202A-202E and U+2066-2069 in UTF-8: they make code read otherwise than it runs (CVE-2021-42574)."""

TRUSTED_TASK: Final[Mapping[ProtectedClass, Level]] = MappingProxyType(
    {**dict.fromkeys(MEANING, "review"), "locks": "allow"}
)
"""For a task that the user typed: a workflow may be what they asked for, but they are told."""

UNTRUSTED_TASK: Final[Mapping[ProtectedClass, Level]] = MappingProxyType(
    {**dict.fromkeys(MEANING, "review"), "ci": "block", "owners": "block", "hooks": "block", "editor": "block",
     "agents": "block", "git": "block"}
)  # fmt: skip
"""For text that a stranger may have written (a GitHub issue)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of a result; beyond `review` it is mentioned, beyond `block` not published."""

    file_review: int = 2 * 1024**2
    file_block: int = 100 * 1024**2
    """GitHub refuses files of 100 MiB."""
    files_review: int = 300
    files_block: int = 20_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a result."""

    path: str
    rule: str
    """Short stable name, e.g. "protected:ci", "symlink-escapes", "secret"."""
    level: Level
    message: str
    """For people; names are not escaped here."""


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known of a blob: its size, and its content up to some limit ("" for large ones)."""

    size: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Policy:
    protected: Mapping[ProtectedClass, Level] = field(default_factory=lambda: TRUSTED_TASK)
    limits: Limits = field(default_factory=Limits)


def vet(
    changes: Sequence[Change],
    *,
    blobs: Mapping[str, Blob],
    names: Collection[str],
    policy: Policy | None = None,
) -> tuple[Finding, ...]:
    """Judge what a result changes. The worst findings come first.

    changes: rows from base tree to result tree. blobs: by oid, for every changed regular file and symlink, old and new.
    names: all paths of the result tree (for collisions).
    """
    policy = policy or Policy()
    findings: list[Finding] = []
    for change in changes:
        findings += _judge(change, blobs, policy)
    findings += _collisions(changes, names)
    findings += _amount(changes, policy.limits)
    order = {"block": 0, "review": 1, "allow": 2}
    return tuple(
        sorted((f for f in findings if f.level != "allow"), key=lambda f: (order[f.level], f.path, f.rule))
    )


def blocked(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "block" for finding in findings)


def protected_class(path: str) -> ProtectedClass | None:
    """The class of a path, however its case and code points are disguised."""
    plain = "/".join(folded(part).rstrip(". ") for part in path.split("/"))
    for kind, folders in FOLDERS.items():
        # A file or symlink in the place of the folder, or of a parent of it, gives the folder a content, too.
        if any(plain == f or plain.startswith(f + "/") or f.startswith(plain + "/") for f in folders):
            return kind
    name = plain.rsplit("/", 1)[-1]
    return next((kind for kind, pattern in _NAMES.items() if pattern.fullmatch(name)), None)


def _judge(change: Change, blobs: Mapping[str, Blob], policy: Policy) -> list[Finding]:
    path = change.path
    found = [Finding(path, rule, "block", text) for rule, text in _bad_name(path)]
    if GITLINK in (change.old_mode, change.new_mode):
        found.append(Finding(path, "gitlink", "block", "is a nested repository or a change of a submodule"))
        return found
    if change.new_mode not in (REGULAR, EXECUTABLE, SYMLINK, ABSENT):
        found.append(Finding(path, "mode", "block", f"has the unusual mode {change.new_mode}"))
    kind = protected_class(path)
    if kind is not None:
        found.append(Finding(path, f"protected:{kind}", policy.protected[kind], MEANING[kind]))
    if change.new_mode == ABSENT:
        return found
    old, new = blobs.get(change.old, Blob(0)), blobs.get(change.new, Blob(0))
    if change.new_mode == SYMLINK:
        found.append(_judge_link(path, new.data, policy))
    else:
        found += _judge_content(change, old, new, policy.limits)
    return found


def _judge_link(path: str, target: bytes, policy: Policy) -> Finding:
    text = target.decode("utf-8", "backslashreplace")
    if escapes(path, text):
        return Finding(path, "symlink-escapes", "block", f"is a symbolic link out of the repository: {text}")
    return Finding(path, "protected:symlinks", policy.protected["symlinks"], f"is a symbolic link to {text}")


def escapes(path: str, target: str) -> bool:
    """Whether a symlink may lead out of the tree or into a `.git`.

    `..` after a name counts as an escape: the name may be another symlink, whose parent is elsewhere.
    """
    if not target or target.startswith(("/", "~")) or "\\" in target or re.match(r"[A-Za-z]:", target):
        return True
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    return ups > path.count("/") or ".." in parts[ups:] or any(map(is_dot_git, parts))


def _judge_content(change: Change, old: Blob, new: Blob, limits: Limits) -> list[Finding]:
    path, found = change.path, []
    if new.size > limits.file_block:
        found.append(Finding(path, "size", "block", f"has {new.size / 1024**2:.0f} MiB"))
    elif new.size > limits.file_review and new.size > 2 * old.size:
        found.append(Finding(path, "size", "review", f"has {new.size / 1024**2:.1f} MiB"))
    if change.old_mode == ABSENT and (reason := secret_name(path)):
        found.append(
            Finding(
                path, "secret", "review" if is_fixture(path) else "block", f"looks like a secret ({reason})"
            )
        )
    elif (reason := secret_content(new.data)) and not secret_content(old.data):
        level: Level = "review" if is_fixture(path) else "block"
        found.append(Finding(path, "secret", level, f"contains what looks like a secret ({reason})"))
    if parse_pointer(old.data) and not parse_pointer(new.data):
        found.append(
            Finding(path, "lfs", "review", "is kept in Git LFS, but the result holds its content itself")
        )
    if _BIDI.search(new.data) and not _BIDI.search(old.data):
        found.append(Finding(path, "bidi", "review", "contains characters that change the direction of text"))
    return found


def _bad_name(path: str) -> list[tuple[str, str]]:
    parts = path.split("/")
    found = []
    if any(part in ("", ".", "..") for part in parts):
        found.append(("path", "is not a plain relative path"))
    if any(is_dot_git(part) for part in parts):
        found.append(("dot-git", "is a name that some file systems take for .git"))
    if any(unicodedata.category(c) == "Cc" or _BIDI.search(c.encode("utf-8", "replace")) for c in path):
        found.append(("control", "has control characters in its name"))
    return found


def _collisions(changes: Sequence[Change], names: Collection[str]) -> list[Finding]:
    """Added paths that are the same file as another one where case or composition do not count."""
    added = [change.path for change in changes if change.old_mode == ABSENT]
    if not added:
        return []
    wanted = {folded(prefix) for path in added for prefix in _prefixes(path)}
    spellings: dict[str, set[str]] = {}
    for name in names:
        for prefix in _prefixes(name):
            key = folded(prefix)
            if key in wanted:
                spellings.setdefault(key, set()).add(prefix)
    found = []
    for path in added:
        for prefix in _prefixes(path):
            others = spellings.get(folded(prefix), {prefix}) - {prefix}
            if others:
                text = f"differs only in case or composition from {min(others)}"
                found.append(Finding(path, "collision", "block", text))
                break
    return found


def _prefixes(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _amount(changes: Sequence[Change], limits: Limits) -> list[Finding]:
    count = len(changes)
    if count <= limits.files_review:
        return []
    level: Level = "block" if count > limits.files_block else "review"
    return [Finding("", "files", level, f"changes {count:,} files")]
