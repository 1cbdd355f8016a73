"""Where kimicode keeps its own files: settings, sessions, caches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NAME = "kimicode"


def config_path(environ: Mapping[str, str]) -> Path:
    """The user's settings file; KIMICODE_CONFIG names another one. It need not exist."""
    given = environ.get("KIMICODE_CONFIG", "")
    if given:
        return _absolute(given)
    from platformdirs import user_config_path

    return user_config_path(NAME, appauthor=False) / "config.toml"


def state_dir(environ: Mapping[str, str]) -> Path:
    """Sessions live in `<state dir>/sessions`. KIMICODE_STATE_DIR names another folder. It need not exist."""
    given = environ.get("KIMICODE_STATE_DIR", "")
    if given:
        return _absolute(given)
    from platformdirs import user_state_path

    return user_state_path(NAME, appauthor=False)


def cache_dir(environ: Mapping[str, str]) -> Path:
    """What may be deleted at any time. KIMICODE_CACHE_DIR names another folder. It need not exist."""
    given = environ.get("KIMICODE_CACHE_DIR", "")
    if given:
        return _absolute(given)
    from platformdirs import user_cache_path

    return user_cache_path(NAME, appauthor=False)


def _absolute(text: str) -> Path:
    path = Path(text).expanduser()
    return path if path.is_absolute() else Path.cwd() / path
