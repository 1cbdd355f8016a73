"""What of the user's package index settings and certificates reaches the setup command, and nothing later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass, field

Read = Callable[[str], bytes | None]
"""Content of a file by absolute path, None when it is not there."""

_PASSED = frozenset(
    {
        "pip_index_url", "pip_extra_index_url", "pip_trusted_host", "pip_find_links", "pip_no_index",
        "pip_timeout", "pip_default_timeout", "pip_retries", "pip_proxy", "uv_index_url", "uv_extra_index_url",
        "uv_default_index", "uv_index", "npm_config_registry", "npm_config_proxy", "npm_config_https_proxy",
        "yarn_npm_registry_server", "yarn_registry", "corepack_npm_registry", "goproxy", "gonoproxy",
        "goprivate", "gonosumdb", "gosumdb", "goinsecure", "goflags",
        "cargo_registries_crates_io_protocol", "rustup_dist_server",
        "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    }
)  # fmt: skip
_INDEXES = frozenset(
    {
        "pip_index_url",
        "pip_extra_index_url",
        "uv_index_url",
        "uv_extra_index_url",
        "uv_default_index",
        "uv_index",
    }
)
_CERTIFICATES = frozenset(
    {
        "pip_cert", "ssl_cert_file", "requests_ca_bundle", "curl_ca_bundle", "node_extra_ca_certs",
        "npm_config_cafile", "git_ssl_cainfo", "cargo_http_cainfo",
    }
)  # fmt: skip
_PIP = ("index-url", "extra-index-url", "trusted-host", "find-links", "no-index", "proxy", "cert")
_NPM = {"registry": "NPM_CONFIG_REGISTRY", "proxy": "NPM_CONFIG_PROXY", "cafile": "NPM_CONFIG_CAFILE"}
_NPM["https-proxy"] = "NPM_CONFIG_HTTPS_PROXY"
_LARGEST_CERTIFICATE = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """Never logged: an index URL may hold a password."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificates: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Variable -> content of the file that it names on the host."""


def collect_settings(environ: Mapping[str, str], read: Read) -> IndexSettings:
    """Index, proxy and certificate settings: pip's and npm's files, and above them the user's environment.

    Keys of model providers, registry tokens of .npmrc and everything else stay behind.
    """
    values = {**_pip_files(environ, read), **_npm_files(environ, read)}
    present = {name.lower() for name in environ}
    values = {name: value for name, value in values.items() if name.lower() not in present}
    values |= {name: value for name, value in environ.items() if value}
    variables = {name: _remote(name, value) for name, value in values.items() if name.lower() in _PASSED}
    variables = {name: value for name, value in variables.items() if value}
    certificates: dict[str, bytes] = {}
    for name, value in values.items():
        if name.lower() in _CERTIFICATES:
            content = read(value)
            if content and len(content) <= _LARGEST_CERTIFICATE:
                certificates[name] = content
    return IndexSettings(variables, certificates)


def _remote(name: str, value: str) -> str:
    """An index setting without indexes on the host's own disk.

    Their pages name files anywhere beside them, and showing a container all of that is showing it too much; pip
    would fail on a page that it sees and a file that it does not.
    """
    if name.lower() not in _INDEXES:
        return value
    return " ".join(w for w in value.split() if not w.startswith(("file:", "/")))


def local_folders(settings: IndexSettings) -> tuple[str, ...]:
    """Folders of packages on the host that the settings name (`find-links = /opt/wheels`), sorted.

    A container sees them only when they are mounted, read-only and for the setup command alone.
    """
    found: set[str] = set()
    for name, value in settings.variables.items():
        if name.lower() == "pip_find_links":
            for word in value.replace(",", " ").split():
                path = word.removeprefix("file://")
                if path.startswith("/") and "://" not in path:
                    found.add(path.rstrip("/") or "/")
    return tuple(sorted(found - {"/"}))


def secrets_of(settings: IndexSettings) -> tuple[str, ...]:
    """User names and passwords in the settings' addresses, as they may stand in a command's output."""
    found: set[str] = set()
    for value in settings.variables.values():
        for word in value.replace(",", " ").split():
            login = word.partition("://")[2].partition("/")[0].rpartition("@")[0]
            found |= {login, *login.split(":", 1)} if login else set()
    return tuple(sorted(found - {""}))


def _pip_files(environ: Mapping[str, str], read: Read) -> dict[str, str]:
    home = environ.get("HOME", "")
    paths = ["/etc/pip.conf"]
    if home:
        config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        paths += [f"{home}/.pip/pip.conf", f"{config}/pip/pip.conf"]
    if environ.get("PIP_CONFIG_FILE"):
        paths.append(environ["PIP_CONFIG_FILE"])
    values: dict[str, str] = {}
    for path in paths:
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string((read(path) or b"").decode("utf-8", "replace"))
        except (ConfigParserError, ValueError):
            continue
        for section in ("global", "install"):
            for key in _PIP:
                value = parser.get(section, key, fallback="") if parser.has_section(section) else ""
                if value.strip():
                    values["PIP_" + key.upper().replace("-", "_")] = " ".join(value.split())
    return values


def _npm_files(environ: Mapping[str, str], read: Read) -> dict[str, str]:
    home = environ.get("HOME", "")
    paths = ["/etc/npmrc", *([f"{home}/.npmrc"] if home else [])]
    values: dict[str, str] = {}
    for path in paths:
        for key, value in _npm_lines((read(path) or b"").decode("utf-8", "replace")):
            if key in _NPM:
                values[_NPM[key]] = value
    return values


def _npm_lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith((";", "#")):
            value = value.strip().strip("\"'")
            if value and not value.startswith("${"):
                yield key.strip(), value
