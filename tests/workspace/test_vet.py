"""The policy over a result, as a table."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.workspace.harvest import FileStat, examine, stat_patch
from kimicode.workspace.objects import ABSENT, EXECUTABLE, GITLINK, REGULAR, SYMLINK, Change
from kimicode.workspace.paths import is_dot_git
from kimicode.workspace.vet import (
    TRUSTED_TASK,
    UNTRUSTED_TASK,
    Blob,
    Finding,
    Limits,
    Policy,
    blocked,
    escapes,
    protected_class,
    vet,
)

from .support import Session, make_repository, write

TOKEN = b"ghp_" + b"a1B2c3D4e5F6g7H8i9J0" * 2


def added(
    path: str, data: bytes = b"x\n", mode: str = REGULAR, others: tuple[str, ...] = (), **policy: object
) -> list[Finding]:
    change = Change(path, ABSENT, mode, "0" * 40, "1" * 40, "A")
    blobs = {"1" * 40: Blob(len(data), data)}
    return list(vet([change], blobs=blobs, names=(path, *others), policy=Policy(**policy)))  # type: ignore[arg-type]


def rules(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.rule, finding.level) for finding in findings}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".github/workflows/ci.yml", "ci"), (".GitHub/Workflows/x", "ci"), (".git‌hub/workflows/x", "ci"),
        (".github/actions/a/action.yml", "ci"), ("action.yml", "ci"), (".gitlab-ci.yml", "ci"), ("Jenkinsfile", "ci"),
        (".github", "ci"), (".github/workflows", "ci"), (".circleci/config.yml", "ci"),
        ("CODEOWNERS", "owners"), (".github/CODEOWNERS", "owners"), ("docs/codeowners", "owners"),
        (".gitmodules", "git"), ("sub/.gitattributes", "git"), (".husky/pre-commit", "hooks"),
        (".pre-commit-config.yaml", "hooks"), (".vscode/tasks.json", "editor"),
        (".devcontainer/devcontainer.json", "editor"),
        (".envrc", "editor"), ("AGENTS.md", "agents"), ("pkg/CLAUDE.md", "agents"), (".mcp.json", "agents"),
        (".cursor/rules/x.mdc", "agents"), ("conftest.py", "startup"), ("tests/conftest.py", "startup"),
        ("setup.py", "startup"), ("x.pth", "startup"), ("uv.lock", "locks"), ("web/package-lock.json", "locks"),
        ("src/app.py", None), (".github/ISSUE_TEMPLATE.md", None), ("workflows/x.yml", None), ("mysetup.py", None),
    ],
)  # fmt: skip
def test_protected_classes(path: str, kind: str | None) -> None:
    assert protected_class(path) == kind
    for table in (TRUSTED_TASK, UNTRUSTED_TASK):
        found = [f for f in added(path, protected=table) if f.rule.startswith("protected:")]
        expected = table[kind] if kind else "allow"  # type: ignore[index]
        assert [f.level for f in found] == ([] if expected == "allow" else [expected])


def test_names() -> None:
    for path in (
        ".git/config",
        "a/.GIT/x",
        "git~1/config",
        ".g‌it/hooks/x",
        "a/.git ",
        ".git::$INDEX_ALLOCATION/x",
        ".git\\x",
    ):
        assert ("dot-git", "block") in rules(added(path)), path
    for path in ("a\nb", "a\x1b[31m", "a‮b", "a/\x7f"):
        assert ("control", "block") in rules(added(path)), path
    for path in ("../x", "/etc/passwd", "a//b", "a/./b"):
        assert ("path", "block") in rules(added(path)), path
    for path in ("ü/日本.txt", ".gitignore", "git.py", "a.git/x", ".gitx", "👩‍💻.md"):
        assert not added(path), path
    assert is_dot_git(".git") and not is_dot_git(".gitignore")


def test_collisions() -> None:
    assert rules(added("A.py", others=("a.py",))) == {("collision", "block")}
    assert rules(added("Src/b.py", others=("src/a.py",))) == {("collision", "block")}
    assert rules(added("u\u0308.txt", others=("\u00fc.txt",))) == {("collision", "block")}
    assert not added("b.py", others=("a.py", "B/x"))
    deleted = Change("A.py", REGULAR, ABSENT, "1" * 40, "0" * 40, "D")
    assert not vet([deleted], blobs={}, names=("a.py",))


def test_symlinks_and_modes() -> None:
    for path, target in (
        ("l", b"/etc/passwd"), ("l", b"../x"), ("a/b/l", b"../../../x"), ("l", b"a/../../x"), ("l", b".git/config"),
        ("a/l", b"../.GIT/hooks"), ("l", b""), ("l", b"C:\\x"), ("l", b"a\\..\\..\\x"),
    ):  # fmt: skip
        assert ("symlink-escapes", "block") in rules(added(path, target, SYMLINK)), target
    for path, target in (("l", b"a/b"), ("a/b/l", b"../../c"), ("a/l", b"./x")):
        assert rules(added(path, target, SYMLINK)) == {("protected:symlinks", "review")}
    assert ("gitlink", "block") in rules(added("sub", mode=GITLINK))
    assert ("mode", "block") in rules(added("odd", mode="100664"))
    assert not added("run.sh", mode=EXECUTABLE)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "..", ".", ""]), max_size=6), st.integers(0, 3))
def test_symlinks_that_pass_stay_inside(parts: list[str], depth: int) -> None:
    import posixpath

    path, target = "d/" * depth + "l", "/".join(parts)
    if not escapes(path, target):
        resolved = posixpath.normpath(posixpath.join("/top", posixpath.dirname(path), target))
        assert resolved == "/top" or resolved.startswith("/top/")


def test_contents_and_sizes() -> None:
    assert rules(added("conf.py", b"t = '" + TOKEN + b"'")) == {("secret", "block")}
    assert rules(added("tests/test_x.py", b"t = '" + TOKEN + b"'")) == {("secret", "review")}
    assert rules(added(".env")) == {("secret", "block")} and not added(".env.example")
    assert rules(added("a.py", "x = 1 # ‮".encode())) == {("bidi", "review")}
    limits = Limits(file_review=10, file_block=20, files_review=1, files_block=2)
    assert rules(added("big", b"x" * 11, limits=limits)) == {("size", "review")}
    assert rules(added("big", b"x" * 21, limits=limits)) == {("size", "block")}
    many = [Change(str(n), ABSENT, REGULAR, "0" * 40, "2" * 40, "A") for n in range(3)]
    assert rules(list(vet(many, blobs={}, names=(), policy=Policy(limits=limits)))) == {("files", "block")}
    old = Change("conf.py", REGULAR, REGULAR, "3" * 40, "1" * 40, "M")
    both = {"3" * 40: Blob(9, TOKEN), "1" * 40: Blob(9, TOKEN + b"\n")}
    assert not vet([old], blobs=both, names=("conf.py",))  # it was there before


def test_worst_comes_first_and_blocks() -> None:
    findings = added(".github/workflows/x\n.yml", protected=UNTRUSTED_TASK) + added("AGENTS.md")
    assert blocked(findings) and not blocked(added("AGENTS.md"))
    assert all(finding.message for finding in findings)


def test_examine_reads_the_trees(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1\n", "conf.py": "x\n"})
    session = asyncio.run(Session.start(user, tmp_path / "s"))
    write(session.work, {".github/workflows/x.yml": "on: push\n", "conf.py": TOKEN, "A": "collides\n"})
    (session.work / "out").symlink_to("/etc")

    async def work() -> None:
        tree = await session.checkout.snapshot()
        found = await examine(session.store.git(), session.base.tree, tree, Policy(UNTRUSTED_TASK))
        assert rules(list(found)) == {
            ("collision", "block"), ("symlink-escapes", "block"), ("secret", "block"), ("protected:ci", "block"),
        }  # fmt: skip
        assert await examine(session.store.git(), tree, tree) == ()

    asyncio.run(work())


def test_stat_of_a_patch(tmp_path: Path) -> None:
    user = make_repository(
        tmp_path / "r", {"a": "1\n2\n3\n", "bin": bytes(range(256)), "gone": "x\ny\n", "mode": "m\n"}
    )
    session = asyncio.run(Session.start(user, tmp_path / "s"))
    write(
        session.work,
        {
            "a": "1\n2b\n3\nnew\x0c\u2028\n",
            "bin": b"\0\1",
            "ü \n name": "q\n",
            "empty": "",
            "plain name": "--- a/x\n",
        },
    )
    (session.work / "gone").unlink()
    (session.work / "mode").chmod(0o755)

    async def patch() -> bytes:
        return await session.checkout.diff(session.base.tree, await session.checkout.snapshot())

    assert stat_patch(asyncio.run(patch())) == (
        FileStat("a", 2, 1), FileStat("bin", 0, 0, True), FileStat("empty", 0, 0), FileStat("gone", 0, 2),
        FileStat("mode", 0, 0), FileStat("plain name", 1, 0), FileStat("ü \n name", 1, 0),
    )  # fmt: skip
    assert stat_patch(b"") == ()
