"""Settings from environment variables: KIMICODE_* of our own, and the names that the Kimi world uses."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from kimicode.errors import ConfigError

VARIABLES: dict[str, str] = {
    "MOONSHOT_BASE_URL": "model.base_url",
    "KIMI_BASE_URL": "model.base_url",
    "KIMICODE_BASE_URL": "model.base_url",
    "KIMI_MODEL_NAME": "model.id",
    "KIMI_MODEL": "model.id",
    "KIMICODE_MODEL": "model.id",
    "KIMICODE_THINKING": "model.thinking",
    "KIMICODE_BACKEND": "model.backend",
    "KIMICODE_CONTEXT_WINDOW": "model.context_window",
    "KIMICODE_SANDBOX": "sandbox.backend",
    "KIMICODE_IMAGE": "sandbox.image",
    "KIMICODE_MAX_STEPS": "limits.max_steps",
    "KIMICODE_MAX_COST": "limits.max_cost",
    "KIMICODE_MAX_TIME": "limits.max_time",
    "KIMICODE_MAX_TOKENS": "limits.max_tokens",
    "KIMICODE_CHECK": "checks.commands",
    "KIMICODE_CHECK_TIMEOUT": "checks.timeout_s",
    "KIMICODE_SETUP": "setup.command",
    "KIMICODE_SETUP_TIMEOUT": "setup.timeout_s",
    "KIMICODE_NETWORK": "network.mode",
    "KIMICODE_NETWORK_ALLOW": "network.allow",
    "KIMICODE_BRANCH_PREFIX": "repo.branch_prefix",
    "KIMICODE_OUTPUT_FORMAT": "output.format",
    "KIMICODE_HEARTBEAT": "output.heartbeat_s",
    "KIMICODE_VERBOSE": "output.verbose",
}
"""Variable -> setting. Of several that set the same key the last one here wins."""

OTHERS = (
    "KIMICODE_CONFIG",
    "KIMICODE_STATE_DIR",
    "KIMICODE_CACHE_DIR",
    "KIMICODE_REQUIRE_DOCKER",
    "KIMICODE_SESSION",
)
"""Variables of ours that are no settings."""


def environment_values(environ: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    """(setting, value, variable) of each variable that is set and not empty.

    A KIMICODE_* name that looks like a misspelt one of ours is an error (a limit that is silently not
    obeyed costs money); other unknown names belong to somebody else's scripts.
    """
    known = (*VARIABLES, *OTHERS)
    for name in sorted(environ):
        if name.startswith("KIMICODE_") and name not in known:
            near = difflib.get_close_matches(name, [k for k in known if k.startswith("KIMICODE_")], 1, 0.85)
            if near:
                raise ConfigError(
                    f"there is no setting {name} in the environment", hint=f"did you mean {near[0]}?"
                )
    for name, key in VARIABLES.items():
        value = environ.get(name, "")
        if value.strip():
            yield key, value, name
