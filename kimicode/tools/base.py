"""What every tool shares: a pydantic model of its arguments gives schema, parsing and errors for the model."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from kimicode import resources
from kimicode.core.message import Effect, ToolResult, ToolSpec
from kimicode.core.ports import ToolContext
from kimicode.tools.arguments import parse_arguments
from kimicode.tools.schema import parameters


class Arguments(BaseModel):
    """Base of argument models. Fields: str, int, float, bool, list of str, list of Arguments; `| None` is optional."""

    model_config = ConfigDict(frozen=True, extra="forbid")


A = TypeVar("A", bound=Arguments)
Run = Callable[[ToolContext, A], Awaitable[ToolResult]]

_name = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_-]{2,63}$")
_heading = re.compile(r"^## ([\w.]+)$", re.MULTILINE)


class FunctionTool(Generic[A]):
    """A core.ports.Tool made of an async function. Its texts are prompts/tools/<name>.md, read when first needed.

    That file holds the description; a section "## argument" (or "## list.argument") describes an argument.
    """

    def __init__(
        self, name: str, model: type[A], run: Run[A], *, effect: Effect, describe: Callable[[A], str]
    ) -> None:
        if not _name.match(name):
            raise ValueError(f"{name!r} is no name for a tool: Kimi takes {_name.pattern}")
        self.name, self.model = name, model
        self._run, self._effect, self._describe = run, effect, describe
        self._spec: ToolSpec | None = None

    @property
    def spec(self) -> ToolSpec:
        if self._spec is None:
            description, texts = split_prompt(resources.prompt(f"tools/{self.name}"))
            schema = parameters(self.model, texts)
            self._spec = ToolSpec(name=self.name, description=description, parameters=schema)
        return self._spec

    @property
    def effect(self) -> Effect:
        return self._effect

    def parse(self, arguments: str) -> A:
        """Arguments from raw JSON. Raises ToolError naming what is wrong and what is expected."""
        return parse_arguments(self.name, self.model, arguments)

    def describe(self, arguments: A) -> str:
        return self._describe(arguments)

    async def __call__(self, context: ToolContext, arguments: A) -> ToolResult:
        return await self._run(context, arguments)


def tool(
    name: str, model: type[A], *, effect: Effect, describe: Callable[[A], str]
) -> Callable[[Run[A]], FunctionTool[A]]:
    """Make a tool of `async def f(context, arguments) -> ToolResult`. `describe`: one short line for people."""

    def decorate(run: Run[A]) -> FunctionTool[A]:
        return FunctionTool(name, model, run, effect=effect, describe=describe)

    return decorate


def split_prompt(text: str) -> tuple[str, dict[str, str]]:
    """Description and argument texts of a prompts/tools file."""
    parts = _heading.split(text)
    names, bodies = parts[1::2], parts[2::2]
    return parts[0].strip(), {n: " ".join(b.split()) for n, b in zip(names, bodies, strict=True)}


def shorten(text: str, limit: int = 100) -> str:
    """One line of at most `limit` characters, for people."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def plural(count: int, word: str, many: str = "") -> str:
    """ "1 file", "2,000 files"."""
    return f"{count:,} {word if count == 1 else many or word + 's'}"


def data_of(**values: Any) -> dict[str, Any]:
    """ToolResult.data without what is empty."""
    return {k: v for k, v in values.items() if v}
