"""Second looks at a planned result: nothing outside the edits changed, and what parsed before still parses."""

from __future__ import annotations

import ast
import json
import posixpath
import tomllib
import warnings

from kimicode.edit.document import Document, encode
from kimicode.edit.errors import EditError
from kimicode.edit.replay import Region

MAX_PARSED = 2 * 1024 * 1024


def check_untouched(before: Document, after: Document, regions: list[Region], path: str) -> None:
    """Compare, byte for byte, everything around the regions. A difference is a fault of kimicode: EditError."""
    old = new = 0
    for region in [*sorted(regions, key=lambda r: (r.start, r.end)), None]:
        old_end = region.old_start if region else len(before.lines)
        new_end = region.start if region else len(after.lines)
        same = before.lines[old:old_end] == after.lines[new:new_end]
        if not same and not _only_last_end(before, after, old, old_end, new, new_end):
            raise EditError(
                f"{path}: the planned result differs outside the edit, which is a fault of kimicode. Nothing was "
                "changed. Use write_file or shell for this change.",
                kind="overlap",
                path=path,
            )
        if region:
            old, new = region.old_end, region.end


def _only_last_end(before: Document, after: Document, a: int, b: int, c: int, d: int) -> bool:
    """Whether two runs of lines differ only in the end of the file's last line, old or new."""
    if b - a != d - c or [line.text for line in before.lines[a:b]] != [
        line.text for line in after.lines[c:d]
    ]:
        return False
    differing = [i for i in range(b - a) if before.lines[a + i] != after.lines[c + i]]
    return all(a + i == len(before.lines) - 1 or c + i == len(after.lines) - 1 for i in differing)


def syntax_error(path: str, data: bytes) -> str | None:
    """Why a Python, JSON or TOML file does not parse, "" when it does, None when nobody can say."""
    if len(data) > MAX_PARSED:
        return None
    kind = posixpath.splitext(path)[1]
    try:
        if kind in (".py", ".pyi"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(data)
        elif kind == ".json":
            json.loads(data)
        elif kind == ".toml":
            tomllib.loads(data.decode())
        else:
            return None
    except SyntaxError as e:
        return f"{e.msg}, line {e.lineno}" if e.lineno else str(e.msg)
    except json.JSONDecodeError as e:
        return f"{e.msg}, line {e.lineno}"
    except (ValueError, RecursionError, MemoryError) as e:
        return str(e) or type(e).__name__
    return ""


def judge_syntax(path: str, before: bytes | None, after: bytes) -> str:
    """One line on the syntax of a changed file, "" when there is nothing to say. `before` None: a new file."""
    now = syntax_error(path, after)
    if now is None:
        return ""
    if not now:
        return "syntax ok"
    was = syntax_error(path, before) if before is not None else ""
    if was == "":
        return f"SYNTAX ERROR{' since this edit' if before is not None else ''}: {now}"
    return f"syntax error, as before this edit: {now}"


def same_bytes(document: Document, data: bytes) -> bool:
    """Whether decoding lost nothing."""
    return encode(document) == data
