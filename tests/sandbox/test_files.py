"""Reads and atomic writes: nothing leaves the checkout, nothing blocks, all or nothing. The same for every backend."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.core.ports import FileChange, Launcher, Sandbox
from kimicode.errors import FileError, FileProblem
from kimicode.sandbox.memory import MemoryLauncher
from tests.sandbox.conftest import BACKENDS, Box, make_slot, prepared


@pytest.fixture(params=[*BACKENDS, "memory"])
def box(request: pytest.FixtureRequest, room: Path) -> Box:
    launcher: Launcher = MemoryLauncher({}) if request.param == "memory" else prepared(request.param, room)
    box = Box(launcher, make_slot(room))
    return box


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every path below `folder` with its content, "dir" or where its link points."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = "-> " + str(path.readlink())
        elif path.is_dir():
            found[name] = "dir"
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


async def refused(work: Callable[[], object]) -> FileProblem:
    with pytest.raises(FileError) as caught:
        await work()  # type: ignore[misc]
    return caught.value.kind


def test_paths_stay_inside(box: Box) -> None:
    work, outside = box.slot.work, box.slot.work.parent / "secret.txt"
    outside.write_text("canary")
    (work / "d").mkdir()
    (work / "f.txt").write_text("inside")
    links = {
        "up": "../secret.txt",
        "absolute": str(outside),
        "etc": "/etc/passwd",
        "folder": "..",
        "proc": "/proc/self/environ",
        "loop": "loop",
        "good": "d/../f.txt",
        "root": f"{box.slot.root}/f.txt" if box.name != "host" else str(work / "f.txt"),
        "d/back": "../f.txt",
        "dangling": "d/new.txt",
    }
    for name, target in links.items():
        (work / name).symlink_to(target)
    box.own()

    async def body(sandbox: Sandbox) -> None:
        bad = [
            "up",
            "absolute",
            "etc",
            "proc",
            "loop",
            "folder/secret.txt",
            "../secret.txt",
            "d/../../secret.txt",
        ]
        bad += ["/etc/passwd", str(outside), "d/../folder/secret.txt", "/proc/self/environ", "/"]
        if str(outside).startswith(
            sandbox.tmp + "/"
        ):  # another folder of that name: there the file is missing
            assert await refused(lambda: sandbox.read("absolute")) == "missing"
            bad = [path for path in bad if path not in ("absolute", str(outside))]
        for path in bad:
            assert await refused(lambda path=path: sandbox.read(path)) == "outside", path
            change = FileChange(path, b"gone")
            assert await refused(lambda change=change: sandbox.write([change])) == "outside", path
            assert await refused(lambda path=path: sandbox.write([FileChange(path, None)])) == "outside", path
        for path in ("f.txt", "./d//../f.txt", "good", "root", "d/back", f"{sandbox.root}/f.txt"):
            assert (await sandbox.read(path)).data == b"inside", path
        await sandbox.write([FileChange("dangling", b"through"), FileChange(f"{sandbox.tmp}/a/b", b"tmp")])
        assert (await sandbox.read("d/new.txt")).data == b"through"
        assert (await sandbox.read(f"{sandbox.tmp}/a/b")).data == b"tmp"

    box.run(body)
    assert outside.read_text() == "canary" and (work / "dangling").is_symlink()


def test_only_regular_files_and_never_a_wait(box: Box) -> None:
    work = box.slot.work
    os.mkfifo(work / "fifo")
    (work / "folder").mkdir()
    with open(work / "sparse", "wb") as file:
        file.truncate(1 << 40)
    (work / "plain").write_text("x")
    box.own()

    async def body(sandbox: Sandbox) -> None:
        def read(path: str) -> Callable[[], object]:
            return lambda: sandbox.read(path)

        assert await refused(read("fifo")) == "not_regular"
        assert await refused(read("folder")) == "directory"
        assert await refused(read("")) == "directory"
        assert await refused(read("gone")) == "missing"
        assert await refused(read("gone/x")) == "missing"
        assert await refused(read("plain/x")) == "not_regular"
        assert await refused(read("a\0b")) == "missing"
        assert await refused(read("n" * 300)) == "missing"
        part = await sandbox.read("sparse", offset=(1 << 40) - 3, limit=100)
        assert part.data == b"\0\0\0" and part.size == 1 << 40
        assert (await sandbox.read("sparse", offset=1 << 41)).data == b""
        assert await refused(lambda: sandbox.write([FileChange("fifo", b"x")])) == "not_regular"
        assert await refused(lambda: sandbox.write([FileChange("folder", b"x")])) == "directory"
        assert await refused(lambda: sandbox.write([FileChange("folder", None)])) == "directory"

    box.run(body)


def test_writes_keep_modes_break_hard_links_and_make_parents(box: Box) -> None:
    work, outside = box.slot.work, box.slot.work.parent / "linked.txt"
    outside.write_text("outside")
    os.link(outside, work / "hard.txt")
    (work / "tool.sh").write_text("old")
    (work / "tool.sh").chmod(0o755)
    (work / "gone.txt").write_text("gone")
    box.own()
    os.chown(outside, 0, 0) if os.getuid() == 0 else None

    async def body(sandbox: Sandbox) -> None:
        changes = [
            FileChange("tool.sh", b"new"),
            FileChange("hard.txt", b"inside"),
            FileChange("a/b/c.txt", b"deep"),
            FileChange("run", b"#!/bin/sh\n", 0o755),
            FileChange("gone.txt", None),
        ]
        if box.launcher.owner and box.name == "host":
            changes.pop(1)
        await sandbox.write(changes)
        found = [await sandbox.read(name) for name in ("tool.sh", "a/b/c.txt", "run")]
        assert [(content.data, content.mode) for content in found] == [
            (b"new", 0o755),
            (b"deep", 0o644),
            (b"#!/bin/sh\n", 0o755),
        ]

    box.run(body)
    assert outside.read_text() == "outside" and not (work / "gone.txt").exists()
    assert not list(work.rglob(".kimicode-*"))


@pytest.mark.parametrize("bad", ["missing", "outside", "directory", "double", "clash"])
def test_a_write_that_fails_changes_nothing(box: Box, bad: str) -> None:
    work = box.slot.work
    (work / "d").mkdir()
    (work / "a.txt").write_text("a")
    (work / "b.txt").write_text("b")
    box.own()
    before = tree(work)
    last = {
        "missing": FileChange("gone", None),
        "outside": FileChange("../x", b"x"),
        "directory": FileChange("d", b"x"),
        "double": FileChange("./d/../a.txt", b"again"),
        "clash": FileChange("new/deep/f/below", b"x"),
    }[bad]

    async def body(sandbox: Sandbox) -> None:
        changes = [
            FileChange("a.txt", b"changed"),
            FileChange("b.txt", None),
            FileChange("new/deep/f", b"x"),
            FileChange("n", b"x"),
        ]
        await refused(lambda: sandbox.write([*changes, last]))

    box.run(body)
    assert tree(work) == before


NAMES = st.sampled_from(["a", "d/b", "d/e/c", "l", "l/x", "../o", "d", "n/m", "."])
CHANGES = st.lists(
    st.builds(
        FileChange, path=NAMES, data=st.none() | st.binary(max_size=3), mode=st.sampled_from([None, 0o755])
    ),
    max_size=4,
)


@given(CHANGES)
@settings(max_examples=80, deadline=None)
def test_any_write_is_all_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, changes: list[FileChange]
) -> None:
    slot = make_slot(tmp_path_factory.mktemp("slot"))
    (slot.work / "d/e").mkdir(parents=True)
    (slot.work / "a").write_text("a")
    (slot.work / "d/b").write_text("b")
    (slot.work / "l").symlink_to("d")
    before = tree(slot.work)

    async def go() -> bool:
        sandbox = await MemoryLauncher({}).start(slot)
        try:
            await sandbox.write(changes)
        except FileError:
            return False
        return True

    if asyncio.run(go()):
        for change in changes:
            path = (slot.work / change.path).resolve()
            assert path.read_bytes() == change.data if change.data is not None else not path.exists()
    else:
        assert tree(slot.work) == before
    assert not list(slot.work.rglob(".kimicode-*"))


def test_a_tree_that_changes_under_the_reader_never_leads_outside(tmp_path: Path) -> None:
    slot = make_slot(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("canary")
    (slot.work / "real").mkdir()
    (slot.work / "real/f").write_text("inside")
    stop = threading.Event()

    def swap() -> None:
        here = slot.work / "d"
        while not stop.is_set():
            os.symlink(tmp_path / "outside", here)
            os.unlink(here)
            os.rename(slot.work / "real", here)
            os.rename(here, slot.work / "real")

    async def go() -> set[bytes]:
        sandbox, seen = await MemoryLauncher({}).start(slot), set()
        for _ in range(3000):
            try:
                seen.add((await sandbox.read("d/f")).data)
            except FileError:
                pass
        return seen

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        assert asyncio.run(go()) <= {b"inside"}
    finally:
        stop.set()
        thread.join()
