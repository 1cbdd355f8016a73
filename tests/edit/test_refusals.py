"""Every refusal, word for word: these texts are instructions for the model."""

from __future__ import annotations

import pytest

from kimicode.edit.errors import EditError
from kimicode.edit.parse import Append, Edit, Replace, Span, parse_edit
from kimicode.edit.placeholder import is_placeholder
from kimicode.edit.plan import Source, plan

BEFORE = b"""import os

def one():
    total = 0
    return total

def two():
    total = 1
    return total
"""


def refusal(before: bytes, *edits: Edit, stale: bool = False, failures: int = 0) -> EditError:
    source = Source(before, stale, failures)
    with pytest.raises(EditError) as caught:
        plan({e.path: source for e in edits}, edits)
    return caught.value


CASES = {
    "twice": (
        Replace("f.py", "    return total", "    return 2"),
        "f.py: old occurs 2 times, at lines 5, 9. Nothing was changed. Add a line of context or set replace_all.\n"
        "  line 5, after: total = 0\n"
        "  line 9, after: total = 1",
    ),
    "near": (
        Replace("f.py", "def one():\n    total = 5\n", "x"),
        "old was not found in f.py. Nothing was changed. Line 4 differs: file '    total = 0', old '    total = 5'. "
        "Nearest, lines 1-6 as they are:\nimport os\n\ndef one():\n    total = 0\n    return total",
    ),
    "nowhere": (
        Replace("f.py", "qqqqqq\nwwwwww\n", "x"),
        "old was not found in f.py. Nothing was changed. No line of it is in the file (9 lines). Read it first, and "
        "check the path.",
    ),
    "word": (
        Replace("f.py", "def tw", "def x"),
        "f.py: the only place where old stands begins or ends inside a longer word, on line 7: 'def two():'. Nothing "
        "was changed. Quote whole words, or the whole line.",
    ),
    "placeholder": (
        Replace("f.py", "    total = 1\n", "    # ... existing code ...\n    x\n"),
        "f.py: '# ... existing code ...' in the new text stands for code that is not written out; it would replace "
        "that code. Nothing was changed. Write the lines out, or quote less in old so that they stay.",
    ),
    "from_line": (
        Span("f.py", "    return total", "def two():", "x"),
        "f.py: from_line occurs 2 times, at lines 5, 9. Nothing was changed. Add a line of context to it.\n"
        "  line 5, after: total = 0\n"
        "  line 9, after: total = 1",
    ),
    "number": (
        Span("f.py", "3", "5", "x"),
        "f.py: from_line is the text of a line, not its number. Line 3 reads: 'def one():'. Nothing was changed. Send "
        "that text.",
    ),
    "to_line": (
        Span("f.py", "def two():", "import os", "x"),
        "to_line (after from_line) was not found in f.py. Nothing was changed. Nearest, lines 1-3 as they are:\n"
        "import os\n\ndef one():",
    ),
    "nul": (Append("f.py", "a\0"), "f.py: the new text holds a NUL character. Nothing was changed."),
}


@pytest.mark.parametrize("name", CASES)
def test_text(name: str) -> None:
    change, text = CASES[name]
    assert str(refusal(BEFORE, change)) == text


def test_the_number_of_an_edit_is_named_when_there_are_several() -> None:
    good = Replace("f.py", "import os", "import sys")
    assert str(refusal(BEFORE, good, Replace("f.py", "nothing like it", "x"))).startswith(
        "Edit 2: old was not found"
    )
    assert str(refusal(BEFORE, good, Replace("f.py", "return total", "x"))).startswith(
        "Edit 2: f.py: old occurs 2"
    )
    clash = refusal(BEFORE, Replace("f.py", "import os", "a"), Replace("f.py", "import os\n", "b\n"))
    assert str(clash) == (
        "Edit 2 (f.py) changes lines that another edit of this call changes too (near line 1). Nothing was changed. "
        "Make them one edit."
    )


def test_more_is_shown_after_failures() -> None:
    wrong = Replace("f.py", "def one():\n    total = 5\n", "x")
    texts = [str(refusal(BEFORE * 9, wrong, failures=n)) for n in range(3)]
    assert len(texts[0]) < len(texts[1]) < len(texts[2])
    assert "from_line and to_line" in texts[2] and "from_line" not in texts[1]


