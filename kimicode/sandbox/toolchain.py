"""Which folders of the host a bubblewrap sandbox needs so that the programs on the user's PATH work there."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
ETC = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "java",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "pki",
    "python3",
    "ssl/certs",
    "ssl/openssl.cnf",
)
"""Beneath /etc: what programs need to start, never keys or accounts."""

NETWORK = ("hosts", "resolv.conf")
"""Beneath /etc: what programs with network need to find other machines."""

_PROGRAMS = (
    "python3",
    "python",
    "uv",
    "node",
    "npm",
    "go",
    "rustc",
    "cargo",
    "java",
    "ruby",
    "rg",
    "git",
    "gcc",
)


def toolchain(environ: Mapping[str, str], hidden: Path) -> tuple[list[Path], list[str]]:
    """(folders to bind read-only at their own path, PATH entries that exist inside).

    `hidden`: a folder that must not be shown (the user's repository). Nothing wider than one installation is ever
    bound: no home, no ~/.local, no credentials beside ~/.cargo/bin.
    """
    home = Path(environ.get("HOME") or "/nonexistent")
    entries = []
    for entry in environ.get("PATH", os.defpath).split(":"):
        if entry.startswith("/"):
            entries += _without_shims(entry, environ, hidden)
    folders: list[Path] = []
    for folder in _wanted(environ, home, entries):
        if (
            folder.is_dir()
            and not _system(folder)
            and not _too_wide(folder, home, hidden)
            and folder not in folders
        ):
            folders.append(folder)
    folders = [f for f in folders if not any(other != f and f.is_relative_to(other) for other in folders)]
    own = str(Path(sys.prefix) / "bin")
    path = [
        entry
        for entry in dict.fromkeys([*entries, own])
        if Path(entry).is_dir()
        and (_system(Path(entry)) or any(Path(entry).is_relative_to(f) for f in folders))
    ]
    return folders, path


def identify(environ: Mapping[str, str], hidden: Path) -> str:
    """The programs that `toolchain` shows, named by file, size and time: another text when one was updated."""
    _, path = toolchain(environ, hidden)
    facts = [platform.machine(), *platform.libc_ver()]
    for program in _PROGRAMS:
        found = shutil.which(program, path=":".join(path))
        if found:
            real = Path(found).resolve()
            stat = real.stat()
            facts.append(f"{found} {real} {stat.st_size} {stat.st_mtime_ns}")
    return "\n".join(facts)


def _without_shims(entry: str, environ: Mapping[str, str], hidden: Path) -> list[str]:
    """pyenv's shims want to rewrite themselves after each pip install; here their versions stand in for them."""
    root = Path(entry).parent
    if Path(entry).name != "shims" or not (root / "versions").is_dir():
        return [entry]
    for named in (
        environ.get("PYENV_VERSION", ""),
        _text(hidden / ".python-version"),
        _text(root / "version"),
    ):
        versions = [
            root / "versions" / name / "bin" for name in named.replace(":", " ").split() if "/" not in name
        ]
        found = [str(version) for version in versions if version.is_dir()]
        if found:
            return found
    return [entry]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:1000]
    except OSError:
        return ""


def _wanted(environ: Mapping[str, str], home: Path, entries: list[str]) -> Iterator[Path]:
    yield Path(sys.base_prefix).resolve()
    yield Path(sys.prefix)
    search = os.pathsep.join(entries)
    for program in _PROGRAMS:
        found = shutil.which(program, path=search)
        for path in (Path(found), Path(found).resolve()) if found else ():
            if path.parent.name in ("bin", "shims"):
                yield path.parent if path.parent.parent.name == ".cargo" else path.parent.parent
    yield from (place for entry in entries if (place := Path(entry).parent.parent).name == "versions")
    yield Path(environ.get("RUSTUP_HOME") or home / ".rustup")


def _system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in SYSTEM)


def _too_wide(folder: Path, home: Path, hidden: Path) -> bool:
    """Homes, their ancestors, ~/.local and whatever holds or is held by the user's repository."""
    wide = [home, home.resolve(), home / ".local", home / ".local/share", Path("/opt"), Path("/nix")]
    if any(place.is_relative_to(folder) for place in wide) or len(folder.parts) < 2:
        return True
    return hidden.is_relative_to(folder) or folder.is_relative_to(hidden)
