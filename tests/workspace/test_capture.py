"""What a session starts from, for clean, changed and odd repositories."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from kimicode.errors import ConfigError, DiskFull, RepositoryError, UsageError
from kimicode.workspace import capture as capture_module
from kimicode.workspace.base import Base
from kimicode.workspace.repository import open_repository
from kimicode.workspace.store import Store

from .support import (
    ENV,
    Session,
    blob,
    commit_all,
    contents,
    fingerprint,
    git,
    listing,
    make_repository,
    write,
)

FILES: dict[str, str | bytes] = {
    "a.py": "print(1)\n",
    "pkg/b.py": "x = 2\n",
    "empty": "",
    ".gitignore": "*.log\nbuild/\n",
    "name with space é ü.txt": "umlaut\n",
    "line\nbreak": "odd\n",
    "binary": bytes(range(256)),
}


def start(repository: Path, folder: Path, **options: object) -> Session:
    return asyncio.run(Session.start(repository, folder, **options))


def test_clean_repository_is_taken_as_it_is_and_not_touched(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", FILES)
    (user / "run.sh").write_text("#!/bin/sh\n")
    (user / "run.sh").chmod(0o755)
    (user / "link").symlink_to("pkg/b.py")
    (user / b"\xff\xfe.txt".decode("utf-8", "surrogateescape")).write_text("no utf-8")
    commit_all(user, "more")
    git(user, "tag", "v1.2.3")
    before = fingerprint(user)
    session = start(user, tmp_path / "s")
    assert session.base.tree == session.base.head_tree == git(user, "rev-parse", "HEAD^{tree}")
    assert not session.base.dirty and session.base.left_out == () and session.base.branch == "main"
    assert contents(session.work) == contents(user)
    assert fingerprint(user) == before
    inside = session.work
    assert git(inside, "status", "--porcelain") == ""
    assert git(inside, "describe", "--tags") == "v1.2.3"
    assert git(inside, "log", "--format=%s") == "more"
    write(inside, {"a.py": "print(2)\n"})
    assert "+print(2)" in git(inside, "diff")
    git(inside, "commit", "-qam", "agent")
    assert Base.load(session.store) == session.base


def test_uncommitted_changes_belong_to_the_base_and_stay_where_they_are(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", FILES | {"gone": "1", "staged": "1", "folder/x": "1", "swap": "1"})
    write(user, {"a.py": "print(9)\n", "new/deep.txt": "n", "x.log": "ignored", "staged": "2", "added": "3"})
    git(user, "add", "staged", "added")
    write(user, {"added": "4"})
    (user / "gone").unlink()
    git(user, "rm", "-q", "--cached", "pkg/b.py")
    (user / "swap").unlink()
    write(user, {"swap/inner": "s"})
    subprocess.run(["rm", "-r", str(user / "folder")], check=True)
    write(user, {"folder": "now a file"})
    git(user, "stash", "list")
    before = fingerprint(user)
    session = start(user, tmp_path / "s")
    assert fingerprint(user) == before
    expected = contents(user)
    del expected["x.log"]
    assert contents(session.work) == expected
    assert session.base.dirty and session.base.tree != session.base.head_tree
    assert git(session.work, "status", "--porcelain") == ""


def test_edit_in_the_second_of_the_commit_is_seen(tmp_path: Path) -> None:
    """Same size, same second: only the index file's own time tells git to look closer."""
    for round_ in range(8):
        # With a file to leave out, the private index is rewritten before the change is taken in.
        user = make_repository(
            tmp_path / f"r{round_}", {"a": "1111"} | ({".env": "A=1"} if round_ % 2 else {})
        )
        write(user, {"a": "2222"})
        session = start(user, tmp_path / f"s{round_}")
        assert (session.work / "a").read_text() == "2222"


