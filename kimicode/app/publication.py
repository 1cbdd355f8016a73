"""The result leaves the session: vetted, as one commit on a branch of its own, or in the user's files with --apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kimicode.app.result import make_outcome
from kimicode.app.run import Run
from kimicode.core import event as ev
from kimicode.core.outcome import FileStat, Outcome
from kimicode.core.state import split_title
from kimicode.errors import KimicodeError
from kimicode.session.store import short_id
from kimicode.workspace.apply import apply_result
from kimicode.workspace.commit import branch_name, build_commit, compose_message
from kimicode.workspace.commit import publish as publish_commit
from kimicode.workspace.harvest import examine, stat_patch
from kimicode.workspace.repository import Identity
from kimicode.workspace.vet import Finding, blocked

MAX_NAMED = 10
"""Fixed tests that the commit message names."""


@dataclass(slots=True)
class Result:
    """What came of the publication, for the outcome."""

    branch: str = ""
    commit: str = ""
    applied: tuple[str, ...] = ()
    obstacle: str = ""
    hint: str = ""


async def publish(run: Run) -> Outcome:
    """Every step is idempotent: what a former process did is found and not done again."""
    state, base = run.session.state, run.need_base()
    assert state.stopped is not None and state.finished is not None
    changed = state.stopped.tree != base.tree
    result, notes, patch = Result(), _notes(run), ""
    files: tuple[FileStat, ...] = ()
    if changed:
        diff = await _diff(run, base.tree, state.stopped.tree)
        files = tuple(FileStat(path=s.path, added=s.added, removed=s.removed) for s in stat_patch(diff))
        patch = str(_keep_patch(run, diff))
        findings = await examine(run.need_store().git(user=True), base.tree, state.stopped.tree)
        notes = (*notes, *(f"{f.level}: {f.path}: {f.message}" for f in findings))
        result = await _deliver(run, findings, patch)
    title, body = _words(run)
    outcome = make_outcome(
        state,
        state.stopped.reason,
        changed=changed,
        applicable=not result.obstacle,
        detail=state.stopped.detail,
        branch=result.branch,
        commit=result.commit,
        applied=result.applied,
        patch=patch,
        files=files,
        notes=notes,
        title=title,
        body=body,
    )
    if result.obstacle:
        outcome = outcome.model_copy(update={"message": result.obstacle, "hint": result.hint})
    run.session.emit(
        ev.Published(
            branch=result.branch,
            commit=result.commit,
            patch=patch,
            applied=result.applied,
            outcome=outcome.model_dump(mode="json"),
        ),
        sync=True,
    )
    return outcome


async def _deliver(run: Run, findings: Sequence[Finding], patch: str) -> Result:
    state, base = run.session.state, run.need_base()
    assert state.stopped is not None and state.finished is not None
    kept = f"the patch is kept: git apply {patch}"
    if blocked(findings):
        worst = next(f for f in findings if f.level == "block")
        return Result(obstacle=f"Not published: {worst.path}: {worst.message}.", hint=kept)
    if run.request.apply:
        applied = await apply_result(run.repository, run.need_store(), base.tree, state.stopped.tree)
        if applied.conflicts:
            named = ", ".join(f"{c.path} ({c.reason})" for c in applied.conflicts[:5])
            return Result(obstacle=f"Not applied, nothing was written: {named}.", hint=kept)
        return Result(applied=(*applied.written, *applied.removed))
    obstacle = str(state.finished.evidence.get("obstacle", ""))
    if obstacle:
        return Result(
            obstacle=f"No branch was made: {obstacle[:1].lower()}{obstacle[1:].rstrip('.')}.",
            hint=f"{kept}; or commit your changes first and run again, or use --apply",
        )
    assert state.run is not None
    title, body = _words(run)
    name, email = state.run.identity
    commit = await build_commit(
        run.need_store(),
        base,
        str(state.finished.evidence["committed_tree"]),
        message=compose_message(title, body, _trailers(run)),
        identity=Identity(name, email),
        when=state.created,
    )
    branch = run.request.branch or branch_name(
        title, short_id(state.session_id), run.config.repo.branch_prefix
    )
    await publish_commit(run.repository, run.need_store(), base, commit, branch)
    return Result(branch=branch, commit=commit)


def _words(run: Run) -> tuple[str, str]:
    """Title and body: the agent's, else the task's first line."""
    stopped = run.session.state.stopped
    if stopped and stopped.title:
        return stopped.title, stopped.body
    return split_title(run.request.task)[0] or "Change by kimicode", ""


def _trailers(run: Run) -> list[tuple[str, str]]:
    """The commit's own proof. Nothing in it differs between a run and a resumed run (no cost, no times)."""
    state = run.session.state
    assert state.run is not None and state.finished is not None
    evidence: dict[str, Any] = state.finished.evidence
    fixed = list(evidence.get("fixed", ()))
    trailers = [("Kimicode-Verdict", f"{state.finished.verdict}: {evidence.get('reason', '')}")]
    trailers += [("Kimicode-Fixed", test) for test in fixed[:MAX_NAMED]]
    if len(fixed) > MAX_NAMED:
        trailers.append(("Kimicode-Fixed", f"and {len(fixed) - MAX_NAMED} more"))
    trailers.append(("Kimicode-Model", state.run.model))
    trailers.append(("Kimicode-Session", state.session_id))
    return trailers


def _notes(run: Run) -> tuple[str, ...]:
    """What the user should know about the base, from the log."""
    base = run.need_base()
    items = base.left_out + (run.included.left_out if run.included else ())
    return tuple(f"left out: {item.path} ({item.reason})" for item in items)


async def _diff(run: Run, old: str, new: str) -> bytes:
    from kimicode.workspace.checkout import DIFF_OPTIONS

    return await run.need_store().git().run("diff-tree", *DIFF_OPTIONS, old, new)


def _keep_patch(run: Run, diff: bytes) -> Path:
    """The patch in the session's folder, and where --patch asked for it."""
    path = run.folder / "result.patch"
    path.write_bytes(diff)
    wanted = run.request.patch
    if wanted is not None:
        try:
            wanted.write_bytes(diff)
        except OSError as e:
            raise KimicodeError(
                f"the patch cannot be written to {wanted}: {e.strerror}", hint=f"it is kept in {path}"
            ) from e
        return wanted
    return path
