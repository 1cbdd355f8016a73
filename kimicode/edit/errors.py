"""The error of the edit engine. Its text is written for the model: what, why, and what to send instead."""

from __future__ import annotations

from typing import Any, Literal

from kimicode.errors import ToolError

EditProblem = Literal[
    "malformed",
    "missing",
    "ambiguous",
    "overlap",
    "placeholder",
    "indentation",
    "binary",
    "encoding",
    "stale",
]


class EditError(ToolError):
    """An edit that was not made. Nothing of its call was made either."""

    def __init__(self, message: str, *, kind: EditProblem, path: str = "") -> None:
        super().__init__(message)
        self.kind: EditProblem = kind
        self.path = path

    @property
    def data(self) -> dict[str, Any]:
        """For ToolResult.data: the state counts failures of a path in a row."""
        return {"failed_paths": [self.path], "kind": self.kind} if self.path else {"kind": self.kind}
