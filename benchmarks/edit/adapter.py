"""kimicode's edit engine behind the line protocol of score.py: one JSON case a line in, one JSON answer a line out.

    score.py --cases cases.jsonl.gz --name kimicode --cmd 'python benchmarks/edit/adapter.py'

S: the blocks are the `edits` of one call. P: the envelope. U (unified diffs) is not taken by any tool yet: refused.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kimicode.edit.envelope import plan_patch
from kimicode.edit.parse import parse_edit
from kimicode.edit.patch import parse_patch
from kimicode.edit.plan import Source, plan
from kimicode.errors import ToolError


def answer(case: dict[str, Any]) -> dict[str, Any]:
    path, data = case["path"], case["before"].encode("utf-8", "surrogatepass")
    try:
        if case["kind"] == "S":
            items = [
                {"path": path, "old": whole(b["search"]), "new": whole(b["replace"])} for b in case["blocks"]
            ]
            edits = [parse_edit(item, number) for number, item in enumerate(items, 1)]
            after = plan({path: Source(data)}, edits)[0].after
        elif case["kind"] == "P":
            patches = parse_patch(case["edit"])
            result = plan_patch({path: Source(data)}, patches)[0].edit
            assert result is not None
            after = result.after
        else:
            return {"ok": False, "error": "unified diffs are not taken yet"}
    except ToolError as e:
        return {"ok": False, "error": str(e)}
    return {"ok": True, "text": after.decode("utf-8", "surrogatepass")}


def whole(block: str) -> str:
    """A block between its markers, whose last line end the case leaves out."""
    return block + "\n" if block else ""


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
