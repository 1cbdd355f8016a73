"""A snapshot of the checkout against the two bare git commands that it cannot do without."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from pathlib import Path


def snapshot_table(sizes: tuple[int, ...], *, repeats: int = 9) -> None:
    print("\n### snapshot after a one-file change, medians\n")
    print("| files | kimicode ms | `git add -A` + `git write-tree` ms | ratio |\n|---|---|---|---|")
    for size in sizes:
        with tempfile.TemporaryDirectory() as temp:
            ours, bare = asyncio.run(measure(Path(temp), size, repeats))
        print(f"| {size} | {ours:.1f} | {bare:.1f} | {ours / bare:.2f} |")


async def measure(folder: Path, size: int, repeats: int) -> tuple[float, float]:
    from benchmarks.overhead.__main__ import make_repository
    from kimicode.workspace.capture import capture
    from kimicode.workspace.checkout import Checkout
    from kimicode.workspace.repository import open_repository
    from kimicode.workspace.store import Store

    repo = make_repository(folder, size)
    repository = await open_repository(repo)
    store = Store.create(folder / "session", repository)
    base = await capture(repository, store)
    checkout = await Checkout.create(store, "agent", base)
    await checkout.snapshot()
    ours: list[float] = []
    bare: list[float] = []
    for i in range(repeats):
        (checkout.slot.work / "d0" / "f0.py").write_text(f"x = {i}\n")
        begin = time.perf_counter()
        await checkout.snapshot()
        ours.append((time.perf_counter() - begin) * 1000)
        (repo / "d0" / "f0.py").write_text(f"x = {i}\n")
        begin = time.perf_counter()
        subprocess.run(["git", "-C", str(repo), "add", "-A"], check=True)
        subprocess.run(["git", "-C", str(repo), "write-tree"], check=True, stdout=subprocess.DEVNULL)
        bare.append((time.perf_counter() - begin) * 1000)
    return statistics.median(ours), statistics.median(bare)
