"""Checks that really run: small projects in the host sandbox."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from kimicode.core.checks import CheckRun
from tests.checks.sandboxes import check

PYTEST = f"{shlex.quote(sys.executable)} -m pytest"
UNITTEST = f"{shlex.quote(sys.executable)} -m unittest"

PROJECT = {
    "pytest.ini": "[pytest]\naddopts = -q -x --lf\n",
    "calc.py": "def add(a, b):\n    return a - b\n",
    "tests/__init__.py": "",
    "tests/bases.py": "class Base:\n    def test_inherited(self):\n        assert self.value == 1\n",
    "tests/deep/__init__.py": "",
    "tests/deep/test_calc.py": """
import warnings
import pytest
from calc import add
from tests.bases import Base

class TestAdd(Base):
    value = 1
    class TestInner:
        @pytest.mark.parametrize("v", ["a b", "x::y", "[z]", "a.b/c - d"])
        def test_p(self, v):
            assert v != "a b"

def test_add():
    warnings.warn("old", DeprecationWarning)
    assert add(1, 2) == 3, "sum"

@pytest.mark.xfail(reason="known")
def test_expected():
    assert add(0, 1) == 1

@pytest.mark.xfail
def test_unexpected():
    assert add(0, 0) == 0

@pytest.mark.skip(reason="no")
def test_skipped():
    pass

@pytest.fixture
def broken():
    yield
    raise OSError("Temporary failure in name resolution")

def test_teardown(broken):
    pass
