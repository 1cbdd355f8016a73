"""The dialect of `search`: one meaning, with and without ripgrep."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.errors import ToolError
from kimicode.tools.regex import translate


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"(?<year>\d{4})", "in 2026"),
        (r"[[:alpha:]_]+\z", "a_b"),
        (r"foo{", "foo{"),
        (r"\bdef\s+\w+\(", "def f("),
        (r"a|b", "b"),
        (r"^\s*#", "  # x"),
    ],
)
def test_both_spellings(pattern: str, line: str) -> None:
    assert re.search(translate(pattern, literal=False).python, line)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("", "search: `pattern` is empty. Use list_files to see which files there are."),
        (
            "a(",
            "search: 'a(' is not a regular expression: missing ), unterminated subpattern at character 1. Escape it "
            "with a backslash, or set `literal` to search for the text as it is.",
        ),
        ("*a", "search: '*a' is not a regular expression: nothing to repeat at character 0."),
        (
            r"\p{L}+",
            r"search: '\\p{L}+' is not a regular expression: bad escape \p at character 0. There is no \p{…}",
        ),
        (r"a\nb", "search: matches are found within one line, so a newline never matches."),
    ],
)
def test_errors(pattern: str, text: str) -> None:
    with pytest.raises(ToolError) as caught:
        translate(pattern, literal=False)
    assert str(caught.value).startswith(text)


PIECES = [
    "a",
    "b",
    ".",
    r"\w",
    r"\W",
    r"\d",
    r"\s",
    r"\b",
    "[ab]",
    "[^a]",
    "[^é]",
    "(a|b)",
    "(?:b)",
    "*",
    "+",
    "?",
    "{1,2}",
]
PIECES += [
    "^",
    "$",
    "|",
    r"\.",
    "é",
    "-",
    "{",
    "}",
    "&",
    "~",
    "#",
    " ",
    r"[\w-]",
    "[a-c]",
    r"\A",
    r"\Z",
    "(?=a)",
    "[]a]",
]
LINES = [
    "a",
    "b",
    "ab",
    "ba",
    "é",
    "éa",
    "a é",
    "²",
    "a-b",
    "{",
    "a.b",
    "",
    " ",
    "a\r",
    "\x1c",
    "&&",
    "a{1",
    "café",
    "A",
]


@pytest.mark.skipif(not shutil.which("rg"), reason="needs ripgrep on the host")
@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), st.booleans(), st.booleans())
def test_ripgrep_never_hides_a_match(
    tmp_path_factory: pytest.TempPathFactory, pattern: str, literal: bool, case: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "lines"
    if not folder.exists():
        folder.mkdir()
        for number, line in enumerate(LINES):
            (folder / f"{number}.txt").write_bytes(
                line.encode() + b"\r\n" * (number % 2) + b"\n" * (1 - number % 2)
            )
        (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    try:
        regex = translate(pattern, literal=literal, ignore_case=case)
    except ToolError:
        return
    if not regex.quick:
        return
    flags = ["-i"] if case else []
    command = ["rg", "--no-config", "-l", "-a", "--no-ignore", *flags, "-e", regex.quick, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    found = {Path(name).name for name in done.stdout.split()}
    for path in folder.iterdir():
        text = path.read_bytes().decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r")
        if re.search(regex.python, text, re.IGNORECASE if case else 0):
            assert path.name in found, (pattern, regex.quick, text)
