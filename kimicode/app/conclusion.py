"""What a result is worth: the verdict on exactly the tree that would be committed, or on the user's files with it."""

from __future__ import annotations

from typing import Any

from kimicode.app.run import Run
from kimicode.app.verification import verify
from kimicode.checks.verdict import Verdict
from kimicode.core import event as ev
from kimicode.errors import NotApplicable
from kimicode.workspace.commit import tree_on_head
from kimicode.workspace.compose import adopt, compose
from kimicode.workspace.objects import Entry

ONLY_WITH_CHANGES = "the checks pass only together with your uncommitted changes"


async def conclude(run: Run) -> None:
    """Verify, and log the verdict. Nothing happens when a former process did so."""
    if run.session.state.finished is not None:
        return
    stopped = run.session.state.stopped
    assert stopped is not None, "a run is stopped before it is judged"
    verdict, obstacle, tree = await _judge(run, stopped.tree)
    evidence: dict[str, Any] = verdict.model_dump(exclude={"value"}) if verdict else {}
    evidence |= {"obstacle": obstacle, "committed_tree": tree}
    run.session.emit(ev.RunFinished(verdict=verdict.value if verdict else "", evidence=evidence), sync=True)


async def _judge(run: Run, result: str) -> tuple[Verdict | None, str, str]:
    """The verdict, what stands against a branch ("" for nothing), and the tree that would be committed."""
    base = run.need_base()
    if result == base.tree:
        return None, "", ""
    if run.request.apply:
        return await verify(run, base.tree, result), "", ""
    try:
        committed = await tree_on_head(run.need_store(), base, result)
    except NotApplicable as e:
        return await verify(run, base.tree, result), str(e), ""
    if not base.dirty:
        return await verify(run, base.tree, result), "", committed
    verdict = await verify(run, await _shown(run, base.head_tree), await _shown(run, committed))
    if verdict is not None and verdict.value == "verified":
        return verdict, "", committed
    with_changes = await verify(run, base.tree, result)
    if with_changes is not None and with_changes.value == "verified":
        return with_changes, ONLY_WITH_CHANGES, ""
    return verdict, "", committed


async def _shown(run: Run, tree: str) -> str:
    """A committed tree as a sandbox may see it: without the files that look like secrets."""
    await adopt(run.need_store(), tree)
    left_out: dict[str, Entry | None] = {item.path: None for item in run.need_base().left_out}
    return await compose(run.need_store(), tree, left_out)
