"""`kimicode resume`: goes on with a run that was stopped or killed."""

from __future__ import annotations

from typing import Annotated

import typer

from kimicode.cli import options as opt

app = typer.Typer(**opt.PLAIN)


@app.command()
def resume(
    session: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Session, or a part of its id [the newest open one].")
    ] = None,
    output_format: opt.OutputFormat = None,
    output: opt.OutputFile = None,
    yes: opt.Yes = False,
    verbose: opt.Verbose = False,
) -> int:
    """Go on with a run that was interrupted, killed, or stopped by trouble.

    It keeps the settings that it began with, and everything it did; a command that was running when it
    stopped is undone and run again.
    """
    given = dict(locals())
    from kimicode.cli.launch import launch_resume

    return launch_resume(given)
