"""Settings that a repository brings along: untrusted, so it may propose and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kimicode.config.settings import settable_keys
from kimicode.config.table import MAX_FILE, flatten, nearest, parse_toml
from kimicode.errors import ConfigError

OWN_FILE = ".kimicode.toml"
PYPROJECT = "pyproject.toml"

INERT: dict[str, str] = {
    "setup.command": "proposed.setup",
    "checks.commands": "proposed.checks",
}
"""What a repository may say -> the setting that it becomes. Nothing here runs, pays, reaches or permits."""


def find_root(folder: Path) -> Path | None:
    """The nearest folder at or above `folder` that holds a `.git` (a folder, or a file in linked worktrees)."""
    for candidate in (folder, *folder.parents):
        if os.path.lexists(candidate / ".git"):
            return candidate
    return None


def read_repository_files(root: Path) -> dict[str, bytes]:
    """The bytes of `.kimicode.toml` and `pyproject.toml` at the top of a working tree, where they are there.

    To be called before an agent starts. Symlinks, FIFOs and devices are refused, so nothing outside the
    repository is read and nothing blocks. Raises ConfigError for a `.kimicode.toml` that cannot be read.
    """
    found: dict[str, bytes] = {}
    for name in (PYPROJECT, OWN_FILE):
        try:
            data = _read_regular(root / name)
        except FileNotFoundError:
            continue
        except OSError as e:
            if name == OWN_FILE:
                raise ConfigError(f"{root / name} cannot be read: {e.strerror or e}") from e
            continue
        if data is not None:
            found[name] = data
        elif name == OWN_FILE:
            raise ConfigError(
                f"{root / name} is not a regular file of at most 1 MiB",
                hint="repository settings are read from a plain file only",
            )
    return found


def _read_regular(path: Path) -> bytes | None:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_FILE:
            return None
        chunks = []
        while chunk := os.read(handle, 65536):
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(handle)


def repository_values(files: Mapping[str, bytes]) -> Iterator[tuple[str, Any, str]]:
    """(setting, value, file) of what the files propose; pure. `.kimicode.toml` goes over `pyproject.toml`.

    Raises ConfigError, which names the key and the file, for anything that is not inert: an endpoint, a key,
    a sandbox, a network, a budget, a hook. Such a file is refused whole rather than obeyed in part.
    """
    for name in (PYPROJECT, OWN_FILE):
        table = _table(name, files[name]) if name in files else {}
        for key, value in flatten(table):
            if value == {} and any(k.startswith(f"{key}.") for k in INERT):
                continue
            target = INERT.get(key)
            if target is None:
                raise _refusal(key, name)
            _require_text(key, value, name)
            yield target, value, name
            if target.startswith("proposed."):
                yield "proposed.source", name, name


def _table(name: str, data: bytes) -> dict[str, Any]:
    if name == OWN_FILE:
        return parse_toml(data, name)
    if b"kimicode" not in data:
        return {}
    try:
        tool = parse_toml(data, name).get("tool", {})
    except ConfigError:
        # A broken pyproject.toml may be the very thing to repair; it is only ours when it speaks to us.
        if b"tool.kimicode" in data:
            raise
        return {}
    table = tool.get("kimicode", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise ConfigError(f"{name}: [tool.kimicode] is not a table")
    return table


def _require_text(key: str, value: Any, name: str) -> None:
    """Strings and lists of strings only, so that a wrong type is said with the file's name."""
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) and item.strip() for item in items):
        raise ConfigError(
            f"{name}: {key} must be text" + (" or a list of texts" if key != "setup.command" else "")
        )
    if key == "setup.command" and isinstance(value, list):
        raise ConfigError(f"{name}: {key} must be one text")
    if any(ord(c) < 32 for item in items for c in item):
        raise ConfigError(f"{name}: {key} holds control characters")


def _refusal(key: str, name: str) -> ConfigError:
    settable = settable_keys()
    meant = nearest(key, INERT)
    known = key in settable or any(k.startswith(f"{key.split('.')[0]}.") for k in settable)
    if known or not meant:
        own = "your own choice belongs into your settings file (kimicode config path), the environment or an option"
        hint = f"take it out of {name}; {own}"
        if meant and key not in settable:
            hint = f"did you mean {meant}? Otherwise {hint}"
    else:
        hint = f"did you mean {meant}?"
    return ConfigError(
        f"{name}: a repository may not set {key!r} (only {', '.join(INERT)}); it must be set at user level",
        hint=hint,
    )