def test_base_names_a_commit_without_the_changes(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1"})
    first = git(user, "rev-parse", "HEAD")
    write(user, {"a": "2"})
    commit_all(user, "second")
    write(user, {"a": "3"})
    old = start(user, tmp_path / "s1", base="HEAD~1")
    assert (old.work / "a").read_text() == "1" and old.base.head == first and not old.base.dirty
    assert (start(user, tmp_path / "s2", base="main").work / "a").read_text() == "2"
    assert (start(user, tmp_path / "s3", base="HEAD").work / "a").read_text() == "3"
    for bad in ("nosuch", "--all", "a b", "", "HEAD\nHEAD", "HEAD:a"):
        with pytest.raises(RepositoryError) as error:
            start(user, tmp_path / "s4", base=bad)
        assert error.value.hint


def test_secrets_are_left_out_and_named(tmp_path: Path) -> None:
    key = (
        "-----BEGIN RSA PRIVATE KEY-----\n"
        + ("MIIEowIBAAKCAQEA7bq" * 3 + "\n") * 4
        + "-----END RSA PRIVATE KEY-----\n"
    )
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0" * 2
    user = make_repository(
        tmp_path / "r",
        {"a.py": "a", "committed.py": f"T = '{token}'\n", "tests/server.key": key, "conf.py": "x = 1\n"},
    )
    write(
        user,
        {".env": "A=1", ".env.example": "A=", "id_rsa": key, "new.pem": key, "conf.py": f"x = '{token}'\n"},
    )
    write(user, {"tests/server.key": key + "changed\n"})
    write(user, {"tests/new.pem": key, "many/1": "x", "many/2": "y", "many/3": "z"})
    git(user, "add", ".env")
    session = start(user, tmp_path / "s")
    reasons = {item.path: item.reason for item in session.base.left_out}
    assert set(reasons) == {".env", "id_rsa", "new.pem", "conf.py", "committed.py", "tests/new.pem"}
    assert reasons[".env"] == "environment file" and reasons["committed.py"] == "GitHub token"
    assert reasons["new.pem"] == "private key" and "committed version" in reasons["conf.py"]
    assert {"tests/server.key", ".env.example", "a.py", "conf.py", "many/3"} <= set(contents(session.work))
    assert (session.work / "conf.py").read_text() == "x = 1\n"
    assert (session.work / "tests/server.key").read_text() == key + "changed\n"
    for folder in (session.store.gitdir, session.store.base_objects, session.work):
        found = subprocess.run(["grep", "-r", "-l", token, str(folder)], capture_output=True, check=False)
        assert found.stdout == b""
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"],
        env=ENV
        | {"GIT_DIR": str(session.store.gitdir), "GIT_OBJECT_DIRECTORY": str(session.store.base_objects)},
        capture_output=True,
        check=True,
    ).stdout
    assert token.encode() not in objects
    kept = start(user, tmp_path / "s2", keep=("committed.py",))
    assert (kept.work / "committed.py").exists()


def test_secret_scan_of_a_large_tree_is_remembered(tmp_path: Path) -> None:
    token = "glpat-" + "a1B2c3D4e5F6g7H8i9J0"
    files: dict[str, str | bytes] = {f"d{i % 7}/f{i}.py": f"v = {i}\n" for i in range(600)}
    user = make_repository(tmp_path / "r", files | {"secret.py": f"T = '{token}'"})
    cache = tmp_path / "cache"
    first = start(user, tmp_path / "s1", cache=cache)
    again = start(user, tmp_path / "s2", cache=cache)
    assert [i.path for i in first.base.left_out] == [i.path for i in again.base.left_out] == ["secret.py"]
    (user / "secret.py").unlink()
    write(user, {"d1/other.py": f"T = '{token}'"})
    commit_all(user, "moved")
    third = start(user, tmp_path / "s3", cache=cache)
    assert [item.path for item in third.base.left_out] == ["d1/other.py"]


def test_history_is_not_readable_inside(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1", "secret": "deleted long ago"})
    oid = git(user, "rev-parse", "HEAD:secret")
    git(user, "rm", "-q", "secret")
    commit_all(user, "removed")
    inside = start(user, tmp_path / "s").work
    assert git(inside, "cat-file", "-t", "HEAD") == "commit"
    assert git(inside, "cat-file", "-e", oid, check=False) == ""
    assert subprocess.run(["git", "cat-file", "-e", oid], cwd=inside, env=ENV, check=False).returncode != 0
    assert git(inside, "fsck", "--full") == ""


def test_paths_limit_checkout_and_index(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"src/a": "1", "src/b": "2", "docs/c": "3", "top": "4"})
    write(user, {"src/new": "5", "docs/new": "6", "src/a": "7"})
    session = start(user, tmp_path / "s", paths=("src", "./top"))
    assert contents(session.work).keys() == {"src/a", "src/b", "src/new", "top"}
    assert listing(session.store, session.base.tree).keys() == {"src/a", "src/b", "src/new", "top"}
    for bad in ("nosuch", "../x", "/etc"):
        with pytest.raises(UsageError):
            start(user, tmp_path / "s2", paths=(bad,))


