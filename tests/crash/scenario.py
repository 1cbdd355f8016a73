"""A scripted 12-step fix that can be killed at any event, and gone on with by another process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from kimicode.app.adapters import Adapters
from kimicode.app.fix import fix, resume
from kimicode.app.request import FixRequest
from kimicode.config import Config
from kimicode.core import event as ev
from kimicode.core.message import Reply
from kimicode.models.scripted import FREE, ScriptedModel, make_reply
from kimicode.sandbox.memory import MemoryLauncher
from kimicode.session.session import Sink
from kimicode.tools.shell import PREFIX

SCRIPT: tuple[Reply, ...] = (
    make_reply("Look.", ("list_files", {}), ("read_file", {"files": ["src/calc.py"]})),
    make_reply(
        "", ("search", {"pattern": "def"}), ("read_file", {"files": ["README.md", "src/calc.py:1-2"]})
    ),
    make_reply("", ("shell", {"command": "count"})),
    make_reply("", ("edit_file", {"edits": [{"path": "src/calc.py", "old": "a - b", "new": "a + b"}]})),
    make_reply("", ("shell", {"command": "count"}), ("read_file", {"files": ["counter.txt"]})),
    make_reply("", ("write_file", {"path": "docs/notes.md", "content": "Notes\n"})),
    make_reply("", ("shell", {"command": "count"}), ("shell", {"command": "count"})),
    make_reply("", ("shell", {"command": "delete README.md"})),
    make_reply("", ("edit_file", {"edits": [{"path": "docs/notes.md", "append": "More\n"}]})),
    make_reply("", ("nonsense", {}), ("shell", {"command": ""}), ("shell", {"command": "count"})),
    make_reply("", ("edit_file", {"edits": [{"path": "src/calc.py", "old": "a + b", "new": "b + a"}]})),
    make_reply("", ("submit", {"title": "Add instead of subtract", "body": "The sign was wrong."})),
)


def shell(folder: Path, argv: list[str], stdin: bytes) -> tuple[int, bytes]:
    """The scenario's commands. `count` is not idempotent: run twice, it would leave another tree."""
    words = argv[4].removeprefix(PREFIX).split()
    if words == ["count"]:
        path = folder / "counter.txt"
        path.write_text((path.read_text() if path.exists() else "") + "x\n")
        return 0, path.read_bytes()
    if words[:1] == ["delete"]:
        (folder / words[1]).unlink()
        return 0, b""
    return 127, b"no such command\n"


def program(folder: Path, argv: list[str], stdin: bytes) -> tuple[int, bytes]:
    """Real programs that the read tools use (git, rg, python3), which change nothing."""
    done = subprocess.run(argv, cwd=folder, input=stdin, capture_output=True)
    return done.returncode, done.stdout


COMMANDS = {"bash": shell, **dict.fromkeys(("git", "rg", "python3", "find", "wc"), program)}


class Connection:
    """A model without an endpoint."""

    spec = FREE
    base_url = ""
    secrets: tuple[str, ...] = ()

    def model(self, session: object) -> ScriptedModel:
        return ScriptedModel(SCRIPT)


ADAPTERS = Adapters(
    connect=lambda config, environ: Connection(),
    launchers=lambda wanted: (MemoryLauncher(COMMANDS),),
)


class Stage:
    """A repository and a state folder that can be put back to where they were."""

    def __init__(self, folder: Path, adapters: Adapters = ADAPTERS, config: Config | None = None) -> None:
        self.folder = folder
        self.adapters = adapters
        self.config = config or Config.model_validate({"checks": {"commands": []}})
        self.live = folder / "live"
        self.repo = self.live / "repo"
        self.environ = {
            "KIMICODE_STATE_DIR": str(self.live / "state"),
            "KIMICODE_CACHE_DIR": str(self.live / "cache"),
        }

    def make_repository(self) -> None:
        (self.repo / "src").mkdir(parents=True, exist_ok=True)
        (self.repo / "src" / "calc.py").write_text("def add(a, b):\n    return a - b\n")
        (self.repo / "README.md").write_text("# calc\n")
        (self.repo / ".gitignore").write_text("*.tmp\n")
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(self.repo)]
        for args in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "base"]):
            subprocess.run([*git, *args], check=True)

    def save(self, name: str) -> None:
        shutil.copytree(self.live, self.folder / name, symlinks=True)

    def load(self, name: str) -> None:
        shutil.rmtree(self.live, ignore_errors=True)
        shutil.copytree(self.folder / name, self.live, symlinks=True)

    @property
    def session(self) -> Path:
        return next((self.live / "state" / "sessions").iterdir())

    def events(self) -> list[str]:
        return [json.loads(line)["kind"] for line in (self.session / "log.jsonl").read_text().splitlines()]

    def begin(self, sink: Sink) -> None:
        request = FixRequest(task="Fix add", repo=self.repo, yes=True)
        self._run(
            fix(
                request,
                self.config,
                sinks=[sink],
                approve=allow,
                environ=dict(self.environ),
                adapters=self.adapters,
            )
        )

    def go_on(self, sink: Sink) -> None:
        self._run(
            resume(
                self.session.name,
                sinks=[sink],
                approve=allow,
                environ=dict(self.environ),
                adapters=self.adapters,
            )
        )

    def _run(self, work: object) -> None:
        outcome = asyncio.run(work)  # type: ignore[arg-type]
        (self.live / "outcome.json").write_text(outcome.model_dump_json())

    def result(self) -> dict[str, str]:
        """What a run leaves: the commit, its tree, and every ref of the user's repository."""
        outcome = json.loads((self.live / "outcome.json").read_text())
        tree = self.git("rev-parse", f"{outcome['commit']}^{{tree}}")
        refs = self.git("for-each-ref", "--format=%(refname) %(objectname)")
        return {"commit": outcome["commit"], "tree": tree, "refs": refs, "status": outcome["status"]}

    def git(self, *args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(self.repo), *args], check=True, capture_output=True, text=True
        ).stdout.strip()


async def allow(description: str, rule: str) -> bool:
    return True


def ignore(event: ev.Event) -> None:
    return


class KillAt:
    """A sink that kills its own process when the n-th durable event is in the log, before anything follows from it."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, event: ev.Event) -> None:
        if event.durable:
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self.left -= 1


def in_child(work: Callable[[], None]) -> int:
    """Run `work` in a fork of this process, whose imports are warm; its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
