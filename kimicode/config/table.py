"""TOML text as dotted keys, and the nearest known key to an unknown one."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kimicode.errors import ConfigError

MAX_FILE = 1024 * 1024
"""Bytes of a settings file; a larger one is no settings file."""


def parse_toml(data: bytes, source: str) -> dict[str, Any]:
    """The table in `data`; ConfigError names `source` and the place."""
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as e:
        raise ConfigError(f"{source} is not UTF-8 (byte {e.start})", hint="save it as UTF-8") from None
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{source} is not valid TOML: {e}", hint="correct it, or move it away") from None
    except (RecursionError, ValueError) as e:
        raise ConfigError(f"{source} cannot be read as TOML: {e}") from None


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value), one section deep: what is nested deeper is the value of an unknown key."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value and not prefix:
            yield from flatten(value, f"{key}.")
        else:
            yield key, value


def nearest(key: str, known: Iterable[str]) -> str:
    """The known key that `key` was probably meant to be; "" when none is near."""
    known = tuple(known)
    if hit := difflib.get_close_matches(key, known, 1, 0.75):
        return hit[0]
    last = key.rsplit(".", 1)[-1]
    by_last = {k.rsplit(".", 1)[-1]: k for k in reversed(known)}
    if hit := difflib.get_close_matches(last, tuple(by_last), 1, 0.7):
        return by_last[hit[0]]
    hit = difflib.get_close_matches(key, known, 1, 0.5)
    return hit[0] if hit else ""
