"""Finding the command that installs what a repository needs, from the files it is made of."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from typing import Any

from kimicode.core.message import Frozen

Read = Callable[[str], bytes | None]
"""Content of a repository-relative file, None when it is not there."""

EXTRAS = ("test", "tests", "testing", "dev", "develop", "development", "all")
"""Names under which projects list what their tests need, the likeliest first."""
_REQUIREMENTS = (
    "requirements-test.txt", "requirements-tests.txt", "test-requirements.txt", "requirements_test.txt",
    "requirements/test.txt", "requirements/tests.txt", "requirements/testing.txt", "tests/requirements.txt",
    "test/requirements.txt", "requirements-dev.txt", "dev-requirements.txt", "requirements_dev.txt",
    "requirements/dev.txt", "requirements/development.txt",
)  # fmt: skip
VENV_PYTHON = ".venv/bin/python"


class SetupCommand(Frozen):
    """A command that prepares a checkout, as a shell line for `sh` at its top."""

    command: str
    reason: str
    """What it was made from, e.g. "pyproject.toml with extra test"."""
    interpreter: str = ""
    """The Python that it makes, relative to the checkout: ".venv/bin/python", or ""."""


def find_setup(files: Sequence[str], read: Read, *, python: str = "python3") -> SetupCommand | None:
    """The setup that the repository's manifests ask for; None when they ask for none.

    Parts for several languages are joined. Python goes into `.venv` inside the checkout: that works on every
    backend, as the environment layer carries it, and changes no system.
    """
    known = frozenset(files)
    parts = [
        part for part in (_python(known, read, python), _node(known, read), _go(known), _rust(known)) if part
    ]
    if not parts:
        return None
    return SetupCommand(
        command=" && ".join(part.command for part in parts),
        reason=", ".join(part.reason for part in parts),
        interpreter=next((part.interpreter for part in parts if part.interpreter), ""),
    )


def _text(read: Read, path: str) -> str:
    data = read(path)
    return "" if data is None else data[:1_000_000].decode("utf-8", "replace")


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _table(document: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _python(known: frozenset[str], read: Read, python: str) -> SetupCommand | None:
    document = _toml(_text(read, "pyproject.toml")) if "pyproject.toml" in known else {}
    installable = bool({"setup.py", "setup.cfg"} & known) or bool(
        _table(document, "project") or _table(document, "build-system") or _table(document, "tool", "poetry")
    )
    extra = _extra(known, read, document) if installable else ""
    group, wanted = _group(document)
    files = [] if wanted else [path for path in _REQUIREMENTS if path in known][:1]
    if "requirements.txt" in known and (not installable or not (extra or wanted or files)):
        files.insert(0, "requirements.txt")
    if not installable and not files and not wanted:
        return None
    pip = f"{VENV_PYTHON} -m pip install"
    steps = [f"{shlex.quote(python)} -m venv .venv"]
    reasons: list[str] = []
    if installable:
        reasons.append(next(n for n in ("pyproject.toml", "setup.py", "setup.cfg") if n in known))
        steps.append(_install(pip, extra))
        reasons[-1] += f" with extra {extra}" if extra else ""
    if files:
        steps.append(f"{pip} " + " ".join(f"-r {shlex.quote(path)}" for path in files))
        reasons += files
    if wanted:
        steps.append(f"{pip} " + " ".join(shlex.quote(one) for one in wanted))
        reasons.append(f"dependency group {group}")
    if not any(re.match(r"pytest\b(?!-)", one) for one in wanted):
        # The runner itself is often asked for nowhere; only then is it added, in whatever version is current.
        steps.append(f"({VENV_PYTHON} -c 'import pytest' 2>/dev/null || {pip} pytest)")
    return SetupCommand(command=" && ".join(steps), reason=" and ".join(reasons), interpreter=VENV_PYTHON)


def _install(pip: str, extra: str) -> str:
    """Editable with the extra; where that fails, without it.

    Never without -e: the checks would then run a copy of the base and not the agent's code.
    """
    if not extra:
        return f"{pip} -e ."
    return f"({pip} -e {shlex.quote(f'.[{extra}]')} || {pip} -e .)"


def _extra(known: frozenset[str], read: Read, document: dict[str, Any]) -> str:
    """The extra that names the tests' needs, "" when there is none."""
    names = set(_table(document, "project", "optional-dependencies"))
    names |= set(_table(document, "tool", "poetry", "extras"))
    if "setup.cfg" in known:
        parser = ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(_text(read, "setup.cfg"))
            if parser.has_section("options.extras_require"):
                names |= set(parser.options("options.extras_require"))
        except (ConfigParserError, ValueError):
            pass
    if "setup.py" in known:
        source = _text(read, "setup.py")
        at = source.find("extras_require")
        if at >= 0:
            names |= set(re.findall(r"[\"']([\w.-]{1,60})[\"']\s*:", source[at : at + 4_000]))
    return next((name for name in EXTRAS if name in names), "")


