"""Keeps the traceback of a bug where the user can find it and nobody else can read it."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path

from kimicode.config import state_dir


def keep_traceback(error: BaseException, environ: Mapping[str, str], session_id: str) -> Path | None:
    """Write the traceback into the session's folder, or beside the sessions; None when that is not possible.

    Secrets are taken out, because people attach such files to bug reports.
    """
    from kimicode.text.redact import Redactor

    text = "".join(traceback.format_exception(error))
    try:
        text = Redactor(_secrets(environ)).redact(text)
        root = state_dir(environ)
        folder = root / "sessions" / session_id
        if not session_id or not folder.is_dir():
            folder = root / "crashes"
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"traceback-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError:
        return None
    return path


def _secrets(environ: Mapping[str, str]) -> list[str]:
    words = ("KEY", "TOKEN", "SECRET", "PASSWORD")
    return [v for n, v in environ.items() if len(v) >= 8 and any(w in n.upper() for w in words)]
