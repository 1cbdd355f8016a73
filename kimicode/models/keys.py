"""Which API key is used, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kimicode.errors import ConfigError, KeyMissing
from kimicode.models.catalog import BACKENDS, Target, is_local, is_moonshot

KEY_VARIABLES = tuple(dict.fromkeys(name for b in BACKENDS.values() for name in b.key_variables))
"""Every variable that may hold a model key: none of them belongs into a child process."""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key. Its value never appears in `repr`."""

    value: str = field(repr=False)
    source: str
    """The variable, "configuration", or "" when the endpoint is served without a key."""
    remove: tuple[str, ...] = KEY_VARIABLES
    """Variables that the caller takes out of the environment of everything it starts."""


def find_key(environ: Mapping[str, str], target: Target, *, configured: str = "") -> Key:
    """The key for a target: `configured` if given, else from the environment that the caller hands over.

    KIMI_API_KEY, then MOONSHOT_API_KEY; OPENAI_API_KEY only for an address that is not Moonshot's own, and
    each other backend by its own variable first. Raises KeyMissing with three ways on, ConfigError for a
    value that cannot be a key.
    """
    if configured.strip():
        return Key(_check(configured, "api_key in the configuration"), "configuration")
    names = variables(target)
    for name in names:
        value = environ.get(name, "").strip()
        if value:
            return Key(_check(value, name), name)
    if target.backend.key_optional or is_local(target.base_url):
        return Key("none", "")
    name = "MOONSHOT_API_KEY" if "MOONSHOT_API_KEY" in names and is_moonshot(target.base_url) else names[0]
    raise KeyMissing(
        f"No API key for {target.host}: {' or '.join(names)} is not set.",
        hint=(
            f"1. export {name}=…   "
            f"({_where(target)})\n"
            "2. name another endpoint in the user configuration (`kimicode config show --origin` says where it is): "
            '[model] base_url = "http://HOST:8000/v1"; a server of your own needs no key\n'
            "3. kimicode demo   (the whole way once, on a bundled repository, without a key)"
        ),
    )


def variables(target: Target) -> tuple[str, ...]:
    """The variables that are looked at for a target, in order."""
    names = target.backend.key_variables
    if target.backend.name == "moonshot" and not is_moonshot(target.base_url):
        return (*names, "OPENAI_API_KEY")
    return names


def _where(target: Target) -> str:
    return {
        "moonshot": "keys: https://platform.moonshot.ai/console/api-keys",
        "kimi-code": "keys: https://www.kimi.com/code/console",
        "openrouter": "keys: https://openrouter.ai/keys",
    }.get(target.backend.name, f"the key of {target.host}")


def _check(value: str, source: str) -> str:
    value = value.strip()
    if not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
        raise ConfigError(
            f"The key from {source} holds a space, a line break or a character that no key has.",
            hint="Copy it again, without quotes and without the word Bearer.",
        )
    return value
