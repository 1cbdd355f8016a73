"""The environment of commands in a sandbox: an allow-list, never what the user's shell happens to hold."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IDENTITY = ("kimicode", "kimicode@localhost")
"""Author of commits that commands make inside; the harvested commit gets its identity on the host."""


def base_env(
    *, home: str, tmp: str, path: str = "", extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """All variables a command starts with. No API key, no token, no proxy is ever among them.

    `path` "": the PATH of the container's image. Caches lie in `home`, so that what a setup step filled is found.
    """
    name, mail = IDENTITY
    return {
        **({"PATH": path} if path else {}),
        "HOME": home,
        "XDG_CACHE_HOME": f"{home}/.cache",
        "CARGO_HOME": f"{home}/.cargo",
        "GOPATH": f"{home}/go",
        "GOTOOLCHAIN": "local",
        "NPM_CONFIG_CACHE": f"{home}/.npm",
        "TMPDIR": tmp,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "CI": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_EDITOR": "true",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": mail,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": mail,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        **(extra or {}),
    }
