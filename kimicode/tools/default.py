"""The tools that a run offers, in the order in which the model sees them: it never changes within a version."""

from __future__ import annotations

from collections.abc import Sequence

from kimicode.core.message import ToolSpec
from kimicode.core.ports import Tool
from kimicode.tools.apply_patch import apply_patch
from kimicode.tools.check import check
from kimicode.tools.edit_file import edit_file
from kimicode.tools.list_files import list_files
from kimicode.tools.read_file import read_file
from kimicode.tools.search import search
from kimicode.tools.shell import shell
from kimicode.tools.submit import submit
from kimicode.tools.write_file import write_file


def default_tools(*, patch: bool = False) -> tuple[Tool, ...]:
    """The tools of `fix`. `patch`: with apply_patch, for a model whose catalog entry asks for it."""
    tools: tuple[Tool, ...] = (read_file, search, list_files, edit_file, write_file, shell, check, submit)
    return (*tools, apply_patch) if patch else tools


def specs(tools: Sequence[Tool]) -> tuple[ToolSpec, ...]:
    """How `tools` are declared to the model, byte-identical from call to call."""
    return tuple(tool.spec for tool in tools)
