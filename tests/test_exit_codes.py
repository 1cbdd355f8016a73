"""docs/exit-codes.md says what the code does."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import get_args

from kimicode import errors
from kimicode.core.event import StopReason
from kimicode.core.outcome import EXIT_CODES, classify

DOCUMENT = (Path(__file__).parent.parent / "docs" / "exit-codes.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table that follows a heading, its head left out."""
    after = DOCUMENT.split(f"{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.group().splitlines()[2:]]


def test_the_codes_are_those_of_the_table() -> None:
    assert {int(code): meaning for code, meaning in rows("# Exit codes")} == EXIT_CODES


def test_every_way_to_stop_has_exactly_one_row_and_it_is_right() -> None:
    table = rows("## Stop reason × verdict")
    words = {True: "yes", False: "no"}
    used = set()
    for reason, changed, verdict, applicable in itertools.product(
        get_args(StopReason), (True, False), ("verified", "unverified", "failed"), (True, False)
    ):
        case = (reason, words[changed], verdict, words[applicable])
        hits = [
            i for i, row in enumerate(table) if all(r in ("*", c) for r, c in zip(row, case, strict=False))
        ]
        assert len(hits) == 1, case
        used.update(hits)
        status, code = classify(reason, verdict, changed=changed, applicable=applicable, error_code=75)
        documented = table[hits[0]][4:]
        assert documented == [status, "that of the error" if reason == "error" else str(code)], case
    assert used == set(range(len(table)))


def test_every_error_is_listed_with_its_code() -> None:
    listed = {name: int(code) for names, code in rows("## Errors")[:-1] for name in names.split(", ")}
    ours = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type)
        and issubclass(kind, errors.KimicodeError)
        and not issubclass(kind, errors.ToolError)
        and kind is not errors.KimicodeError
    }
    assert listed == ours
    assert errors.KimicodeError.exit_code == 1
    assert set(ours.values()) <= set(EXIT_CODES)
