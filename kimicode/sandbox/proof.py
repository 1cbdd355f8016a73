"""Proof by trying that a sandbox sees a folder of the host and writes into it as the right user."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from kimicode.core.ports import FileChange, Sandbox
from kimicode.errors import FileError, SandboxLost


def own(path: str | os.PathLike[str], owner: tuple[int, int] | None) -> None:
    """Give a path to `owner`; None leaves it as it is."""
    if owner is not None:
        os.chown(path, *owner)


class Proofs:
    """Proofs that hold until the engine, the image or the folder changes, kept in a file; None: kept nowhere.

    A proof costs a container. A file that cannot be read or written is as good as none.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def __contains__(self, key: str) -> bool:
        return key in self._load()

    def add(self, key: str) -> None:
        if self._file is None:
            return
        known = [*(old for old in self._load() if old != key), key][-64:]
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            part.write_text(json.dumps(known))
            part.replace(self._file)
        except OSError:
            pass

    def _load(self) -> list[str]:
        try:
            known = json.loads(self._file.read_text()) if self._file else []
        except (OSError, ValueError):
            return []
        return [key for key in known if isinstance(key, str)] if isinstance(known, list) else []


async def prove(
    launch: Callable[[Path], Awaitable[Sandbox]], parent: Path, owner: tuple[int, int] | None
) -> None:
    """Read a token through a sandbox on a new folder in `parent`, write one, and look at its owner on the host.

    `owner`: who the folder is given to and the written file must belong to; None: this process's user.
    Raises SandboxLost with the reason.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=".kimicode-probe-", dir=parent))
    except OSError as error:
        raise SandboxLost(f"No folder can be made in {parent} ({error.strerror}).") from error
    try:
        token = secrets.token_hex(16).encode()
        (folder / "token").write_bytes(token)
        for path in (folder, folder / "token"):
            own(path, owner)
        sandbox = await launch(folder)
        try:
            if (await sandbox.read("token")).data != token:
                raise SandboxLost("It sees another folder of that name.")
            await sandbox.write([FileChange("answer", token)])
        except FileError as error:
            raise SandboxLost(f"It does not see the folder, or may not write there ({error}).") from None
        finally:
            await sandbox.close()
        answer = folder / "answer"
        if not answer.is_file() or answer.read_bytes() != token:
            raise SandboxLost("What it writes does not arrive.")
        uid, expected = answer.stat().st_uid, owner[0] if owner else os.getuid()
        if uid != expected:
            raise SandboxLost(f"It writes as uid {uid} instead of {expected}.")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
