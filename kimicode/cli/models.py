"""`kimicode models`: what the catalog knows."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from kimicode.cli import options as opt

app = typer.Typer(**opt.PLAIN)


@app.command()
def models(as_json: opt.Json = False) -> int:
    """List the models and kinds of servers that kimicode knows, with prices per million tokens.

    Other models work too: without a price in the catalog their cost is not counted.
    """
    from kimicode.models.catalog import BACKENDS, DEFAULT_MODEL, ENTRIES

    known: list[dict[str, Any]] = [
        {
            "id": entry.id,
            "default": entry.id == DEFAULT_MODEL,
            "context_window": entry.window,
            "usd_input": entry.price_input,
            "usd_cached": entry.price_cached,
            "usd_output": entry.price_output,
        }
        for entry in ENTRIES.values()
    ]
    servers: list[dict[str, Any]] = [
        {
            "backend": backend.name,
            "base_url": backend.base_url,
            "model": backend.model,
            "key_variables": list(backend.key_variables),
            "key_optional": backend.key_optional,
        }
        for backend in BACKENDS.values()
    ]
    if as_json:
        found = {"models": known, "backends": servers}
        sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=2) + "\n")
        return 0
    sys.stdout.write(_text(known, servers))
    return 0


def _text(known: list[dict[str, Any]], servers: list[dict[str, Any]]) -> str:
    from kimicode.ui.lines import tokens
    from kimicode.ui.summary import format_rows

    rows = [("model", "window", "input", "cached", "output")]
    for m in known:
        prices = (f"${m[k]:.2f}" for k in ("usd_input", "usd_cached", "usd_output"))
        name = m["id"] + (" (default)" if m["default"] else "")
        rows.append((name, tokens(m["context_window"]), *prices))
    lines = [*format_rows(rows, 80), ""]
    places = [("server", "address", "id of K2.6 there", "key")]
    for s in servers:
        key = " or ".join(s["key_variables"]) + (" (optional)" if s["key_optional"] else "")
        places.append((s["backend"], s["base_url"] or "--base-url", s["model"], key))
    return "\n".join([*lines, *format_rows(places, 120)]) + "\n"
