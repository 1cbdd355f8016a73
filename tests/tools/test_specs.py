"""How the tools are declared: what Moonshot takes, in few tokens, with numbers that are true."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from kimicode import resources
from kimicode.tools import read_file, search, shell
from kimicode.tools.base import Arguments, FunctionTool, split_prompt
from kimicode.tools.default import default_tools, specs
from kimicode.tools.inside import MAX_MATCHES
from kimicode.tools.list_files import DEPTH

NAMES = ["read_file", "search", "list_files", "edit_file", "write_file", "shell", "check", "submit"]


def test_names_and_order() -> None:
    assert [s.name for s in specs(default_tools())] == NAMES
    assert [s.name for s in specs(default_tools(patch=True))] == [*NAMES, "apply_patch"]
    effects = {t.spec.name: t.effect for t in default_tools(patch=True)}
    assert {n for n, e in effects.items() if e == "read"} == {"read_file", "search", "list_files"}
    assert {n for n, e in effects.items() if e == "write"} == {"edit_file", "write_file", "apply_patch"}


def test_few_tokens_and_always_the_same() -> None:
    def text() -> str:
        return "".join(s.name + s.description + json.dumps(s.parameters) for s in specs(default_tools()))

    assert len(text()) / 4 < 1_300
    assert text() == text()


def walk(schema: dict[str, Any]) -> list[dict[str, Any]]:
    found = [schema]
    for inner in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        found += walk(inner)
    return found


@pytest.mark.parametrize("tool", default_tools(patch=True), ids=lambda t: t.spec.name)
def test_schema_is_flat_and_typed(tool: FunctionTool[Any]) -> None:
    schema = tool.spec.parameters
    assert schema["type"] == "object"
    for part in walk(schema):
        assert part["type"] in ("object", "array", "string", "integer", "boolean")
        assert set(part) <= {"type", "properties", "items", "required", "description"}
        assert set(part.get("required", [])) <= set(part.get("properties", {}))
    assert re.match(r"^[a-zA-Z_][a-zA-Z0-9_-]{2,63}$", tool.spec.name)


@pytest.mark.parametrize("tool", default_tools(patch=True), ids=lambda t: t.spec.name)
def test_every_described_argument_exists(tool: FunctionTool[Any]) -> None:
    _, texts = split_prompt(resources.prompt(f"tools/{tool.name}"))
    shown = json.dumps(tool.spec.parameters, ensure_ascii=False)
    for name, text in texts.items():
        assert json.dumps(text, ensure_ascii=False) in shown, f"{name} is described but does not exist"


def test_numbers_in_the_texts_are_true() -> None:
    text = {s.name: s.description + json.dumps(s.parameters) for s in specs(default_tools())}
    assert f"{read_file.MAX_LINES} lines" in text["read_file"]
    assert f"{read_file.MAX_CHARS:,} characters" in text["read_file"]
    assert f"0 to {search.MAX_CONTEXT}" in text["search"] and f"{MAX_MATCHES} matches" in text["search"]
    assert f"Default {DEPTH}" in text["list_files"]
    assert f"Default {shell.TIMEOUT}, at most {shell.MAX_TIMEOUT}" in text["shell"]
    assert f"{shell.LIMIT:,} bytes" in text["shell"]


def test_a_bad_name_is_a_programming_error() -> None:
    async def run(context: Any, arguments: Any) -> Any: ...

    with pytest.raises(ValueError, match="no name for a tool"):
        FunctionTool("a.b", Arguments, run, effect="read", describe=str)
