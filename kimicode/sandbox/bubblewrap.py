"""Sandboxes by bubblewrap: namespaces without a daemon; the host's programs, read-only, and no network."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kimicode.core.ports import Sandbox, Slot
from kimicode.errors import SandboxError, SandboxLost, SandboxUnavailable
from kimicode.resources import sandbox_file
from kimicode.sandbox.client import connect
from kimicode.sandbox.host import UNPRIVILEGED
from kimicode.sandbox.pipes import spawn
from kimicode.sandbox.proof import own, prove
from kimicode.sandbox.runner import RUNNER_FILES, Limits, load_limits, runner_argv
from kimicode.sandbox.toolchain import ETC, NETWORK, SYSTEM, identify, toolchain
from kimicode.sandbox.variables import base_env

HOME = "/home/kimicode"
TMP = "/tmp"
RUNNER = "/run/kimicode"
_REMEDY = (
    "Install bubblewrap (apt-get install bubblewrap) and allow user namespaces (on Ubuntu 24.04 and later: sysctl "
    "kernel.apparmor_restrict_unprivileged_userns=0), or use --sandbox docker."
)

_ISOLATED = ("--unshare-all",)
_AS_ROOT = ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
"""No user namespace: root mounts, and the runner drops to an unprivileged uid before it runs anything."""


class BubblewrapLauncher:
    """Proves in `prepare` that bubblewrap works here; commands see the host's toolchain and nothing of its homes."""

    name = "bwrap"

    def __init__(
        self,
        *,
        network: bool = False,
        limits: Limits | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`network`: the host's own, with its resolver and its names of hosts; only a setup step asks for it."""
        self._network = network
        self.owner: tuple[int, int] | None = None
        self._limits, self._environ = limits or load_limits(), os.environ if environ is None else environ
        self._program = ""

    async def prepare(self, probe: Path) -> str:
        """As root it tries to run commands under an unprivileged uid first, then as root of a user namespace."""
        program = shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin") or shutil.which("bwrap")
        if not sys.platform.startswith("linux") or program is None:
            raise SandboxUnavailable("bubblewrap (bwrap) is not installed.", hint=_REMEDY)
        self._program = program
        reasons: list[str] = []
        for owner in (UNPRIVILEGED, None) if os.getuid() == 0 else (None,):
            self.owner = owner
            try:
                await prove(self._launch, probe.parent, owner)
            except SandboxError as error:
                reasons.append(str(error))
                continue
            uid = owner[0] if owner else os.getuid()
            network = "the host's network" if self._network else "no network"
            return f"bwrap: uid {uid}, {network}, the host's programs read-only; memory and processes are not limited"
        raise SandboxUnavailable(
            "bubblewrap does not work here: " + " ".join(dict.fromkeys(reasons)), hint=_REMEDY
        )

    async def _launch(self, folder: Path) -> Sandbox:
        return await self.start(Slot(folder, folder, folder, str(folder), folder))

    async def start(self, slot: Slot, *, env: Mapping[str, str] | None = None) -> Sandbox:
        home = slot.scratch / "home"
        await asyncio.to_thread(home.mkdir, mode=0o700, parents=True, exist_ok=True)
        own(home, self.owner)
        folders, path = toolchain(self._environ, Path(slot.root))
        python = str(Path(sys.executable).resolve())
        options = {"FSIZE": self._limits.file_size, "NOFILE": self._limits.open_files, "CORE": 0}
        if self.owner:
            options["USER"] = self.owner[0]
        binds = [
            *((str(folder), str(folder), False) for folder in folders),
            (str(sandbox_file(RUNNER_FILES[0]).parent), RUNNER, False),
            (str(home), HOME, True),
            (str(slot.gitdir), str(slot.gitdir), True),
            (str(slot.objects), str(slot.objects), False),
            (str(slot.work), slot.root, True),
            *((str(source), target, False) for source, target in slot.readonly),
        ]
        argv = [
            self._program,
            *self._namespaces(),
            *jail(
                binds,
                accounts=_accounts(slot.scratch, self.owner, network=self._network),
                tmp_size=self._limits.tmp_size,
                etc=(*ETC, *NETWORK) if self._network else ETC,
            ),
            "--",
            *runner_argv(python, f"{RUNNER}/{RUNNER_FILES[0]}", slot.root, TMP, options=options),
        ]
        variables = base_env(path=":".join(path), home=HOME, tmp=TMP, extra={**self._homes(), **(env or {})})
        try:
            transport = await spawn(argv, variables)
        except OSError as error:
            raise SandboxLost(f"bubblewrap cannot be started: {error}") from error
        return await connect(self.name, transport, root=slot.root, tmp=TMP, network=self._network)

    def _namespaces(self) -> list[str]:
        if self.owner:
            return [option for option in _AS_ROOT if not (self._network and option == "--unshare-net")]
        return [*_ISOLATED, *(["--share-net"] if self._network else []), "--cap-drop", "ALL"]

    def programs(self, root: str) -> str:
        """What names the host's programs as a sandbox over `root` sees them: another text after an update."""
        return identify(self._environ, Path(root))

    def _homes(self) -> dict[str, str]:
        """Where version switchers find their toolchains although HOME is another folder."""
        home = Path(self._environ.get("HOME") or "/nonexistent")
        found = {}
        for name, folder in (("RUSTUP_HOME", ".rustup"), ("PYENV_ROOT", ".pyenv")):
            place = Path(self._environ.get(name) or home / folder)
            if place.is_dir():
                found[name] = str(place)
        return found

    async def close(self) -> None:
        """Nothing is shared between sandboxes."""


def jail(
    binds: Sequence[tuple[str, str, bool]],
    *,
    accounts: Mapping[str, Path],
    tmp_size: int,
    etc: Sequence[str] = ETC,
) -> list[str]:
    """bwrap's options: an empty root, system folders, then `binds` (source, target, writable), parents first.

    A target may lie beneath another one or beneath /tmp, so the order is that of depth; of two equal targets the
    last wins. `accounts`: files of /etc made for this sandbox; `etc`: those of the host.
    """
    options = ["--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "kimicode"]
    for folder in SYSTEM:
        place = Path(folder)
        if place.is_symlink():
            options += ["--symlink", str(place.readlink()), folder]
        elif place.is_dir():
            options += ["--ro-bind", folder, folder]
    for folder in ("/etc", "/etc/ssl", "/run"):
        options += ["--perms", "0755", "--dir", folder]
    for name in etc:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name, file in accounts.items():
        options += ["--ro-bind", str(file), f"/etc/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    for folder in (TMP, "/dev/shm"):
        options += ["--perms", "1777", "--size", str(tmp_size), "--tmpfs", folder]
    targets = {os.path.normpath(target): (source, writable) for source, target, writable in binds}
    made: set[str] = set()
    for target in sorted(targets, key=lambda path: (path.count("/"), path)):
        for parent in reversed(Path(target).parents):
            covered = any(parent.is_relative_to(done) for done in (*SYSTEM, *targets))
            if str(parent) not in made and str(parent) not in ("/", TMP) and not covered:
                made.add(str(parent))
                options += ["--perms", "0755", "--dir", str(parent)]
        source, writable = targets[target]
        options += ["--bind" if writable else "--ro-bind", source, target]
    return [*options, "--remount-ro", "/", "--chdir", "/"]


def _accounts(scratch: Path, owner: tuple[int, int] | None, *, network: bool = False) -> dict[str, Path]:
    """passwd, group, nsswitch.conf and, without network, hosts: with nothing of the host's accounts."""
    uid, gid = owner or (os.getuid(), os.getgid())
    passwd = "" if uid == 0 else f"kimicode:x:{uid}:{gid}:kimicode:{HOME}:/bin/sh\n"
    group = "" if gid == 0 else f"kimicode:x:{gid}:\n"
    root = f"root:x:0:0:root:{'/root' if uid else HOME}:/bin/sh\n"
    texts = {
        "passwd": f"{root}{passwd}nobody:x:65534:65534:nobody:/:/bin/false\n",
        "group": f"root:x:0:\n{group}nogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost kimicode\n::1 localhost\n",
        "nsswitch.conf": f"passwd: files\ngroup: files\nhosts: files{' dns' if network else ''}\n",
    }
    if network:
        del texts["hosts"]
    folder = scratch / "etc"
    folder.mkdir(mode=0o755, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    return {name: folder / name for name in texts}
