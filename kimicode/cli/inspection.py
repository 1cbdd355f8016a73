"""The single checks of `kimicode doctor`."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kimicode.config import Config, cache_dir, config_path, load, state_dir
from kimicode.errors import ConfigError, KeyMissing, KimicodeError

ENDPOINT_S = 20.0
"""How long the endpoint may take to list its models."""
LOW_DISK = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    name: str
    state: Literal["ok", "note", "bad"]
    """"bad": a run could not begin."""
    text: str
    remedy: str = ""
    exit_code: int = 0
    """With which a run would end for this reason."""


def verdict(findings: list[Finding]) -> int:
    """Exit code: that of the first thing that is bad."""
    return next((f.exit_code or 1 for f in findings if f.state == "bad"), 0)


async def inspect_machine(
    environ: Mapping[str, str], flags: Mapping[str, tuple[Any, str]], *, offline: bool
) -> list[Finding]:
    """All findings, in the order in which a run would meet them."""
    settings, config = inspect_settings(environ, flags)
    parts = await asyncio.gather(
        inspect_git(), inspect_sandboxes(config, environ), inspect_endpoint(config, environ, offline=offline)
    )
    return [
        inspect_python(),
        *settings,
        *parts[0],
        *parts[1],
        *parts[2],
        inspect_folder("sessions", state_dir(environ)),
        inspect_folder("cache", cache_dir(environ)),
        inspect_terminal(environ),
    ]


def inspect_python() -> Finding:
    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.platform == "win32":
        return Finding(
            "python", "bad", system, "kimicode runs on Linux, macOS, and on Windows through WSL 2", 3
        )
    return Finding("python", "ok", f"{system}, {sys.executable}")


def inspect_settings(
    environ: Mapping[str, str], flags: Mapping[str, tuple[Any, str]]
) -> tuple[list[Finding], Config]:
    """The user's settings file and environment; the defaults go on when they cannot be used."""
    file = config_path(environ)
    try:
        config = load(environ, flags=flags).config
    except ConfigError as e:
        return [Finding("settings", "bad", str(e), e.hint, e.exit_code)], Config()
    return [
        Finding("settings", "ok", str(file) if file.exists() else f"defaults ({file} is not there)")
    ], config


async def inspect_git() -> list[Finding]:
    from kimicode.workspace.git import Git, git_program

    try:
        program = git_program()
        text = (await Git().run("--version")).decode(errors="replace").strip()
    except KimicodeError as e:
        return [Finding("git", "bad", str(e), e.hint, e.exit_code)]
    numbers = [int(n) for n in text.removeprefix("git version ").split(".")[:2] if n.isdigit()]
    if numbers < [2, 32]:
        return [Finding("git", "bad", f"{text} is too old", "install git 2.32 or newer", 3)]
    return [Finding("git", "ok", f"{text.removeprefix('git version ')}, {program}")]


async def inspect_sandboxes(config: Config, environ: Mapping[str, str]) -> list[Finding]:
    """Each backend, tried. A run needs one of them, or the one that the settings name."""
    with tempfile.TemporaryDirectory(prefix="kimicode-doctor-", ignore_cleanup_errors=True) as folder:
        probe = Path(folder) / "probe"
        probe.mkdir()
        docker = await _try_docker(config, environ, probe)
        bwrap = await _try_bwrap(probe)
    wanted = {"docker": [docker], "bwrap": [bwrap], "host": []}.get(config.sandbox.backend, [docker, bwrap])
    usable = not wanted or any(f.state != "bad" for f in wanted)
    rows = [docker, bwrap]
    if usable:
        rows = [f if f.state != "bad" else Finding(f.name, "note", f.text, f.remedy) for f in rows]
    if config.sandbox.backend == "host":
        rows.append(Finding("host", "note", "the settings say: commands run unprotected on this machine"))
    return rows


