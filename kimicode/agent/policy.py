"""What a tool call may do without asking: a pure function of where it would run, never of command text.

Command rules are no protection (a "safe" command has a dozen ways to run another); the sandbox is.
"""

from __future__ import annotations

from collections.abc import Callable

from kimicode.core.message import Effect
from kimicode.core.ports import Verdict

Policy = Callable[[str, Effect], Verdict]
"""(tool name, effect) -> allow | deny | ask, with the rule's name."""


def make_policy(*, sandbox: str, yes: bool, bundled: bool = False) -> Policy:
    """The policy of a run. `bundled`: the repository is kimicode's own demonstration, whose calls are known."""

    def judge(name: str, effect: Effect) -> Verdict:
        if effect != "exec":
            return Verdict("allow", "files-in-checkout")
        if sandbox != "host":
            return Verdict("allow", f"sandboxed-by-{sandbox}")
        if bundled:
            return Verdict("allow", "bundled-repository")
        if yes:
            return Verdict("allow", "yes-given")
        return Verdict("ask", "command-on-the-host")

    return judge
