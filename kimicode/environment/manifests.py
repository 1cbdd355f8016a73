"""Which files of a repository say what it depends on: their content is part of an environment's key."""

from __future__ import annotations

import re
from collections.abc import Sequence

NAMES = frozenset(
    {
        "pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "Pipfile", "Pipfile.lock", "poetry.lock",
        "pdm.lock", "uv.lock", "pylock.toml", "environment.yml", "environment.yaml", ".python-version",
        "meson.build", "CMakeLists.txt", "package.json", "package-lock.json", "npm-shrinkwrap.json",
        "yarn.lock", "pnpm-lock.yaml", "pnpm-workspace.yaml", ".npmrc", ".yarnrc", ".yarnrc.yml",
        ".pnpmfile.cjs", ".nvmrc", ".node-version", "bun.lock", "go.mod", "go.sum", "go.work",
        "go.work.sum", "Cargo.toml", "Cargo.lock", "rust-toolchain", "rust-toolchain.toml",
        ".tool-versions", "Gemfile", "Gemfile.lock", "composer.json", "composer.lock", "mix.exs", "mix.lock",
    }
)  # fmt: skip
_REQUIREMENTS = re.compile(r"(?:.*[-_.])?(?:requirements|constraints)(?:[-_.].*)?\.(?:txt|in)")
_IN_REQUIREMENTS = re.compile(r"(?:.*/)?requirements/[^/]+\.(?:txt|in)")
_NATIVE = (".pyx", ".pxd", ".pyi.in", ".c", ".cc", ".cpp", ".cxx", ".h", ".hpp", ".rs", ".f", ".f90")
_BUILDS_NATIVE = re.compile(
    r"ext_modules|\bExtension\(|\bcythonize\b|mesonpy|scikit[-_]build|maturin|setuptools[-_]rust|cffi_modules"
)
_SKIPPED = frozenset({"node_modules", "vendor", "third_party", ".venv", "venv"})


def find_manifests(files: Sequence[str], build_files: str = "") -> tuple[str, ...]:
    """Paths whose blobs enter the key of an environment, sorted.

    `build_files`: text of setup.py and pyproject.toml. When it builds native extensions, their sources count
    too: the built extension lies in the environment layer and must not be that of other sources.
    """
    native = _BUILDS_NATIVE.search(build_files) is not None
    return tuple(sorted(path for path in files if _is_manifest(path) or (native and path.endswith(_NATIVE))))


def _is_manifest(path: str) -> bool:
    folders = path.split("/")
    name = folders.pop()
    if any(folder in _SKIPPED for folder in folders):
        return False
    if name in NAMES or (len(folders) <= 2 and _REQUIREMENTS.fullmatch(name)):
        return True
    return _IN_REQUIREMENTS.fullmatch(path) is not None
