"""What one run works with: the session, the repository, and sandboxes over checkouts of its trees."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kimicode.app.adapters import Adapters
from kimicode.app.request import FixRequest
from kimicode.config import Config
from kimicode.core import event as ev
from kimicode.core.checks import CheckCommand
from kimicode.core.ports import Approver, Launcher, Sandbox
from kimicode.session.session import Session
from kimicode.workspace.base import Base
from kimicode.workspace.checkout import Checkout
from kimicode.workspace.folder import change_owner
from kimicode.workspace.repository import Repository
from kimicode.workspace.store import Store, read_json

if TYPE_CHECKING:
    from kimicode.environment.build import Environment
    from kimicode.workspace.include import Included


@dataclass(slots=True)
class Run:
    """The parts that all stages of a run share. `base`, `launcher` and `checks` are set as they become known."""

    session: Session
    request: FixRequest
    config: Config
    repository: Repository
    approve: Approver
    cache: Path
    adapters: Adapters
    store: Store | None = None
    base: Base | None = None
    included: Included | None = None
    """Ignored files of the user that .worktreeinclude names; None when there is no such file."""
    environment: Environment | None = None
    """What the setup step made, None where there was none."""
    environment_key: str = ""
    """What the checks' results depend on besides tree and command; "" when that cannot be named."""
    launcher: Launcher | None = None
    sandbox_line: str = ""
    checks: tuple[CheckCommand, ...] = ()
    open_slots: list[tuple[Checkout, Sandbox]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.session.journal.folder

    def say(self, text: str) -> None:
        """Tell the user what kimicode is doing."""
        self.session.emit(ev.Phase(text=text))

    def need_base(self) -> Base:
        assert self.base is not None, "the base is captured before anything else"
        return self.base

    def need_store(self) -> Store:
        assert self.store is not None, "the store is made when the base is captured"
        return self.store

    def need_launcher(self) -> Launcher:
        assert self.launcher is not None, "the sandbox is chosen before anything runs in it"
        return self.launcher

    async def open_checkout(self, name: str, tree: str, *, fresh: bool = False) -> Checkout:
        """The checkout of that name as a former process left it, or a new one filled with `tree`.

        `fresh`: always a new one, as a check needs it: what a killed one did to its files must not count.
        """
        store, owner = self.need_store(), self.launcher.owner if self.launcher else None
        facts = read_json(store.slots / name / "slot.json")
        if facts is not None and facts.get("tree") == tree and not fresh:
            checkout = await Checkout.open(store, name, self.need_base())
            await self.renew(checkout)
            return checkout
        checkout = await Checkout.create(store, name, self.need_base(), tree=tree, owner=owner)
        await self.furnish(checkout)
        return checkout

    async def renew(self, checkout: Checkout) -> None:
        """Bring ignored files back to those of the environment, when what ran in the checkout is gone."""
        await checkout.renew()
        await self.furnish(checkout)

    async def furnish(self, checkout: Checkout) -> None:
        """Place what setup made and .worktreeinclude names into a checkout that nothing uses yet.

        Snapshots leave both out.
        """
        if self.included is not None and self.included.paths:
            from kimicode.workspace.include import place

            await checkout.exclude(self.included.paths)
            await place(self.need_store(), self.included, checkout.slot.work)
            if checkout.owner is not None:
                await asyncio.to_thread(change_owner, checkout.slot.work, *checkout.owner)
        layer = self.environment.layer if self.environment else None
        if layer is None:
            return
        from kimicode.environment.cache import LayerStore

        await checkout.exclude(layer.paths)
        store, home = LayerStore(self.cache / "environments"), checkout.slot.scratch / "home"
        await store.place(layer, checkout.slot.work)
        await store.place_home(layer, home)
        if checkout.owner is not None:
            for folder in (checkout.slot.work, *([home] if layer.home else [])):
                await asyncio.to_thread(change_owner, folder, *checkout.owner)

    async def remove_checkout(self, name: str) -> None:
        store = self.need_store()
        if (store.slots / name / "slot.json").exists():
            await (await Checkout.open(store, name, self.need_base())).remove()

    async def start_sandbox(self, checkout: Checkout) -> Sandbox:
        sandbox = await self.need_launcher().start(checkout.slot)
        self.open_slots.append((checkout, sandbox))
        return sandbox

    async def replace_sandbox(self, checkout: Checkout) -> Sandbox:
        """A new sandbox for one that was lost and closed."""
        await self.renew(checkout)
        return await self.start_sandbox(checkout)

    async def end_sandbox(self, sandbox: Sandbox) -> None:
        self.open_slots[:] = [s for s in self.open_slots if s[1] is not sandbox]
        await sandbox.close()

    async def close(self) -> None:
        """End every sandbox; called on every way out."""
        slots, self.open_slots = self.open_slots, []
        await asyncio.gather(*(sandbox.close() for _, sandbox in slots), return_exceptions=True)
        if self.launcher:
            await self.launcher.close()
