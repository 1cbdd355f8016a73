"""Containers whose kimicode died: marked when they are made, removed at a later start when provably orphaned."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kimicode.sandbox.container import label_filter, remove
from kimicode.sandbox.engine import Engine, EngineError

RUN, PID, START, BOOT, HOST = (f"kimicode.{word}" for word in ("run", "pid", "start", "boot", "host"))


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told apart from later ones with its number."""

    pid: int
    start: str
    """Start time in clock ticks since boot; "" where the system does not tell."""
    boot: str
    host: str
    """Host name and pid namespace: a number says nothing about processes of another namespace."""


def this_process() -> Owner:
    return Owner(os.getpid(), start_of(os.getpid()) or "", _boot(), f"{platform.node()}/{_namespace()}")


def labels(owner: Owner, run: str) -> dict[str, str]:
    """Labels of a container. `run` names the session, for people."""
    return {RUN: run or "-", PID: str(owner.pid), START: owner.start, BOOT: owner.boot, HOST: owner.host}


def orphaned(
    marks: Mapping[str, str],
    here: Owner,
    *,
    alive: Callable[[int], bool],
    started: Callable[[int], str | None],
) -> bool:
    """True only when the owner is provably dead: same machine, and another boot, or gone, or another start time."""
    pid = marks.get(PID, "")
    if marks.get(HOST) != here.host or not pid.isdigit() or not here.host:
        return False
    boot = marks.get(BOOT, "")
    if boot != here.boot:
        return bool(boot and here.boot)
    if not alive(int(pid)):
        return True
    now = started(int(pid))
    return bool(now and marks.get(START) and now != marks[START])


async def sweep(engine: Engine) -> int:
    """Remove orphans of this machine; how many. Never raises: a sweep that fails is tried at the next start."""
    here, count = this_process(), 0
    try:
        answer = await engine.call(
            "GET", "/containers/json", query={"all": "1", "filters": label_filter({RUN: ""})}, timeout=10
        )
        for container in answer.json() or []:
            if orphaned(container.get("Labels") or {}, here, alive=_alive, started=start_of):
                count += await remove(engine, str(container["Id"]))
    except (EngineError, KeyError, AttributeError):
        pass
    return count


def start_of(pid: int) -> str | None:
    """Start time of a process from /proc, None when it is not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _namespace() -> str:
    try:
        return Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return ""


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
