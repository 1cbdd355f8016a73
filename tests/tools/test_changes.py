"""edit_file, write_file and apply_patch over a real repository in a real sandbox."""

from __future__ import annotations

from pathlib import Path

from .place import Place, in_sandbox

CALC = "def add(a, b):\n    return a - b\n\n\ndef sub(a, b):\n    return a - b\n"
FILES: dict[str, str | bytes] = {
    "calc.py": CALC,
    "notes.md": "# Notes\r\nold\r\n",
    "run.sh": "echo hi\n",
    "b.bin": b"\0",
}


def test_edits_over_two_files_are_answered_with_how_they_read_now(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        await p.call("read_file", files=["calc.py", "notes.md"])
        result = await p.call(
            "edit_file",
            edits=[
                {
                    "path": "calc.py",
                    "old": "def add(a, b):\n    return a - b",
                    "new": "def add(a, b):\n    return a + b",
                },
                {"path": "notes.md", "append": "new\n"},
            ],
        )
        assert result.text == (
            "2 edits done.\n"
            "calc.py: +1 -1 lines; syntax ok\n"
            "lines 1-5 of 6 now:\ndef add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n"
            "notes.md: +1 -0 lines\n"
            "lines 1-3 of 3 now:\n# Notes\nold\nnew"
        )
        assert result.summary == "2 hunks in calc.py, notes.md"
        assert (
            "-    return a - b\n+    return a + b\n" in result.diff
            and "--- a/calc.py\n+++ b/calc.py\n" in result.diff
        )
        assert (p.work / "notes.md").read_bytes() == b"# Notes\r\nold\r\nnew\r\n"
        again = await p.call(
            "edit_file", edits=[{"path": "calc.py", "old": "return a + b", "new": "return b + a"}]
        )
        assert again.ok and "changed since" not in again.text

    in_sandbox(tmp_path, FILES, act)


def test_one_bad_edit_and_nothing_is_changed(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        result = await p.call(
            "edit_file",
            edits=[
                {"path": "calc.py", "old": "def sub", "new": "def minus"},
                {"path": "notes.md", "old": "not there at all", "new": "x"},
            ],
        )
        assert not result.ok and result.data["failed_paths"] == ["notes.md"]
        assert (p.work / "calc.py").read_text() == CALC
        missing = await p.call("edit_file", edits=[{"path": "clac.py", "old": "a", "new": "b"}])
        assert missing.text.endswith("Did you mean calc.py?") and missing.data["failed_paths"] == ["clac.py"]
        for path, reason in (("b.bin", "binary"), ("../x", "leads out"), ("", "`path` is missing")):
            refused = await p.call("edit_file", edits=[{"path": path, "old": "a", "new": "b"}])
            assert not refused.ok and reason in refused.text
        assert (
            await p.call("edit_file", edits=[])
        ).text == "edit_file: `edits` is empty. Nothing was changed."

    in_sandbox(tmp_path, FILES, act)


def test_a_stale_file_takes_exact_edits_only(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        await p.call("read_file", files=["calc.py"])
        await p.call("shell", command="sed -i 's/sub/minus/' calc.py")
        fuzzy = await p.call(
            "edit_file", edits=[{"path": "calc.py", "old": "def minus(a, b): \n", "new": "x\n"}]
        )
        assert not fuzzy.ok and "changed since you read it" in fuzzy.text
        exact = await p.call("edit_file", edits=[{"path": "calc.py", "old": "def minus", "new": "def less"}])
        assert exact.ok and "the file had changed since you read it; the text matched exactly" in exact.text

    in_sandbox(tmp_path, FILES, act)


def test_no_change_needed_is_a_success(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        edit = {"path": "calc.py", "old": "def add(a, b):\n", "new": "def add(a, b):\n    return a - b\n"}
        result = await p.call("edit_file", edits=[edit])
        assert result.ok and result.summary == "no change needed" and not result.diff
        assert result.text == "calc.py: no change needed, lines 1-2 already read so"

    in_sandbox(tmp_path, FILES, act)


def test_a_looser_match_and_a_syntax_error_are_told(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        edit = {
            "path": "calc.py",
            "from_line": "def sub(a, b):",
            "to_line": "return a - b",
            "new": "def sub(a, b):\n    return (a",
        }
        result = await p.call("edit_file", edits=[edit])
        assert (
            "matched ignoring indentation; the file's was used; SYNTAX ERROR since this edit: " in result.text
        )

    in_sandbox(tmp_path, FILES, act)


def test_writing(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        new = await p.call("write_file", path="deep/er/new.py", content="x = 1\n")
        assert new.text == "deep/er/new.py: created, 1 line; syntax ok" and "+x = 1" in new.diff
        assert (await p.call("write_file", path="deep/er/new.py", content="x = 2\n")).ok
        refused = await p.call("write_file", path="calc.py", content="x = 1\n")
        assert refused.text == (
            "calc.py exists (66 bytes) and you have not read it. Nothing was written. Read it with read_file first, or "
            "change parts of it with edit_file."
        )
        await p.call("read_file", files=["calc.py", "notes.md"])
        placeholder = await p.call(
            "write_file", path="calc.py", content="x = 1\n# ... rest of the file ...\n"
        )
        assert "stands for code that is not written out" in placeholder.text
        assert (p.work / "calc.py").read_text() == CALC
        crlf = await p.call("write_file", path="notes.md", content="a\nb\n")
        assert crlf.text == "notes.md: written, 2 lines (it had 2 before); its CRLF line ends were kept"
        assert (p.work / "notes.md").read_bytes() == b"a\r\nb\r\n"
        same = await p.call("write_file", path="notes.md", content="a\nb\n")
        assert same.text == "notes.md already has exactly this content."
        for path in ("", ".", "new/", "deep"):
            assert not (await p.call("write_file", path=path, content="x")).ok, path

    in_sandbox(tmp_path, FILES, act)


def test_modes_stay(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        (p.work / "run.sh").chmod(0o755)
        assert "(executable)" in (await p.call("read_file", files=["run.sh"])).text
        await p.call("edit_file", edits=[{"path": "run.sh", "old": "hi", "new": "ho"}])
        await p.call(
            "apply_patch",
            patch="*** Begin Patch\n*** Update File: run.sh\n*** Move to: go.sh\n@@\n-echo ho\n+echo hu\n*** End Patch",
        )
        assert (p.work / "go.sh").stat().st_mode & 0o777 == 0o755 and not (p.work / "run.sh").exists()

    in_sandbox(tmp_path, FILES, act)


PATCH = """Here is the patch:
```
*** Begin Patch
*** Update File: calc.py
@@ def sub(a, b):
-    return a - b
+    return b - a
*** Add File: new/x.txt
+one
+
+two
*** Delete File: notes.md
*** End Patch
```"""


def test_patching(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        result = await p.call("apply_patch", patch=PATCH)
        assert result.text == (
            "calc.py: +1 -1 lines; syntax ok\nlines 3-6 of 6 now:\n\n\ndef sub(a, b):\n    return b - a\n"
            "new/x.txt: created, 3 lines\nnotes.md: deleted"
        )
        assert (p.work / "new/x.txt").read_text() == "one\n\ntwo\n" and not (p.work / "notes.md").exists()
        before = (p.work / "calc.py").read_text()
        for patch, reason in (
            (PATCH, "new/x.txt exists already"),
            ("nothing", "there is no line '*** Begin Patch'"),
            ("*** Begin Patch\n*** Update File: calc.py\n@@\n-a", "may have been cut off"),
            (
                "*** Begin Patch\n*** Update File: nope.py\n@@\n-a\n+b\n*** End Patch",
                "there is no file nope.py",
            ),
            (
                "*** Begin Patch\n*** Update File: calc.py\n@@\n-nothing like it\n+b\n*** End Patch",
                "fits nowhere",
            ),
            ("*** Begin Patch\n*** Update File: calc.py\njunk\n*** End Patch", "begins with ' ', '-' or '+'"),
        ):
            refused = await p.call(
                "apply_patch",
                patch=patch.replace("-    return a - b\n+    return b - a", "-    return b - a\n+    x"),
            )
            assert not refused.ok and reason in refused.text, refused.text
        assert (p.work / "calc.py").read_text() == before

    in_sandbox(tmp_path, FILES, act)
