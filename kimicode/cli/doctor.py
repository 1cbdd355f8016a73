"""`kimicode doctor`: tries everything that a run needs and says what to do about what does not work."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kimicode.cli import options as opt

if TYPE_CHECKING:
    from kimicode.cli.inspection import Finding

app = typer.Typer(**opt.PLAIN)


@app.command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the endpoint.")] = False,
    as_json: opt.Json = False,
    model: opt.Model = None,
    base_url: opt.BaseUrl = None,
    image: opt.Image = None,
) -> int:
    """Check this machine: Python, git, sandboxes, key, endpoint, folders, terminal.

    Nothing is changed; the key is looked up and never shown. Exit code 0 when a run could begin.
    """
    flags = opt.flags_of({"model": model, "base_url": base_url, "image": image})
    from kimicode.cli.inspection import inspect_machine, verdict

    findings = asyncio.run(inspect_machine(os.environ, flags, offline=offline))
    code = verdict(findings)
    if as_json:
        rows = [{"name": f.name, "state": f.state, "text": f.text, "remedy": f.remedy} for f in findings]
        sys.stdout.write(
            json.dumps({"exit_code": code, "findings": rows}, ensure_ascii=False, indent=2) + "\n"
        )
        return code
    _print(findings)
    return code


def _print(findings: list[Finding]) -> None:
    from kimicode.text.safe import safe_text
    from kimicode.ui.terminal import find_abilities, paint, to_ascii

    able = find_abilities(sys.stdout, os.environ)
    signs = {"ok": ("✓", "green"), "note": ("●", "yellow"), "bad": ("✗", "red")}
    words = {"ok": "ok  ", "note": "note", "bad": "bad "}
    lines = []
    for finding in findings:
        sign, style = signs[finding.state]
        text = " ".join(safe_text(finding.text).split())
        lines.append(
            f"{paint(f'{sign} {words[finding.state]}', style, color=able.color)} {finding.name:<10} {text}"
        )
        if finding.remedy:
            lines += [f"{'':18}{line.strip()}" for line in safe_text(finding.remedy).splitlines()]
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text if able.unicode else to_ascii(text))
