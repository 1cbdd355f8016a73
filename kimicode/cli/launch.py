"""From parsed options to a running `fix`, `demo` or `resume`: settings, task, repository, output."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimicode.cli.execute import Output, Work, execute, report_early
from kimicode.cli.options import flags_of
from kimicode.cli.task import Task, read_task
from kimicode.config import Config, Loaded, load, read_repository_files, state_dir
from kimicode.config.repository import find_root
from kimicode.core.outcome import Outcome
from kimicode.core.ports import Approver
from kimicode.core.state import State
from kimicode.errors import KimicodeError, UsageError

if TYPE_CHECKING:
    from kimicode.app.request import FixRequest

FORMATS = ("text", "json", "stream-json")


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known before the loop starts."""

    config: Config
    work: Work
    seed: State | None = None
    base_name: str = "HEAD"
    notes: tuple[str, ...] = ()


def launch_fix(given: Mapping[str, Any]) -> int:
    """`kimicode fix`."""
    return _launch(given, _prepare_fix)


def launch_demo(given: Mapping[str, Any]) -> int:
    """`kimicode demo`."""
    return _launch(given, _prepare_demo)


def launch_resume(given: Mapping[str, Any]) -> int:
    """`kimicode resume`."""
    return _launch(given, _prepare_resume)


def _launch(given: Mapping[str, Any], prepare: Callable[[Mapping[str, Any]], Prepared]) -> int:
    """Prepare and run. Errors before the run are told in the form that was asked for, too."""
    form = given.get("output_format") or os.environ.get("KIMICODE_OUTPUT_FORMAT") or "text"
    output = Output.standard(form if form in FORMATS else "text")
    try:
        if given.get("output"):
            output = Output.file(output.format, given["output"])
        ready = prepare(given)
    except KimicodeError as e:
        return report_early(e, output)
    output.format = ready.config.output.format
    return execute(
        ready.work,
        ready.config,
        environ=os.environ,
        output=output,
        yes=bool(given.get("yes")),
        seed=ready.seed,
        base_name=ready.base_name,
        notes=ready.notes,
    )


def _prepare_fix(given: Mapping[str, Any]) -> Prepared:
    repo = _folder(given["repo"])
    loaded = load_for(repo, given)
    task = read_task(given["task"])
    request = _request(given, task, repo)
    config = loaded.config

    async def work(sinks: list[Any], approve: Approver) -> Outcome:
        from kimicode.app.fix import fix

        return await fix(request, config, sinks=sinks, approve=approve, environ=os.environ)

    return Prepared(config, work, base_name=given["base"] or "HEAD", notes=task.notes)


def _prepare_demo(given: Mapping[str, Any]) -> Prepared:
    config = load(os.environ, flags=flags_of(given)).config

    async def work(sinks: list[Any], approve: Approver) -> Outcome:
        from kimicode.app.demo import demo

        return await demo(live=given["live"], config=config, sinks=sinks, approve=approve, environ=os.environ)

    return Prepared(config, work)


def _prepare_resume(given: Mapping[str, Any]) -> Prepared:
    config = load(os.environ, flags=flags_of(given)).config
    from kimicode.session.store import Store

    store = Store(state_dir(os.environ) / "sessions")
    session_id = store.find(given["session"]) if given["session"] else store.newest_open()
    seed = store.load(session_id)

    async def work(sinks: list[Any], approve: Approver) -> Outcome:
        from kimicode.app.fix import resume

        return await resume(session_id, sinks=sinks, approve=approve, environ=os.environ)

    return Prepared(config, work, seed=seed)


def load_for(repo: Path, given: Mapping[str, Any]) -> Loaded:
    """The settings for work on the repository that holds `repo`, its own proposals included."""
    root = find_root(repo)
    files = read_repository_files(root) if root is not None else {}
    return load(os.environ, flags=flags_of(given), repository=files)


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UsageError(f"--repo: {text} {what}", hint="name the folder of a git repository")
    return path.resolve()


def _request(given: Mapping[str, Any], task: Task, repo: Path) -> FixRequest:
    from kimicode.app.request import FixRequest
    from kimicode.ui.approve import open_keyboard

    for name in ("base", "branch"):
        value = given[name]
        if value is not None and (not value.strip() or value.startswith("-")):
            raise UsageError(f"--{name} {value!r} cannot be a name in git", hint="see kimicode fix --help")
    if given["branch"] and given["apply"]:
        raise UsageError(
            "--branch and --apply exclude each other: --apply makes no branch", hint="leave one of them out"
        )
    with open_keyboard() as keyboard:
        interactive = keyboard is not None
    return FixRequest(
        task=task.text,
        context=task.context,
        repo=repo,
        base=given["base"],
        paths=tuple(_inside(repo, p) for p in given["paths"] or ()),
        apply=given["apply"],
        patch=_patch_file(given["patch"]),
        branch=given["branch"],
        allow_test_change=tuple(given["allow_test_change"] or ()),
        yes=given["yes"],
        interactive=interactive,
    )


def _inside(repo: Path, text: str) -> str:
    """A path below the repository's root, relative to it, from one relative to --repo."""
    root = find_root(repo) or repo
    path = Path(os.path.normpath(repo / text))
    if not text.strip() or not path.is_relative_to(root):
        raise UsageError(f"--paths: {text!r} is not inside {root}", hint="name folders or files below it")
    if not path.exists():
        raise UsageError(f"--paths: {text} does not exist in {repo}", hint="name folders or files below it")
    return path.relative_to(root).as_posix()


def _patch_file(text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text).expanduser()
    path = path if path.is_absolute() else Path.cwd() / path
    if not text.strip() or path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--patch: {text!r} cannot be written", hint="name a file in a folder that exists")
    return path
