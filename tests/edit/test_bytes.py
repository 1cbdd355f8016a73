"""Bytes are sacred: what an edit does not name stays as it is."""

from __future__ import annotations

import pytest

from kimicode.edit.document import decode
from kimicode.edit.errors import EditError
from kimicode.edit.parse import Append, Edit, Replace, Span
from kimicode.edit.plan import Source, plan, write_text


def edit(before: bytes, *edits: Edit) -> bytes:
    return plan({"f": Source(before)}, edits)[0].after


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        pytest.param(b"a\r\nb\r\nc\r\n", Replace("f", "b\n", "x\ny\n"), b"a\r\nx\r\ny\r\nc\r\n", id="crlf"),
        pytest.param(b"a\r\nb\r\n", Replace("f", "a\r\nb", "a\nc"), b"a\r\nc\r\n", id="crlf-quoted"),
        pytest.param(b"a\r\nb\nc\n", Replace("f", "b", "x"), b"a\r\nx\nc\n", id="mixed"),
        pytest.param(b"\xef\xbb\xbfa\nb\n", Replace("f", "a", "x"), b"\xef\xbb\xbfx\nb\n", id="bom"),
        pytest.param(b"a\nb", Replace("f", "b", "x\ny"), b"a\nx\ny", id="no-final-newline"),
        pytest.param(b"a\nb", Replace("f", "b", "b\n"), b"a\nb\n", id="add-final-newline"),
        pytest.param(b"a\nb\n", Replace("f", "b\n", "x"), b"a\nx\n", id="newline-forgotten"),
        pytest.param(
            b"a\x0cb\nc\xe2\x80\xa8d\ne\n", Replace("f", "e", "x"), b"a\x0cb\nc\xe2\x80\xa8d\nx\n", id="odd"
        ),
        pytest.param(b"a\nb\nc\n", Replace("f", "b", ""), b"a\nc\n", id="delete-line"),
        pytest.param(b"a b c\n", Replace("f", "b ", ""), b"a c\n", id="delete-words"),
        pytest.param(b"a\nb\nc\n", Replace("f", "b\n", ""), b"a\nc\n", id="delete-with-newline"),
        pytest.param(b"f(x)\nf(x)\n", Replace("f", "x", "y", every=True), b"f(y)\nf(y)\n", id="all"),
        pytest.param(b"x x\n", Replace("f", "x", "yy", every=True), b"yy yy\n", id="all-on-one-line"),
        pytest.param(b"caf\xe9 = 1\nb\n", Replace("f", "b", "c"), b"caf\xe9 = 1\nc\n", id="latin-1"),
        pytest.param(
            b"caf\xe9 = 1\n", Replace("f", "café = 1", "café = 2"), b"caf\xe9 = 2\n", id="latin-1-quoted"
        ),
        pytest.param(b"a\n", Append("f", "b"), b"a\nb\n", id="append"),
        pytest.param(b"a", Append("f", "b"), b"a\nb", id="append-no-newline"),
        pytest.param(b"a", Append("f", "b\n"), b"a\nb\n", id="append-newline"),
        pytest.param(b"", Append("f", "b\n"), b"b\n", id="append-empty"),
        pytest.param(b"a\r\n", Append("f", "\nb\n"), b"a\r\n\r\nb\r\n", id="append-crlf"),
        pytest.param(b"a {\n  b\n}\nc\n", Span("f", "a {", "}", "d"), b"d\nc\n", id="span"),
        pytest.param(b"a\nb\nc\n", Span("f", "b", "b", ""), b"a\nc\n", id="span-delete"),
        pytest.param(
            b"let x = 'it\xe2\x80\x99s'\nb\n",
            Replace("f", "let x = 'it's'\nb", "let x = 'it's'\nc"),
            b"let x = 'it\xe2\x80\x99s'\nc\n",
            id="unicode-context",
        ),
        pytest.param(
            b"def f():  \n    a\n",
            Replace("f", "def f():\n    a\n", "def f():\n    b\n"),
            b"def f():  \n    b\n",
            id="trailing",
        ),
        pytest.param(
            b"class A:\n\tdef f():\n\t\ta\n",
            Replace("f", "def f():\n    a\n", "def f():\n    if x:\n        b\n"),
            b"class A:\n\tdef f():\n\t\tif x:\n\t\t\tb\n",
            id="tabs",
        ),
        pytest.param(
            b"    def f():\n        a\n",
            Replace("f", "  def f():\n      a\n", "  def f():\n      b\n\n      c\n"),
            b"    def f():\n        b\n\n        c\n",
            id="shifted",
        ),
    ],
)
def test_result(before: bytes, change: Edit, after: bytes) -> None:
    assert edit(before, change) == after


def test_several_edits_mean_the_file_as_it_is() -> None:
    before = b"one\ntwo\nthree\n"
    swap = (Replace("f", "one", "two"), Replace("f", "two", "one"))
    assert edit(before, *swap) == b"two\none\nthree\n" == edit(before, *swap[::-1])


def test_an_edit_may_build_on_another_of_its_call() -> None:
    assert (
        edit(b"a\nb\n", Replace("f", "a", "first step"), Replace("f", "first step", "second"))
        == b"second\nb\n"
    )
    assert edit(b"f(a, b)\n", Replace("f", "(a,", "(x,"), Replace("f", "b)", "y)")) == b"f(x, y)\n"


def test_shared_context_is_no_conflict() -> None:
    before = b"1\n2\n3\n4\n5\n"
    assert (
        edit(before, Replace("f", "1\n2\n3\n", "1\nx\n3\n"), Replace("f", "3\n4\n5\n", "3\ny\n5\n"))
        == b"1\nx\n3\ny\n5\n"
    )


def test_markers_of_read_file_are_not_part_of_a_quotation() -> None:
    assert edit(b"a\nb\nc\n", Replace("f", "a\n[line 2]\nb\n", "a\n[line 2]\nx\n")) == b"a\nx\nc\n"
    assert edit(b"a\n[line 2]\n", Replace("f", "[line 2]", "z")) == b"a\nz\n"


def test_syntax_is_told_when_it_parsed_before() -> None:
    def syntax(name: str, before: bytes, change: Replace) -> str:
        return plan({name: Source(before)}, [change])[0].syntax

    assert syntax("a.py", b"x = 1\n", Replace("a.py", "1", "2")) == "syntax ok"
    assert syntax("a.py", b"x = 1\n", Replace("a.py", "1", "(")).startswith("SYNTAX ERROR since this edit: ")
    assert syntax("a.py", b"x = (\ny\n", Replace("a.py", "y", "z")).startswith(
        "syntax error, as before this edit: "
    )
    assert syntax("a.json", b'{"a": 1}', Replace("a.json", "1", "1,")).startswith("SYNTAX ERROR")
    assert syntax("a.toml", b"a = 1\n", Replace("a.toml", "1", "")).startswith("SYNTAX ERROR")
    assert syntax("a.txt", b"a\n", Replace("a.txt", "a", "(")) == ""


def test_whole_files_keep_bom_and_crlf() -> None:
    assert write_text("a\nb\n", b"\xef\xbb\xbfx\r\n") == b"\xef\xbb\xbfa\r\nb\r\n"
    assert write_text("a\n", b"x\r\ny\n") == b"a\n" == write_text("a\n", None)


@pytest.mark.parametrize("data", [b"\0", "ab".encode("utf-16")])
def test_binary_is_refused(data: bytes) -> None:
    with pytest.raises(EditError, match="binary"):
        decode(data)
