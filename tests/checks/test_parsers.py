"""The parsers on recorded output of their runners, and on anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.checks.parse import Parser, guess_parser, parse
from kimicode.checks.parsers.common import MAX_TESTS, Parsed, Place, Results, shows_network
from kimicode.checks.parsers.junit import read_cases
from kimicode.core.checks import TestResult

DATA = Path(__file__).parent / "data"
REPO = Place(root="/repo")


def outcomes(parsed: Parsed) -> dict[str, str]:
    return {test.id: test.outcome for test in parsed.tests}


def by_id(parsed: Parsed) -> dict[str, TestResult]:
    return {test.id: test for test in parsed.tests}


JS = {
    "src/calc.test.js::calc > add (x) > adds 1 + 2": "failed",
    "src/calc.test.js::calc > add (x) > zero": "passed",
    "src/calc.test.js::calc > add (x) > later": "skipped",
    "src/calc.test.js::calc > add (x) > more": "skipped",
    "src/calc.test.js::top": "failed",
    "src/broken.test.js": "error",
}


@pytest.mark.parametrize("name", ["jest.json", "vitest.json"])
def test_javascript_reports(name: str) -> None:
    parsed = parse("jest", "", (DATA / name).read_bytes(), REPO)
    assert outcomes(parsed) == JS
    test = by_id(parsed)["src/calc.test.js::calc > add (x) > adds 1 + 2"]
    assert test.frame.startswith("src/calc.test.js:2")
    assert "3" in test.message and "node_modules" not in test.message
    assert by_id(parsed)["src/broken.test.js"].message.startswith("Cannot find module './nope'")


@pytest.mark.parametrize("name", ["jest-verbose.txt", "vitest-verbose.txt"])
def test_javascript_text(name: str) -> None:
    text = (DATA / name).read_text(encoding="utf-8")
    parsed = parse("jest", text, None, REPO)
    assert (outcomes(parsed), parsed.complete) == (JS, True)
    assert guess_parser("make test", text) == "jest"
    # Without the tree of passing tests only failures are named.
    quiet = "\n".join(line for line in text.split("\n") if "✓" not in line and "○" not in line)
    assert not parse("jest", quiet, None, REPO).complete


def test_go_events() -> None:
    text = (DATA / "go.jsonl").read_text()
    parsed = parse("go", text, None, REPO)
    assert outcomes(parsed) == {
        "example.com/m/calc.TestAdd": "failed",
        "example.com/m/calc.TestAdd/zero": "passed",
        "example.com/m/calc.TestAdd/one.and_two": "failed",
        "example.com/m/calc.TestLater": "skipped",
        "example.com/m/broken": "error",
        "example.com/m/crash.TestBoom": "failed",
        "example.com/m/web.TestFetch": "failed",
    }
    tests = by_id(parsed)
    assert (
        tests["example.com/m/calc.TestAdd/one.and_two"].message == "calc_test.go:14: Add(1, 2) = -1, want 3"
    )
    assert tests["example.com/m/crash.TestBoom"].frame == "crash/c.go:5"
    assert "undefined: missing" in tests["example.com/m/broken"].message
    assert tests["example.com/m/web.TestFetch"].needs_network
    assert "Add(1, 2)" in parsed.text and '{"Action"' not in parsed.text
    assert guess_parser("make test", text) == "go"
    cut = "\n".join(text.split("\n")[:6])
    assert parse("go", cut, None, REPO).running == "example.com/m/calc.TestAdd/zero"


def test_go_text() -> None:
    parsed = parse("go", (DATA / "go-verbose.txt").read_text(), None, REPO)
    assert outcomes(parsed) == {
        "example.com/m/calc.TestAdd": "failed",
        "example.com/m/calc.TestAdd/zero": "passed",
        "example.com/m/calc.TestAdd/one.and_two": "failed",
        "example.com/m/calc.TestLater": "skipped",
        "example.com/m/good.TestGood": "passed",
        "example.com/m/broken": "error",
    }
    assert parsed.complete
    assert not parse("go", "ok  \texample.com/m\t0.1s\n", None, REPO).complete


CARGO = """
     Running unittests src/lib.rs (target/debug/deps/my_calc-7a3dc1c7412f43dd)

running 5 tests
test deep::tests::panics ... FAILED
test tests::later ... ignored, slow
test tests::p - should panic ... ok
test tests::noisy ... printing without capture
ok
test tests::zero ... ok

failures:

---- deep::tests::panics stdout ----

thread 'deep::tests::panics' (123) panicked at src/deep.rs:1:44:
called `Option::unwrap()` on a `None` value
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace


failures:
    deep::tests::panics

test result: FAILED. 3 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/it.rs (target/debug/deps/it-bcf4c161a629aff1)
test it_adds ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
   Doc-tests my_calc
