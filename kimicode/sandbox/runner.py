"""How the runner is started, and the limits that it is started with."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from kimicode.resources import sandbox_file

RUNNER_FILES = ("runner.py", "command.py", "files.py")

BOOT = """
import os, sys
def boot(path, options):
    options = dict(item.split("=") for item in options.split(",") if item)
    user = int(options.pop("USER", 0))
    if options:
        import resource
        for name in options:
            kind = getattr(resource, "RLIMIT_" + name)
            hard = resource.getrlimit(kind)[1]
            value = int(options[name]) if hard < 0 else min(int(options[name]), hard)
            resource.setrlimit(kind, (value, value))
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    try:
        import ctypes
        prctl = ctypes.CDLL(None).prctl
        for number, value in ((36, 1), (38, 1), (4, 0)):
            prctl(number, value, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass
    sys.path.insert(0, path.rpartition("/")[0])
    with open(path, "rb") as file:
        return compile(file.read(), path, "exec")
code = boot(sys.argv[1], sys.argv[2])
del sys.argv[1:3]
exec(code)
"""
"""What the runner's Python executes first: limits, another user, and prctl: child subreaper (orphans come to the
runner where there is no pid namespace), no new privileges, not dumpable (commands of the same uid cannot open its
pipes through /proc). python3-minimal lacks ctypes; it is met only in containers, where the runner is pid 1 and the
engine sets limits and privileges."""


@dataclass(frozen=True, slots=True)
class Limits:
    """sandbox/limits.toml. Sizes in bytes."""

    processes: int
    memory: int
    cpus: float
    file_size: int
    open_files: int
    tmp_size: int


def runner_argv(
    python: str, runner: str, root: str, tmp: str, *, options: Mapping[str, int] | None = None
) -> list[str]:
    """Command line that starts the runner. `options`: RLIMIT_* by name; USER: a uid (and gid) to become."""
    text = ",".join(f"{name}={value}" for name, value in (options or {}).items())
    return [python, "-I", "-S", "-B", "-c", BOOT, runner, text, root, tmp]


def load_limits() -> Limits:
    """The limits that every backend keeps as far as it can."""
    with sandbox_file("limits.toml").open("rb") as file:
        data = tomllib.load(file)
    mib = 1 << 20
    return Limits(
        processes=int(data["processes"]),
        memory=int(data["memory_mib"]) * mib,
        cpus=float(data["cpus"]),
        file_size=int(data["file_size_mib"]) * mib,
        open_files=int(data["open_files"]),
        tmp_size=int(data["tmp_size_mib"]) * mib,
    )
