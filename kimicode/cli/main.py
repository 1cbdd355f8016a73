"""The `kimicode` command: a table of commands, each imported when it is called."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "fix": ("kimicode.cli.fix", "Repair or change something and leave a tested commit."),
    "demo": ("kimicode.cli.demo", "Watch a whole fix on a bundled repository; needs no key."),
    "resume": ("kimicode.cli.resume", "Go on with a run that was stopped."),
    "sessions": ("kimicode.cli.sessions", "List, show and delete past runs."),
    "config": ("kimicode.cli.config", "Show the settings and where each comes from."),
    "models": ("kimicode.cli.models", "List the models that kimicode knows."),
    "doctor": ("kimicode.cli.doctor", "Check this machine: Python, git, sandboxes, key, endpoint."),
}
"""Name -> module that holds its `app`, and the line that the overview shows without importing it."""


class CommandTable(TyperGroup):
    """A group whose commands are imported when they are called, so that help and version stay fast."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            import importlib

            module = importlib.import_module(COMMANDS[cmd_name][0])
            command = typer.main.get_command(module.app)
            command.name = cmd_name
            self.commands[cmd_name] = command
        return self.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] in COMMANDS:
            # The group has no option to read then, and typer would import pydantic to read none.
            ctx._protected_args, ctx.args = args[:1], args[1:]
            return args[1:]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from kimicode.config.table import nearest

            near = nearest(args[0], COMMANDS)
            hint = f" Did you mean {near!r}?" if near else ""
            if " " in args[0]:
                hint = f' Did you mean: kimicode fix "{args[0]}"?'
            ctx.fail(f"There is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=CommandTable,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from kimicode.cli.version import VERSION_LINE

        sys.stdout.write(VERSION_LINE + "\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Give it an issue; get a tested commit. A coding agent for Kimi K2.6.

    Unofficial: not affiliated with Moonshot AI.
    """


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code (the table is in docs/exit-codes.md)."""
    if sys.platform == "win32":
        sys.stderr.write("kimicode: Windows itself is not supported; it runs in WSL 2 (wsl --install)\n")
        return 3
    from kimicode.errors import KimicodeError

    _fill_closed_streams()
    try:
        result = typer.main.get_command(app)(args=arguments, prog_name="kimicode", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except typer.Abort:
        return 130
    except typer.TyperException as e:
        show = getattr(e, "show", None)
        if show is not None:
            show()
        return e.exit_code
    except KimicodeError as e:
        from kimicode.ui.problem import print_problem

        print_problem(e)
        return e.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has gone (`| head`): nobody is left to tell.
        _drop_output()
        return 141
    return result if isinstance(result, int) else 0


def _fill_closed_streams() -> None:
    """A log must never be opened under the number of a stream that the caller closed (`2>&-`)."""
    import os

    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _drop_output() -> None:
    """Point stdout at nothing, so that Python's own flush at exit does not complain."""
    import os

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
