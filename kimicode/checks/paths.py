"""Which files of a repository belong to its tests, judged by path alone."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from posixpath import basename

TEST_FOLDERS = frozenset({"tests", "__tests__", "__snapshots__", "__mocks__", "testdata", "e2e", "specs"})
"""A folder with one of these names holds tests and their data, wherever it stands."""

ROOT_TEST_FOLDERS = frozenset({"test", "testing", "spec", "t"})
"""These count only at the top or beneath `src/`: django/test and numpy/testing are library code."""

_TEST_NAMES = re.compile(
    r"""(?x)^(
      test_[^/]*\.(py|pyi|rb|php|c|cc|cpp|jl|exs?|sh)          # Python, Ruby, C, C++, Julia, Elixir
    | [^/]*_test\.(py|go|rb|c|cc|cpp|exs?|dart|rs|clj|sh)      # Go, Python, C++, Dart, Rust
    | [^/]*_tests\.(py|rs|c|cc|cpp)
    | tests?\.(py|rs)
    | [^/]*[._-](test|spec)s?\.(js|jsx|ts|tsx|mjs|cjs|mts|cts|vue|svelte)
    | [^/]*(Test|Tests|TestCase|Spec|IT)\.(java|kt|kts|scala|groovy|cs|fs|swift|php)
    | [^/]*_spec\.(rb|lua|cr)
    | [^/]*\.(bats|snap|t)
    )$"""
)

_TEST_SETTINGS = re.compile(
    r"""(?x)^(
      conftest\.py | pytest\.ini | \.pytest\.ini | pytest\.toml | tox\.ini
    | (jest|vitest|karma|playwright|cypress)\.(config|setup|workspace)\.[a-z]+
    | \.mocharc(\.[a-z]+)? | nextest\.toml | phpunit\.xml(\.dist)? | \.rspec
    )$"""
)

_MODULE_NAMES = re.compile(
    r"""(?x)^(
      test_[^/]*\.py | [^/]*_tests?\.py | tests?\.py | [^/]*_test\.go
    | [^/]*[._-](test|spec)s?\.(js|jsx|ts|tsx|mjs|cjs|mts|cts)
    )$"""
)


def is_test_file(path: str) -> bool:
    """Whether `path` (repository-relative, "/") belongs to the tests: a test, its data or a test runner's settings.

    These are the files of the base that are put back over the result. The names are the conventions of Python,
    JavaScript, TypeScript, Go, Rust, Java, Kotlin, Scala, C#, Swift, Ruby, PHP, C, C++, Elixir, Lua and shell.
    Rust's inline test modules are no files: see checks/inline.py.
    """
    folders = path.split("/")
    name = folders.pop()
    if any(folder in TEST_FOLDERS or folder.endswith((".Tests", ".Test")) for folder in folders):
        return True
    tops = folders[1:2] if folders[:1] == ["src"] else folders[:1]
    if any(folder in ROOT_TEST_FOLDERS for folder in tops):
        return True
    if "src" in folders[:-1] and folders[folders.index("src") + 1] in {
        "test",
        "androidTest",
        "integrationTest",
    }:
        return True
    return bool(_TEST_NAMES.match(name) or _TEST_SETTINGS.match(name))


def is_test_module(path: str) -> bool:
    """Whether a test runner can be asked to run just this file."""
    name = basename(path)
    if _MODULE_NAMES.match(name):
        return True
    in_tests = "__tests__" in path.split("/") and name.endswith(
        (".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs")
    )
    rust = re.fullmatch(r"(.*/)?tests/[^/]+\.rs", path) is not None
    return in_tests or rust


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether `path` is named by one of `patterns`: a path, a folder, or a glob where `*` crosses folders."""
    for raw in patterns:
        pattern = raw.removeprefix("./").rstrip("/")
        if not pattern:
            continue
        if path == pattern or path.startswith(pattern + "/") or fnmatchcase(path, pattern):
            return True
    return False
