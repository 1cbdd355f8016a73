"""`kimicode demo`: the whole way of a fix on a bundled repository, with a scripted endpoint or with Kimi itself."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import MutableMapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from kimicode.app.adapters import ADAPTERS, Adapters
from kimicode.app.fix import fix
from kimicode.app.request import FixRequest
from kimicode.config import Config
from kimicode.core import event as ev
from kimicode.core.outcome import Outcome
from kimicode.core.ports import Approver
from kimicode.models.scripted_endpoint import ScriptedEndpoint
from kimicode.session.session import Sink
from kimicode.workspace.create import create_repository

BUNDLED = Path(__file__).parent.parent / "demo"
SCRIPTED = (
    "no model was asked: the answers are a script written for this repository; everything else is real "
    "(HTTP, tools, sandbox, tests, commit)"
)


async def demo(
    *,
    live: bool,
    config: Config,
    sinks: Sequence[Sink],
    approve: Approver,
    environ: MutableMapping[str, str],
    adapters: Adapters = ADAPTERS,
) -> Outcome:
    """Run `fix` on a copy of the bundled repository in a temporary folder, which is left for the user to look at.

    `live` asks the configured model instead of the script (and needs its key).
    """
    conversation: dict[str, Any] = json.loads((BUNDLED / "conversation.json").read_bytes())
    folder = Path(tempfile.mkdtemp(prefix="kimicode-demo-"))
    # The sandbox's unprivileged user has to reach it, and nothing in it is anybody's secret.
    folder.chmod(0o755)
    repo = folder / "billsplit"
    shutil.copytree(BUNDLED / "repository", repo, ignore=shutil.ignore_patterns("__pycache__"))
    async with AsyncExitStack() as stack:
        if live:
            say(sinks, f"kimicode demo, live: {config.model.id} at {config.model.base_url} is asked")
        else:
            say(sinks, SCRIPTED)
            # A short pause between the pieces lets people watch.
            endpoint = await stack.enter_async_context(ScriptedEndpoint(conversation["steps"], pause=0.01))
            config = aim(config, endpoint.base_url)
        await create_repository(repo, "Split a bill among people\n")
        say(sinks, f"repository: {repo}")
        environ = {**environ, "KIMICODE_STATE_DIR": str(folder / "state")}
        request = FixRequest(task=conversation["task"], repo=repo, yes=True, bundled=True)
        outcome = await fix(request, config, sinks=sinks, approve=approve, environ=environ, adapters=adapters)
    notes = (
        outcome.notes
        if live
        else (*outcome.notes, "nothing was paid: the cost is what these tokens would cost")
    )
    return outcome.model_copy(update={"notes": notes})


def aim(config: Config, base_url: str) -> Config:
    """The same settings for the scripted endpoint, with the project's own detected check."""
    model = config.model.model_copy(update={"base_url": base_url, "id": "kimi-k2.6", "thinking": True})
    checks = config.checks.model_copy(update={"commands": None})
    return config.model_copy(update={"model": model, "checks": checks})


def say(sinks: Sequence[Sink], text: str) -> None:
    for sink in sinks:
        sink(ev.Phase(text=text))
