"""What a model may ask for, as values: replace a unique text, replace a block by its ends, append."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kimicode.edit.errors import EditError


@dataclass(frozen=True, slots=True)
class Replace:
    """Replace `old`, which occurs exactly once (every occurrence with `every`), by `new`."""

    path: str
    old: str
    new: str
    every: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Replace the lines from the one that reads `first` to the one that reads `last`, both included."""

    path: str
    first: str
    last: str
    new: str


@dataclass(frozen=True, slots=True)
class Append:
    """Add `text` at the end of the file, on a line of its own."""

    path: str
    text: str


Edit = Replace | Span | Append

_shapes = "Give old and new, or from_line, to_line and new, or append."


def parse_edit(item: Mapping[str, Any], number: int = 1) -> Edit:
    """One edit from {path, old, new, replace_all} | {path, from_line, to_line, new} | {path, append}.

    Values that are None count as absent. Raises EditError with `number` for anything else.
    """
    given = {k: v for k, v in item.items() if v is not None and k != "path"}
    path = str(item.get("path") or "")

    def wrong(text: str) -> EditError:
        return EditError(f"Edit {number}{f' ({path})' if path else ''}: {text}", kind="malformed", path=path)

    if not path.strip():
        raise wrong("`path` is missing.")
    every = bool(given.pop("replace_all", False))
    names = set(given)
    # Constrained decoding fills optional strings with "": an empty one beside a whole other shape means nothing.
    for name in ("old", "from_line", "to_line", "append"):
        if given.get(name) == "" and any(given.get(o) for o in ("old", "from_line", "append") if o != name):
            names.discard(name)
    if "append" in given and not given["append"] and names & {"old", "from_line"}:
        names.discard("append")
    if names == {"append", "new"} and not given["new"]:
        names.discard("new")
    if names == {"old", "new"}:
        if not given["old"]:
            raise wrong(
                "`old` is empty. To add text, quote the line beside it in old and new, or use append."
            )
        if given["old"] == given["new"]:
            raise wrong("`old` and `new` are the same, so nothing would change.")
        return Replace(path, given["old"], given["new"], every)
    if names == {"from_line", "to_line", "new"} or names == {"from_line", "new"}:
        first = given["from_line"]
        last = given["to_line"] if "to_line" in names else first
        return Span(path, first, last, given["new"])
    if names == {"append"}:
        if not given["append"]:
            raise wrong("`append` is empty.")
        return Append(path, given["append"])
    raise wrong(f"{_missing(names)} {_shapes}")


def _missing(names: set[str]) -> str:
    if not names:
        return "it says nothing to do."
    if names == {"old"}:
        return '`new` is missing (send "" to delete).'
    if names <= {"from_line", "to_line"}:
        return (
            '`new` is missing (send "" to delete the block).'
            if "from_line" in names
            else "`from_line` is missing."
        )
    if names == {"new"}:
        return "`old` is missing. To write a whole file use write_file."
    return f"{', '.join(sorted(names))} do not go together."
