"""Tool schemas come out inside Moonshot's subset, whatever went in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimicode.models.schema import normalise
from tests.fakes.kimi_server.mfjs import schema_fault
from tests.models.asking import SHELL


def test_a_schema_inside_the_subset_is_left_alone() -> None:
    assert normalise(SHELL.parameters) == SHELL.parameters
    assert list(normalise(SHELL.parameters)) == list(SHELL.parameters)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, {"type": "object", "properties": {}}),
        ({"type": "string"}, {"type": "object", "properties": {}}),
        ({"properties": {"a": {}}}, {"a": {"type": "string"}}),
        ({"properties": {"a": {"type": ["string", "null"]}}}, {"a": {"type": "string"}}),
        (
            {"properties": {"a": {"type": ["string", "integer"], "description": "d"}}},
            {"a": {"description": "d", "anyOf": [{"type": "string"}, {"type": "integer"}]}},
        ),
        (
            {"properties": {"a": {"oneOf": [{"const": 1}, {"type": "null"}]}}},
            {"a": {"type": "integer", "enum": [1]}},
        ),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/N", "description": "d"}},
                "$defs": {"N": {"type": "number"}},
            },
            {"a": {"type": "number", "description": "d"}},
        ),
        (
            {"properties": {"a": {"allOf": [{"properties": {"x": {}}}, {"properties": {"y": {}}}]}}},
            {"a": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}}}},
        ),
        (
            {"properties": {"a": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]}}},
            {"a": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}},
        ),
        ({"properties": {"a": {"type": "array"}}}, {"a": {"type": "array", "items": {"type": "string"}}}),
        ({"properties": {"a": {"enum": ["x", None, 2]}}}, {"a": {"type": "string", "enum": ["x", "2"]}}),
        ({"properties": {"a": {"type": "string", "format": "uri", "minimum": 3}}}, {"a": {"type": "string"}}),
    ],
)
def test_what_is_outside_is_brought_in(given: dict[str, Any], made: dict[str, Any]) -> None:
    expected = made if made.get("type") == "object" else {"type": "object", "properties": made}
    out = normalise(given)
    assert out["type"] == "object" and {**expected, **out} == out
    assert schema_fault(out) == ""


def test_a_recursive_schema_ends() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}
    out = normalise(
        {"type": "object", "properties": {"root": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}}
    )
    assert schema_fault(out) == ""


words = st.sampled_from(["a", "b", "type", "x-y"])
leaves: st.SearchStrategy[Any] = st.one_of(
    st.builds(dict),
    st.none(),
    st.booleans(),
    st.just("string"),
    st.just(["string", "null"]),
    st.integers(0, 3),
)
keys = st.sampled_from(
    [
        *("type", "properties", "items", "anyOf", "oneOf", "allOf", "enum", "const", "$ref", "required"),
        *("description", "format", "pattern", "additionalProperties", "prefixItems", "not", "minimum"),
    ]
)
schemas: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(keys, inner, max_size=4),
        st.dictionaries(words, inner, max_size=3),
        st.lists(inner, max_size=3),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, schemas, max_size=5))
def test_anything_at_all_comes_out_inside(schema: dict[str, Any]) -> None:
    out = normalise(schema)
    assert schema_fault(out) == ""
    assert normalise(out) == out
