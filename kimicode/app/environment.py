"""The setup step of a run: whether it runs, on what, and what every later checkout gets from it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kimicode.app.preparation import Contents
from kimicode.app.run import Run
from kimicode.core import event as ev
from kimicode.core.ports import Launcher, Sandbox, Slot
from kimicode.environment.build import Environment, Source, build_environment, consent, make_script
from kimicode.environment.build import SetupRun as Done
from kimicode.environment.cache import Layer, LayerStore, environment_key
from kimicode.environment.detect import SetupCommand, find_setup
from kimicode.environment.manifests import find_manifests
from kimicode.environment.settings import IndexSettings, collect_settings, local_folders, secrets_of
from kimicode.errors import ConfigError
from kimicode.text.redact import Redactor
from kimicode.workspace.checkout import Checkout

OUTPUT = 200_000
"""Bytes of the setup's output that are kept: head and tail."""
OWN_FOLDERS = (
    "/usr", "/etc", "/tmp", "/run/kimicode", "/proc", "/dev", "/home/kimicode", "/opt/kimicode-runner",
)  # fmt: skip
"""Folders that a sandbox has itself: nothing may be mounted over them or above them."""


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
    place = await _find_place(run)
    if place is None:
        run.say(f"setup not run: the {run.need_launcher().name} sandbox has none")
        return
    try:
        run.environment = await _build(run, contents, command, place)
    finally:
        await place.launcher.close()
    _say_result(run, command, run.environment)
    use_environment(run)
    layer = run.environment.layer
    facts = {**asdict(run.environment), "layer": layer.model_dump() if layer else None}
    run.session.emit(ev.EnvironmentReady(environment=facts), sync=True)


def restore_environment(run: Run, stored: Mapping[str, Any]) -> None:
    """The environment that a former process of this session has logged. Raises ConfigError when its files are gone."""
    layer = Layer.model_validate(stored["layer"]) if stored.get("layer") else None
    if layer is not None and not Path(layer.folder).is_dir():
        # Made anew it could be another one, and what ran before would prove nothing about it.
        raise ConfigError(
            f"what the setup of this session made is no longer in the cache ({layer.folder})",
            hint="start the task again with kimicode fix: it runs the setup anew",
        )
    run.environment = Environment(**{**stored, "layer": layer})
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where the one command runs, with network: a backend's launcher of its own, and how its result is kept."""

    launcher: Launcher
    programs: str
    """What names them in the environment's key: the image's digest, or the host's toolchain."""
    image_exists: Callable[[str], Awaitable[bool]]
    commit: Callable[[Sandbox, str], Awaitable[None]] | None = None
    """Keeps the sandbox as an image; None: there is none, and the home folder is kept as files."""


async def _find_place(run: Run) -> Place | None:
    """The place in the backend that the run has; None where that has no setup."""
    name, probe = run.need_launcher().name, run.folder / "probe"
    if name == "docker":
        from kimicode.sandbox.docker import DockerLauncher

        docker = DockerLauncher(
            image=run.config.sandbox.image,
            run=run.folder.name,
            network="bridge",
            proofs=run.cache / "docker-proofs.json",
        )
        run.say(f"setup: {await docker.prepare(probe)}")
        return Place(docker, docker.image_id, docker.image_exists, docker.commit)
    if name == "bwrap":
        from kimicode.sandbox.bubblewrap import BubblewrapLauncher

        bwrap = BubblewrapLauncher(network=True)
        run.say(f"setup: {await bwrap.prepare(probe)}")
        return Place(bwrap, bwrap.programs(str(run.repository.root)), _no_image)
    return None


async def _no_image(reference: str) -> bool:
    return False


async def _build(run: Run, contents: Contents, command: SetupCommand, place: Place) -> Environment:
    texts = "".join(
        (contents.read(p) or b"").decode("utf-8", "replace") for p in ("setup.py", "pyproject.toml")
    )
    blobs = {path: contents.oid(path) for path in find_manifests(contents.files, texts)}
    key = environment_key(f"{place.programs} {run.repository.root}", command.command, blobs)
    settings = collect_settings(os.environ, _read_host_file)
    script = make_script(command.command, settings)
    checkout: Checkout | None = None

    async def fill() -> tuple[Path, frozenset[str]]:
        nonlocal checkout
        checkout = await run.open_checkout("setup", run.need_base().tree, fresh=True)
        return checkout.slot.work, frozenset(contents.files)

    async def execute(work: Path, script: bytes) -> Done:
        run.say(f"setup, once, with network and without secrets: {command.command}")
        assert checkout is not None, "it is filled before anything runs in it"
        slot = replace(checkout.slot, readonly=_local_folders(run, settings))
        return await _execute(run, place, slot, script, settings, f"kimicode-environment:{key[:24]}")

    try:
        return await build_environment(
            LayerStore(run.cache / "environments"),
            key,
            script=script,
            fill=fill,
            run=execute,
            image_exists=place.image_exists,
            interpreter=command.interpreter,
        )
    finally:
        await run.remove_checkout("setup")


async def _execute(
    run: Run, place: Place, slot: Slot, script: bytes, settings: IndexSettings, name: str
) -> Done:
    """The script in a sandbox of its own, kept as the image `name` where the backend has images."""
    sandbox = await place.launcher.start(slot)
    try:
        result = await sandbox.exec(
            ["sh", "-s"], stdin=script, timeout=run.config.setup.timeout_s, limit=OUTPUT
        )
        if result.exit_code == 0 and place.commit is not None:
            await place.commit(sandbox, name)
    finally:
        await sandbox.close()
    return Done(
        exit_code=result.exit_code,
        # It goes into the log: package managers may print the address of an index with its password.
        output=Redactor(secrets_of(settings)).redact(result.output.decode("utf-8", "replace")),
        image=name if place.commit is not None else "",
        seconds=result.seconds,
        home=slot.scratch / "home" if place.commit is None else None,
    )


def _local_folders(run: Run, settings: IndexSettings) -> tuple[tuple[Path, str], ...]:
    """Folders of the host with packages, which the settings name, for the setup command to read.

    One that would cover a part of the sandbox itself stays out, and is named.
    """
    found = []
    for name in local_folders(settings):
        if any(Path(inside).is_relative_to(name) for inside in (*OWN_FOLDERS, str(run.repository.root))):
            run.say(f"setup: {name}, a folder of your package index settings, cannot be shown to the command")
        elif Path(name).is_dir():
            found.append((Path(name), name))
    return tuple(found)


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
