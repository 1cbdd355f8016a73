"""python -m benchmarks.overhead [--runs N] [--steps 30,200] [--docker]: prints the tables."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.overhead.measure import Session, median_of, run, wall
from benchmarks.overhead.snapshots import snapshot_table

HERE = Path(__file__).parent
KIMICODE = str(Path(sys.executable).parent / "kimicode")


def make_repository(folder: Path, files: int) -> Path:
    repo = folder / "repo"
    repo.mkdir()
    for i in range(files):
        path = repo / f"d{i % 50}" / f"f{i}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"def f{i}():\n    return {i}\n" * 10)
    git = ["git", "-c", "user.name=b", "-c", "user.email=b@b", "-C", str(repo)]
    for args in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, *args], check=True)
    return repo


def contenders(repo: Path, docker: bool) -> dict[str, list[str]]:
    fix = [KIMICODE, "fix", "Do it.", "--repo", str(repo), "--check", "none", "--setup", "none", "--yes"]
    fix += ["--base-url", "http://127.0.0.1:{port}/v1", "--model", "kimi-k2.6", "--max-steps", "1000"]
    found = {
        "raw http": [sys.executable, str(HERE / "loop_http.py"), "{port}"],
        "openai": [sys.executable, str(HERE / "loop_openai.py"), "{port}"],
        "kimicode host": [*fix, "--sandbox", "host"],
    }
    if docker:
        found["kimicode docker"] = [*fix, "--sandbox", "docker"]
    return found


def measure(runs: int, steps: int, docker: bool) -> dict[str, list[Session]]:
    """Interleaved runs, so that a slow minute of the machine hits all contenders."""
    results: dict[str, list[Session]] = {}
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        repo = make_repository(folder, 10)
        env = {"KIMI_API_KEY": "benchmark", "KIMICODE_STATE_DIR": str(folder / "state"), "CI": "1"}
        for _ in range(runs):
            for name, argv in contenders(repo, docker).items():
                results.setdefault(name, []).append(run(argv, steps, env))
    return results


def print_sessions(results: dict[str, list[Session]], steps: int) -> None:
    marks = [m for m in (5, 30, 200) if m <= steps]
    print(f"\n### {steps}-step session, medians of {len(next(iter(results.values())))} interleaved runs\n")
    columns = ["", "first request s", "/ openai", *(f"ms at step {m}" for m in marks), "growth ms"]
    columns += ["CPU s", "RSS MiB", "last request bytes", "prefix share", "connections", "complete"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    bare = median_of(results["openai"], "first_request_s")
    for name, sessions in results.items():
        at = [statistics.median(s.step(m) for s in sessions) for m in marks]
        row = [name, f"{median_of(sessions, 'first_request_s'):.2f}"]
        row += [f"{median_of(sessions, 'first_request_s') / bare:.2f}", *(f"{x:.1f}" for x in at)]
        row += [
            f"{at[-1] - at[0]:.1f}",
            f"{median_of(sessions, 'cpu_s'):.2f}",
            f"{median_of(sessions, 'rss_mib'):.0f}",
        ]
        row += [f"{median_of(sessions, 'request_bytes'):.0f}", f"{min(s.prefix_share for s in sessions):.4f}"]
        row += [
            str(max(s.connections for s in sessions)),
            f"{sum(s.complete for s in sessions)}/{len(sessions)}",
        ]
        print("| " + " | ".join(row) + " |")


def print_startup(runs: int) -> None:
    print("\n### start-up, medians\n\n| | ms | / python -c pass |\n|---|---|---|")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "kimicode --version": [KIMICODE, "--version"],
        "kimicode --help": [KIMICODE, "--help"],
    }
    times = {name: [] for name in commands}
    for _ in range(runs):
        for name, argv in commands.items():
            times[name].append(wall(argv) * 1000)
    floor = statistics.median(times["python -c pass"])
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.0f} | {statistics.median(values) / floor:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", default="30,200", help="lengths of the sessions")
    parser.add_argument("--docker", action="store_true", help="measure the Docker sandbox too")
    options = parser.parse_args()
    os.environ.pop("KIMI_BASE_URL", None)
    # pip compiles what it installs; without this a checkout would be compiled again in every run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    print_startup(max(11, options.runs))
    for steps in map(int, options.steps.split(",")):
        print_sessions(measure(options.runs, steps, options.docker), steps)
    snapshot_table((10, 2_000, 20_000))


if __name__ == "__main__":
    main()