def test_too_large_a_repository_is_refused_with_the_estimate(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1", "src/b": "2"})
    huge = user / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(capture_module.MAX_BYTES + 1)
    with pytest.raises(ConfigError, match=r"3 files and 5\.0 GiB") as error:
        start(user, tmp_path / "s")
    assert "--paths" in error.value.hint and error.value.exit_code == 3
    assert contents(start(user, tmp_path / "s2", paths=("src",)).work).keys() == {"src/b"}


# --- odd repositories ----------------------------------------------------------------------------------


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "file").write_text("")
    unborn = tmp_path / "unborn"
    unborn.mkdir()
    git(unborn, "init", "-q")
    bare = tmp_path / "bare.git"
    bare.mkdir()
    git(bare, "init", "-q", "--bare")
    user = make_repository(tmp_path / "r", {"a": "1"})
    for path, text in (
        (tmp_path / "missing", "does not exist"),
        (tmp_path / "file", "is not a folder"),
        (tmp_path / "plain", "not in a git repository"),
        (unborn, "no commit yet"),
        (bare, "bare repository"),
        (user / ".git", "inside a git directory"),
        (Path("nul\0byte"), "no path"),
    ):
        with pytest.raises(RepositoryError, match=text) as error:
            asyncio.run(open_repository(path))
        assert error.value.hint and error.value.exit_code == 2


