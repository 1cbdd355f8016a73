"""The first launcher that works, found by trying, with the reasons why earlier ones did not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kimicode.core.ports import Launcher
from kimicode.errors import SandboxError, SandboxUnavailable


async def choose(launchers: Sequence[Launcher], probe: Path) -> tuple[Launcher, list[str]]:
    """(prepared launcher, lines): why each earlier one does not work, last what is used.

    Those that do not work are closed. Raises SandboxUnavailable with all reasons and remedies: never a silent
    fall-back to something weaker than the caller listed.
    """
    lines: list[str] = []
    hints: list[str] = []
    for launcher in launchers:
        try:
            line = await launcher.prepare(probe)
        except SandboxError as error:
            await launcher.close()
            lines.append(f"{launcher.name} does not work: {error}")
            if error.hint:
                hints.append(error.hint)
            continue
        return launcher, [*lines, line]
    raise SandboxUnavailable("No sandbox works here. " + " ".join(lines), hint=" ".join(dict.fromkeys(hints)))
