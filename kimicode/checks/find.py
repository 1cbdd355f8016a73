"""Finding the commands that check a project from the files it is made of."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from posixpath import basename, dirname
from typing import Any

from kimicode.checks.command import read_command
from kimicode.checks.paths import is_test_file, is_test_module
from kimicode.core.checks import CheckCommand

__all__ = ["Read", "find_checks", "is_test_file", "is_test_module"]

Read = Callable[[str], bytes | None]
"""Content of a repository-relative file, None when it is not there."""

_EMPTY_NPM_TEST = re.compile(r"^\s*(echo\b.*&&\s*)?exit\s+[01]\s*$|^\s*echo [\"']?Error: no test specified")
_MAKE_TARGET = re.compile(r"^(test|tests|check)\s*:(?!=)", re.M)
_PYTEST_NAME = re.compile(r"^\s*[\"']?pytest\b|[\"']pytest\b", re.M)


def find_checks(
    files: Sequence[str], read: Read, *, interpreter: str = "python3"
) -> tuple[CheckCommand, ...]:
    """Commands that likely check the project, the surest first; each says where it was found.

    `files`: all paths of the tree, repository-relative. `read` is asked for few, small files. `interpreter`:
    how to start Python ("python3", ".venv/bin/python" of an environment layer). Detected commands are those
    whose output names every test where the runner can do that.
    """
    known = frozenset(files)
    found: list[CheckCommand] = []
    for command, reason in (
        *_python(known, read, interpreter),
        *_javascript(known, read),
        *_go(known),
        *_rust(known),
        *_make(known, read),
    ):
        if all(command != other.command for other in found):
            found.append(CheckCommand(command=command, source="detected", reason=reason))
    return tuple(found)


def _text(read: Read, path: str) -> str:
    data = read(path)
    return "" if data is None else data[:1_000_000].decode("utf-8", "replace")


def read_toml(read: Read, path: str) -> dict[str, Any]:
    """The document, or {} when it is not there or is no TOML."""
    try:
        return tomllib.loads(_text(read, path))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def read_json(read: Read, path: str) -> dict[str, Any]:
    """The object, or {} when it is not there or is no JSON object."""
    try:
        document = json.loads(_text(read, path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def read_ini(read: Read, path: str) -> ConfigParser:
    """The sections of an ini file; none when it is not there or cannot be read."""
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(_text(read, path))
    except (ConfigParserError, ValueError):
        return ConfigParser(interpolation=None)
    return parser


def table(document: Any, *keys: str) -> dict[str, Any]:
    """The table at a path of keys, {} when anything on the way is missing or of another type."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _python(known: frozenset[str], read: Read, interpreter: str) -> Iterator[tuple[str, str]]:
    python = shlex.quote(interpreter)
    reason = _pytest_reason(known, read)
    if reason:
        yield f"{python} -m pytest", reason
        return
    modules = sorted(path for path in known if is_test_module(path) and path.endswith(".py"))
    if not modules:
        return
    styles = [_style(_text(read, path)) for path in modules[:20]]
    if "pytest" in styles:
        yield f"{python} -m pytest", f"{modules[styles.index('pytest')]} is written for pytest"
    elif "unittest" in styles:
        yield _unittest(known, modules, python), f"{modules[styles.index('unittest')]} uses unittest only"


def _pytest_reason(known: frozenset[str], read: Read) -> str:
    """Where the project says that it uses pytest, "" when it does not."""
    for name in ("pytest.ini", ".pytest.ini", "pytest.toml"):
        if name in known:
            return name
    document = read_toml(read, "pyproject.toml") if "pyproject.toml" in known else {}
    if table(document, "tool", "pytest"):
        return "pyproject.toml [tool.pytest]"
    for name, section in (("setup.cfg", "tool:pytest"), ("tox.ini", "pytest")):
        if name in known and read_ini(read, name).has_section(section):
            return f"{name} [{section}]"
    if "tox.ini" in known:
        ini = read_ini(read, "tox.ini")
        for section in ini.sections():
            if section.startswith("testenv") and "pytest" in ini.get(section, "commands", fallback=""):
                return f"tox.ini [{section}] commands"
    where = _pytest_requirement(document)
    if where:
        return f"pyproject.toml {where}"
    for path in ("conftest.py", "tests/conftest.py", "test/conftest.py"):
        if path in known:
            return path
    for path in sorted(known):
        if path.count("/") <= 1 and re.fullmatch(r"(?:.*/)?[\w.-]*requirements[\w.-]*\.(?:txt|in)", path):
            if re.search(r"^\s*pytest\b", _text(read, path), re.M):
                return path
        elif path in ("setup.cfg", "setup.py") and _PYTEST_NAME.search(_text(read, path)):
            return path
    return ""


