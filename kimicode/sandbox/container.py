"""What a container is made from (a pure function), and the transport over its attach socket."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kimicode.sandbox.engine import Engine, EngineError
from kimicode.sandbox.runner import Limits

HOME = "/home/kimicode"
RUNNER = "/opt/kimicode-runner"
TMP = "/tmp"
_STDOUT = 1
_MAX_PART = 64 << 20
_STDERR = 4096


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host and where it appears."""

    source: str
    target: str
    writable: bool = False


def container_spec(
    *,
    image: str,
    argv: Sequence[str],
    user: tuple[int, int],
    env: Mapping[str, str],
    mounts: Sequence[Mount],
    limits: Limits,
    labels: Mapping[str, str],
    network: str = "none",
    cpus: int = 0,
    userns: str = "",
    selinux: bool = False,
) -> dict[str, Any]:
    """Body of the create call. `cpus`: what the machine has, 0 when not known.

    There is no parameter for more privileges, host namespaces, devices or the engine's socket, on purpose.
    """
    return {
        "Image": image,
        "Entrypoint": list(argv),
        "Cmd": [],
        "User": f"{user[0]}:{user[1]}",
        "WorkingDir": "/",
        "Hostname": "kimicode",
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": dict(labels),
        "Healthcheck": {"Test": ["NONE"]},
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": False,
        "HostConfig": _host_config(mounts, limits, network, cpus, userns, selinux),
    }


def _host_config(
    mounts: Sequence[Mount], limits: Limits, network: str, cpus: int, userns: str, selinux: bool
) -> dict[str, Any]:
    quota = min(limits.cpus, cpus) if cpus else limits.cpus
    host: dict[str, Any] = {
        "NetworkMode": network,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": limits.processes,
        "Memory": limits.memory,
        "MemorySwap": limits.memory,
        "NanoCpus": int(quota * 1_000_000_000),
        "Ulimits": [
            {"Name": "nofile", "Soft": limits.open_files, "Hard": limits.open_files},
            {"Name": "fsize", "Soft": limits.file_size, "Hard": limits.file_size},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "Tmpfs": {TMP: f"rw,exec,nosuid,nodev,size={limits.tmp_size},mode=1777"},
        "Mounts": [
            {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": not mount.writable}
            for mount in mounts
        ],
        "LogConfig": {"Type": "none", "Config": {}},
        "IpcMode": "private",
        "ShmSize": min(limits.tmp_size, 256 << 20),
        "AutoRemove": True,
        "Init": False,
        "Privileged": False,
        "ReadonlyRootfs": False,
        "RestartPolicy": {"Name": "no"},
    }
    if userns:
        host["UsernsMode"] = userns
    if (
        selinux
    ):  # it would deny every bind mount that was not relabelled, and relabelling changes the host's files
        host["SecurityOpt"] = ["no-new-privileges", "label=disable"]
    return host


def archive(user: tuple[int, int], passwd: bytes, targets: Sequence[str]) -> bytes:
    """What is put into a container before it starts, as a tar: the user's home and passwd entry.

    /root is closed in most images; when something is mounted beneath it, it must at least be passable.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _folder(tar, HOME.lstrip("/"), 0o755, user)
        if any(target.startswith("/root/") for target in targets):
            _folder(tar, "root", 0o711, (0, 0))
        data = with_user(passwd, user)
        if data != passwd:
            member = tarfile.TarInfo("etc/passwd")
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _folder(tar: tarfile.TarFile, name: str, mode: int, owner: tuple[int, int]) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    member.uid, member.gid = owner
    tar.addfile(member)


def with_user(passwd: bytes, user: tuple[int, int]) -> bytes:
    """The image's passwd with a line for `user`, when its uid has none."""
    lines = passwd.splitlines()
    if any(line.split(b":")[2:3] == [str(user[0]).encode()] for line in lines):
        return passwd
    entry = f"kimicode:x:{user[0]}:{user[1]}:kimicode:{HOME}:/bin/sh".encode()
    return b"\n".join([*lines, entry]) + b"\n"


def passwd_of(tar: bytes) -> bytes:
    """The file in the archive that the engine answers with; b"" when there is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    return file.read(1 << 20)
    except tarfile.TarError:
        pass
    return b""


class AttachTransport:
    """The runner's stdin and stdout over the attach socket of its container."""

    def __init__(
        self, engine: Engine, container: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._engine, self._container = engine, container
        self._reader, self._writer = reader, writer
        self._left = 0
        self._errors = b""
        self._closed = False

    async def receive(self) -> bytes:
        while True:
            if self._left:
                data = await self._reader.read(min(self._left, 1 << 18))
                self._left -= len(data)
                return data
            try:
                kind, size = struct.unpack(">B3xI", await self._reader.readexactly(8))
            except asyncio.IncompleteReadError:
                return b""
            if size > _MAX_PART:
                raise EngineError("The container's stream is malformed.")
            if kind == _STDOUT:
                self._left = size
            else:
                await self._note(size)

    async def _note(self, size: int) -> None:
        while size > 0 and (data := await self._reader.read(min(size, 1 << 16))):
            size -= len(data)
            self._errors = (self._errors + data)[-_STDERR:]

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def explain(self) -> str:
        said = self._errors.decode("utf-8", "replace").strip()
        with suppress(EngineError):
            answer = await self._engine.call(
                "GET", f"/containers/{self._container}/json", timeout=5, allow=(404,)
            )
            state = answer.json().get("State", {}) if answer.status == 200 else {}
            if state.get("OOMKilled") or state.get("ExitCode") == 137:
                said = "the container was killed, as happens at its memory limit. " + said
            elif "ExitCode" in state and not state.get("Running"):
                said = f"the container ended with status {state['ExitCode']}. " + said
        return said.strip()

    async def close(self) -> None:
        """The socket first: a stream that nobody reads makes the engine hang in kill and remove (moby#41827)."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(2):
                await self._writer.wait_closed()
        await remove(self._engine, self._container)


async def remove(engine: Engine, container: str) -> bool:
    """Kill and remove; False when the engine could not (the next start sweeps by label)."""
    for timeout in (10.0, 20.0):
        try:
            query = {"force": "1", "v": "1"}
            answer = await engine.call(
                "DELETE", f"/containers/{container}", query=query, timeout=timeout, allow=(404, 409)
            )
        except EngineError:
            continue
        if answer.status != 409:
            return True
        await asyncio.sleep(0.2)  # 409: its own auto-removal is under way
    return await _gone(engine, container)


async def _gone(engine: Engine, container: str) -> bool:
    try:
        answer = await engine.call("GET", f"/containers/{container}/json", timeout=5, allow=(404,))
    except EngineError:
        return False
    return answer.status == 404


def label_filter(labels: Mapping[str, str]) -> str:
    """Value of a `filters` parameter; an empty value matches any."""
    return json.dumps({"label": [f"{name}={value}" if value else name for name, value in labels.items()]})
