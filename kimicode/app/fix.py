"""`fix` and `resume`: the order of a run's stages. Each stage skips what a former process has done already."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from kimicode import __version__
from kimicode.agent.loop import run_agent, tell_lost
from kimicode.agent.parts import Parts
from kimicode.agent.policy import make_policy
from kimicode.app.adapters import ADAPTERS, Adapters
from kimicode.app.checking import Checking
from kimicode.app.endpoint import Connection
from kimicode.app.preparation import Contents, capture_base, choose_launcher, find_commands, first_words
from kimicode.app.request import FixRequest
from kimicode.app.result import known_outcome, make_outcome
from kimicode.app.run import Run
from kimicode.config import Config, cache_dir, state_dir
from kimicode.core import event as ev
from kimicode.core.decide import Stop
from kimicode.core.outcome import Outcome
from kimicode.core.ports import Approver, Model, Sandbox
from kimicode.errors import ConfigError
from kimicode.resources import prompt
from kimicode.session.journal import Journal
from kimicode.session.session import Session, Sink
from kimicode.session.store import Store, new_id
from kimicode.text.redact import Redactor
from kimicode.tools.default import default_tools
from kimicode.workspace.checkout import Checkout
from kimicode.workspace.repository import open_repository


async def fix(
    request: FixRequest,
    config: Config,
    *,
    sinks: Sequence[Sink],
    approve: Approver,
    environ: MutableMapping[str, str],
    adapters: Adapters = ADAPTERS,
) -> Outcome:
    """A task to a verified commit. `environ` loses its model keys: nothing that is started inherits them.

    Raises KimicodeError for what the user has to put right; once a session exists, `resume` goes on with it.
    """
    if config.network.mode != "none":
        raise ConfigError(
            "the allow-list proxy (network mode allowlist) is not part of this version",
            hint="leave out --network: what has to be installed is a matter of --setup, which has network",
        )
    endpoint = adapters.connect(config, environ)
    repository = await open_repository(request.repo)
    if request.branch:
        from kimicode.workspace.commit import need_free_branch

        await need_free_branch(repository, request.branch)
    now = time.time()
    store = Store(state_dir(environ) / "sessions")
    with Journal.create(store.folder(new_id(now))) as journal:
        session = Session(journal, sinks=sinks)
        session.emit(
            ev.SessionStarted(
                session_id=journal.folder.name,
                version=__version__,
                repo=str(repository.root),
                created=int(now),
                request={**request.model_dump(mode="json"), "config": config.model_dump(mode="json")},
            )
        )
        run = Run(session, request, config, repository, approve, cache_dir(environ), adapters)
        return await carry_out(run, endpoint)


async def resume(
    session_id: str | None,
    *,
    sinks: Sequence[Sink],
    approve: Approver,
    environ: MutableMapping[str, str],
    adapters: Adapters = ADAPTERS,
) -> Outcome:
    """Go on with a session (None: the newest that was stopped) with the settings that it began with."""
    store = Store(state_dir(environ) / "sessions")
    wanted = store.find(session_id) if session_id else store.newest_open()
    journal, contents = Journal.reopen(store.folder(wanted))
    with journal:
        session = Session.reopen(journal, contents, sinks=sinks)
        if session.state.published:
            return known_outcome(session.state.published)
        stored = dict(session.state.request)
        config = Config.model_validate(stored.pop("config"))
        request = FixRequest.model_validate(stored)
        endpoint = adapters.connect(config, environ)
        repository = await open_repository(Path(session.state.repo))
        session.emit(ev.Resumed(pid=os.getpid()))
        run = Run(session, request, config, repository, approve, cache_dir(environ), adapters)
        return await carry_out(run, endpoint)


async def carry_out(run: Run, endpoint: Connection) -> Outcome:
    """All stages, from wherever the session stands."""
    try:
        await prepare(run)
        if run.session.state.finished is None and run.session.state.environment is not None:
            from kimicode.app.environment import restore_environment

            restore_environment(run, run.session.state.environment)
        if run.session.state.run is not None:
            run.checks = run.session.state.run.checks
        if run.session.state.stopped is None:
            stop = await work(run, endpoint)
            if stop.reason == "error":
                return make_outcome(
                    run.session.state,
                    "error",
                    changed=False,
                    detail=stop.detail,
                    error_code=stop.exit_code,
                    hint=describe_way_on(run),
                )
        # Imported when the model is done: nothing of it is needed before the first request.
        from kimicode.app.conclusion import conclude
        from kimicode.app.publication import publish

        begin_collection()
        await conclude(run)
        return await publish(run)
    finally:
        await run.close()


async def prepare(run: Run) -> None:
    """The base, and beside it the backend of the sandbox: git and an engine wait for different things."""
    backend = None
    if run.session.state.finished is None:
        backend = asyncio.create_task(choose_launcher(run))
    try:
        await capture_base(run)
        if backend is not None:
            await backend
    except BaseException:
        if backend is not None:
            backend.cancel()
            await asyncio.gather(backend, return_exceptions=True)
        raise


async def work(run: Run, endpoint: Connection) -> Stop:
    """The agent's part: a checkout, a sandbox over it, the first message, and the loop."""
    base, session = run.need_base(), run.session
    checkout = await run.open_checkout("agent", base.tree)
    contents = None
    if session.state.run is None or not session.state.messages:
        contents = await Contents.of(checkout, run.need_store().git(), base.tree)
        if run.environment is None and run.config.setup.command != "none":
            await set_up(run, contents)
            await run.furnish(checkout)
        run.checks = session.state.run.checks if session.state.run else find_commands(run, contents)
    sandbox, model = await run.start_sandbox(checkout), endpoint.model(session)
    checking = Checking(run, lambda: parts.sandbox, checkout)
    parts = make_parts(run, checkout, sandbox, model, checking, endpoint)
    try:
        checking.start_base()
        if contents is None:
            checking.tell_base_later()
            tell_lost(parts)
        else:
            await begin(run, endpoint, contents, checking)
        begin_collection()
        return await run_agent(parts)
    finally:
        await parts.drop_snapshot()
        await checking.close()
        await model.close()
        await run.end_sandbox(parts.sandbox)