async def _try_docker(config: Config, environ: Mapping[str, str], probe: Path) -> Finding:
    from kimicode.sandbox.docker import DockerLauncher
    from kimicode.sandbox.engine import find_engine

    launcher = DockerLauncher(image=config.sandbox.image, environ=environ)
    try:
        engine, info = await find_engine(environ)
        answer = await engine.call("GET", f"/images/{launcher.image}/json", allow=(404,))
        if answer.status != 200:
            text = f"{info.get('ServerVersion', '')}: the image {launcher.image} is not here yet"
            return Finding(
                "docker", "note", text, "it is built (or pulled) by the first run, which takes minutes"
            )
        return Finding("docker", "ok", (await launcher.prepare(probe)).removeprefix("docker "))
    except KimicodeError as e:
        return Finding("docker", "bad", str(e), e.hint, e.exit_code)
    finally:
        await launcher.close()


async def _try_bwrap(probe: Path) -> Finding:
    from kimicode.sandbox.bubblewrap import BubblewrapLauncher

    launcher = BubblewrapLauncher()
    try:
        return Finding("bwrap", "ok", (await launcher.prepare(probe)).removeprefix("bwrap: "))
    except KimicodeError as e:
        return Finding("bwrap", "bad", str(e), e.hint, e.exit_code)
    finally:
        await launcher.close()


async def inspect_endpoint(config: Config, environ: Mapping[str, str], *, offline: bool) -> list[Finding]:
    """Where the key comes from, and whether the endpoint takes it and knows the model."""
    from kimicode.models.catalog import resolve
    from kimicode.models.keys import find_key

    try:
        target = resolve(config.model.id, config.model.base_url)
        key = find_key(environ, target)
    except KeyMissing as e:
        remedy = "set one of them in the environment; kimicode demo needs none"
        return [Finding("key", "bad", str(e), remedy, e.exit_code)]
    except KimicodeError as e:
        return [Finding("key", "bad", str(e), e.hint, e.exit_code)]
    source = f"from {key.source}" if key.source else f"none; {target.host} is served without one"
    rows = [Finding("key", "ok", source)]
    if target.base_url.startswith("http://") and key.source and not _is_loopback(target.host):
        rows.append(
            Finding("address", "note", f"{target.base_url} is not encrypted: the key can be read on the way")
        )
    if offline:
        return [*rows, Finding("endpoint", "note", f"{target.base_url} was not asked (--offline)")]
    from kimicode.models.chat import ChatModel

    model = ChatModel(target, key, read_timeout=ENDPOINT_S, connect_timeout=ENDPOINT_S)
    try:
        served = await model.served()
    except KimicodeError as e:
        return [*rows, Finding("endpoint", "bad", str(e), e.hint, e.exit_code)]
    finally:
        await model.close()
    if served and target.spec.id not in served:
        known = ", ".join(served[:8]) + (", …" if len(served) > 8 else "")
        text = f"{target.base_url} answers, but does not list {target.spec.id}"
        return [*rows, Finding("endpoint", "note", text, f"it lists: {known} (choose one with --model)")]
    return [*rows, Finding("endpoint", "ok", f"{target.base_url} answers and serves {target.spec.id}")]


def _is_loopback(host: str) -> bool:
    return host.split(":")[0] in ("localhost", "127.0.0.1") or host.startswith("[::1]")


def inspect_folder(name: str, folder: Path) -> Finding:
    """Whether a folder of ours could be written, judged at its nearest ancestor that exists."""
    place = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        remedy = "make it writable, or name another with KIMICODE_STATE_DIR / KIMICODE_CACHE_DIR"
        return Finding(name, "bad", f"{folder} cannot be written", remedy, 74)
    free = shutil.disk_usage(place).free
    text = f"{folder}, {free / (1 << 30):.1f} GiB free"
    return Finding(
        name, "ok" if free >= LOW_DISK else "note", text, "" if free >= LOW_DISK else "free some space"
    )


def inspect_terminal(environ: Mapping[str, str]) -> Finding:
    from kimicode.ui.terminal import stderr_screen

    screen = stderr_screen(environ)
    able = screen.abilities
    how = "status line and colours" if able.live else "plain lines (no terminal, TERM=dumb, CI or NO_COLOR)"
    signs = "unicode" if able.unicode else "ASCII"
    return Finding("terminal", "ok", f"{how}, {screen.width} columns, {signs}")
