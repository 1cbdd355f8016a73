"""`kimicode demo`: the way of `fix` on a bundled repository."""

from __future__ import annotations

from typing import Annotated

import typer

from kimicode.cli import options as opt

app = typer.Typer(**opt.PLAIN)


@app.command()
def demo(
    live: Annotated[
        bool, typer.Option("--live", help="Ask Kimi (needs a key) instead of playing recorded answers.")
    ] = False,
    model: opt.Model = None,
    base_url: opt.BaseUrl = None,
    thinking: opt.Thinking = None,
    sandbox: opt.Sandbox = None,
    image: opt.Image = None,
    max_steps: opt.MaxSteps = None,
    max_cost: opt.MaxCost = None,
    max_time: opt.MaxTime = None,
    output_format: opt.OutputFormat = None,
    output: opt.OutputFile = None,
    yes: opt.Yes = False,
    verbose: opt.Verbose = False,
) -> int:
    """Watch a whole fix on a bundled buggy repository; needs no key and no network.

    The same path as kimicode fix: a real agent loop, a real sandbox, checks before and after, a commit. Only the
    answers are recorded, unless --live is given.
    """
    given = dict(locals())
    from kimicode.cli.launch import launch_demo

    return launch_demo(given)
