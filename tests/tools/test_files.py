"""read_file, list_files and search over a real repository in a real sandbox."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kimicode.tools.paths import nearest, relative
from kimicode.tools.program import run_inside
from kimicode.tools.read_file import Wanted, parse_entry
from kimicode.tools.regex import translate

from .place import Place, in_sandbox

FUNCTIONS = "".join(f"def f{i}(x):\n    return x + {i}\n\n" for i in range(10))
FILES: dict[str, str | bytes] = {
    "src/pkg/a.py": FUNCTIONS,
    "src/pkg/deep/er/b.py": "x = 1\n",
    "src/crlf.txt": "one\r\ntwo\r\n",
    "src/latin.txt": b"caf\xe9\n",
    "src/long.js": "y" * 5000 + "\nend",
    "docs/ünï cöde.md": "# Überschrift\n",
    "image.png": b"\x89PNG\r\n\0\0\0",
    "empty.txt": "",
    ".hidden/ci.yml": "on: push\n",
    ".gitignore": "out/\n*.log\n",
    "out/made.py": "def f1(): generated\n",
    "build.log": "f1\n",
}


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ("a.py", Wanted("a.py")),
        ("./a//b.py", Wanted("a/b.py")),
        ("/repo/a.py:3-5", Wanted("a.py", ((3, 5, 3),))),
        ("a.py:3-", Wanted("a.py", ((3, 0, 3),))),
        ("a.py:3-5,9-12", Wanted("a.py", ((3, 5, 3), (9, 12, 9)))),
        ("a.py:100", Wanted("a.py", ((80, 140, 100),))),
        ("a:b.py", Wanted("a:b.py")),
        ("/tmp/out.txt", Wanted("/tmp/out.txt")),
    ],
)
def test_entries(entry: str, wanted: Wanted) -> None:
    assert parse_entry(entry, "/repo") == wanted


def test_paths() -> None:
    assert [relative(p, "/repo") for p in ("", ".", "/repo", "/repo/", "a/../b")] == ["", "", "", "", "b"]
    assert nearest("b.py", ["src/b.py", "b/c.py"]) == ["src/b.py"]
    assert nearest("b.py", ["src/b.py", "x/b.py"], cwd="x") == ["x/b.py"]
    assert nearest("src/clac.py", ["src/calc.py", "readme"]) == ["src/calc.py"]


def test_reading(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        result = await p.call("read_file", files=["src/pkg/a.py:1-3,28-99", "src/crlf.txt", "src/latin.txt"])
        assert result.text == (
            "src/pkg/a.py lines 1-3 of 30\ndef f0(x):\n    return x + 0\n\n"
            "src/pkg/a.py lines 28-30 of 30\ndef f9(x):\n    return x + 9\n\n\n"
            "src/crlf.txt lines 1-2 of 2 (CRLF line ends)\none\ntwo\n\n"
            "src/latin.txt lines 1-1 of 1 (not UTF-8, shown as Latin-1)\ncafé\n"
        )
        assert set(result.files) == {"src/pkg/a.py", "src/crlf.txt", "src/latin.txt"} and result.ok
        whole = (await p.call("read_file", files=["src/pkg/a.py"])).text
        assert "[line 10]\ndef f3(x):" in whole and "[line 20]" in whole and "[line 11]" not in whole

    in_sandbox(tmp_path, FILES, act)


def test_reading_what_cannot_be_shown(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        result = await p.call("read_file", files=["image.png", "empty.txt", "src", "a.py", "src/pkg/a.py:99"])
        assert result.ok and result.text == (
            "image.png: not text (PNG image, 9 bytes). Look at it with `shell`.\n\n"
            "empty.txt: empty (0 lines)\n\n"
            "src is a folder. src: 5 files\n"
            "src/crlf.txt  2 lines\nsrc/latin.txt  1 line\nsrc/long.js  2 lines\nsrc/pkg/  (2 files)\n\n"
            "There is no file a.py (paths are relative to the repository's root). Did you mean src/pkg/a.py?\n\n"
            "src/pkg/a.py: there is no line 99, the file ends at line 30\n"
        ).replace("  (2 files)", "  2 files")
        long = (await p.call("read_file", files=["src/long.js"])).text
        assert (
            "(no newline at the end; 1 long line shortened)" in long and "4,000 characters left out" in long
        )
        assert not (await p.call("read_file", files=["nope"])).ok
        assert (await p.call("read_file", files=[])).text.startswith("read_file: `files` is empty.")
        assert "ends before it begins" in (await p.call("read_file", files=["a:9-3"])).text
        assert "leads out of the repository" in (await p.call("read_file", files=["../x"])).text
        assert not (await p.call("read_file", files=["/etc/passwd"])).ok

    in_sandbox(tmp_path, FILES, act)


def test_big_files_say_how_to_go_on(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        text = (await p.call("read_file", files=["big.txt"])).text
        assert text.startswith("big.txt lines 1-800 of 3000\n")
        assert text.endswith("[lines 801-3000 not shown: read big.txt:801-]\n")
        text = (await p.call("read_file", files=["big.txt:1-", "big.txt:1-", "big.txt:5-6"])).text
        assert len(text) < 45_000 and "not shown: read big.txt:" in text

    in_sandbox(tmp_path, {"big.txt": "".join(f"line number {i}\n" for i in range(1, 3001))}, act)


def test_listing(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        assert (await p.call("list_files")).text == (
            "the repository: 10 files\n.gitignore  2 lines\n.hidden/ci.yml  1 line\ndocs/ünï cöde.md  1 line\n"
            "empty.txt  0 lines\nimage.png  9 B\nsrc/crlf.txt  2 lines\nsrc/latin.txt  1 line\nsrc/long.js  2 lines\n"
            "src/pkg/  2 files"
        )
        assert (await p.call("list_files", path="src", depth=1)).text.endswith("src/pkg/  2 files")
        assert (await p.call("list_files", glob="*.py")).text == (
            "the repository: 2 files that fit '*.py'\nsrc/pkg/a.py  30 lines\nsrc/pkg/deep/er/b.py  1 line"
        )
        for glob, count in (
            ("src/**/*.{py,js}", 3),
            ("!*.py", 8),
            ("src/*", 3),
            ("**/er/*", 1),
            ("docs/", 1),
        ):
            assert (await p.call("list_files", glob=glob)).text.startswith(f"the repository: {count} file"), (
                glob
            )
        assert (await p.call("list_files", path="out")).text == "out: 1 file\nout/made.py  1 line"
        assert (await p.call("list_files", path="image.png")).text == "image.png: 1 file\nimage.png  9 B"
        assert (await p.call("list_files", glob="*.rs")).text == (
            "None of the 10 files in the repository fits '*.rs' (what git ignores is left out)."
        )
        assert not (await p.call("list_files", path="nope")).ok

    in_sandbox(tmp_path, FILES, act)


def test_a_big_folder_is_summarised(tmp_path: Path) -> None:
    files = {f"d{i % 3}/s{i % 10}/f{i}.txt": "x\n" for i in range(900)}

    async def act(p: Place) -> None:
        text = (await p.call("list_files", depth=3)).text
        assert (
            text.startswith("the repository: 900 files, shown to depth 2 because there are many")
            and "d0/s0/  30 files" in text
        )
        text = (await p.call("list_files", glob="*.txt")).text
        assert "d2/s9/  30 files" in text and text.count("\n") <= 201

    in_sandbox(tmp_path, files, act)


def test_searching(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        assert (await p.call("search", pattern=r"def f[12]\b", context=1)).text == (
            "2 matches in 1 file\nsrc/pkg/a.py\n"
            "3-\n4:def f1(x):\n5-    return x + 1\n6-\n7:def f2(x):\n8-    return x + 2"
        )
        assert (await p.call("search", pattern="F1", ignore_case=True, path="out")).text == (
            "1 match in 1 file\nout/made.py\n1:def f1(): generated"
        )
        assert (await p.call("search", pattern="f1(", literal=True)).text.endswith(
            "src/pkg/a.py\n4:def f1(x):"
        )
        assert (await p.call("search", pattern="^caf.$")).text.endswith("src/latin.txt\n1:caf\ufffd")
        assert (await p.call("search", pattern="two$")).text.endswith("src/crlf.txt\n2:two")
        assert (await p.call("search", pattern="über", ignore_case=True)).text.endswith(
            "cöde.md\n1:# Überschrift"
        )
        assert (await p.call("search", pattern="yy", glob="*.js")).text.endswith("1:" + "y" * 300 + "[...]")
        nothing = (await p.call("search", pattern=r"F1\|f2")).text
        assert nothing == (
            "No match in 10 files of the repository. Case counts: set ignore_case to find other spellings. "
            r"In this dialect `|`, `(` and `+` are operators and `\|` is a literal bar: send them without `\`."
        )
        assert (await p.call("search", pattern="x", glob="*.rs")).text.startswith(
            "No files to search in *.rs"
        )
        assert not (await p.call("search", pattern="x", path="nope")).ok

    in_sandbox(tmp_path, FILES, act)


def test_many_matches_are_counted_and_narrowing_is_told(tmp_path: Path) -> None:
    files = {f"f{i:02}.txt": "hit\n" * 40 for i in range(30)}

    async def act(p: Place) -> None:
        text = (await p.call("search", pattern="hit")).text
        assert text.startswith(
            "1,200 matches in 30 files; 100 shown: narrow with path, glob or a longer pattern\nf00.txt\n1:hit\n"
        )
        assert "[10 more matches in this file]" in text
        assert "Not shown (file, matches): f04.txt 40, " in text

    in_sandbox(tmp_path, files, act)


@pytest.mark.parametrize(
    ("pattern", "flags"),
    [
        ("f1", ""),
        (r"def \w+\(", ""),
        ("CAF.", "i"),
        ("^x", ""),
        (r"\d$", ""),
        ("e.d|on", ""),
        ("[^a-z]ber", "i"),
    ],
)
def test_same_answer_without_ripgrep(tmp_path: Path, pattern: str, flags: str) -> None:
    regex = translate(pattern, literal=False, ignore_case="i" in flags)

    async def act(p: Place) -> None:
        from kimicode.core.ports import ToolContext

        context = ToolContext(p.sandbox, p.checks, "1.0")
        with_rg = await run_inside(context, "search", "", "", "1", flags, regex.python, regex.quick)
        without = await run_inside(context, "search", "", "", "1", flags + "n", regex.python, regex.quick)
        assert regex.quick and with_rg == without and int(with_rg[0][1]) > 0

    in_sandbox(tmp_path, FILES, act)


def test_without_git_and_through_links(tmp_path: Path) -> None:
    (tmp_path / "w/node_modules").mkdir(parents=True)
    (tmp_path / "w/node_modules/m.js").write_text("found\n")
    (tmp_path / "secret").write_text("found\n")
    os.symlink("../secret", tmp_path / "w/link")

    async def act(p: Place) -> None:
        assert (await p.call("search", pattern="found")).text.endswith("1 file\nsub/a.txt\n1:found")
        assert "Did you mean" not in (await p.call("read_file", files=["b.txt"])).text
        assert not (await p.call("read_file", files=["link"])).ok

    in_sandbox(tmp_path, {"sub/a.txt": "found\n"}, act, track=False)
