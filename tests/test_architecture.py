"""The layers of docs/architecture.md, read from the imports; and the size of every room. There is no exception list."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "kimicode"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "core", "__init__"),
    ("text", "edit", "config", "resources"),
    ("models", "tools", "sandbox", "workspace", "repo", "checks", "environment"),
    ("agent", "session"),
    ("swarm",),
    ("app", "demo"),
    ("cli", "ui", "github", "evaluation", "__main__"),
)
APART = {"models", "tools", "sandbox", "workspace", "repo", "checks", "environment"}
"""Adapters that never import each other."""

MAX_FILE, MAX_CLASS, MAX_FUNCTION = 400, 200, 60


def sources() -> list[Path]:
    bundled = PACKAGE / "demo" / "repository"
    return [
        *sorted(p for p in PACKAGE.rglob("*.py") if bundled not in p.parents),
        ROOT / "sandbox" / "runner.py",
    ]


def room(module: str) -> str:
    """The part of kimicode that a module belongs to: "kimicode.core.state" -> "core"."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> set[str]:
    """Modules of kimicode that a file imports anywhere, functions and TYPE_CHECKING blocks included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module == "kimicode":
                # A name of the package itself, such as __version__, is no module.
                found.update(f"kimicode.{a.name}" for a in node.names if not a.name.startswith("__"))
    return {f for f in found if f.split(".")[0] == "kimicode"}


LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = [p for p in sources() if PACKAGE in p.parents]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room(module_name(path))
    for target in imports(path):
        there = room(target)
        assert there in LEVEL, f"{target}: no layer holds {there}"
        assert LEVEL[there] <= LEVEL[here], f"{here} imports {target}, which is above it"
        assert there == here or not {here, there} <= APART, f"{here} and {there} must not know each other"


def test_no_circles() -> None:
    names = {module_name(p): p for p in FILES}
    graph = {
        n: {t for t in imports(p) if t in names and t != n and t != "kimicode"} for n, p in names.items()
    }
    # A package's __init__ that re-exports is part of no circle unless a module imports it back.
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        state[name] = 1
        for target in sorted(graph[name]):
            assert state.get(target) != 1, f"circle: {' -> '.join((*trail, name, target))}"
            if target not in state:
                visit(target, (*trail, name))
        state[name] = 2

    for name in sorted(graph):
        if name not in state:
            visit(name, ())


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_are_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_FILE, f"{path.name} has {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            size = (node.end_lineno or 0) - node.lineno + 1
            limit = MAX_CLASS if isinstance(node, ast.ClassDef) else MAX_FUNCTION
            assert size <= limit, f"{node.name} has {size} lines"


def test_only_app_names_concrete_adapters() -> None:
    adapters = {"kimicode.sandbox", "kimicode.models", "kimicode.workspace"}
    for path in FILES:
        if room(module_name(path)) in {"agent", "session", "ui"}:
            named = {t for t in imports(path) if any(t.startswith(a) for a in adapters)}
            assert not named, f"{path} names {named}"


def test_only_workspace_runs_git() -> None:
    """Everybody else asks workspace/git.py, which is the only place with the hardened settings."""
    for path in FILES:
        if room(module_name(path)) == "workspace":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if any(word in name for word in ("subprocess", "exec", "spawn", "Popen")):
                    first = next(itertools.chain(node.args[:1], (k.value for k in node.keywords)), None)
                    text = ast.unparse(first) if first is not None else ""
                    # Inside the sandbox git belongs to the agent: `sandbox.exec(["git", …])` is its business.
                    assert "sandbox" in name or not text.startswith(("'git'", "['git'", "('git'")), (
                        f"{path}: {text}"
                    )


def test_no_shell_on_the_host() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in {"os.system", "os.popen", "asyncio.create_subprocess_shell"}, (
                    f"{path}: {name}"
                )
                assert not any(k.arg == "shell" and ast.unparse(k.value) == "True" for k in node.keywords), (
                    f"{path}: shell=True"
                )
