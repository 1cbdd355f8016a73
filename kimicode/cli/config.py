"""`kimicode config`: the settings, where each comes from, and where the file is."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kimicode.cli import options as opt

app = typer.Typer(**opt.PLAIN, no_args_is_help=True)


@app.callback()
def config() -> None:
    """Show the settings and where each comes from."""


@app.command()
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    as_json: opt.Json = False,
    repo: opt.Repo = ".",
) -> int:
    """Print every setting as it is in force here. Never prints a key."""
    from kimicode.cli.launch import load_for
    from kimicode.config.layers import get
    from kimicode.config.settings import known_keys
    from kimicode.text.safe import safe_text

    loaded = load_for(Path(repo).expanduser().resolve(), {})
    values = {key: get(loaded.config, key) for key in known_keys()}
    if as_json:
        found: dict[str, Any] = {}
        for key, value in values.items():
            source = loaded.origins[key]
            found[key] = (
                {"value": value, "origin": source.layer, "source": source.source} if origin else value
            )
        sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
        return 0
    width = max(len(key) for key in values)
    for key, value in values.items():
        line = f"{key:<{width}}  {safe_text(_shown(value))}"
        if origin:
            line += f"  # {safe_text(str(loaded.origins[key]))}"
        sys.stdout.write(line + "\n")
    return 0


@app.command()
def path() -> int:
    """Print where the user's settings file is, or would be."""
    from kimicode.config import config_path

    file = config_path(os.environ)
    sys.stdout.write(f"{file}\n")
    if not file.exists():
        sys.stderr.write("kimicode: the file is not there yet; all settings have their defaults\n")
    return 0


def _shown(value: Any) -> str:
    """As it would stand in a settings file; what has no value in TOML in words."""
    if value is None:
        return "(not set)"
    return json.dumps(value, ensure_ascii=False)