def test_a_changed_file_takes_exact_matches_only() -> None:
    error = refusal(BEFORE, Replace("f.py", "def one():\n  total = 0\n", "x\n"), stale=True)
    assert error.kind == "stale"
    assert str(error).startswith(
        "f.py changed since you read it, and old does not match it exactly any more."
    )
    done = plan({"f.py": Source(BEFORE, stale=True)}, [Replace("f.py", "total = 0", "total = 7")])[0]
    assert "had changed since you read it" in done.notes[0]


def test_encoding() -> None:
    error = refusal(b"caf\xe9\n", Append("f.py", "na\u00efve\n"))
    assert str(error) == (
        "f.py is not UTF-8, so 'ï' cannot be added without guessing its encoding. Nothing was changed. Use only ASCII "
        "in new, or convert the file with `shell` (iconv)."
    )


def test_uneven_indentation() -> None:
    before = b"if a:\n        x\n            y\n"
    error = refusal(before, Replace("f.py", "  x\n  y\n", "  z\n"))
    assert error.kind == "indentation" and "uneven" in str(error)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    total = 0\n", "    total = 0\n    return total\n"),
        ("def one():\n    count = 0\n", "def one():\n    total = 0\n"),
        ("import sys", "import os\n\ndef one():"),
    ],
)
def test_already_applied_is_its_own_answer(old: str, new: str) -> None:
    done = plan({"f.py": Source(BEFORE)}, [Replace("f.py", old, new)])[0]
    assert done.after == BEFORE and done.notes[0].startswith("no change needed, lines ")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (
            {"path": "a"},
            "Edit 1 (a): it says nothing to do. Give old and new, or from_line, to_line and new, or append.",
        ),
        ({"old": "a", "new": "b"}, "Edit 1: `path` is missing."),
        ({"path": "a", "old": "x"}, 'Edit 1 (a): `new` is missing (send "" to delete).'),
        (
            {"path": "a", "old": "x", "new": "x"},
            "Edit 1 (a): `old` and `new` are the same, so nothing would change.",
        ),
        (
            {"path": "a", "old": "", "new": "x"},
            "Edit 1 (a): `old` is empty. To add text, quote the line beside it",
        ),
        ({"path": "a", "new": "x"}, "Edit 1 (a): `old` is missing. To write a whole file use write_file."),
        ({"path": "a", "to_line": "x", "new": ""}, "Edit 1 (a): new, to_line do not go together."),
        (
            {"path": "a", "old": "x", "new": "y", "append": "z"},
            "Edit 1 (a): append, new, old do not go together.",
        ),
        ({"path": "a", "append": ""}, "Edit 1 (a): `append` is empty."),
    ],
)
def test_malformed(item: dict[str, str], text: str) -> None:
    with pytest.raises(EditError) as caught:
        parse_edit(item)
    assert str(caught.value).startswith(text)


def test_empty_strings_of_other_shapes_are_no_conflict() -> None:
    given = {
        "path": "a",
        "old": "x",
        "new": "y",
        "from_line": "",
        "to_line": "",
        "append": "",
        "replace_all": False,
    }
    assert parse_edit(given) == Replace("a", "x", "y")
    assert parse_edit({"path": "a", "old": "", "new": "", "append": "z"}) == Append("a", "z")


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("# ... existing code ...", True),
        ("    // ... rest of the function", True),
        ("/* ... unchanged ... */", True),
        ("<!-- ... -->", True),
        ("{/* ... existing props ... */}", True),
        ("... (remaining methods)", True),
        ("# rest of the code...", True),
        ("    ...", False),
        ("def f(x: tuple[int, ...]) -> None: ...", False),
        ('print("... existing code ...")', False),
        ("# wait for the rest", False),
        ("const x = {...rest};", False),
        ("function f(...rest) {", False),
    ],
)
def test_placeholders(line: str, verdict: bool) -> None:
    assert is_placeholder(line) is verdict


def test_a_bare_ellipsis_is_a_statement_of_python_only_in_a_body() -> None:
    done = plan({"f.py": Source(b"a = 1\n")}, [Append("f.py", "def f():\n    ...\n")])[0]
    assert done.after.endswith(b"    ...\n")
    assert refusal(b"a = 1\n", Replace("f.py", "a = 1", "b = 1\n...\n")).kind == "placeholder"
    assert refusal(b"a = 1\n", Append("f.js", "f() {\n  ...\n")).kind == "placeholder"