def _group(document: dict[str, Any]) -> tuple[str, list[str]]:
    """A dependency group for tests as plain requirements: older pips know no --group."""
    groups = _table(document, "dependency-groups")
    for name in EXTRAS:
        if name in groups:
            wanted = _expand(groups, name, set())
            if wanted:
                return name, wanted
    poetry = _table(document, "tool", "poetry")
    for name in EXTRAS:
        table = _table(poetry, "group", name, "dependencies") or (
            _table(poetry, "dev-dependencies") if name == "dev" else {}
        )
        wanted = [
            _poetry_requirement(package, spec) for package, spec in table.items() if package != "python"
        ]
        if wanted:
            return name, [one for one in wanted if one]
    return "", []


def _expand(groups: dict[str, Any], name: str, seen: set[str]) -> list[str]:
    """Requirements of a group with those it includes (PEP 735)."""
    if name in seen:
        return []
    seen.add(name)
    wanted: list[str] = []
    members = groups.get(name)
    for member in members if isinstance(members, list) else []:
        if isinstance(member, str) and not member.startswith("-"):
            wanted.append(member)
        elif isinstance(member, dict) and isinstance(member.get("include-group"), str):
            wanted += _expand(groups, member["include-group"], seen)
    return wanted


def _poetry_requirement(package: str, spec: Any) -> str:
    """A requirement from poetry's table; caret and tilde versions become lower bounds."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", package):
        return ""
    version = spec if isinstance(spec, str) else spec.get("version", "") if isinstance(spec, dict) else ""
    extras = spec.get("extras") if isinstance(spec, dict) else None
    listed = [e for e in extras if isinstance(e, str)] if isinstance(extras, list) else []
    head = package + (f"[{','.join(listed)}]" if listed else "")
    if not isinstance(version, str) or version in ("", "*"):
        return head
    bound = re.fullmatch(r"[\^~]?\s*(\d[\w.]*)", version.split(",")[0].strip())
    if bound is not None:
        return f"{head}>={bound[1]}"
    return head + version if re.fullmatch(r"[<>=!~]=?[\w.*]+(,\s*[<>=!~]=?[\w.*]+)*", version) else head


def _node(known: frozenset[str], read: Read) -> SetupCommand | None:
    if "package.json" not in known:
        return None
    try:
        document = json.loads(_text(read, "package.json") or "{}")
    except (ValueError, RecursionError):
        return None
    needs = any(_table(document, key) for key in ("dependencies", "devDependencies", "optionalDependencies"))
    if not needs and not (isinstance(document, dict) and "workspaces" in document):
        return None
    named = str(document.get("packageManager", "")).split("@")[0]
    if named == "pnpm" or (not named and "pnpm-lock.yaml" in known):
        frozen = " --frozen-lockfile" if "pnpm-lock.yaml" in known else " --no-lockfile"
        return SetupCommand(command=f"pnpm install{frozen}", reason="package.json with pnpm")
    if named == "yarn" or (not named and "yarn.lock" in known):
        flag = "--immutable" if ".yarnrc.yml" in known else "--frozen-lockfile"
        return SetupCommand(command=f"yarn install {flag}", reason="yarn.lock")
    if {"package-lock.json", "npm-shrinkwrap.json"} & known:
        lock = "package-lock.json" if "package-lock.json" in known else "npm-shrinkwrap.json"
        return SetupCommand(command="npm ci --no-audit --no-fund", reason=lock)
    return SetupCommand(
        command="npm install --no-audit --no-fund --no-package-lock",
        reason="package.json without a lock file",
    )


def _go(known: frozenset[str]) -> SetupCommand | None:
    if "go.mod" not in known:
        return None
    return SetupCommand(command="go mod download", reason="go.mod")


def _rust(known: frozenset[str]) -> SetupCommand | None:
    if "Cargo.toml" not in known:
        return None
    locked = " --locked" if "Cargo.lock" in known else ""
    return SetupCommand(command=f"cargo fetch{locked}", reason="Cargo.toml")
