"""`kimicode fix`: from a sentence to a tested commit."""

from __future__ import annotations

import typer

from kimicode.cli import options as opt

app = typer.Typer(**opt.PLAIN)


@app.command()
def fix(
    task: opt.Task,
    repo: opt.Repo = ".",
    base: opt.Base = None,
    paths: opt.Paths = None,
    model: opt.Model = None,
    base_url: opt.BaseUrl = None,
    thinking: opt.Thinking = None,
    sandbox: opt.Sandbox = None,
    image: opt.Image = None,
    setup: opt.Setup = None,
    check: opt.Check = None,
    network: opt.Network = None,
    max_steps: opt.MaxSteps = None,
    max_cost: opt.MaxCost = None,
    max_time: opt.MaxTime = None,
    branch: opt.Branch = None,
    apply: opt.Apply = False,
    patch: opt.Patch = None,
    allow_test_change: opt.AllowTestChange = None,
    output_format: opt.OutputFormat = None,
    output: opt.OutputFile = None,
    yes: opt.Yes = False,
    verbose: opt.Verbose = False,
) -> int:
    """Repair or change something and leave a tested commit on a new branch.

    Your working tree, index, stash and current branch are not touched. Input piped in beside TASK is added as
    context: pytest 2>&1 | kimicode fix "make this pass"
    """
    given = dict(locals())
    from kimicode.cli.launch import launch_fix

    return launch_fix(given)
