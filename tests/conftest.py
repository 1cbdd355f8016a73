"""What every test may rely on: an environment of its own, and an honest count of what was left out."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

for name in [n for n in os.environ if n.startswith(("KIMI_", "MOONSHOT_", "OPENAI_", "GIT_"))]:
    if not name.startswith("GIT_SSL"):
        del os.environ[name]

LEFT_OUT: Counter[tuple[str, str]] = Counter()


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State, cache and configuration of kimicode in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("kimicode")
    monkeypatch.setenv("KIMICODE_STATE_DIR", str(folder / "state"))
    monkeypatch.setenv("KIMICODE_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("KIMICODE_CONFIG", str(folder / "config.toml"))
    return folder


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        kind = "Docker" if "docker" in report.keywords else "other"
        LEFT_OUT[kind, reason.removeprefix("Skipped: ")] += 1


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    docker = sum(n for (kind, _), n in LEFT_OUT.items() if kind == "Docker")
    if docker and os.environ.get("KIMICODE_REQUIRE_DOCKER") == "1" and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last lines of the output: how many tests did not run, and why."""
    if hasattr(config, "workerinput") or not LEFT_OUT:
        return
    for (kind, reason), count in sorted(LEFT_OUT.items(), key=lambda item: item[0][0] == "Docker"):
        print(f"left out: {count} {kind} test{'s' if count > 1 else ''}: {reason}", file=sys.stdout)
    sys.stdout.flush()
