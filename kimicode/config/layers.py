"""The layered load: defaults, user file, repository, environment, flags; and where each value came from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kimicode.config.environment import environment_values
from kimicode.config.places import config_path
from kimicode.config.repository import repository_values
from kimicode.config.settings import Config, known_keys, settable_keys
from kimicode.config.table import MAX_FILE, flatten, nearest, parse_toml
from kimicode.errors import ConfigError, UsageError

_userinfo = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from."""

    layer: str
    """"default", "user", "repository", "environment" or "flag"."""
    source: str = ""
    """Path of a file, name of a variable, or an option."""

    def __str__(self) -> str:
        return f"{self.layer} ({self.source})" if self.source else self.layer


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings of a run and, by dotted key, the origin of each."""

    config: Config
    origins: Mapping[str, Origin]


def load(
    environ: Mapping[str, str],
    *,
    flags: Mapping[str, tuple[Any, str]] | None = None,
    repository: Mapping[str, bytes] | None = None,
) -> Loaded:
    """Put the layers together.

    `flags`: by dotted key the value and the option that gave it, e.g. {"limits.max_steps": ("20", "--max-steps")}.
    `repository`: bytes of the repository's own settings files by name (see `read_repository_files`).
    Raises ConfigError (exit 3) for files and variables, UsageError (exit 2) for flags.
    """
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}

    def put(layer: str, found: Iterable[tuple[str, Any, str]]) -> None:
        for key, value, source in found:
            values[key] = value
            origins[key] = Origin(layer, source)

    put("user", _user_values(config_path(environ)))
    put("repository", repository_values(repository or {}))
    put("environment", environment_values(environ))
    put("flag", ((key, value, option) for key, (value, option) in (flags or {}).items()))
    try:
        config = Config.model_validate(_nest(values))
    except ValidationError as e:
        raise _explain(e, values, origins) from None
    return Loaded(config, {key: origins.get(key, Origin("default")) for key in known_keys()})


def get(config: Config, key: str) -> Any:
    """Value of a dotted key."""
    section, name = key.split(".", 1)
    return getattr(getattr(config, section), name)


def _user_values(path: Path) -> Iterable[tuple[str, Any, str]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as e:
        raise ConfigError(f"the settings file {path} cannot be read: {e.strerror or e}") from e
    if len(data) > MAX_FILE:
        raise ConfigError(f"the settings file {path} is larger than 1 MiB")
    known = settable_keys()
    for key, value in flatten(parse_toml(data, str(path))):
        if value == {} and key in Config.model_fields:
            continue
        if key not in known:
            raise _unknown_key(key, str(path), known)
        yield key, value, str(path)


def _unknown_key(key: str, source: str, known: tuple[str, ...]) -> ConfigError:
    """Never repeats the value: somebody may have put a key there."""
    last = key.rsplit(".", 1)[-1].lower()
    if ("api" in last and "key" in last) or last in ("key", "token", "secret"):
        return ConfigError(
            f"{source}: {key} is not a setting; keys are not kept in settings files",
            hint="take it out and set KIMI_API_KEY in the environment",
        )
    near = nearest(key, known)
    hint = f"did you mean {near}?" if near else "kimicode config show lists all settings"
    return ConfigError(f"{source}: there is no setting {key!r}", hint=hint)


def _nest(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    tree: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = key.split(".", 1)
        tree.setdefault(section, {})[name] = value
    return tree


def _explain(
    error: ValidationError, values: Mapping[str, Any], origins: Mapping[str, Origin]
) -> ConfigError | UsageError:
    """The first problem as one sentence that names the setting, its value, its origin and what is expected."""
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"][:2])
    origin = origins.get(key, Origin("default"))
    reason = str(problem["msg"]).removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    shown = _userinfo.sub("//***@", repr(values.get(key)))
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    if origin.layer == "flag":
        return UsageError(f"{origin.source} {shown}: {reason}", hint="kimicode fix --help lists the options")
    return ConfigError(f"{origin.source}: {key} = {shown}: {reason}", hint="correct it and try again")
