"""The line that `--version` prints; imports nothing but the package."""

from __future__ import annotations

from kimicode import __version__

VERSION_LINE = (
    f"kimicode {__version__}: a coding agent for Kimi K2.6 (unofficial, not affiliated with Moonshot AI)"
)
