"""Snapshots and restores, on ordinary, odd and hostile working trees."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kimicode.errors import ConfigError
from kimicode.workspace import folder
from kimicode.workspace.base import Base
from kimicode.workspace.checkout import Checkout
from kimicode.workspace.store import Store

from .support import Session, blob, contents, fingerprint, git, listing, make_repository, write

FILES: dict[str, str | bytes] = {
    "a": "1\n",
    "b/c": "2\n",
    "b/d/e": "3\n",
    "x": "4\n",
    ".gitignore": "*.tmp\ncache/\n",
}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return asyncio.run(Session.start(make_repository(tmp_path / "r", FILES), tmp_path / "s"))


def snapshot(session: Session) -> str:
    return asyncio.run(session.checkout.snapshot())


def restore(session: Session, tree: str) -> None:
    asyncio.run(session.checkout.restore(tree))


# --- snapshots -----------------------------------------------------------------------------------------


def test_snapshot_sees_every_kind_of_change(session: Session) -> None:
    work = session.work
    assert snapshot(session) == session.base.tree
    write(work, {"a": "2\n", "new/ü\n.txt": "n", "skip.tmp": "i", "cache/x": "i"})
    (work / "x").unlink()
    (work / "b/c").chmod(0o755)
    (work / "link").symlink_to("../outside")
    tree = snapshot(session)
    assert listing(session.store, tree) == {
        ".gitignore": "100644", "a": "100644", "b/c": "100755", "b/d/e": "100644", "link": "120000",
        "new/ü\n.txt": "100644",
    }  # fmt: skip
    assert snapshot(session) == tree
    patch = asyncio.run(session.checkout.diff(session.base.tree, tree))
    other = session.work.parent / "other"
    git(session.work.parent, "clone", "-q", str(session.repository.root), "other")
    git(other, "apply", "--index", "-", stdin=patch)
    assert git(other, "write-tree") == tree


def test_edits_of_the_same_size_in_the_same_moment_are_seen(session: Session) -> None:
    async def race() -> None:
        seen = set()
        for number in range(12):
            (session.work / "a").write_text(f"{number:02}\n")
            seen.add(await session.checkout.snapshot())
        assert len(seen) == 12

    asyncio.run(race())


def test_snapshots_at_the_same_time_take_turns(session: Session) -> None:
    async def many() -> None:
        write(session.work, {f"n{i}": str(i) for i in range(50)})
        trees = await asyncio.gather(*(session.checkout.snapshot() for _ in range(8)))
        assert len(set(trees)) == 1

    asyncio.run(many())


def test_cancelled_snapshot_leaves_no_lock(session: Session) -> None:
    async def cancel() -> None:
        write(session.work, {f"n{i}": str(i) * 1000 for i in range(300)})
        task = asyncio.create_task(session.checkout.snapshot())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(listing(session.store, await session.checkout.snapshot())) == 305

    asyncio.run(cancel())


# --- hostile trees (reference/security.md B3, B4, B5, C4, C5) --------------------------------------------


def evil_config(marker: Path) -> str:
    touch = f"touch {marker}"
    return (
        f'[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = "{touch}"\n\tpager = "{touch}"\n'
        f'\tsshCommand = "{touch}"\n\teditor = "{touch}"\n[filter "evil"]\n\tclean = "{touch}; cat"\n'
        f'\tsmudge = "{touch}; cat"\n\trequired = true\n[diff "evil"]\n\ttextconv = "{touch}; cat"\n'
        f'\tcommand = "{touch}"\n[diff]\n\texternal = "{touch}"\n'
    )


def test_planted_git_folders_configuration_and_hooks_do_nothing(session: Session, tmp_path: Path) -> None:
    marker, work = tmp_path / "PWNED", session.work
    # B3: the .git file becomes a folder with a configuration of its own.
    (work / ".git").unlink()
    git(work, "init", "-q")
    (work / ".git/config").write_text(evil_config(marker))
    for hook in ("post-commit", "pre-commit", "post-index-change", "reference-transaction", "post-checkout"):
        (work / ".git/hooks").mkdir(exist_ok=True)
        (work / f".git/hooks/{hook}").write_text(f"#!/bin/sh\ntouch {marker}\n")
        (work / f".git/hooks/{hook}").chmod(0o755)
    # B4: a bare repository in a folder. B5: hooks and a configuration in the agent's own git directory.
    write(
        work,
        {
            "bare/HEAD": "ref: refs/heads/main\n",
            "bare/config": evil_config(marker),
            "bare/refs/keep": "",
            "bare/objects/keep": "",
        },
    )
    shutil.copytree(work / ".git/hooks", session.checkout.slot.gitdir / "hooks")
    (session.checkout.slot.gitdir / "config").write_text(evil_config(marker))
    write(work, {".gitattributes": "* filter=evil diff=evil merge=evil\n", "a": "changed\n"})

    async def steps() -> None:
        tree = await session.checkout.snapshot()
        assert blob(session.store, tree, "a") == b"changed\n"
        assert not any(path.startswith(".git/") for path in listing(session.store, tree))
        assert b"changed" in await session.checkout.diff(session.base.tree, tree)
        await session.checkout.restore(session.base.tree)
        await session.checkout.restore(tree)
        assert blob(session.store, await session.checkout.snapshot(), "a") == b"changed\n"

    asyncio.run(steps())
    assert (work / ".git").is_file()
    assert not marker.exists()


def test_nested_repositories_become_plain_folders(session: Session, tmp_path: Path) -> None:
    work, marker = session.work, tmp_path / "PWNED"
    make_repository(work / "with", {"file": "1", "deep/er": "2", "x.tmp": "ignored"})
    make_repository(work / "with/inner", {"file": "3"})
    (work / "without").mkdir()
    git(work / "without", "init", "-q")
    write(work, {"without/file": "4"})
    (work / "x").unlink()  # a tracked file gives way to a repository
    make_repository(work / "x", {"file": "5"})
    git(work / "b", "init", "-q")
    for place in ("with", "without", "x", "b"):
        (work / place / ".git/config").write_text(evil_config(marker))
    write(work, {"linked/.git": f"gitdir: {work}/with/.git\n", "linked/file": "6"})
    (work / "gitlink-folder").mkdir()
    (work / "gitlink-folder/.git").symlink_to(work / "with/.git")
    write(work, {"gitlink-folder/file": "7"})
    first = snapshot(session)
    found = listing(session.store, first)
    assert found.keys() == {
        ".gitignore", "a", "b/c", "b/d/e", "with/file", "with/deep/er", "with/inner/file", "without/file", "x/file",
        "linked/file", "gitlink-folder/file",
    }  # fmt: skip
    assert "160000" not in found.values()
    write(work, {"with/file": "changed", "with/new": "n"})
    second = snapshot(session)
    assert listing(session.store, second).keys() == found.keys() | {"with/new"}
    restore(session, first)
    assert snapshot(session) == first and (work / "with/.git").is_dir()
    restore(session, session.base.tree)
    assert contents(work).keys() == {".gitignore", "a", "b/c", "b/d/e", "x"} | {
        path for path in contents(work) if path.startswith("b/.git/")
    }
    assert not marker.exists()


def test_names_and_kinds_that_git_refuses_are_left_out_and_named(session: Session) -> None:
    work = session.work
    write(work, {".g‌it/config": "x", "b/.GIT /config": "y", "git~1": "z", "fine": "1"})
    os.mkfifo(work / "pipe")
    (work / "x").unlink()
    os.mkfifo(work / "x")
    listener = socket.socket(socket.AF_UNIX)
    os.chdir(work)
    listener.bind("socket")
    tree = snapshot(session)
    listener.close()
    assert listing(session.store, tree).keys() == {".gitignore", "a", "b/c", "b/d/e", "fine"}
    named = session.checkout.left_out
    assert named["x"] == "not a regular file" and ".g‌it/config" in named and "git~1" in named
    restore(session, session.base.tree)
    assert contents(work).keys() == {".gitignore", "a", "b/c", "b/d/e", "x"}
    assert snapshot(session) == session.base.tree and session.checkout.left_out == {}


def test_fifos_that_git_would_wait_at(session: Session) -> None:
    """`git add` opens .gitignore and .gitattributes whatever they are."""
    work = session.work
    (work / ".gitignore").unlink()
    for name in (".gitignore", "b/.gitignore", ".gitattributes", "b/d/.gitattributes"):
        os.mkfifo(work / name)
    assert listing(session.store, snapshot(session)).keys() == {"a", "b/c", "b/d/e", "x"}
    os.mkfifo(work / "b/.gitattributes")
    restore(session, session.base.tree)
    assert contents(work).keys() == FILES.keys()


def test_symlinks_are_never_followed(session: Session, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, {"c": "keep", "d/e": "keep", "sub/.git/HEAD": "keep"})
    before = fingerprint(outside)
    work = session.work
    shutil.rmtree(work / "b")
    (work / "b").symlink_to(outside)
    (work / "more").symlink_to(outside)
    (work / "loop").symlink_to("loop")
    tree = snapshot(session)
    assert listing(session.store, tree)["b"] == "120000"
    restore(session, session.base.tree)
    assert contents(work)["b/c"] == ("file", b"2\n") and not (work / "more").is_symlink()
    restore(session, tree)
    assert (work / "b").is_symlink()
    assert fingerprint(outside) == before


def test_gitignore_of_the_agent_hides_new_files_only_until_a_restore(session: Session) -> None:
    write(session.work, {".gitignore": "*\n", "hidden": "h", "a": "changed\n"})
    tree = snapshot(session)
    assert listing(session.store, tree).keys() == {".gitignore", "a", "b/c", "b/d/e", "x"}
    assert blob(session.store, tree, "a") == b"changed\n"
    restore(session, session.base.tree)
    assert not (session.work / "hidden").exists()


def test_impossible_encoding_is_taken_as_bytes(session: Session) -> None:
    write(
        session.work,
        {".gitattributes": "* working-tree-encoding=UTF-16\n", "a": "odd\n", "n": b"\xff\x00\x01"},
    )
    tree = snapshot(session)
    assert blob(session.store, tree, "a") == b"odd\n"
    restore(session, session.base.tree)
    assert contents(session.work)["a"] == ("file", b"1\n")


def test_very_deep_folders(session: Session) -> None:
    script = (
        "import os\nfor i in range(700):\n os.mkdir('d' * 20); os.chdir('d' * 20)\nopen('f', 'w').close()"
    )
    subprocess.run([sys.executable, "-c", script], cwd=session.work, check=True)
    write(session.work, {"a": "2\n"})
    tree = snapshot(session)
    assert blob(session.store, tree, "a") == b"2\n"
    restore(session, session.base.tree)
    assert contents(session.work).keys() == FILES.keys()
    asyncio.run(session.checkout.remove())
    assert not session.work.parent.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="changes to another user, which needs root")
def test_unreadable_and_write_protected_files_of_an_ordinary_user(tmp_path: Path) -> None:
    # A fork, because another user may not be allowed to read the interpreter: everything is imported by then.
    as_anyone(tmp_path / "warm")
    place = Path(tempfile.mkdtemp(prefix="kimicode-test-", dir="/var/tmp"))
    os.chown(place, 65534, 65534)
    try:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                as_anyone(place / "t")
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        folder.remove(place)


def as_anyone(place: Path) -> None:
    user = make_repository(place / "r", FILES)
    session = asyncio.run(Session.start(user, place / "s"))
    work = session.work
    write(work, {"locked": "l", "dark/file": "f", "ro/new": "n", "b/d/e": "changed"})
    (work / "locked").chmod(0)
    (work / "dark").chmod(0)
    (work / "ro").chmod(0o555)
    (work / "b/d").chmod(0o555)
    tree = snapshot(session)
    assert {"locked", "dark/file", "ro/new"} <= listing(session.store, tree).keys()
    (work / "dark").chmod(0)
    restore(session, session.base.tree)
    assert contents(work).keys() == FILES.keys() and contents(work)["b/d/e"] == ("file", b"3\n")
    restore(session, tree)
    assert snapshot(session) == tree


# --- restore ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["a", "b", "x", "b/c", "b/d", "b/d/e", "n", "n/m", "n/m/o", "a/z", ".gitignore", "ö\n "]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, st.sampled_from(["", "1\n", "2\n", "n\n", "*.tmp\n"])),
        st.tuples(st.just("link"), NAMES, st.sampled_from(["a", "..", "/etc", "nowhere"])),
        st.tuples(st.just("mkdir"), NAMES, st.just("")),
        st.tuples(st.just("remove"), NAMES, st.just("")),
        st.tuples(st.just("exec"), NAMES, st.just("")),
        st.tuples(st.just("init"), NAMES, st.just("")),
        st.tuples(st.just("fifo"), NAMES, st.just("")),
    ),
    max_size=12,
)


def mutate(work: Path, steps: list[tuple[str, str, str]]) -> None:
    for action, name, text in steps:
        path = work / name
        if any(parent.is_symlink() for parent in path.parents if work in parent.parents):
            continue
        if action in ("write", "link", "mkdir", "init", "fifo"):
            if action != "init":
                folder.remove(path)
            for parent in reversed([p for p in path.parents if p == work or work in p.parents]):
                if not parent.is_dir():
                    folder.remove(parent)
                    parent.mkdir()
        if action == "write":
            path.write_text(text)
        elif action == "link":
            path.symlink_to(text)
        elif action == "mkdir":
            path.mkdir()
        elif action == "fifo":
            os.mkfifo(path)
        elif action == "init" and path.is_dir() and not path.is_symlink():
            (path / ".git").mkdir(exist_ok=True)
            write(path, {".git/HEAD": "ref: refs/heads/x\n", ".git/objects/k": "", ".git/refs/k": ""})
        elif action == "exec" and path.is_file() and not path.is_symlink():
            path.chmod(0o755)
        elif action == "remove":
            folder.remove(path)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=STEPS, second=STEPS)
def test_restore_is_exact(first: list[tuple[str, str, str]], second: list[tuple[str, str, str]]) -> None:
    place = Path(tempfile.mkdtemp())
    try:
        session = asyncio.run(Session.start(make_repository(place / "r", FILES), place / "s"))
        original = contents(session.work)
        mutate(session.work, first)
        tree = snapshot(session)
        then = {
            path: value
            for path, value in contents(session.work).items()
            if path in listing(session.store, tree)
        }
        mutate(session.work, second)
        restore(session, tree)
        assert snapshot(session) == tree
        now = contents(session.work)
        assert {path: now[path] for path in then} == then
        restore(session, session.base.tree)
        left = contents(session.work)
        assert {path: left[path] for path in original} == original
        others = [p for p in left if p not in original and "/.git/" not in f"/{p}"]
        assert all(path.endswith(".tmp") for path in others), others
    finally:
        folder.remove(place)


def test_restore_keeps_ignored_files(session: Session) -> None:
    write(session.work, {"keep.tmp": "k", "cache/deep/x": "c", "new/y": "n", "new/z.tmp": "k"})
    (session.work / "empty/deep").mkdir(parents=True)
    restore(session, session.base.tree)
    assert contents(session.work).keys() == FILES.keys() | {"keep.tmp", "cache/deep/x", "new/z.tmp"}
    assert not (session.work / "empty").exists()


def test_excluded_layer_is_neither_taken_nor_removed(session: Session) -> None:
    asyncio.run(session.checkout.exclude(["node_modules", "odd name [x]*.egg-info"]))
    write(
        session.work, {"node_modules/m/i.js": "m", "odd name [x]*.egg-info/P": "e", "n.egg-info/P": "taken"}
    )
    tree = snapshot(session)
    assert listing(session.store, tree).keys() == FILES.keys() | {"n.egg-info/P"}
    assert git(session.work, "status", "--porcelain") == "?? n.egg-info/"
    again = asyncio.run(Checkout.open(session.store, "main"))
    assert asyncio.run(again.snapshot()) == tree
    asyncio.run(again.restore(session.base.tree))
    assert (session.work / "node_modules/m/i.js").exists()


# --- processes that die ------------------------------------------------------------------------------------


def test_open_after_kill_at_any_moment(session: Session) -> None:
    """A process is killed while it takes snapshots; the next one finds no lock and the right tree."""
    code = (
        "import asyncio, sys; sys.path[:0] = [sys.argv[1]]\n"
        "from pathlib import Path; from kimicode.workspace.store import Store\n"
        "from kimicode.workspace.checkout import Checkout\n"
        "async def main():\n"
        "    checkout = await Checkout.open(Store.open(Path(sys.argv[2])), 'main')\n"
        "    n = 0\n"
        "    while True:\n"
        "        n += 1; (checkout.slot.work / f'n{n}').write_text('x' * 50000); await checkout.snapshot()\n"
        "        print(n, flush=True)\n"
        "asyncio.run(main())"
    )
    root = str(Path(__file__).parents[2])
    for lines in (1, 2, 4):
        argv = [sys.executable, "-c", code, root, str(session.store.folder)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(lines):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        gitdir = session.checkout.slot.gitdir
        (gitdir / "index.lock").write_text("")  # what a killed git inside the sandbox leaves
        place = session.work.parent / "index"
        for index in list(place.iterdir()):
            index.with_name(index.name + ".lock").write_text("")
        reopened = asyncio.run(Checkout.open(Store.open(session.store.folder), "main"))
        tree = asyncio.run(reopened.snapshot())
        assert set(listing(session.store, tree)) == set(contents(session.work))
        asyncio.run(reopened.restore(session.base.tree))
        assert contents(session.work).keys() == FILES.keys()
        assert git(session.work, "status", "--porcelain") == ""


def test_incomplete_slots_are_not_opened(session: Session) -> None:
    (session.store.slots / "half" / "w").mkdir(parents=True)
    with pytest.raises(ConfigError, match="incomplete"):
        asyncio.run(Checkout.open(session.store, "half"))
    made = asyncio.run(Checkout.create(session.store, "half", session.base))
    assert contents(made.slot.work).keys() == FILES.keys()
    for name in ("", "..", "a/b", "x\n"):
        with pytest.raises(ValueError):
            asyncio.run(Checkout.create(session.store, name, session.base))


def test_checkouts_of_other_trees_and_of_another_owner(session: Session) -> None:
    write(session.work, {"a": "result\n", "added": "n"})
    tree = snapshot(session)

    async def two() -> tuple[Checkout, Checkout]:
        base = Base.load(session.store)
        assert base is not None
        owner = (65534, 65534) if os.geteuid() == 0 else None
        return (
            await Checkout.create(session.store, "result", base, tree=tree),
            await Checkout.create(session.store, "owned", base, owner=owner, root="/elsewhere"),
        )

    result, owned = asyncio.run(two())
    assert result.base == tree and contents(result.slot.work) == contents(session.work)
    assert git(result.slot.work, "status", "--porcelain") == "M a\n?? added"
    assert asyncio.run(result.snapshot()) == tree
    assert owned.slot.root == "/elsewhere"
    if os.geteuid() == 0:
        write(owned.slot.work, {"root-made": "r"})
        (owned.slot.work / "a").unlink()
        asyncio.run(owned.restore(session.base.tree))
        owners = {path.lstat().st_uid for path in [owned.slot.work, *owned.slot.work.rglob("*")]}
        owners |= {path.lstat().st_uid for path in [owned.slot.gitdir, *owned.slot.gitdir.rglob("*")]}
        assert owners == {65534}
