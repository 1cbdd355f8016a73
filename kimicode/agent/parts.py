"""What the loop works with, put together by the app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from kimicode.agent.policy import Policy
from kimicode.core.ports import Approver, Checkout, Checks, Model, Sandbox, Tool
from kimicode.session.session import Session


@dataclass(slots=True)
class Parts:
    """The parts of one agent. `sandbox` is replaced when it was lost; nothing else changes."""

    session: Session
    model: Model
    tools: Mapping[str, Tool]
    sandbox: Sandbox
    checkout: Checkout
    checks: Checks
    policy: Policy
    approve: Approver
    restart_sandbox: Callable[[], Awaitable[Sandbox]]
    """Starts a new sandbox over the same checkout."""
    prompt: Callable[[str], str]
    """Text of a prompt by its name, e.g. "remind/half"."""
    redact: Callable[[str], str] = lambda text: text
    lost: int = 0
    """Sandboxes lost in a row."""
    _snapshot: asyncio.Task[str] | None = field(default=None)

    def begin_snapshot(self) -> None:
        """Start a snapshot now: it runs while the next request is in flight."""
        if self._snapshot is None:
            self._snapshot = asyncio.create_task(self.checkout.snapshot())

    async def take_snapshot(self) -> str:
        """Tree of the checkout as it is now. Only one effect runs at a time, so what began after it is current."""
        task, self._snapshot = self._snapshot, None
        return await task if task else await self.checkout.snapshot()

    async def drop_snapshot(self) -> None:
        """Forget a snapshot that is on its way: what it saw is about to change."""
        task, self._snapshot = self._snapshot, None
        if task:
            await asyncio.gather(task, return_exceptions=True)