def test_merge_in_progress_is_refused(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1\n"})
    git(user, "checkout", "-q", "-b", "other")
    write(user, {"a": "2\n"})
    commit_all(user, "two")
    git(user, "checkout", "-q", "main")
    write(user, {"a": "3\n"})
    commit_all(user, "three")
    git(user, "merge", "other", check=False)
    with pytest.raises(RepositoryError, match=r"merge conflicts, e\.g\. a"):
        start(user, tmp_path / "s")


def test_detached_shallow_partial_sparse_and_linked(tmp_path: Path) -> None:
    origin = make_repository(tmp_path / "origin", {"a": "1", "src/b": "1", "docs/c": "1"})
    for number in range(2, 5):
        write(origin, {"a": str(number), "docs/c": f"doc {number}"})
        commit_all(origin, str(number))
    git(origin, "config", "uploadpack.allowFilter", "true")
    url = f"file://{origin}"
    git(tmp_path, "clone", "-q", "--depth", "1", url, "shallow")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--sparse", url, "partial")
    git(tmp_path / "partial", "sparse-checkout", "set", "src")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", url, "empty")
    git(tmp_path, "clone", "-q", url, "sparse")
    git(tmp_path / "sparse", "sparse-checkout", "set", "--cone", "--sparse-index", "src")
    git(origin, "worktree", "add", "-q", str(tmp_path / "linked"))
    git(origin, "checkout", "-q", "--detach", "HEAD~1")
    expectations = {
        "origin": ({"a", "src/b", "docs/c"}, "detached"),
        "shallow": ({"a", "src/b", "docs/c"}, "shallow"),
        "partial": ({"a", "src/b"}, "partial"),
        "empty": (set(), "partial"),
        "sparse": ({"a", "src/b", "docs/c"}, "sparse"),
        "linked": ({"a", "src/b", "docs/c"}, "linked"),
    }
    for name, (paths, fact) in expectations.items():
        user = tmp_path / name
        write(user, {"src/new": "n"})
        before = fingerprint(user)
        session = start(user, tmp_path / f"s-{name}")
        facts = session.repository
        assert {"detached": facts.branch is None}.get(fact, getattr(facts, fact, None)) is True, name
        assert contents(session.work).keys() == paths | ({"src/new"} if name != "empty" else set()), name
        missing = {item.path for item in session.base.left_out}
        assert missing == {"a", "src/b", "docs/c"} - paths, name
        assert fingerprint(user) == before, name
        assert git(session.work, "fsck", "--full") == "", name


def test_submodules_are_filled_from_the_users_checkout_and_never_harvested(tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", {"lib.py": "i = 1\n", "tool.sh": "x"})
    user = make_repository(tmp_path / "r", {"a.py": "a\n"})
    for name in ("sub", "deep/absent"):
        git(user, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), name)
    commit_all(user, "submodules")
    git(user, "submodule", "deinit", "-q", "-f", "deep/absent")
    write(user, {"sub/lib.py": "i = 'changed by the user'\n", "sub/.env": "SECRET=1", "sub/untracked": "u"})
    before = fingerprint(user)
    session = start(user, tmp_path / "s")
    assert fingerprint(user) == before
    found = {module.path: (module.files, module.note) for module in session.base.submodules}
    assert found == {"sub": (2, ""), "deep/absent": (0, "not checked out")}
    assert (session.work / "sub/lib.py").read_text() == "i = 'changed by the user'\n"
    assert not (session.work / "sub/.env").exists() and not (session.work / "sub/untracked").exists()
    assert listing(session.store, session.base.tree).keys() == {"a.py", ".gitmodules"}
    write(session.work, {"sub/lib.py": "agent", "sub/new": "agent", "a.py": "agent"})
    tree = asyncio.run(session.checkout.snapshot())
    assert listing(session.store, tree).keys() == {"a.py", ".gitmodules"}
    asyncio.run(session.checkout.restore(session.base.tree))
    assert (session.work / "a.py").read_text() == "a\n" and (session.work / "sub/new").exists()
    assert git(session.work, "status", "--porcelain") == ""


def test_lfs_contents_are_filled_and_harvested_as_pointers(tmp_path: Path) -> None:
    import hashlib

    def pointer(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n"

    here, stored, absent = b"here" * 1000, b"stored" * 1000, b"absent" * 1000
    user = make_repository(
        tmp_path / "r",
        {
            ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            "here.bin": pointer(here),
            "stored.bin": pointer(stored),
            "absent.bin": pointer(absent),
            "edited.bin": pointer(here),
            "a": "1",
        },
    )
    write(user, {"here.bin": here, "edited.bin": b"new content of the user" * 10})
    oid = hashlib.sha256(stored).hexdigest()
    write(user, {f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}": stored})
    session = start(user, tmp_path / "s")
    filled = {file.path: file.filled for file in session.base.lfs}
    assert filled == {"here.bin": True, "stored.bin": True, "absent.bin": False, "edited.bin": True}
    work, checkout = session.work, session.checkout
    assert (work / "here.bin").read_bytes() == here and (work / "stored.bin").read_bytes() == stored
    assert (work / "absent.bin").read_text() == pointer(absent)
    assert (work / "edited.bin").read_bytes() == b"new content of the user" * 10
    assert blob(session.store, session.base.tree, "edited.bin").startswith(b"version https://git-lfs")

    async def steps() -> None:
        assert await checkout.snapshot() == session.base.tree
        write(work, {"here.bin": here, "a": "2"})  # rewritten with the same bytes
        (work / "stored.bin").unlink()
        changed = await checkout.snapshot()
        assert listing(session.store, changed).keys() == {
            ".gitattributes",
            "here.bin",
            "absent.bin",
            "edited.bin",
            "a",
        }
        assert blob(session.store, changed, "here.bin").decode() == pointer(here)
        write(work, {"here.bin": b"other"})
        assert blob(session.store, await checkout.snapshot(), "here.bin") == b"other"
        await checkout.restore(session.base.tree)
        assert (work / "here.bin").read_bytes() == here and (work / "stored.bin").read_bytes() == stored
        await checkout.restore(changed)
        assert not (work / "stored.bin").exists() and await checkout.snapshot() == changed

    asyncio.run(steps())


@pytest.mark.parametrize("setting", ["true", "input", "false"])
def test_line_endings_are_those_of_the_user(tmp_path: Path, setting: str) -> None:
    user = make_repository(
        tmp_path / "r", {"unix.txt": "a\nb\n", "win.bat": "x\r\ny\r\n", ".gitattributes": "*.bat eol=crlf\n"}
    )
    git(user, "config", "core.autocrlf", setting)
    git(user, "rm", "-q", "-r", ".")
    git(user, "reset", "-q", "--hard")
    write(user, {"unix.txt": (user / "unix.txt").read_bytes() + (b"c\r\n" if setting == "true" else b"c\n")})
    before = fingerprint(user)
    session = start(user, tmp_path / "s")
    assert fingerprint(user) == before
    assert contents(session.work) == contents(user)
    assert blob(session.store, session.base.tree, "unix.txt") == b"a\nb\nc\n"
    assert git(session.work, "status", "--porcelain") == ""
    assert asyncio.run(session.checkout.snapshot()) == session.base.tree


def test_identity_ignores_and_settings_of_the_user(tmp_path: Path, own_home: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1"})
    plain = asyncio.run(open_repository(user))
    assert plain.identity.name == "kimicode" and not plain.identity.own
    ignores = own_home / ".ignores"
    ignores.write_text("*.swp")
    (own_home / ".gitconfig").write_text(
        f"[user]\nname = Grace <\nemail = g@example.org\n[core]\nexcludesFile = {ignores}\n"
    )
    with (user / ".git/info/exclude").open("a") as file:
        file.write("private/\n")
    write(user, {"x.swp": "1", "private/x": "1", "kept": "1"})
    session = start(user, tmp_path / "s")
    assert (session.repository.identity.name, session.repository.identity.own) == ("Grace", True)
    assert contents(session.work).keys() == {"a", "kept"}
    write(session.work, {"y.swp": "1", "private/y": "1"})
    assert asyncio.run(session.checkout.snapshot()) == session.base.tree


def test_sha256_repository(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1"}, options=("--object-format=sha256",))
    write(user, {"b": "2"})
    session = start(user, tmp_path / "s")
    assert len(session.base.tree) == 64 and contents(session.work).keys() == {"a", "b"}
    assert git(session.work, "status", "--porcelain") == ""


def test_store_can_be_opened_again(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1"})
    session = start(user, tmp_path / "s")
    assert Store.open(session.store.folder) == session.store
    with pytest.raises(ConfigError):
        Store.open(tmp_path / "nothing")


def test_a_submodule_can_be_the_repository(tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", {"lib.py": "1"})
    outer = make_repository(tmp_path / "r", {"a": "1\n"})
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "sub")
    write(outer, {"sub/folder/new": "n"})
    session = start(outer / "sub" / "folder", tmp_path / "s")
    assert session.repository.root == outer / "sub"
    assert contents(session.work).keys() == {"lib.py", "folder/new"}


def test_nested_repositories_and_unreadable_things_of_the_user_are_named(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1\n", "b": "2\n"})
    make_repository(user / "nested", {"x": "1"})
    (user / "b").unlink()
    os.mkfifo(user / "b")
    os.mkfifo(user / "pipe")
    session = start(user, tmp_path / "s")
    assert [(item.path, item.reason) for item in session.base.left_out] == [
        ("b", "not a regular file"),
        ("nested/", "nested git repository"),
    ]
    assert contents(session.work).keys() == {"a"}


def test_global_settings_of_a_poisoned_repository_read_no_file(tmp_path: Path, own_home: Path) -> None:
    """Only the user's own configuration may name an ignore file: its text enters the sandbox."""
    user = make_repository(tmp_path / "r", {"a": "1\n"})
    (own_home / "private").write_text("CANARY\n")
    git(user, "config", "core.excludesFile", str(own_home / "private"))
    git(user, "config", "core.attributesFile", str(own_home / "private"))
    session = start(user, tmp_path / "s")
    found = subprocess.run(
        ["grep", "-r", "-l", "CANARY", str(session.store.folder)], capture_output=True, check=False
    )
    assert found.stdout == b""


def test_full_disk(tmp_path: Path) -> None:
    user = make_repository(tmp_path / "r", {"a": "1\n"})
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(small)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        session = start(user, small / "s")
        (session.work / "big").write_bytes(os.urandom(200_000))
        with pytest.raises(DiskFull) as error:
            for number in range(9):
                (session.work / "big").write_bytes(os.urandom(200_000 - number))
                asyncio.run(session.checkout.snapshot())
        assert error.value.exit_code == 74
    except OSError as error_:  # the working tree itself was full first
        assert error_.errno == 28
    finally:
        subprocess.run(["umount", str(small)], check=True)
