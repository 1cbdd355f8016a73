"""Errors as text: what happened, why, what next."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from kimicode.errors import KeyMissing, KimicodeError
from kimicode.text.safe import safe_text
from kimicode.ui.terminal import Screen, is_tty, paint, stderr_screen

WAYS_ON = """\
Three ways on:
  1. Set the variable named above. Keys for Kimi:
     platform.moonshot.ai, "API keys"; then
       export KIMI_API_KEY=...
  2. Use another endpoint that serves the model:
       export OPENAI_API_KEY=...
       kimicode fix --base-url https://host/v1 ...
  3. See how it works without a key:
       kimicode demo
kimicode doctor shows where a key is looked for."""


def print_problem(
    error: KimicodeError, *, screen: Screen | None = None, environ: Mapping[str, str] = os.environ
) -> None:
    """Print an error on stderr; a missing key gets a panel on a terminal and one line elsewhere."""
    screen = screen or stderr_screen(environ)
    color = screen.abilities.color
    message = str(error)
    if isinstance(error, KeyMissing):
        if is_interactive():
            head = paint(safe_text(message), "bold", color=color)
            screen.write_lines(head, *WAYS_ON.splitlines())
        else:
            line = f"{message.rstrip('.')}; kimicode demo needs no key, kimicode doctor shows where one is looked for"
            screen.write_lines(*problem_lines(" ".join(line.split()), "", color=color))
        return
    screen.write_lines(*problem_lines(message, error.hint, color=color))


def problem_lines(message: str, hint: str, *, color: bool) -> list[str]:
    """The message behind the program's name, and the next step under it."""
    first, *rest = safe_text(message).rstrip().split("\n")
    lines = [f"{paint('kimicode:', 'red', color=color)} {first}", *(f"  {x}" for x in rest)]
    if hint:
        first, *rest = safe_text(hint).rstrip().split("\n")
        lines += [f"  {paint('next:', 'bold', color=color)} {first}", *(f"        {x}" for x in rest)]
    return lines


def is_interactive() -> bool:
    """A person sees stderr and can answer."""
    return is_tty(sys.stderr) and is_tty(sys.stdin)
