"""shell, check and submit."""

from __future__ import annotations

from pathlib import Path

from kimicode.core import checks
from kimicode.core.ports import ExecResult
from kimicode.tools.shell import clean

from .place import Place, in_sandbox

FILES: dict[str, str | bytes] = {"sub/a.txt": "a\n", "b.txt": "b\n"}


def test_facts(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        result = await p.call("shell", command="echo out; echo err >&2; exit 3")
        first, rest = result.text.split("\n", 1)
        assert first.startswith("exit code 3, 0.") and rest == "out\nerr" and not result.ok
        assert result.data["exit_code"] == 3 and result.summary.startswith("exit 3, ")
        assert (await p.call("shell", command="true")).text.endswith("\n(no output)")
        assert (await p.call("shell", command="false | true")).data["exit_code"] == 1
        assert "(SIGSEGV, segmentation fault)" in (await p.call("shell", command="kill -SEGV $$")).text
        assert "line 2:" in (await p.call("shell", command="true\nnot-a-command")).text
        assert (
            await p.call("shell", command="cat; echo $CI$GIT_PAGER; git --version | wc -l")
        ).text.endswith("1cat\n1")
        assert "syntax error" in (await p.call("shell", command="if")).text
        heredoc = "cat <<'E'\n$x `y` \"z\" 'w'\nE"
        assert (await p.call("shell", command=heredoc)).text.endswith("$x `y` \"z\" 'w'")

    in_sandbox(tmp_path, FILES, act)


def test_the_working_directory_is_remembered_beneath_the_root(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        result = await p.call("shell", command="cd sub && pwd")
        assert result.cwd == "sub" and result.text.endswith("w/sub\n[the next command starts in sub]")
        assert (await p.call("shell", command="cat a.txt; exit 1")).text.endswith("\na")
        outside = await p.call("shell", command="cd /")
        assert outside.cwd is None and outside.text.endswith(
            "[/ is outside the repository: the next command starts in sub again]"
        )
        assert (await p.call("shell", command="cd ..")).text.endswith(
            "[the next command starts in the repository root]"
        )
        await p.call("shell", command="mkdir -p '..new dir/x' && cd '..new dir/x'")
        assert p.cwd == "..new dir/x"
        gone = await p.call(
            "shell", command="rm -rf '../../..new dir'; cd /tmp; cd - >/dev/null 2>&1 || true"
        )
        assert gone.ok
        told = await p.call("shell", command="ls")
        assert "is gone; started at the repository's root]" in told.text and "b.txt" in told.text

    in_sandbox(tmp_path, FILES, act)


def test_a_timeout_keeps_what_was_printed(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        result = await p.call("shell", command="cd sub; echo before; sleep 60 & sleep 60", timeout_s=1)
        assert result.text == (
            "Timed out after 1 s: the command and everything it started was ended. What it had printed until then "
            "(set timeout_s up to 1800 for more time):\nbefore"
        )
        assert result.cwd is None and not result.ok and result.summary.startswith("timed out")
        for seconds in (0, 5000):
            assert "must be from 1 to 1800" in (await p.call("shell", command="ls", timeout_s=seconds)).text
        assert "Nothing was run" in (await p.call("shell", command="  ")).text

    in_sandbox(tmp_path, FILES, act)


def test_long_output_is_cut_by_lines_and_kept_whole(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        result = await p.call("shell", command="seq -f 'line %g' 1 5000")
        lines = result.text.split("\n")
        assert lines[1] == "line 1" and lines[-1] == "line 5000"
        gap = next(line for line in lines if "left out" in line)
        assert gap.startswith("[lines 201-4,700 of 5,000 left out: the whole output is in /")
        path = gap.split("read_file ")[1].rstrip("]")
        assert (await p.call("read_file", files=[path])).text.split("\n")[1] == "line 201"
        assert (await p.call("search", pattern="line 2500", path=path.split(":")[0])).text.endswith(
            "2500:line 2500"
        )
        one = await p.call("shell", command="head -c 300000 /dev/zero | tr '\\0' x")
        assert len(one.text) < 8_000 and "left out" in one.text

    in_sandbox(tmp_path, FILES, act)


def test_output_as_a_person_would_see_it() -> None:
    assert clean(b"10%\r20%\r100%\ndone\r\n") == "100%\ndone\n"
    assert clean(b"\x1b[1mbold\x1b[0m \x1b]0;t\x07\xff") == "bold \ufffd"
    assert ExecResult(0, b"").dropped == 0


def test_check(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        failed = checks.TestResult(id="t::a", outcome="failed")
        p.checks.run = checks.CheckRun(
            command="make", tree="t", exit_code=1, parser="pytest", tests=(failed,), seconds=2
        )
        p.checks.text = "1 of 1 failed: t::a"
        result = await p.call("check", tests=["t::a", " "])
        assert p.checks.asked == [("t::a",)] and result.text == "1 of 1 failed: t::a"
        assert not result.ok and result.summary == "1 of 1 test failed, 2.0 s"
        p.checks.run = checks.CheckRun(command="make", tree="t", exit_code=0, parser="exit")
        assert (await p.call("check")).summary == "exit 0, 0.0 s"

    in_sandbox(tmp_path, FILES, act)


def test_submit(tmp_path: Path) -> None:
    async def act(p: Place) -> None:
        p.checks.accepts, p.checks.text = False, "t::a failed"
        refused = await p.call("submit", title="Fix it", body="why")
        assert (refused.ok, refused.text, refused.data) == (False, "t::a failed", {})
        p.checks.accepts, p.checks.text = True, ""
        accepted = await p.call("submit", title="Fix\n it ", body=" why\n")
        assert accepted.ok and accepted.data == {"submitted": {"title": "Fix it", "body": "why"}}
        assert accepted.text == "Submitted."
        assert "`title` is empty" in (await p.call("submit", title=" ", body="")).text

    in_sandbox(tmp_path, FILES, act)
