"""`kimicode sessions`: lists, shows and deletes past runs."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kimicode.cli import options as opt

if TYPE_CHECKING:
    from kimicode.session.store import SessionInfo, Store

app = typer.Typer(**opt.PLAIN, invoke_without_command=True)


@app.callback()
def sessions(context: typer.Context, as_json: opt.Json = False) -> int:
    """List, show and delete past runs. Without a command: the list, newest first."""
    if context.invoked_subcommand is not None:
        return 0
    store = _store()
    rows = [store.describe(i) for i in reversed(store.ids())]
    if as_json:
        _print_json([_as_dict(row) for row in rows])
        return 0
    if not rows:
        sys.stderr.write("kimicode: there are no sessions yet\n")
    for row in rows:
        sys.stdout.write(_line(row) + "\n")
    return 0


@app.command()
def show(
    session: Annotated[str, typer.Argument(metavar="ID", help="Session, or a part of its id.")],
    as_json: opt.Json = False,
) -> int:
    """Show what one run did."""
    store = _store()
    session_id = store.find(session)
    state = store.load(session_id)
    info = store.describe(session_id)
    outcome = state.published.outcome if state.published else {}
    if as_json:
        _print_json({**_as_dict(info), "outcome": outcome or None})
        return 0
    from kimicode.text.safe import safe_text
    from kimicode.ui.lines import money, tokens

    facts = [
        ("session", info.id),
        ("status", info.status),
        ("task", info.task.strip().split("\n")[0] if info.task else ""),
        ("repository", info.repo),
        ("started", _when(info.created)),
        ("model", state.run.model if state.run else ""),
        ("sandbox", state.run.sandbox if state.run else ""),
        ("steps", str(info.steps)),
        (
            "cost",
            f"{money(info.cost_usd)} ({tokens(state.usage.input)} in, {tokens(state.usage.output)} out)",
        ),
        ("verdict", str(outcome.get("verdict", ""))),
        ("branch", info.branch),
        ("folder", str(info.folder)),
    ]
    for name, value in facts:
        if value:
            sys.stdout.write(f"{name:<12}{' '.join(safe_text(value).split())}\n")
    if info.status == "stopped":
        sys.stdout.write(f"\nnext: kimicode resume {info.id}\n")
    return 0


@app.command()
def prune(
    session: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Sessions [those that are done].")
    ] = None,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=0, help="Only those older than N days [14].")
    ] = 14,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also those that could be resumed.")
    ] = False,
) -> int:
    """Delete sessions: their log, snapshots and kept patches. Branches and commits stay.

    Without IDs: those that are done and older than 14 days.
    """
    from kimicode.errors import KimicodeError

    store = _store()
    if session:
        chosen = [store.find(text) for text in session]
    else:
        before = time.time() - days * 86400
        wanted = ("done", "stopped") if unfinished else ("done",)
        found = [store.describe(i) for i in store.ids()]
        chosen = [i.id for i in found if i.status in wanted and i.created <= before]
    failed = 0
    for session_id in chosen:
        try:
            store.remove(session_id)
            sys.stdout.write(f"deleted {session_id}\n")
        except (KimicodeError, OSError) as e:
            failed += 1
            sys.stderr.write(f"kimicode: {session_id} is kept: {e}\n")
    if not chosen:
        sys.stderr.write("kimicode: nothing to delete\n")
    return 1 if failed else 0


def _store() -> Store:
    from kimicode.config import state_dir
    from kimicode.session.store import Store

    return Store(state_dir(os.environ) / "sessions")


def _as_dict(info: SessionInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "status": info.status,
        "created": info.created,
        "repo": info.repo,
        "task": info.task,
        "steps": info.steps,
        "cost_usd": info.cost_usd,
        "branch": info.branch,
        "folder": str(info.folder),
    }


def _line(info: SessionInfo) -> str:
    from kimicode.text.safe import safe_text
    from kimicode.ui.lines import money
    from kimicode.ui.terminal import cut_text, is_tty

    about = " ".join(safe_text(info.task).split())
    line = f"{info.id}  {info.status:<10}  {info.steps:>3} steps  {money(info.cost_usd):>7}  {about}"
    if not is_tty(sys.stdout):
        return line
    import shutil

    return cut_text(line, shutil.get_terminal_size().columns)


def _when(created: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(created)) if created else ""


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