""",
    "tests/test_import.py": "import nope\n\ndef test_never():\n    pass\n",
    "tests/test_all.py": "import pytest\npytest.skip('not here', allow_module_level=True)\n",
}
CALC = "tests/deep/test_calc.py"
EXPECTED = {
    f"{CALC}::TestAdd::test_inherited": "passed",
    f"{CALC}::TestAdd::TestInner::test_p[a b]": "failed",
    f"{CALC}::TestAdd::TestInner::test_p[x::y]": "passed",
    f"{CALC}::TestAdd::TestInner::test_p[[z]]": "passed",
    f"{CALC}::TestAdd::TestInner::test_p[a.b/c - d]": "passed",
    f"{CALC}::test_add": "failed",
    f"{CALC}::test_expected": "xfailed",
    f"{CALC}::test_unexpected": "xpassed",
    f"{CALC}::test_skipped": "skipped",
    f"{CALC}::test_teardown": "error",
    "tests/test_import.py": "error",
    "tests/test_all.py": "skipped",
}


def outcomes(run: CheckRun) -> dict[str, str]:
    return {test.id: test.outcome for test in run.tests}


def test_pytest_under_hostile_options(tmp_path: Path) -> None:
    """-q, -x and --lf of the repository change nothing, and nothing is written into the checkout."""
    run, appeared = check(tmp_path, PROJECT, PYTEST)
    assert outcomes(run) == EXPECTED
    assert (run.parser, run.exit_code, run.selected, run.timed_out) == ("pytest", 1, (), False)
    assert appeared == []
    tests = {test.id: test for test in run.tests}
    assert tests[f"{CALC}::test_add"].message.startswith("AssertionError: sum\nassert -1 == 3")
    assert tests[f"{CALC}::test_add"].frame.startswith(f"{CALC}:16 in test_add")
    assert tests["tests/test_import.py"].message == "ModuleNotFoundError: No module named 'nope'"
    assert tests[f"{CALC}::test_teardown"].needs_network and run.needs_network
    assert all(test.file == test.id.partition("::")[0] for test in run.tests)


def test_pytest_ids_do_not_depend_on_how_it_runs(tmp_path: Path) -> None:
    """Workers, another rootdir, text alone, and `cd`: one test has one id."""
    parallel, _ = check(tmp_path / "n", PROJECT, f"{PYTEST} -p xdist -n 2")
    assert outcomes(parallel) == EXPECTED
    # Under make the command is not ours, but pytest still hears PYTEST_ADDOPTS.
    files = {**PROJECT, "Makefile": f"test:\n\t@{PYTEST}\n"}
    made, _ = check(tmp_path / "make", files, "make test")
    assert (made.parser, outcomes(made)) == ("pytest", EXPECTED)
    # Without the report, as in a program that clears its environment.
    sound = {path: text for path, text in PROJECT.items() if path != "tests/test_import.py"}
    text, _ = check(tmp_path / "text", sound, f"env -u PYTEST_ADDOPTS {PYTEST} -o addopts= -vv -rA")
    named = {id: outcome for id, outcome in EXPECTED.items() if "::" in id}
    assert (text.parser, outcomes(text)) == ("pytest", named)
    quiet, _ = check(tmp_path / "quiet", sound, f"env -u PYTEST_ADDOPTS {PYTEST} -o addopts= -q")
    assert (quiet.parser, outcomes(quiet)[f"{CALC}::test_add"]) == ("exit", "failed")
    below = {f"sub/{path}": text for path, text in PROJECT.items()}
    moved, _ = check(tmp_path / "cd", below, f"cd sub && {PYTEST}")
    assert outcomes(moved) == {f"sub/{id}": outcome for id, outcome in EXPECTED.items()}
    rooted, _ = check(tmp_path / "root", below, f"{PYTEST} sub", env={"PYTHONPATH": "sub"})
    assert outcomes(rooted) == {f"sub/{id}": outcome for id, outcome in EXPECTED.items()}


def test_named_tests(tmp_path: Path) -> None:
    wanted = [
        f"{CALC}::TestAdd::TestInner::test_p[a b]",
        f"{CALC}::test_gone",
        "tests/test_gone.py",
        "tests/data.json",
    ]
    run, _ = check(tmp_path / "a", PROJECT, f"{PYTEST} tests", tests=[*wanted, f"{CALC}::test_unexpected"])
    assert outcomes(run) == {
        f"{CALC}::TestAdd::TestInner::test_p[a b]": "failed",
        f"{CALC}::test_unexpected": "xpassed",
        f"{CALC}::test_gone": "error",
        "tests/test_gone.py": "error",
    }
    assert "tests/data.json" not in run.selected and wanted[0] in run.selected
    nothing, _ = check(tmp_path / "b", PROJECT, PYTEST, tests=["tests/test_gone.py::test_x"])
    assert outcomes(nothing) == {"tests/test_gone.py::test_x": "error"}
    whole, _ = check(tmp_path / "c", PROJECT, f"{PYTEST} | cat", tests=[f"{CALC}::test_add"])
    assert (outcomes(whole), whole.selected) == (EXPECTED, ())


def test_broken_conftest_and_missing_runner(tmp_path: Path) -> None:
    files = {**PROJECT, "tests/conftest.py": "import calc\nraise RuntimeError('no')\n"}
    run, _ = check(tmp_path / "a", files, f"{PYTEST} tests")
    assert outcomes(run) == {"tests/conftest.py": "error"}
    assert "RuntimeError: no" in run.tests[0].message
    assert (
        run.tests[0].frame == "tests/conftest.py:2 in <module>" or run.tests[0].frame == "tests/conftest.py:2"
    )
    missing, _ = check(tmp_path / "b", PROJECT, "no-such-program -m pytest")
    assert (missing.exit_code, missing.tests) == (127, ())
    sound = {path: text for path, text in PROJECT.items() if path != "tests/test_import.py"}
    refused, _ = check(tmp_path / "c", sound, f"{PYTEST} -p no:junitxml -o addopts= -v")
    assert (refused.parser, outcomes(refused)[f"{CALC}::test_add"]) == ("pytest", "failed")


def test_timeout_names_the_running_test(tmp_path: Path) -> None:
    hang = "import time\n\ndef test_a():\n    pass\n\ndef test_b():\n    time.sleep(600)\n\ndef test_c():\n    pass\n"
    run, _ = check(tmp_path, {"test_hang.py": hang}, PYTEST, timeout=4)
    assert run.timed_out
    assert outcomes(run) == {"test_hang.py::test_a": "passed", "test_hang.py::test_b": "error"}
    assert "time limit" in run.tests[-1].message


UNIT = {
    "tests/__init__.py": "",
    "tests/test_a.py": """
import unittest

class TestX(unittest.TestCase):
    def test_ok(self):
        \"\"\"A line of documentation.\"\"\"
        print("noise ... on the line")
    def test_bad(self):
        self.assertEqual(1, 2)
    @unittest.skip("no time")
    def test_skip(self):
        pass
    @unittest.expectedFailure
    def test_expected(self):
        self.fail()
    @unittest.expectedFailure
    def test_unexpected(self):
        pass
    def test_parts(self):
        for i in range(3):
            with self.subTest(i=i):
                self.assertLess(i, 2)

