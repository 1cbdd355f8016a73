"""Imports the openai package without the several hundred classes of its types, of which a raw stream needs none.

Three quarters of `import openai` are spent on describing answers of endpoints that kimicode never asks. Those three
packages are put off: each is executed, whole and unchanged, when the first of its names is asked for, so whoever
uses them sees no difference but the moment.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

PUT_OFF = ("openai.types", "openai.types.chat", "openai.types.responses")


class _Later(ModuleType):
    """A package whose `__init__` has not run: its submodules can be imported, any name of its own makes it run."""

    def __getattr__(self, name: str) -> Any:
        loader = self.__spec__.loader if self.__spec__ else None
        if (name.startswith("__") and name != "__all__") or not isinstance(loader, _Loader):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        # First, so that what runs now finds an ordinary package, perhaps half initialised as any other.
        self.__class__ = ModuleType  # type: ignore[assignment]
        loader.execute(self)
        return getattr(self, name)


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        module.__class__ = _Later

    def execute(self, module: ModuleType) -> None:
        super().exec_module(module)


class _Finder:
    """Finds the packages of PUT_OFF where Python would, and gives them the loader that waits."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in PUT_OFF else None
        if spec is not None and spec.origin is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.origin)
            return spec
        return None


def import_client() -> None:
    """Import openai and what its first request needs. Takes a third of a second; may be called again."""
    if "openai" not in sys.modules:
        sys.meta_path.insert(0, _Finder)
        try:
            importlib.import_module("openai")
        finally:
            sys.meta_path.remove(_Finder)
    with contextlib.suppress(ImportError):
        # Imported by the first request otherwise, which is 35 ms later for it.
        importlib.import_module("anyio._backends._asyncio")