test src/lib.rs - add (line 12) ... ok
test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.11s
"""


def test_cargo_text() -> None:
    parsed = parse("cargo", CARGO, None, REPO)
    assert outcomes(parsed) == {
        "my_calc::deep::tests::panics": "failed",
        "my_calc::tests::later": "skipped",
        "my_calc::tests::p": "passed",
        "my_calc::tests::noisy": "passed",
        "my_calc::tests::zero": "passed",
        "it::it_adds": "passed",
        "my_calc::doc::src/lib.rs - add": "passed",
    }
    test = by_id(parsed)["my_calc::deep::tests::panics"]
    assert (test.frame, test.file) == ("src/deep.rs:1", "src/lib.rs")
    assert test.message.endswith("called `Option::unwrap()` on a `None` value")
    broken = 'error[E0432]: unresolved import `x`\n --> tests/it.rs:3:5\nerror: could not compile `my-calc` (test "it")'
    assert outcomes(parse("cargo", broken, None, REPO)) == {"it": "error"}
    assert by_id(parse("cargo", broken, None, REPO))["it"].frame.startswith("tests/it.rs:3")
    library = "error: could not compile `my-calc` (lib test) due to 1 previous error"
    assert outcomes(parse("cargo", library, None, REPO)) == {"my_calc": "error"}


def test_unittest_of_older_pythons_and_quiet_runs() -> None:
    old = """test_ok (tests.test_a.TestX) ... ok
test_doc (tests.test_a.TestX)
A line. ... FAIL
tests.test_b (unittest.loader._FailedTest) ... ERROR

======================================================================
ERROR: tests.test_b (unittest.loader._FailedTest)
----------------------------------------------------------------------
ImportError: Failed to import test module: tests.test_b
Traceback (most recent call last):
  File "/repo/tests/test_b.py", line 1, in <module>
    import nope
ModuleNotFoundError: No module named 'nope'

======================================================================
FAIL: test_doc (tests.test_a.TestX)
A line.
----------------------------------------------------------------------
Traceback (most recent call last):
  File "/repo/tests/test_a.py", line 9, in test_doc
    self.assertEqual(1, 2)
AssertionError: 1 != 2

----------------------------------------------------------------------
Ran 3 tests in 0.002s

FAILED (failures=1, errors=1)
"""
    parsed = parse("unittest", old, None, REPO)
    assert outcomes(parsed) == {
        "tests.test_a.TestX.test_ok": "passed",
        "tests.test_a.TestX.test_doc": "failed",
        "tests.test_b": "error",
    }
    assert by_id(parsed)["tests.test_b"].file == "tests/test_b.py"
    assert by_id(parsed)["tests.test_a.TestX.test_doc"].frame == "tests/test_a.py:9 in test_doc"
    assert parsed.complete
    assert not parse("unittest", "...\n" + "-" * 70 + "\nRan 3 tests in 0.1s\n\nOK\n", None, REPO).complete
    hung = parse("unittest", "test_a (m.T.test_a) ... ok\ntest_b (m.T.test_b) ... ", None, REPO)
    assert hung.running == "m.T.test_b"


def test_pytest_text_alone() -> None:
    text = """============================= test session starts ==============================
rootdir: /repo
collected 4 items

tests/test_a.py::test_one PASSED                                         [ 25%]
tests/test_a.py::test_p[a - b] FAILED                                    [ 50%]
[gw1] [ 75%] XFAIL tests/test_a.py::test_x
tests/test_a.py::test_s SKIPPED (no PASSED here)                         [100%]

=================================== FAILURES ===================================
________________________________ test_p[a - b] _________________________________
tests/test_a.py:7: in test_p
    assert f(v) == 1
src/f.py:2: in f
    return g()
/usr/lib/python3.11/json/decoder.py:355: in raw_decode
    raise X