async def set_up(run: Run, contents: Contents) -> None:
    """The environment of the repository, where it has one and the setup may run."""
    from kimicode.app.environment import prepare_environment

    await prepare_environment(run, contents)


async def begin(run: Run, endpoint: Connection, contents: Contents, checking: Checking) -> None:
    """RunStarted freezes what every request repeats; the first message is the task in its repository."""
    config, spec, session = run.config, endpoint.spec, run.session
    base_checks = await checking.base_text()
    if session.state.run is None:
        started = ev.RunStarted(
            system=prompt("system"),
            tools=tuple(t.spec for t in default_tools(patch=spec.wants_apply_patch)),
            model=spec.id,
            base_url=endpoint.base_url,
            thinking=config.model.thinking,
            context_window=spec.context_window,
            limits=config.limits.limits(),
            sandbox=run.sandbox_line,
            checks=run.checks,
            identity=(run.repository.identity.name, run.repository.identity.email),
        )
        session.emit(started)
    text = first_words(run, contents, base_checks)
    session.emit(ev.UserSpoke(text=text, source="task", topic="base_checks" if base_checks else ""))


def make_parts(
    run: Run, checkout: Checkout, sandbox: Sandbox, model: Model, checking: Checking, endpoint: Connection
) -> Parts:
    assert run.launcher is not None
    redactor = Redactor(endpoint.secrets)
    return Parts(
        session=run.session,
        model=model,
        tools={t.spec.name: t for t in default_tools(patch=endpoint.spec.wants_apply_patch)},
        sandbox=sandbox,
        checkout=checkout,
        checks=checking,
        policy=make_policy(sandbox=run.launcher.name, yes=run.request.yes, bundled=run.request.bundled),
        approve=run.approve,
        restart_sandbox=lambda: run.replace_sandbox(checkout),
        prompt=prompt,
        redact=redactor.redact,
    )


def begin_collection() -> None:
    """Let the garbage collector work, but never again look at what was imported until here."""
    import gc

    gc.freeze()
    gc.enable()


def describe_way_on(run: Run) -> str:
    failure = run.session.state.failure
    hint = failure.hint if failure and failure.hint else ""
    return "\n".join(filter(None, [hint, f"The work so far is kept: kimicode resume {run.folder.name}"]))
