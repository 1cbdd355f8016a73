"""Plans and limits of a run, as plain data."""

from __future__ import annotations

from kimicode.core.message import Frozen


class Limits(Frozen):
    """When a run stops by itself. None: no limit."""

    max_steps: int = 100
    """Answers of the model."""
    max_cost: float | None = 5.0
    """USD."""
    max_time: float | None = 3600.0
    """Seconds of kimicode's own running time, pauses between a kill and a resume not counted."""
    max_tokens: int | None = None
    """Input and output tokens together."""
