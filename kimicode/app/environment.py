"""The setup step of a run: whether it runs, on what, and what every later checkout gets from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimicode.app.preparation import Contents
from kimicode.app.run import Run
from kimicode.core import event as ev
from kimicode.environment.build import Environment, Source, build_environment, consent, make_script
from kimicode.environment.build import SetupRun as Done
from kimicode.environment.cache import Layer, LayerStore, environment_key
from kimicode.environment.detect import SetupCommand, find_setup
from kimicode.environment.manifests import find_manifests
from kimicode.environment.settings import collect_settings

if TYPE_CHECKING:
    from kimicode.sandbox.docker import DockerLauncher

OUTPUT = 200_000
"""Bytes of the setup's output that are kept: head and tail."""


async def prepare_environment(run: Run, contents: Contents) -> None:
    """Run the setup command where it may run, or take what an earlier run of it made.

    Sets `run.environment`; from then on every new checkout gets the layer, every container the image.
    """
    wanted = choose_setup(run, contents)
    if wanted is None:
        return
    source, command = wanted
    answer = consent(
        source, tty=run.request.interactive, yes=run.request.yes, flag=_flag(run.config.setup.command)
    )
    if answer == "ask":
        allowed = await run.approve(f"set up with network: {command.command}", "setup-command")
        answer = "run" if allowed else "skip"
    if answer == "skip":
        if _flag(run.config.setup.command) != "none":
            run.say(f"setup not run: {command.command} ({command.reason}); --setup auto runs it")
        return
    setup = await _setup_launcher(run)
    if setup is None:
        run.say(f"setup not run: the {run.need_launcher().name} sandbox has none")
        return
    launcher, image = setup
    try:
        run.environment = await _build(run, contents, command, launcher, image)
    finally:
        await launcher.close()
    _say_result(run, command, run.environment)
    use_environment(run)
    layer = run.environment.layer
    facts = {**asdict(run.environment), "layer": layer.model_dump() if layer else None}
    run.session.emit(ev.EnvironmentReady(environment=facts), sync=True)


def restore_environment(run: Run, stored: Mapping[str, Any]) -> None:
    """The environment that a former process of this session has logged."""
    layer = stored.get("layer")
    run.environment = Environment(**{**stored, "layer": Layer.model_validate(layer) if layer else None})
    use_environment(run)


def choose_setup(run: Run, contents: Contents) -> tuple[Source, SetupCommand] | None:
    """The command and on whose word it stands; None when there is nothing to set up."""
    told = run.config.setup.command
    if told not in ("ask", "auto", "none"):
        return "given", SetupCommand(command=told, reason="given")
    proposed = run.config.proposed
    if proposed.setup:
        return "proposed", SetupCommand(command=proposed.setup, reason=f"proposed by {proposed.source}")
    found = find_setup(contents.files, contents.read)
    return ("detected", found) if found else None


def _flag(told: str) -> str:
    return "" if told == "ask" else told


async def _setup_launcher(run: Run) -> tuple[DockerLauncher, str] | None:
    """A launcher with network for the one command, and the id of the image it starts from."""
    if run.need_launcher().name != "docker":
        return None
    from kimicode.sandbox.docker import DockerLauncher

    launcher = DockerLauncher(image=run.config.sandbox.image, run=run.folder.name, network="bridge")
    run.say(f"setup: {await launcher.prepare(run.folder / 'probe')}")
    return launcher, launcher.image_id


async def _build(
    run: Run, contents: Contents, command: SetupCommand, launcher: DockerLauncher, image: str
) -> Environment:
    texts = "".join(
        (contents.read(p) or b"").decode("utf-8", "replace") for p in ("setup.py", "pyproject.toml")
    )
    blobs = {path: contents.oid(path) for path in find_manifests(contents.files, texts)}
    key = environment_key(f"{image} {run.repository.root}", command.command, blobs)
    script = make_script(command.command, collect_settings(os.environ, _read_host_file))
    store = LayerStore(run.cache / "environments")

    async def fill() -> tuple[Path, frozenset[str]]:
        checkout = await run.open_checkout("setup", run.need_base().tree)
        return checkout.slot.work, frozenset(contents.files)

    async def execute(work: Path, script: bytes) -> Done:
        run.say(f"setup, once, with network and without secrets: {command.command}")
        checkout = await run.open_checkout("setup", run.need_base().tree)
        sandbox = await launcher.start(checkout.slot)
        try:
            result = await sandbox.exec(
                ["sh", "-s"], stdin=script, timeout=run.config.setup.timeout_s, limit=OUTPUT
            )
            name = f"kimicode-environment:{key[:24]}"
            if result.exit_code == 0:
                await launcher.commit(sandbox, name)
        finally:
            await sandbox.close()
        output = result.output.decode("utf-8", "replace")
        return Done(exit_code=result.exit_code, output=output, image=name, seconds=result.seconds)

    try:
        return await build_environment(
            store,
            key,
            script=script,
            fill=fill,
            run=execute,
            image_exists=launcher.image_exists,
            interpreter=command.interpreter,
        )
    finally:
        await run.remove_checkout("setup")


def _say_result(run: Run, command: SetupCommand, environment: Environment | None) -> None:
    assert environment is not None
    if environment.failed:
        tail = "\n".join(environment.output.strip().splitlines()[-8:])
        run.say(f"setup failed, the run goes on without it: {command.command}\n{tail}")
    elif environment.reused:
        run.say(f"setup: taken from an earlier run of {command.command}")


def use_environment(run: Run) -> None:
    """Let containers start from what setup made, and let results of the base be kept under its key."""
    launcher, environment = run.need_launcher(), run.environment
    if environment is None or environment.failed or launcher.name != "docker":
        return
    from kimicode.sandbox.docker import DockerLauncher

    if isinstance(launcher, DockerLauncher) and environment.image:
        launcher.image = environment.image
        run.environment_key = environment.key


def _read_host_file(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
