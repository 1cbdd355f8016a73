"""Sandboxes in containers of a local engine: Docker, rootless Docker or Podman."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kimicode.core.ports import Sandbox, Slot
from kimicode.errors import DiskFull, SandboxError, SandboxLost, SandboxUnavailable
from kimicode.resources import sandbox_file
from kimicode.sandbox import container, reap
from kimicode.sandbox.client import RunnerSandbox, connect
from kimicode.sandbox.container import AttachTransport, Mount
from kimicode.sandbox.engine import Engine, EngineError, find_engine
from kimicode.sandbox.host import UNPRIVILEGED
from kimicode.sandbox.image import Progress, default_image, ensure_image
from kimicode.sandbox.proof import Proofs, prove
from kimicode.sandbox.runner import RUNNER_FILES, Limits, load_limits, runner_argv
from kimicode.sandbox.variables import base_env

DISK_FLOOR = 1 << 30
"""Free bytes below which all sandboxes are ended: a container's own layer has no quota on most file systems."""
_DISK_EVERY = 2.0


@dataclass(frozen=True, slots=True)
class _User:
    """Who commands run as: in the container, and as the host sees it."""

    inside: tuple[int, int]
    owner: tuple[int, int] | None = None
    userns: str = ""

    @property
    def expected(self) -> int:
        return self.owner[0] if self.owner else os.getuid()


