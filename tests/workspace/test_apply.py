"""`--apply`: all files or none, nothing of the user's lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kimicode.workspace.apply import Applied, apply_result

from .support import Session, contents, fingerprint, git, make_repository, write

LINES = "".join(f"{n}\n" for n in range(1, 21))
FILES: dict[str, str | bytes] = {
    "a": LINES,
    "b": LINES,
    "gone": "g\n",
    "d/e": "e\n",
    "f": "f\n",
    ".gitignore": "*.tmp\n",
}


class Case:
    def __init__(self, tmp_path: Path, **settings: str) -> None:
        self.user = make_repository(tmp_path / "r", FILES)
        for key, value in settings.items():
            git(self.user, "config", key.replace("_", "."), value)
        write(self.user, {"b": "dirty\n" + LINES})
        self.session = asyncio.run(Session.start(self.user, tmp_path / "s"))
        self.work = self.session.work

    def apply(self) -> Applied:
        tree = asyncio.run(self.session.checkout.snapshot())
        index = (self.user / ".git/index").read_bytes()
        refs = git(self.user, "for-each-ref")
        done = asyncio.run(
            apply_result(self.session.repository, self.session.store, self.session.base.tree, tree)
        )
        assert (self.user / ".git/index").read_bytes() == index and git(self.user, "for-each-ref") == refs
        assert not list(self.user.rglob(".kimicode-*")) and not list(
            self.session.store.folder.glob("apply-*")
        )
        return done


def test_untouched_files_are_replaced(tmp_path: Path) -> None:
    case = Case(tmp_path)
    (case.user / "a").chmod(0o640)
    write(case.work, {"a": "new\n", "b": "dirty\n" + LINES + "agent\n", "n/m/o.sh": "#!\n"})
    (case.work / "n/m/o.sh").chmod(0o755)
    (case.work / "gone").unlink()
    (case.work / "d/e").unlink()
    (case.work / "d").rmdir()
    write(case.work, {"d": "a file now\n"})
    (case.work / "f").unlink()
    write(case.work, {"f/g": "a folder now\n"})
    (case.work / "link").symlink_to("a")
    done = case.apply()
    assert done == Applied(written=("a", "b", "d", "f/g", "link", "n/m/o.sh"), removed=("d/e", "f", "gone"))
    assert contents(case.user) == contents(case.work)
    assert (case.user / "a").stat().st_mode & 0o777 == 0o640
    assert case.apply() == Applied()  # once more changes nothing


def test_changes_of_the_user_are_merged(tmp_path: Path) -> None:
    case = Case(tmp_path)
    write(case.work, {"a": LINES + "agent\n", "b": "dirty\n" + LINES + "agent\n"})
    write(case.user, {"a": "user\n" + LINES, "c": "unrelated\n"})
    done = case.apply()
    assert done.merged == ("a",) and done.written == ("a", "b")
    assert (case.user / "a").read_text() == "user\n" + LINES + "agent\n"
    assert (case.user / "c").read_text() == "unrelated\n"


@pytest.mark.parametrize(
    "case_name", ["lines", "deleted", "exists", "ignored", "folder", "link", "removal", "binary"]
)
def test_a_conflict_writes_nothing(tmp_path: Path, case_name: str) -> None:
    case = Case(tmp_path)
    outside = tmp_path / "outside"
    write(outside, {"e": "e\n"})
    write(case.work, {"f": "fine\n"})
    if case_name == "lines":
        write(case.work, {"a": LINES.replace("5\n", "agent\n")})
        write(case.user, {"a": LINES.replace("5\n", "user\n")})
    elif case_name == "deleted":
        write(case.work, {"a": "agent\n"})
        (case.user / "a").unlink()
    elif case_name == "exists":
        write(case.work, {"new": "agent\n"})
        write(case.user, {"new": "user\n"})
    elif case_name == "ignored":
        write(case.work, {".gitignore": "", "x.tmp": "agent\n"})
        write(case.user, {"x.tmp": "user\n"})
    elif case_name == "folder":
        write(case.work, {"new": "agent\n"})
        write(case.user, {"new/x": "user\n"})
    elif case_name == "link":
        write(case.work, {"d/e": "agent\n"})
        (case.user / "d/e").unlink()
        (case.user / "d").rmdir()
        (case.user / "d").symlink_to(outside)
    elif case_name == "removal":
        (case.work / "a").unlink()
        write(case.user, {"a": "user\n"})
    else:
        write(case.work, {"a": b"\0agent"})
        write(case.user, {"a": b"\0user"})
    before, before_outside = fingerprint(case.user), fingerprint(outside)
    done = case.apply()
    assert len(done.conflicts) == 1 and done.conflicts[0].reason and not done.written and not done.removed
    assert fingerprint(case.user) == before and fingerprint(outside) == before_outside


def test_a_failure_half_way_is_undone(tmp_path: Path) -> None:
    """The folder of the last file turns out to hold something that git ignores: everything goes back."""
    case = Case(tmp_path)
    write(case.work, {"a": "agent\n"})
    (case.work / "gone").unlink()
    (case.work / "d/e").unlink()
    (case.work / "d").rmdir()
    write(case.work, {"d": "file\n"})
    write(case.user, {"d/keep.tmp": "of the user\n"})
    before = contents(case.user)
    done = case.apply()
    assert [conflict.path for conflict in done.conflicts] == ["d"]
    assert contents(case.user) == before


def test_line_endings(tmp_path: Path) -> None:
    case = Case(tmp_path, core_autocrlf="true")
    for name in ("a", "f"):
        (case.user / name).write_bytes((case.user / name).read_bytes().replace(b"\n", b"\r\n"))
    assert b"\r\n" in (case.work / "a").read_bytes()
    (case.work / "a").write_bytes((case.work / "a").read_bytes() + b"agent\r\n")
    (case.work / "f").write_bytes(b"f\r\nagent\r\n")
    (case.user / "f").write_bytes(b"user\r\nf\r\n")
    (case.user / "a").write_bytes(b"user\r\n" + (case.user / "a").read_bytes())
    done = case.apply()
    assert (case.user / "a").read_bytes() == b"user\r\n" + LINES.replace("\n", "\r\n").encode() + b"agent\r\n"
    assert [c.path for c in done.conflicts] == [] and (
        case.user / "f"
    ).read_bytes() == b"user\r\nf\r\nagent\r\n"