def _pytest_requirement(document: dict[str, Any]) -> str:
    """The table of pyproject.toml that asks for pytest."""
    extras = table(document, "project", "optional-dependencies")
    groups = table(document, "dependency-groups")
    for label, tables in (("[project.optional-dependencies]", extras), ("[dependency-groups]", groups)):
        for name, requirements in tables.items():
            listed = requirements if isinstance(requirements, list) else []
            if any(isinstance(one, str) and re.match(r"pytest\b", one) for one in listed):
                return f"{label} {name}"
    poetry = table(document, "tool", "poetry")
    for name, group in table(poetry, "group").items():
        if "pytest" in table(group, "dependencies"):
            return f"[tool.poetry.group.{name}]"
    if "pytest" in table(poetry, "dev-dependencies"):
        return "[tool.poetry.dev-dependencies]"
    return ""


def _style(source: str) -> str:
    if re.search(r"^\s*(?:import pytest\b|from pytest\b)|^def test_|^async def test_", source, re.M):
        return "pytest"
    if re.search(r"^\s*(?:import unittest\b|from unittest\b|from django\.test\b)", source, re.M):
        return "unittest"
    return ""


def _unittest(known: frozenset[str], modules: list[str], python: str) -> str:
    """Discovery from the top finds only packages; test folders without __init__.py are start folders."""
    folder = dirname(modules[0])
    plain = basename(modules[0]).startswith("test")
    pattern = (
        "" if plain else " -p " + shlex.quote("*_test.py" if modules[0].endswith("_test.py") else "*test*.py")
    )
    if not folder or f"{folder}/__init__.py" in known:
        return f"{python} -m unittest discover{pattern}"
    # -t . keeps the checkout importable, as running from its top does; it needs a package, so say only -s.
    return f"PYTHONPATH=. {python} -m unittest discover -s {shlex.quote(folder)}{pattern}"


def _javascript(known: frozenset[str], read: Read) -> Iterator[tuple[str, str]]:
    if "package.json" not in known:
        return
    script = table(read_json(read, "package.json"), "scripts").get("test")
    if not isinstance(script, str) or not script.strip() or _EMPTY_NPM_TEST.search(script):
        return
    manager = package_manager(known, read)
    yield f"{manager} test", f"package.json scripts.test: {script.strip()[:100]}"


def package_manager(known: frozenset[str], read: Read) -> str:
    """ "npm", "pnpm" or "yarn": as package.json says, else by the lock file."""
    named = read_json(read, "package.json").get("packageManager")
    if isinstance(named, str) and named.split("@")[0] in ("npm", "pnpm", "yarn"):
        return named.split("@")[0]
    if "pnpm-lock.yaml" in known or "pnpm-workspace.yaml" in known:
        return "pnpm"
    return "yarn" if "yarn.lock" in known else "npm"


def _go(known: frozenset[str]) -> Iterator[tuple[str, str]]:
    if "go.mod" in known and any(path.endswith("_test.go") for path in known):
        yield "go test ./...", "go.mod"


def _rust(known: frozenset[str]) -> Iterator[tuple[str, str]]:
    if "Cargo.toml" in known:
        yield "cargo test --no-fail-fast", "Cargo.toml"


def _make(known: frozenset[str], read: Read) -> Iterator[tuple[str, str]]:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if name in known:
            match = _MAKE_TARGET.search(_text(read, name))
            if match is not None:
                yield f"make {match[1]}", f"{name} target {match[1]}"
            return


def test_script(read: Read) -> str:
    """scripts.test of package.json, when it is one plain command without pre and post scripts; else ""."""
    scripts = table(read_json(read, "package.json"), "scripts")
    script = scripts.get("test")
    if not isinstance(script, str) or read_command(script) is None:
        return ""
    return script