class TestClass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise RuntimeError("x")
    def test_never(self):
        pass
""",
    "tests/test_import.py": "import nope\n",
}


def test_unittest(tmp_path: Path) -> None:
    x = "tests.test_a.TestX"
    run, appeared = check(tmp_path / "a", UNIT, f"{UNITTEST} discover")
    assert outcomes(run) == {
        f"{x}.test_ok": "passed",
        f"{x}.test_bad": "failed",
        f"{x}.test_skip": "skipped",
        f"{x}.test_expected": "xfailed",
        f"{x}.test_unexpected": "xpassed",
        f"{x}.test_parts": "failed",
        "tests.test_a.TestClass": "error",
        "tests.test_import": "error",
    }
    assert (run.parser, appeared) == ("unittest", [])
    tests = {test.id: test for test in run.tests}
    assert tests[f"{x}.test_bad"].file == "tests/test_a.py"
    assert tests[f"{x}.test_bad"].frame == "tests/test_a.py:9 in test_bad"
    assert tests[f"{x}.test_bad"].message == "AssertionError: 1 != 2"
    assert tests["tests.test_import"].file == "tests/test_import.py"
    named, _ = check(tmp_path / "b", UNIT, f"{UNITTEST} discover", tests=[f"{x}.test_bad", f"{x}.test_ok"])
    assert outcomes(named).items() >= {f"{x}.test_bad": "failed", f"{x}.test_ok": "passed"}.items()
    assert f"{x}.test_parts" not in outcomes(named)


def test_exit_codes_of_plain_commands(tmp_path: Path) -> None:
    run, _ = check(tmp_path / "a", {"f": "x\n"}, "grep -q x f | cat && echo fine")
    assert (run.exit_code, run.parser, run.tests, run.output.strip()) == (0, "exit", (), "fine")
    piped, _ = check(tmp_path / "b", {"f": "x\n"}, "grep -q y f | cat")
    assert piped.exit_code == 1
    long, _ = check(tmp_path / "c", {"f": ""}, "seq 1 100000; exit 3")
    assert long.exit_code == 3
    assert long.output.startswith("1\n2\n") and long.output.endswith("99999\n100000\n")
    assert "left out" in long.output


def cargo() -> str:
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    return shutil.which("cargo") or (str(home / "bin" / "cargo") if (home / "bin" / "cargo").exists() else "")


@pytest.mark.skipif(not cargo(), reason="cargo is not installed")
def test_cargo(tmp_path: Path) -> None:
    files = {
        "Cargo.toml": '[package]\nname = "my-calc"\nversion = "0.1.0"\nedition = "2021"\n',
        ".gitignore": "/target\n",
        "src/lib.rs": """
pub fn add(a: i32, b: i32) -> i32 { a - b }
#[cfg(test)]
mod tests {
    #[test]
    fn adds() { assert_eq!(super::add(1, 2), 3); }
    #[test]
    fn zero() { assert_eq!(super::add(0, 0), 0); }
    #[test]
    #[ignore = "slow"]
    fn later() {}
}
""",
        "tests/it.rs": "#[test]\nfn works() { assert_eq!(my_calc::add(2, 0), 2); }\n",
    }
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
    env = {
        "PATH": f"{Path(cargo()).parent}:{os.environ['PATH']}",
        "RUSTUP_HOME": rustup,
        "CARGO_HOME": str(home),
    }
    run, _ = check(tmp_path / "a", files, "cargo test --no-fail-fast --offline", env=env)
    if "rustup could not" in run.output or "Permission denied" in run.output:
        pytest.skip("cargo cannot be used by the sandbox's user")
    assert outcomes(run) == {
        "my_calc::tests::adds": "failed",
        "my_calc::tests::zero": "passed",
        "my_calc::tests::later": "skipped",
        "it::works": "passed",
    }, run.output
    assert {test.id: test.frame for test in run.tests}["my_calc::tests::adds"] == "src/lib.rs:6"
    broken = {**files, "tests/it.rs": "use my_calc::nope;\n"}
    failed, _ = check(tmp_path / "a", broken, "cargo test --no-fail-fast --offline", env=env)
    assert outcomes(failed) == {"it": "error"}
    named, _ = check(
        tmp_path / "a", files, "cargo test --no-fail-fast --offline", env=env, tests=["my_calc::tests::zero"]
    )
    assert outcomes(named) == {"my_calc::tests::zero": "passed"}