class DockerLauncher:
    """One engine and one image. `network` is the engine's name of a network; only a setup step asks for one.

    `run` labels the containers with the session; `progress` gets lines while an image is built or pulled; `proofs`
    is a file that remembers where `prepare` has proven itself, which saves half a second. `fetch` False: an image
    that is missing is neither built nor pulled, but makes the backend unavailable.
    """

    name = "docker"

    def __init__(
        self,
        *,
        image: str = "",
        network: str = "none",
        run: str = "",
        limits: Limits | None = None,
        environ: Mapping[str, str] | None = None,
        proofs: Path | None = None,
        fetch: bool = True,
        progress: Progress = lambda line: None,
    ) -> None:
        self.owner: tuple[int, int] | None = None
        self.image = image or default_image()
        self.image_id = ""
        """Digest of the image, known once `prepare` has found it."""
        self._network, self._run, self._progress = network, run, progress
        self._limits, self._environ = limits or load_limits(), os.environ if environ is None else environ
        self._proofs, self._fetch = Proofs(proofs), fetch
        self._engine: Engine | None = None
        self._info: dict[str, Any] = {}
        self._user = _User((os.getuid(), os.getgid()))
        self._passwd: bytes | None = None
        self._live: dict[RunnerSandbox, str] = {}
        self._sweep: asyncio.Task[int] | None = None
        self._disk: asyncio.Task[None] | None = None

    async def prepare(self, probe: Path) -> str:
        """Finds engine and image, and proves with a container that it sees the folder and writes as the right user."""
        self._engine, self._info = await find_engine(self._environ)
        self._sweep = asyncio.create_task(reap.sweep(self._engine))
        found = await ensure_image(
            self._engine, self.image, progress=self._progress, environ=self._environ, fetch=self._fetch
        )
        self.image_id = str(found.get("Id") or "")
        if found.get("Os", "linux") != "linux":
            raise SandboxUnavailable(
                f"The image {self.image} is not for Linux.", hint="Name another with --image."
            )
        reasons = []
        for user in self._candidates():
            # Each session has a folder of its own; engines share or do not share whole trees of folders.
            shared = probe.parent.parent
            key = f"{self._info.get('ID')} {found.get('Id')} {user} {shared.stat().st_dev} {shared}"
            if key not in self._proofs:
                try:
                    await self._prove(user, probe)
                except SandboxLost as error:
                    reasons.append(str(error))
                    continue
                self._proofs.add(key)
            self._user, self.owner = user, user.owner
            network = "no network" if self._network == "none" else f"network {self._network}"
            return (
                f"docker {self._info.get('ServerVersion', '')}: image {self.image}, "
                f"uid {user.expected}, {network}, {self._limits.memory >> 20} MiB, {self._limits.processes} processes"
            )
        raise SandboxUnavailable(
            f"The container engine works, but not on {probe.parent}: " + " ".join(reasons),
            hint="The engine must run on this machine and share this folder (Docker Desktop: Settings, Resources, "
            "File sharing). Otherwise move the repository or use --sandbox bwrap.",
        )

    def _candidates(self) -> list[_User]:
        """In order: the user; a fixed unprivileged uid instead of root; a rootless engine's container root."""
        security = " ".join(self._info.get("SecurityOptions") or [])
        if "rootless" in security:
            return [_User((0, 0))]
        userns = "host" if "name=userns" in security else ""
        if os.getuid() == 0:
            return [_User(UNPRIVILEGED, UNPRIVILEGED, userns)]
        return [_User((os.getuid(), os.getgid()), None, userns), _User((0, 0))]

    async def _prove(self, user: _User, probe: Path) -> None:
        async def launch(folder: Path) -> Sandbox:
            return await self._launch(user, [Mount(str(folder), str(folder), True)], str(folder), None)

        await prove(launch, probe.parent, user.owner)

    async def start(self, slot: Slot, *, env: Mapping[str, str] | None = None) -> Sandbox:
        mounts = [Mount(str(slot.work), slot.root, True), Mount(str(slot.gitdir), str(slot.gitdir), True)]
        mounts.append(Mount(str(slot.objects), str(slot.objects)))
        mounts += [Mount(str(source), target) for source, target in slot.readonly]
        sandbox = await self._launch(self._user, mounts, slot.root, env)
        self._live = {live: identity for live, identity in self._live.items() if not live.lost}
        if self._disk is None:
            self._disk = asyncio.create_task(self._watch(slot.work))
        return sandbox

    async def _launch(
        self, user: _User, mounts: list[Mount], root: str, env: Mapping[str, str] | None
    ) -> RunnerSandbox:
        engine = self._engine
        if engine is None:
            raise SandboxUnavailable("The Docker launcher was not prepared.")
        runner = str(sandbox_file(RUNNER_FILES[0]).parent)
        mounts = [*mounts, Mount(runner, container.RUNNER)]
        spec = container.container_spec(
            image=self.image,
            argv=runner_argv("python3", f"{container.RUNNER}/{RUNNER_FILES[0]}", root, container.TMP),
            user=user.inside,
            env=base_env(home=container.HOME, tmp=container.TMP, extra=env),
            mounts=mounts,
            limits=self._limits,
            labels=reap.labels(reap.this_process(), self._run),
            network=self._network,
            cpus=int(self._info.get("NCPU") or 0),
            userns=user.userns,
            selinux="name=selinux" in (self._info.get("SecurityOptions") or []),
        )
        try:
            answer = await engine.call("POST", "/containers/create", body=spec, timeout=60)
        except EngineError as error:
            raise SandboxLost(f"No container can be made: {error}") from error
        identity = str(answer.json()["Id"])
        transport: AttachTransport | None = None
        try:
            await self._furnish(engine, identity, user, [mount.target for mount in mounts])
            transport = AttachTransport(engine, identity, *await engine.attach(identity))
            await engine.call("POST", f"/containers/{identity}/start", timeout=60)
            network = self._network != "none"
            sandbox = await connect(self.name, transport, root=root, tmp=container.TMP, network=network)
        except BaseException as error:
            await (transport.close() if transport else container.remove(engine, identity))
            raise self._translate(error) from error
        self._live[sandbox] = identity
        return sandbox

    async def _furnish(self, engine: Engine, identity: str, user: _User, targets: list[str]) -> None:
        path = f"/containers/{identity}/archive"
        if self._passwd is None:
            answer = await engine.call("GET", path, query={"path": "/etc/passwd"}, allow=(404,))
            self._passwd = container.passwd_of(answer.body) if answer.status == 200 else b""
        data = container.archive(user.inside, self._passwd, targets)
        await engine.call("PUT", path, query={"path": "/"}, data=data)

    def _translate(self, error: BaseException) -> BaseException:
        said = str(error)
        if isinstance(error, SandboxError) and "python3" in said and "not found" in said:
            return SandboxUnavailable(
                f"The image {self.image} has no python3, which kimicode's runner needs.",
                hint="Add python3-minimal (Debian, Ubuntu) or python3 (Alpine) to it, or leave out --image.",
            )
        if isinstance(error, EngineError):
            return SandboxLost(f"The container cannot be started: {said}")
        return error

    async def image_exists(self, reference: str) -> bool:
        """Whether the engine still has an image."""
        if self._engine is None:
            raise SandboxUnavailable("The Docker launcher was not prepared.")
        answer = await self._engine.call("GET", f"/images/{reference}/json", allow=(404,))
        return answer.status == 200

    async def commit(self, sandbox: Sandbox, reference: str) -> None:
        """Keep the container's own layer as an image "name:tag"; mounts, /tmp and exec variables are not in it."""
        identity = next((value for live, value in self._live.items() if live is sandbox), "")
        if self._engine is None or not identity:
            raise SandboxLost("The container to be kept is gone.")
        name, _, tag = reference.rpartition(":")
        query = {"container": identity, "repo": name, "tag": tag, "pause": "1"}
        await self._engine.call("POST", "/commit", query=query, body={}, timeout=600)

    async def _watch(self, folder: Path) -> None:
        """End all sandboxes before they fill the disk that they share with everything else."""
        places = [
            place for place in (folder, Path(str(self._info.get("DockerRootDir") or "/"))) if place.is_dir()
        ]
        floors = {place: min(DISK_FLOOR, shutil.disk_usage(place).free // 2) for place in places}
        while True:
            await asyncio.sleep(_DISK_EVERY)
            for place, floor in floors.items():
                with suppress(OSError):
                    free = shutil.disk_usage(place).free
                    if free < floor:
                        await self._stop(DiskFull(f"Only {free >> 20} MiB are free on the disk of {place}."))

    async def _stop(self, reason: DiskFull) -> None:
        reason.hint = "Free some space, then go on with kimicode resume."
        await asyncio.gather(*(sandbox.end(reason) for sandbox in self._live))
        self._live.clear()

    async def close(self) -> None:
        if self._disk:
            self._disk.cancel()
        tasks = [task for task in (self._disk, self._sweep) if task]
        self._disk = self._sweep = None
        await asyncio.gather(*tasks, *(sandbox.close() for sandbox in self._live), return_exceptions=True)
        self._live.clear()
