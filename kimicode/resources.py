"""Finds prompts/ and sandbox/: inside an installed wheel (kimicode/_data) or beside the package in a checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from kimicode.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
_PLACES = (_PACKAGE / "_data", _PACKAGE.parent)


def prompt(name: str) -> str:
    """Text of prompts/<name>.md, e.g. prompt("tools/shell"). Raises ConfigError when there is none."""
    return _read(_find("prompts", f"{name}.md"))


def sandbox_file(name: str) -> Path:
    """Absolute path of sandbox/<name>, e.g. "Dockerfile". Raises ConfigError when there is none."""
    return _find("sandbox", name)


@cache
def _find(folder: str, name: str) -> Path:
    for place in _PLACES:
        path = place / folder / name
        if path.is_file() and path.is_relative_to(place / folder) and ".." not in path.parts:
            return path
    raise ConfigError(
        f"kimicode's own file {folder}/{name} is missing (looked in {' and '.join(str(p / folder) for p in _PLACES)}).",
        hint="Install kimicode again: pip install --force-reinstall kimicode.",
    )


@cache
def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")
