"""Which adapters a run is made of. Tests and the demo hand over their own; everybody else uses ADAPTERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from kimicode.app.endpoint import Connection, Endpoint
from kimicode.config import Config
from kimicode.core.ports import Launcher


@dataclass(frozen=True, slots=True)
class Wanted:
    """What sandbox a run wants."""

    backend: str = "auto"
    image: str = ""
    bundled: bool = False
    """The repository is kimicode's own: the host may be taken, and no image is built for it."""
    session: str = ""
    proofs: Path | None = None
    """A file that remembers on what the Docker backend has proven itself."""
    progress: Callable[[str], None] = lambda line: None


def make_launchers(wanted: Wanted) -> tuple[Launcher, ...]:
    """The backends to try, best first. The host is tried by itself only for kimicode's own repository."""

    def docker() -> Launcher:
        from kimicode.sandbox.docker import DockerLauncher

        return DockerLauncher(
            image=wanted.image,
            run=wanted.session,
            proofs=wanted.proofs,
            # The demo is to run at once: it waits for an image only when it was told to use Docker.
            fetch=not wanted.bundled or wanted.backend == "docker",
            progress=wanted.progress,
        )

    def bwrap() -> Launcher:
        from kimicode.sandbox.bubblewrap import BubblewrapLauncher

        return BubblewrapLauncher()

    def host() -> Launcher:
        from kimicode.sandbox.host import HostLauncher

        return HostLauncher()

    makers: Mapping[str, Callable[[], Launcher]] = {"docker": docker, "bwrap": bwrap, "host": host}
    names = ["docker", "bwrap", *(["host"] if wanted.bundled else [])]
    if wanted.backend != "auto":
        names = [wanted.backend]
    return tuple(makers[name]() for name in names)


@dataclass(frozen=True, slots=True)
class Adapters:
    """How the parts with effects are made."""

    connect: Callable[[Config, MutableMapping[str, str]], Connection] = Endpoint.find
    launchers: Callable[[Wanted], tuple[Launcher, ...]] = make_launchers
    """Candidates, best first."""


ADAPTERS = Adapters()
