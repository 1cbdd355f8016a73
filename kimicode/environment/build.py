"""The setup step: by whose word it may run, the script that runs it, and how its result is kept."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kimicode.environment.cache import Layer, LayerStore
from kimicode.environment.settings import IndexSettings

Source = Literal["given", "configured", "detected", "proposed"]
"""given: --setup CMD. configured: the user's own settings. detected: by detect.py. proposed: by the repository."""

SECRET_FOLDER = "/tmp/kimicode-setup"
"""Where certificates lie while the command runs: /tmp is a tmpfs in our containers, so no image keeps it."""


def consent(source: Source, *, tty: bool, yes: bool, flag: str) -> Literal["run", "ask", "skip"]:
    """Whether a setup command may run.

    `flag` is the value of --setup ("", "auto", "none" or a command), `yes` that of --yes, `tty` whether a
    person can answer. The user's own words run; what was detected, or what the repository proposes, needs a
    yes on a terminal or `--setup auto`. `--yes` answers for the person at the terminal; it does not replace
    `--setup auto` where there is none.
    """
    if flag == "none":
        return "skip"
    if source in ("given", "configured") or flag == "auto":
        return "run"
    if not tty:
        return "skip"
    return "run" if yes else "ask"


def make_script(command: str, settings: IndexSettings, folder: str = SECRET_FOLDER) -> bytes:
    """The setup as a script for `sh -s`, to be fed through standard input.

    Standard input is the one way in that neither the image nor the container's configuration keeps. The
    certificates are written beneath `folder` and removed when the command ends, however it ends.
    """
    lines = ["set -eu", "umask 077"]
    if settings.certificates:
        lines += [f"mkdir -p {shlex.quote(folder)}", f"trap 'rm -rf {shlex.quote(folder)}' EXIT HUP INT TERM"]
    for number, (name, content) in enumerate(sorted(settings.certificates.items())):
        path = f"{folder}/{number}.pem"
        lines.append(f"base64 -d > {shlex.quote(path)} <<'KIMICODE_END'")
        lines.append(base64.encodebytes(content).decode("ascii").rstrip("\n"))
        lines += ["KIMICODE_END", f"export {name}={shlex.quote(path)}"]
    for name, value in sorted(settings.variables.items()):
        lines.append(f"export {name}={shlex.quote(value)}")
    # A child of its own with nothing to read: a command that reads input must not eat the rest of the script.
    lines += ["umask 022", f"sh -c {shlex.quote(command)} </dev/null", ""]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class SetupRun:
    """What the command did, as the backend reports it."""

    exit_code: int
    output: str
    """Head and tail, for people."""
    image: str = ""
    """Digest of the committed image; "" where there is none (bubblewrap)."""
    seconds: float = 0.0
    home: Path | None = None
    """What the command left in its home folder, where no image keeps that."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What checkouts are placed into: an image, a layer, and the key that both belong to."""

    key: str
    image: str = ""
    layer: Layer | None = None
    interpreter: str = ""
    output: str = ""
    reused: bool = False
    failed: bool = False
    """The command failed: the run goes on without the environment, and says so."""


Work = Path
Run = Callable[[Work, bytes], Awaitable[SetupRun]]
"""Run the script on the copy of the base at the repository's own path, with network, and commit the image."""


async def build_environment(
    store: LayerStore,
    key: str,
    *,
    script: bytes,
    fill: Callable[[], Awaitable[tuple[Work, frozenset[str]]]],
    run: Run,
    image_exists: Callable[[str], Awaitable[bool]],
    interpreter: str = "",
) -> Environment:
    """The environment of `key`: the kept one, or a new one built and kept.

    `fill` makes a fresh copy of the base checkout and returns it with the paths that git tracks in it; it is
    only called when something must be built. `image_exists` says whether a remembered image is still there.
    Raises OSError when the layer cannot be stored; a command that fails gives an environment with `failed`.
    """
    kept = await store.load(key)
    if kept is not None and (not kept.image or await image_exists(kept.image)):
        return Environment(
            key=key,
            image=kept.image,
            layer=kept,
            interpreter=kept.interpreter,
            output=kept.output,
            reused=True,
        )
    work, tracked = await fill()
    done = await run(work, script)
    if done.exit_code != 0:
        return Environment(key=key, output=done.output, failed=True)
    layer = await store.collect(
        key,
        work,
        tracked,
        image=done.image,
        interpreter=interpreter,
        output=done.output[-20_000:],
        home=done.home,
    )
    return Environment(
        key=key, image=done.image, layer=layer, interpreter=layer.interpreter, output=done.output
    )
