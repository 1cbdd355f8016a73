"""Paths as the model writes them: relative to the repository's root, or absolute."""

from __future__ import annotations

import difflib
import hashlib
import posixpath

from kimicode.core.ports import FileContent, Sandbox, ToolContext
from kimicode.errors import FileError, ToolError

MAX_SIZE = 16 * 1024 * 1024
"""Bytes of a file that the tools read or write."""


def relative(path: str, root: str) -> str:
    """`path` relative to `root`, "" for the root itself; an absolute path elsewhere stays absolute.

    Only names are looked at: the sandbox decides what may be opened. Raises ToolError.
    """
    if "\0" in path:
        raise ToolError(f"{path!r} holds a NUL character, which no path can.")
    full = posixpath.normpath(posixpath.join(root, path.strip() or "."))
    full = "/" + full.lstrip("/")
    base = root.rstrip("/")
    if full == (base or "/"):
        return ""
    if full.startswith(base + "/"):
        return full[len(base) + 1 :]
    if not path.startswith("/"):
        raise ToolError(f"{path} leads out of the repository ({root}). Paths are relative to its root.")
    return full


def digest(data: bytes) -> str:
    """How ToolResult.files and ToolContext.seen name the content of a file."""
    return hashlib.sha256(data).hexdigest()


async def read_all(context: ToolContext, path: str) -> FileContent:
    """A whole file. Raises FileError, for a missing one with the names that come near."""
    try:
        content = await context.sandbox.read(path, limit=MAX_SIZE)
    except FileError as e:
        if e.kind == "missing":
            raise FileError(await explain_missing(context, path), kind="missing", path=path) from None
        raise
    if content.size > len(content.data):
        raise FileError(
            f"{path} has {content.size:,} bytes, more than the {MAX_SIZE:,} that this tool reads. "
            "Use `shell` with sed, head or grep on it.",
            kind="too_large",
            path=path,
        )
    return content


async def explain_missing(context: ToolContext, path: str) -> str:
    """That there is no such file, and which ones the model may have meant."""
    near = nearest(path, await tracked(context.sandbox), context.cwd)
    text = f"There is no file {path} (paths are relative to the repository's root)."
    return f"{text} Did you mean {' or '.join(near)}?" if near else f"{text} list_files shows what there is."


def nearest(path: str, known: list[str], cwd: str = "") -> list[str]:
    """Up to three of `known` that `path` may have meant: beneath the shell's folder, same name, similar spelling."""
    names = set(known)
    if cwd and (below := posixpath.normpath(posixpath.join(cwd, path))) in names:
        return [below]
    base = posixpath.basename(path)
    same = sorted((n for n in known if posixpath.basename(n) == base), key=lambda n: (n.count("/"), n))
    if same:
        return same[:3]
    if len(known) > 20_000:
        return []
    by_name: dict[str, list[str]] = {}
    for name in known:
        by_name.setdefault(posixpath.basename(name), []).append(name)
    found = [
        n for key in difflib.get_close_matches(base, list(by_name), 3, 0.75) for n in sorted(by_name[key])
    ]
    return found[:3]


async def tracked(sandbox: Sandbox) -> list[str]:
    """Files that git tracks or would track; empty without git. For suggestions only."""
    result = await sandbox.exec(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"],
        timeout=10,
        merge=False,
        limit=8 * 1024 * 1024,
        effect="read",
    )
    if result.exit_code or result.dropped:
        return []
    return [name for name in result.output.decode("utf-8", "replace").split("\0") if name]
