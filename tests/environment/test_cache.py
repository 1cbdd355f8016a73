"""Environment layers on a real file system."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.environment.build import Environment, SetupRun, build_environment
from kimicode.environment.cache import Layer, LayerStore, find_untracked

TRACKED = ["setup.py", "src/pkg/__init__.py", "tests/test_a.py"]


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def checkout(folder: Path) -> Path:
    for path in TRACKED:
        write(folder / path, path)
    write(folder / ".git", "gitdir: elsewhere")
    return folder


def prepared(folder: Path) -> Path:
    """A checkout as a setup command leaves it."""
    work = checkout(folder)
    write(work / "src/pkg/_fast.so", "binary").chmod(0o755)
    write(work / "src/pkg/__pycache__/a.pyc")
    write(work / "src/pkg.egg-info/PKG-INFO")
    write(work / ".venv/bin/python3", "elf").chmod(0o755)
    (work / ".venv/bin/python").symlink_to("python3")
    (work / ".venv/lib64").symlink_to("/usr/lib")
    write(work / ".venv/lib/__pycache__/b.pyc")
    write(work / "node_modules/a b/-rf/x\n.js", "js").chmod(0o6755)
    os.link(work / "node_modules/a b/-rf/x\n.js", work / "node_modules/linked.js")
    (work / "node_modules/empty").mkdir()
    (work / "node_modules/.bin").mkdir()
    (work / "node_modules/.bin/dangling").symlink_to("../nowhere")
    os.mkfifo(work / "node_modules/pipe")
    os.mkfifo(work / "fifo")
    os.utime(work / "src/pkg/_fast.so", (1_600_000_000, 1_600_000_000))
    return work


def collect(store: LayerStore, work: Path, key: str = "k", **more: Any) -> Layer:
    return asyncio.run(store.collect(key, work, TRACKED, **more))


def test_a_layer_holds_what_git_does_not_track(tmp_path: Path) -> None:
    store = LayerStore(tmp_path / "store")
    layer = collect(store, prepared(tmp_path / "w"), image="sha256:i", interpreter=".venv/bin/python")
    assert layer.paths == (".venv", "node_modules", "src/pkg.egg-info", "src/pkg/_fast.so")
    assert set(layer.left_out) == {"fifo", "node_modules/pipe"}
    assert asyncio.run(store.load("k")) == layer
    assert asyncio.run(store.load("other")) is None
    assert (layer.image, layer.interpreter) == ("sha256:i", ".venv/bin/python")
    assert (
        collect(store, checkout(tmp_path / "bare"), "bare", interpreter=".venv/bin/python").interpreter == ""
    )


def test_a_placed_layer_is_the_same_and_shares_nothing(tmp_path: Path) -> None:
    store = LayerStore(tmp_path / "store")
    layer = collect(store, prepared(tmp_path / "w"))
    one, two = checkout(tmp_path / "one"), checkout(tmp_path / "two")
    placed = asyncio.run(store.place(layer, one))
    assert sorted(placed) == sorted(layer.paths)
    asyncio.run(store.place(layer, two))
    assert (one / ".venv/bin/python").readlink() == Path("python3")
    assert (one / ".venv/lib64").readlink() == Path("/usr/lib")
    assert (one / "node_modules/.bin/dangling").is_symlink()
    assert (one / "node_modules/empty").is_dir()
    assert (one / ".venv/lib/__pycache__/b.pyc").exists() and not (one / "src/pkg/__pycache__").exists()
    extension = (one / "src/pkg/_fast.so").stat()
    assert (stat.S_IMODE(extension.st_mode), extension.st_mtime) == (0o755, 1_600_000_000)
    script = one / "node_modules/a b/-rf/x\n.js"
    assert stat.S_IMODE(script.stat().st_mode) == 0o755  # no set-uid
    for path in one.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.stat().st_nlink == 1
    script.write_text("changed")
    assert (two / "node_modules/a b/-rf/x\n.js").read_text() == "js"
    assert (Path(layer.folder) / "node_modules/a b/-rf/x\n.js").read_text() == "js"
    # Once more into the same checkout: there is nothing left to place.
    assert asyncio.run(store.place(layer, one)) == ()
    assert script.read_text() == "changed"


def test_placing_never_leaves_the_checkout_and_never_overwrites(tmp_path: Path) -> None:
    store = LayerStore(tmp_path / "store")
    layer = collect(store, prepared(tmp_path / "w"))
    outside = tmp_path / "outside"
    outside.mkdir()
    work = checkout(tmp_path / "hostile")
    (work / "node_modules").symlink_to(outside)
    shutil.rmtree(work / "src/pkg")
    (work / "src/pkg").symlink_to(outside)
    write(work / ".venv", "a tracked file")
    write(work / "src/pkg.egg-info/PKG-INFO", "mine")
    assert asyncio.run(store.place(layer, work)) == ()
    assert list(outside.iterdir()) == []
    assert (work / ".venv").read_text() == "a tracked file"
    assert (work / "src/pkg.egg-info/PKG-INFO").read_text() == "mine"


def test_a_home_is_kept_without_downloads_and_never_written_over(tmp_path: Path) -> None:
    """Where no image keeps what `go mod download` or `cargo fetch` put there."""
    home, store = tmp_path / "home", LayerStore(tmp_path / "store")
    write(home / "go/pkg/mod/m@v1/m.go", "package m").parent.chmod(0o555)
    for path in (".cache/pip/x", ".npm/y", ".cargo/registry/z", ".profile"):
        write(home / path)
    os.mkfifo(home / "pipe")
    layer = collect(store, checkout(tmp_path / "w"), home=home)
    assert layer == asyncio.run(store.load("k")) and layer.left_out == ("~/pipe",)
    target = tmp_path / "target"
    write(target / ".profile", "of the launcher")
    asyncio.run(store.place_home(layer, target))
    left = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert left == {"go/pkg/mod/m@v1/m.go", ".cargo/registry/z", ".profile"}
    assert (target / ".profile").read_text() == "of the launcher"
    other = collect(store, tmp_path / "w", key="other")
    asyncio.run(store.place_home(other, tmp_path / "none"))
    assert other.home == "" and not (tmp_path / "none").exists()


def test_many_collectors_at_once(tmp_path: Path) -> None:
    work = prepared(tmp_path / "w")

    async def race() -> list[Layer]:
        stores = [LayerStore(tmp_path / "store") for _ in range(6)]
        return await asyncio.gather(*(store.collect("k", work, TRACKED) for store in stores))

    layers = asyncio.run(race())
    assert len({layer.folder for layer in layers}) == 1
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["k"]


def test_damaged_layers_and_new_images_are_replaced(tmp_path: Path) -> None:
    store = LayerStore(tmp_path / "store")
    work = prepared(tmp_path / "w")
    collect(store, work, image="old")
    assert collect(store, work, image="new").image == "new"
    loaded = asyncio.run(store.load("k"))
    assert loaded is not None and loaded.image == "new"
    (tmp_path / "store/k/layer.json").write_text("{")
    assert asyncio.run(store.load("k")) is None
    assert asyncio.run(store.load("../k")) is None
    layer = collect(store, work)
    assert asyncio.run(store.load("k")) == layer
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["k"]


def test_a_copy_that_fails_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    store = LayerStore(tmp_path / "store")
    layer = collect(store, prepared(tmp_path / "w"))
    (Path(layer.folder) / "node_modules").rename(Path(layer.folder) / "gone")
    broken = layer.model_copy(update={"folder": str(tmp_path / "nowhere")})
    with pytest.raises(OSError):
        asyncio.run(store.place(broken, checkout(tmp_path / "one")))
    with pytest.raises(OSError):
        asyncio.run(store.collect("z", tmp_path / "missing", []))
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["k"]


def test_old_layers_are_forgotten(tmp_path: Path) -> None:
    store = LayerStore(tmp_path / "store")
    work = checkout(tmp_path / "w")
    for number in range(4):
        collect(store, work, f"k{number}")
        os.utime(tmp_path / f"store/k{number}", (time.time() + number,) * 2)
    abandoned = tmp_path / "store/.new-crashed"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    asyncio.run(store.forget(keep=2))
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["k2", "k3"]


def test_large_trees_are_placed_in_few_processes(tmp_path: Path) -> None:
    work = checkout(tmp_path / "w")
    for number in range(1_200):
        (work / f"untracked{number}.so").touch()
    for number in range(600):
        write(work / f"node_modules/p{number % 20}/f{number}.js")
    store = LayerStore(tmp_path / "store")
    layer = collect(store, work)
    target = checkout(tmp_path / "t")
    assert len(asyncio.run(store.place(layer, target))) == 1_201
    assert len(list((target / "node_modules").rglob("*.js"))) == 600


NAMES = st.sampled_from(["a", "b", "c.py", "d"])
PATH = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@settings(max_examples=40, deadline=None)
@given(tracked=st.sets(PATH, max_size=5), others=st.sets(PATH, max_size=6))
def test_roots_are_exactly_the_untracked_files(
    tmp_path_factory: pytest.TempPathFactory, tracked: set[str], others: set[str]
) -> None:
    work = tmp_path_factory.mktemp("w")
    real: set[str] = set()
    for path in [*sorted(tracked), *sorted(others)]:
        try:
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            (work / path).write_text("")
            real.add(path)
        except OSError:
            continue
    roots, odd = find_untracked(work, tracked & real)
    beneath = {f for f in real if any(f == root or f.startswith(root + "/") for root in roots)}
    assert beneath == real - tracked
    assert not odd and len(roots) == len(set(roots))


def test_an_environment_is_built_once(tmp_path: Path) -> None:
    store = LayerStore(tmp_path / "store")
    runs: list[bytes] = []
    images = {"sha256:1"}

    async def fill() -> tuple[Path, frozenset[str]]:
        return checkout(tmp_path / f"fill{len(runs)}"), frozenset(TRACKED)

    async def run(work: Path, script: bytes) -> SetupRun:
        runs.append(script)
        code = 1 if b"bad" in script else 0
        write(work / ".venv/bin/python")
        return SetupRun(code, f"run {len(runs)}", image="sha256:1")

    async def exists(image: str) -> bool:
        return image in images

    def build(key: str, script: bytes) -> Environment:
        return asyncio.run(
            build_environment(
                store,
                key,
                script=script,
                fill=fill,
                run=run,
                image_exists=exists,
                interpreter=".venv/bin/python",
            )
        )

    first = build("k", b"good")
    assert (first.reused, first.failed, first.image, first.interpreter) == (
        False,
        False,
        "sha256:1",
        ".venv/bin/python",
    )
    again = build("k", b"good")
    assert again.reused and again.layer == first.layer and len(runs) == 1
    failed = build("bad", b"bad")
    assert failed.failed and failed.layer is None and failed.output == "run 2"
    images.clear()
    assert not build("k", b"good").reused and len(runs) == 3
