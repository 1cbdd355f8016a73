"""Arguments as models send them, and the words they get back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.errors import ToolError
from kimicode.tools.default import default_tools

TOOLS = {tool.spec.name: tool for tool in default_tools(patch=True)}


def refusal(tool: str, text: str) -> str:
    with pytest.raises(ToolError) as caught:
        TOOLS[tool].parse(text)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "  ", "null", "{}", '"{}"'])
def test_no_arguments(text: str) -> None:
    assert TOOLS["list_files"].parse(text).path == ""


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ('{"files": ["a", "b"]}', ["a", "b"]),
        ('{"files": "[\\"a\\", \\"b\\"]"}', ["a", "b"]),
        ('{"files": "a.py:1-2"}', ["a.py:1-2"]),
        ('"{\\"files\\": [\\"a\\"]}"', ["a"]),
    ],
)
def test_lists_sent_as_strings(text: str, files: list[str]) -> None:
    assert TOOLS["read_file"].parse(text).files == files


def test_lists_of_objects_sent_as_strings_or_alone() -> None:
    one = {"path": "a", "append": "x"}
    for edits in ([one], one, json.dumps([one]), json.dumps(one)):
        assert TOOLS["edit_file"].parse(json.dumps({"edits": edits})).edits[0].append == "x"


def test_small_slips() -> None:
    assert TOOLS["shell"].parse('{"command": "ls", "timeout_s": "30"}').timeout_s == 30
    assert TOOLS["shell"].parse('{"command": "ls", "timeout_s": null}').timeout_s == 120
    assert TOOLS["shell"].parse('{"command": "a\nb"}').command == "a\nb"


CASES = [
    (
        "shell",
        '{"command": "ls" "x"}',
        "shell: the arguments are not valid JSON: Expecting ',' delimiter at character 17 of 21: "
        '\'{"command": "ls" <here>"x"}\'. Nothing was done. Send the call again.',
    ),
    (
        "write_file",
        '{"path": "a", "content": "abc',
        "write_file: the arguments are not valid JSON: Unterminated string starting at at character 25 of 29: "
        '\'{"path": "a", "content": <here>"abc\'. Nothing was done. Send the call again.',
    ),
    (
        "shell",
        "[1]",
        "shell: the arguments must be one JSON object, not a list. Arguments: command, timeout_s (optional).",
    ),
    (
        "shell",
        '{"cmd": "ls"}',
        "shell: `command` is missing (a string); there is no argument `cmd` (did you mean `command`?). "
        "Nothing was done. Arguments: command, timeout_s (optional).",
    ),
    (
        "shell",
        '{"command": 5, "timeout_s": "soon"}',
        "shell: `command` must be a string, not the number 5; `timeout_s` must be an integer, not the string 'soon'. "
        "Nothing was done. Arguments: command, timeout_s (optional).",
    ),
    (
        "edit_file",
        '{"edits": [{"path": "a", "old_string": "x", "new": null}]}',
        "edit_file: there is no argument `edits[0].old_string` (did you mean `old`?). "
        "Nothing was done. Arguments: edits.",
    ),
    (
        "read_file",
        '{"files": {"a": 1}}',
        "read_file: `files[0]` must be a string, not an object. Nothing was done. Arguments: files.",
    ),
    (
        "shell",
        '{"command": "a", "command": "b"}',
        "shell: the arguments cannot be read: 'command' is given twice. Nothing was done.",
    ),
    (
        "shell",
        '{"command": "\\ud800"}',
        "shell: the arguments hold half of a surrogate pair (\\ud800-\\udfff), which no file can hold. Write the "
        "character itself.",
    ),
]


@pytest.mark.parametrize(("tool", "text", "error"), CASES)
def test_errors(tool: str, text: str, error: str) -> None:
    assert refusal(tool, text) == error


def test_deep_nesting_is_an_error() -> None:
    assert "nested too deeply" in refusal("shell", "[" * 100_000)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["path", "files", "edits", "command", "old", "tests", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TOOLS)), json_values)
def test_parse_raises_nothing_else(tool: str, value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value)[:-1], str(value)):
        try:
            TOOLS[tool].describe(TOOLS[tool].parse(text))
        except ToolError as e:
            assert str(e)
