"""Finding checks, naming test files, and what a shell line becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.checks.command import read_command, reporting, runner_of, select
from kimicode.checks.find import find_checks
from kimicode.checks.paths import is_test_file, is_test_module, matches

UNIT = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n"


def found(files: Mapping[str, str], interpreter: str = "python3") -> list[tuple[str, str]]:
    def read(path: str) -> bytes | None:
        return files[path].encode() if path in files else None

    return [
        (check.command, check.reason) for check in find_checks(list(files), read, interpreter=interpreter)
    ]


PYTEST = "python3 -m pytest"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]\naddopts='-q'"}, (PYTEST, "pyproject.toml [tool.pytest]")),
        ({"pytest.ini": ""}, (PYTEST, "pytest.ini")),
        ({"setup.cfg": "[tool:pytest]\nx = 1"}, (PYTEST, "setup.cfg [tool:pytest]")),
        ({"tox.ini": "[testenv]\ncommands = pytest {posargs}"}, (PYTEST, "tox.ini [testenv] commands")),
        (
            {"pyproject.toml": "[project.optional-dependencies]\ntest = ['pytest>=8']"},
            (PYTEST, "pyproject.toml [project.optional-dependencies] test"),
        ),
        (
            {"pyproject.toml": "[dependency-groups]\ntests = ['pytest']"},
            (PYTEST, "pyproject.toml [dependency-groups] tests"),
        ),
        (
            {"pyproject.toml": "[tool.poetry.group.dev.dependencies]\npytest = '^8'"},
            (PYTEST, "pyproject.toml [tool.poetry.group.dev]"),
        ),
        ({"tests/conftest.py": ""}, (PYTEST, "tests/conftest.py")),
        ({"requirements-dev.txt": "flake8\npytest>=2.8,<9\n"}, (PYTEST, "requirements-dev.txt")),
        ({"tests/test_a.py": "def test_a(): pass"}, (PYTEST, "tests/test_a.py is written for pytest")),
        (
            {"tests/__init__.py": "", "tests/test_a.py": UNIT},
            ("python3 -m unittest discover", "tests/test_a.py uses unittest only"),
        ),
        (
            {"tests/test_a.py": UNIT},
            ("PYTHONPATH=. python3 -m unittest discover -s tests", "tests/test_a.py uses unittest only"),
        ),
        ({"go.mod": "module m", "a_test.go": ""}, ("go test ./...", "go.mod")),
        ({"Cargo.toml": ""}, ("cargo test --no-fail-fast", "Cargo.toml")),
        ({"Makefile": "all:\n\ntest: all\n\t./run"}, ("make test", "Makefile target test")),
        (
            {"package.json": json.dumps({"scripts": {"test": "jest --ci"}}), "yarn.lock": ""},
            ("yarn test", "package.json scripts.test: jest --ci"),
        ),
    ],
)  # fmt: skip
def test_detection(files: dict[str, str], expected: tuple[str, str]) -> None:
    assert found(files)[0] == expected


def test_detection_orders_and_refuses() -> None:
    files = {
        "pyproject.toml": "[tool.pytest.ini_options]",
        "Makefile": "check:\n\tpytest\n",
        "package.json": '{"scripts": {"test": "vitest"}, "packageManager": "pnpm@9"}',
    }
    assert [command for command, _ in found(files, ".venv/bin/python")] == [
        ".venv/bin/python -m pytest",
        "pnpm test",
        "make check",
    ]
    assert (
        found({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'})
        == []
    )
    assert (
        found(
            {"pyproject.toml": "not [toml", "setup.cfg": "[[", "package.json": "{", "Makefile": "test := 1"}
        )
        == []
    )
    assert found({"README.md": "", "go.mod": "module m"}) == []


TEST_FILES = [
    "tests/test_a.py", "tests/data/x.json", "pkg/tests/helper.py", "test_a.py", "a_test.py",
    "conftest.py", "sub/conftest.py", "pytest.ini", "src/test/java/A.java", "app/tests.py",
    "calc_test.go", "pkg/testdata/in.txt", "src/a.test.tsx", "src/__tests__/a.js", "tests/it.rs",
    "web/a.spec.ts", "FooTest.java", "FooSpec.scala", "spec/models/user_spec.rb", "a_spec.lua",
    "jest.config.js", "__snapshots__/a.snap", "test/helper.c", "Foo.Tests/Bar.cs", "tox.ini",
    "UserTests.swift",
]  # fmt: skip
CODE_FILES = [
    "src/a.py", "django/test/client.py", "numpy/testing/utils.py", "setup.py", "src/lib.rs",
    "contest.py", "latest.py", "attest.go", "a/testing.py", "src/main/java/Manifest.java",
    "click/testing.py", "protest.js", "package.json", "fastest.ts", "src/test.js.map", "Makefile",
]  # fmt: skip


def test_paths() -> None:
    assert [path for path in TEST_FILES if not is_test_file(path)] == []
    assert [path for path in CODE_FILES if is_test_file(path)] == []
    assert is_test_module("tests/test_a.py") and is_test_module("tests/it.rs") and is_test_module("a.test.ts")
    assert not is_test_module("tests/conftest.py") and not is_test_module("tests/data/test.json")
    assert matches("tests/a.py", ("tests/",)) and matches("tests/a.py", ("./tests/a.py",))
    assert matches("tests/x/a.py", ("tests/*.py",)) and not matches("tests2/a.py", ("tests", ""))


@pytest.mark.parametrize(
    ("command", "runner"),
    [
        ("pytest -q", "pytest"),
        ("uv run --frozen pytest", "pytest"),
        (".venv/bin/python -W error -m pytest tests", "pytest"),
        ("coverage run -m pytest", "pytest"),
        ("cd a && python3 -m unittest", "unittest"),
        ("go vet ./... && go test ./...", "go"),
        ("cargo +nightly test", "cargo"),
        ("NODE_ENV=test npx jest --ci", "jest"),
        ("npx vitest run", "jest"),
        ("python -m mypy pytest_plugin", None),
        ("echo 'pytest", None),
        ("make test", None),
    ],
)
def test_runners(command: str, runner: str | None) -> None:
    assert runner_of(command) == runner


@pytest.mark.parametrize(
    ("command", "script", "told", "writes"),
    [
        ("python -m unittest discover -s t", "", "python -m unittest discover -v -s t", False),
        ("cd x && python -m unittest", "", "cd x && python -m unittest -v", False),
        ("python -m unittest -v", "", "python -m unittest -v", False),
        ("go test ./...", "", "go test -json ./...", False),
        ("go test ./... | tee x", "", "go test ./... | tee x", False),
        ("npx jest 'a b'", "", "npx jest 'a b' --json --outputFile=/r", True),
        ("npm test", "jest", "npm test -- --json --outputFile=/r", True),
        ("pnpm test", "vitest", "pnpm test --reporter=default --reporter=json --outputFile.json=/r", True),
        ("npm test", "tsc && jest", "npm test", False),
        ("python -m pytest", "", "python -m pytest", False),
    ],
)
def test_reporting(command: str, script: str, told: str, writes: bool) -> None:
    assert reporting(command, "/r", script) == (told, writes)


@pytest.mark.parametrize(
    ("command", "tests", "line"),
    [
        ("pytest -q tests/ -k 'not slow' a.py", ["t/a.py::t[a b]"], "pytest -q -k 'not slow' 't/a.py::t[a b]'"),
        ("cd sub && pytest", ["sub/a.py::t"], "cd sub && pytest a.py::t"),
        ("cd sub && pytest", ["a.py::t"], None),
        ("pytest | cat", ["a.py::t"], None),
        ("pytest", ["a.py::t[0x-1]", "a.py::t[0x-2]"], "pytest a.py::t"),
        ("p -m unittest", ["a.T.t", "tests/test_a.py"], "p -m unittest -k '*a.T.t' -k '*test_a.*'"),
        ("go test -v ./...", ["m.io/a/b.TestX/y", "m.io/a/b.TestZ"], "go test -v -run '^(TestX|TestZ)$' m.io/a/b"),
        ("go test ./...", ["a/a_test.go"], "go test ./a"),
        ("go test ./...", ["m.io/a/b"], "go test m.io/a/b"),
        ("cargo test --no-fail-fast", ["c::m::t", "it::u"], "cargo test --no-fail-fast -- --exact m::t u"),
        ("cargo test", ["tests/it.rs"], "cargo test --test it"),
        ("cargo test", ["c::doc::src/lib.rs - add"], None),
        ("npx jest src", ["a.test.js::d > t (x)"], "npx jest a.test.js -t '^d\\ t\\ \\(x\\)$'"),
        ("make test", ["a"], None),
        ("pytest", [], "pytest"),
    ],
)  # fmt: skip
def test_selection(command: str, tests: list[str], line: str | None) -> None:
    assert select(command, tests) == line


def test_selection_of_very_many() -> None:
    tests = [f"tests/test_{n % 50}.py::test_{n}" for n in range(20_000)]
    line = select("pytest", tests)
    assert line is not None and line.count(" ") == 50
    assert select("go test", [f"m.T{n}" * 20 for n in range(20_000)]) is None
    assert select("npm test", ["a.test.js::x"], "jest") == "npm test -- a.test.js -t '^x$'"


@settings(max_examples=150, deadline=None)
@given(command=st.text(max_size=60), tests=st.lists(st.text(min_size=1, max_size=30), max_size=4))
def test_lines_of_any_text(command: str, tests: list[str]) -> None:
    runner_of(command)
    select(command, tests)
    reporting(command, "/r", command)
    invocation = read_command(command)
    assert invocation is None or len(invocation.tokens) == len(invocation.raw)
