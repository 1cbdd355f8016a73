"""The options of `fix` and its relatives, and how they become settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

PLAIN: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "add_completion": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""How every command is built: fast plain help, errors that reach cli.main."""


def _text(*names: str, metavar: str, text: str) -> Any:
    # Values stay text: config judges them, so that an option, a variable and a file get the same message.
    return typer.Option(*names, metavar=metavar, help=text, show_default=False)


Task = Annotated[
    str, typer.Argument(metavar="TASK", help="What to do; - reads it from stdin, @FILE from a file.")
]
Repo = Annotated[str, _text("--repo", metavar="DIR", text="Repository [the current folder].")]
Base = Annotated[str | None, _text("--base", metavar="REV", text="Start there [HEAD and your changes].")]
Paths = Annotated[list[str] | None, _text("--paths", metavar="PATH", text="Only these (repeatable).")]
Model = Annotated[str | None, _text("--model", metavar="ID", text="Model to ask [kimi-k2.6].")]
BaseUrl = Annotated[
    str | None, _text("--base-url", metavar="URL", text="Endpoint [https://api.moonshot.ai/v1].")
]
Thinking = Annotated[
    bool | None, typer.Option("--thinking/--no-thinking", help="Think before answering [thinking].")
]
Sandbox = Annotated[
    str | None,
    _text("--sandbox", metavar="docker|bwrap|host", text="Where commands run [docker, else bwrap]."),
]
Image = Annotated[str | None, _text("--image", metavar="NAME", text="Docker image [kimicode's own].")]
Setup = Annotated[
    str | None, _text("--setup", metavar="CMD|auto|none", text="Installs what the project needs [asks].")
]
Check = Annotated[
    list[str] | None, _text("--check", metavar="CMD|none", text="Checks the project (repeatable) [detected].")
]
Network = Annotated[
    str | None, _text("--network", metavar="none|allowlist", text="What commands may reach [none].")
]
MaxSteps = Annotated[str | None, _text("--max-steps", metavar="N", text="Stop after N answers [100].")]
MaxCost = Annotated[str | None, _text("--max-cost", metavar="USD", text="Stop at this cost [5.00].")]
MaxTime = Annotated[str | None, _text("--max-time", metavar="TIME", text="Stop after 90, 90s, 15m, 2h [1h].")]
Branch = Annotated[str | None, _text("--branch", metavar="NAME", text="Branch of the result [kimicode/...].")]
Apply = Annotated[bool, typer.Option("--apply", help="Write into your files, make no branch.")]
Patch = Annotated[str | None, _text("--patch", metavar="FILE", text="Also write the result as a patch.")]
AllowTestChange = Annotated[
    list[str] | None,
    _text("--allow-test-change", metavar="PATTERN", text="Test files that may change (repeatable)."),
]
OutputFormat = Annotated[
    str | None, _text("--output-format", metavar="text|json|stream-json", text="Form of the result [text].")
]
OutputFile = Annotated[str | None, _text("-o", "--output", metavar="FILE", text="Write the result there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer every question with yes.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show reasoning, diffs, tracebacks.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SETTINGS: dict[str, tuple[str, str]] = {
    "model": ("model.id", "--model"),
    "base_url": ("model.base_url", "--base-url"),
    "thinking": ("model.thinking", "--thinking"),
    "sandbox": ("sandbox.backend", "--sandbox"),
    "image": ("sandbox.image", "--image"),
    "setup": ("setup.command", "--setup"),
    "check": ("checks.commands", "--check"),
    "network": ("network.mode", "--network"),
    "max_steps": ("limits.max_steps", "--max-steps"),
    "max_cost": ("limits.max_cost", "--max-cost"),
    "max_time": ("limits.max_time", "--max-time"),
    "output_format": ("output.format", "--output-format"),
    "verbose": ("output.verbose", "--verbose"),
}
"""Parameter of a command -> setting and the option that gives it."""


def flags_of(given: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    """The settings that options gave, for `config.load`. None, False and [] mean "not given", "" does not."""
    found: dict[str, tuple[Any, str]] = {}
    for name, (key, option) in SETTINGS.items():
        value = given.get(name)
        if name == "thinking" and value is False:
            found[key] = (False, "--no-thinking")
        elif value is not None and value is not False and value != []:
            found[key] = (value, option)
    return found
