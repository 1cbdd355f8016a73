"""A user's repository, the strict fake Kimi, and the real `kimicode` command between them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.kimi_server.script import Item, call, say
from tests.fakes.kimi_server.server import KimiServer

ROOT = Path(__file__).parent.parent.parent
BUNDLED = ROOT / "kimicode" / "demo" / "repository"
BUG = "    share = round(cents / people)\n    return [share] * people\n"
FIX = "    share, odd = divmod(cents, people)\n    return [share + 1] * odd + [share] * (people - odd)\n"


def edit(path: str, old: str, new: str) -> Any:
    return call("edit_file", edits=[{"path": path, "old": old, "new": new}])


def submit(title: str = "Keep the odd cents", body: str = "They were rounded away.") -> Any:
    return call("submit", title=title, body=body)


LOOK = (
    say("I will look first.", think="Let me see.")
    + call("read_file", files=["billsplit/split.py"])
    + call("check")
)
REPAIR = edit("billsplit/split.py", BUG, FIX)


@dataclass
class World:
    """One test's folder: the repository, kimicode's own folders, the last run."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def repo(self) -> Path:
        return self.folder / "billsplit-repo"

    def make(self) -> World:
        self.folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(BUNDLED, self.repo)
        self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-qm", "base")
        return self

    def git(self, *args: str) -> str:
        identity = ["-c", "user.name=User", "-c", "user.email=user@example.org"]
        done = subprocess.run(["git", *identity, "-C", str(self.repo), *args], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KIMI", "MOONSHOT", "OPENAI"))}
        own = {
            "KIMICODE_STATE_DIR": str(self.folder / "state"),
            "KIMICODE_CACHE_DIR": str(self.folder / "cache"),
            "KIMICODE_CONFIG": str(self.folder / "config.toml"),
            "KIMI_API_KEY": "sk-test",
            "CI": "1",
            "PYTHONPATH": str(ROOT),
        }
        return kept | own | self.env

    def run(
        self, *args: str, stdin: str | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kimicode", *args],
            env=self.environment(),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            cwd=cwd or self.folder,
            timeout=110,
        )

    def fix(self, server: KimiServer, *args: str, sandbox: str = "host", stdin: str | None = None) -> Ran:
        """`kimicode fix` on the repository with JSON output."""
        done = self.run(
            "fix",
            "Shares do not add up to the bill",
            *("--repo", str(self.repo), "--base-url", server.base_url, "--sandbox", sandbox, "--yes"),
            *("--output-format", "json", *args),
            stdin=stdin,
        )
        return Ran(done)

    def fingerprint(self) -> dict[str, str]:
        """Every file of the work tree and of .git (but what a new kimicode/ branch adds), with its content's digest."""
        found = {}
        for path in sorted(self.repo.rglob("*")):
            name = str(path.relative_to(self.repo))
            if name.startswith((".git/objects", ".git/refs/heads/kimicode", ".git/logs/refs/heads/kimicode")):
                continue
            if path.is_symlink():
                found[name] = os.readlink(path)
            elif path.is_file():
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest() + f" {path.stat().st_mode:o}"
        return found

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads/kimicode").split()


@dataclass
class Ran:
    """What came out of one run."""

    process: subprocess.CompletedProcess[str]

    @property
    def code(self) -> int:
        return self.process.returncode

    @property
    def out(self) -> dict[str, Any]:
        assert self.process.stdout, self.process.stderr
        return dict(json.loads(self.process.stdout))

    def says(self) -> str:
        return f"exit {self.code}\n{self.process.stdout[-3000:]}\n{self.process.stderr[-3000:]}"


def serve(*items: Item | Iterable[Item], **more: Any) -> KimiServer:
    return KimiServer(list(items), **more)  # type: ignore[arg-type]