E   ValueError: bad
E     more
=========================== short test summary info ============================
FAILED tests/test_a.py::test_p[a - b] - ValueError: bad
ERROR tests/test_b.py - ModuleNotFoundError: No module named 'x'
====== 1 failed, 1 passed, 1 skipped, 1 xfailed, 1 error in 61.12s (0:01:01) =======
"""
    parsed = parse("pytest", text, None, REPO)
    assert outcomes(parsed) == {
        "tests/test_a.py::test_one": "passed",
        "tests/test_a.py::test_p[a - b]": "failed",
        "tests/test_a.py::test_x": "xfailed",
        "tests/test_a.py::test_s": "skipped",
        "tests/test_b.py": "error",
    }
    assert parsed.complete
    test = by_id(parsed)["tests/test_a.py::test_p[a - b]"]
    assert (test.message, test.frame) == ("ValueError: bad\n  more", "src/f.py:2 in f")
    assert not parse("pytest", "..F\n1 failed, 2 passed in 0.1s\n", None, REPO).complete
    running = parse("pytest", "tests/a.py::t PASSED [ 10%]\ntests/a.py::u[x y] ", None, REPO)
    assert (outcomes(running), running.running) == ({"tests/a.py::t": "passed"}, "tests/a.py::u[x y]")


def test_hostile_and_damaged_reports() -> None:
    case = '<testcase classname="a" name="t{}" file="a.py"><failure message="m">E  x</failure></testcase>'
    suite = "<testsuites><testsuite>{}</testsuite></testsuites>"
    entity = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]>' + suite.format(case.format("&a;"))
    outside = '<!DOCTYPE x SYSTEM "file:///etc/passwd">' + suite.format(case.format(1))
    assert read_cases(entity.encode()) == ([], False)
    assert read_cases(outside.encode()) == ([], False)
    assert read_cases(b"<a>" * 1000)[0] == []
    whole = suite.format("".join(case.format(n) for n in range(3))).encode()
    assert (len(read_cases(whole)[0]), read_cases(whole)[1]) == (3, True)
    cut = whole[: len(whole) - 60]
    assert (len(read_cases(cut)[0]), read_cases(cut)[1]) == (2, False)
    huge = suite.format(case.format(1).replace("E  x", "E  " + "x" * 1_000_000)).encode()
    parsed = parse("pytest", "", huge, REPO)
    assert len(parsed.tests[0].message) <= 4_000
    deep = b'{"testResults":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert parse("jest", "", deep, REPO).tests == ()
    surrogate = json.dumps(
        {
            "testResults": [
                {"name": "/repo/a.js", "assertionResults": [{"title": "\ud800", "status": "passed"}]}
            ]
        }
    )
    assert [test.id for test in parse("jest", "", surrogate.encode(), REPO).tests] == ["a.js::?"]


def test_ids_are_stable_and_bounded() -> None:
    lines = ["t.py::test[<object at 0x7f00deadbeef>] PASSED", "t.py::test[<object at 0x7f00deadbee0>] FAILED"]
    assert outcomes(parse("pytest", "\n".join(lines), None, REPO)) == {"t.py::test[<object at 0x>]": "failed"}
    results = Results()
    for number in range(MAX_TESTS + 10):
        results.add(f"t{number}", "passed")
    assert len(results) == MAX_TESTS
    assert len(parse("pytest", "t.py::" + "x" * 100_000 + " PASSED", None, REPO).tests) <= 1


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", True),
        ("getaddrinfo ENOTFOUND registry.example.org", True),
        ("OSError: [Errno 101] Network is unreachable", True),
        ("HTTPConnectionPool(host='example.org', port=80): [Errno 111] Connection refused", True),
        ("connect ECONNREFUSED 10.0.0.7:5432", True),
        ("connect ECONNREFUSED 127.0.0.1:5432", False),
        ("HTTPConnectionPool(host='localhost', port=80): [Errno 111] Connection refused", False),
        ("ConnectionRefusedError: [Errno 111] Connection refused", False),
        ("AssertionError: 1 != 2", False),
    ],
)
def test_network_signs(text: str, network: bool) -> None:
    assert shows_network(text) is network


PARSERS: list[Parser] = ["pytest", "unittest", "go", "cargo", "jest", "exit"]
PIECES = st.sampled_from(
    [
        "tests/a.py::t[", "PASSED", " FAILED", "] ", "[ 10%]", "\n", "ERROR ", "::", " - ", "=" * 80, "_" * 5, "E   x",
        "test_a (m.T.test_a) ... ", "ok", "FAIL: test_a (m.T)", "Ran 3 tests in 1s", '{"Action":"run","Test":"T",',
        '"Package":"p"}', '{"Action":"fail","Package":"p"}', "--- FAIL: T (0.00s)", "FAIL\tp\t0s", "test a ... ",
        "---- a stdout ----", "error: could not compile `x`", "PASS a.test.js", "  ✓ x (1 ms)", "  ● x › y", "⎯⎯",
        "FAILED", " FAIL  a.test.js > x", "(", "'", "1 failed, 2 passed in 0.1s", "\x1b[31m", "\x00", "\ud800",
        "rootdir: /repo/x",
        "ImportError while loading conftest '/repo/conftest.py'.", "9" * 5000, "é\u202e",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=300) | st.lists(PIECES, max_size=40).map("".join),
    report=st.none() | st.binary(max_size=300),
)
def test_parsers_never_raise(text: str, report: bytes | None) -> None:
    for parser in PARSERS:
        parsed = parse(parser, text, report, REPO)
        for test in parsed.tests:
            assert test.id and len(test.id) <= 1_000 and "\n" not in test.id
            test.model_dump_json()
        assert len({test.id for test in parsed.tests}) == len(parsed.tests)
    guess_parser(text, text)


@settings(max_examples=100, deadline=None)
@given(
    values=st.recursive(
        st.none() | st.booleans() | st.text(max_size=5) | st.integers(),
        lambda s: (
            st.lists(s, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "testResults",
                        "name",
                        "assertionResults",
                        "title",
                        "status",
                        "ancestorTitles",
                        "failureMessages",
                        "message",
                    ]
                ),
                s,
                max_size=6,
            )
        ),
        max_leaves=15,
    )
)
def test_json_of_any_shape(values: object) -> None:
    parse(
        "jest",
        "",
        json.dumps({"testResults": [values, {"name": "a", "assertionResults": [values]}]}).encode(),
        REPO,
    )
    parse(
        "go", json.dumps({"Action": values, "Package": values, "Test": values, "Output": values}), None, REPO
    )
