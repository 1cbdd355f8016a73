"""Tool schemas in Moonshot's subset of JSON Schema: constrained decoding refuses a request that leaves it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{2,63}")
"""Function names that both published forms of the rule accept."""

_KEPT: dict[str, tuple[type, ...]] = {
    "type": (str,),
    "description": (str,),
    "title": (str,),
    "default": (str, int, float, bool, list, dict),
    "enum": (list,),
    "items": (Mapping, list),
    "properties": (Mapping,),
    "required": (list,),
    "additionalProperties": (bool, Mapping),
    "minLength": (int,),
    "maxLength": (int,),
    "minimum": (int, float),
    "maximum": (int, float),
    "minItems": (int,),
    "maxItems": (int,),
}
"""What the subset knows, and what its value has to be; the rest is left out. anyOf is made apart."""
_FORBIDDEN = frozenset(("$defs", "$ref", "anyOf", "required", "additionalProperties"))
"""Names that no property may have."""
_TYPES = ("object", "array", "string", "integer", "number", "boolean")
_SCALARS = {str: "string", bool: "boolean", int: "integer", float: "number"}
_DEEPEST = 12
"""Nesting at which a recursive schema is cut to "any object"."""


def normalise(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema inside the subset, as far as it goes.

    Root object; a type on every property and none beside anyOf; references written out (recursive ones cut);
    oneOf and const expressed by anyOf and enum, allOf merged; tuples as lists; everything unknown left out.
    Key order is kept, and a schema already inside comes back equal: it is part of the cached prefix.
    """
    definitions: dict[str, Any] = {}
    for key in ("$defs", "definitions"):
        if isinstance(schema.get(key), Mapping):
            definitions.update(schema[key])
    root = _clean(schema, definitions, 0)
    if root.get("type") != "object":
        root = {"type": "object", "properties": root.get("properties", {})}
    root.setdefault("properties", {})
    return root


def _clean(schema: Any, definitions: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        return {"type": "string"}
    if depth > _DEEPEST:
        return {"type": "object"}
    schema = _merge(schema, definitions)
    out: dict[str, Any] = {k: v for k, v in schema.items() if isinstance(v, _KEPT.get(k, ()))}
    if "const" in schema:
        out["enum"] = [schema["const"]]
    branches = schema.get("anyOf") or schema.get("oneOf")
    kind = schema.get("type")
    if isinstance(kind, list):
        named = [k for k in kind if k in _TYPES] or ["string"]
        kind = named[0]
        if len(named) > 1:
            branches = [{"type": k} for k in named]
    if isinstance(branches, list) and branches:
        return _any_of(out, branches, definitions, depth)
    out["type"] = kind if kind in _TYPES else _guess(out)
    _clean_parts(out, schema, definitions, depth)
    return _tidy(out)


def _clean_parts(
    out: dict[str, Any], schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int
) -> None:
    if isinstance(out.get("properties"), Mapping):
        out["properties"] = {
            str(k): _clean(v, definitions, depth + 1)
            for k, v in out["properties"].items()
            if k not in _FORBIDDEN
        }
        if isinstance(out.get("required"), list):
            out["required"] = [n for n in out["required"] if isinstance(n, str) and n in out["properties"]]
    if isinstance(out.get("additionalProperties"), Mapping):
        out["additionalProperties"] = _clean(out["additionalProperties"], definitions, depth + 1)
    if out["type"] == "array":
        items = out.get("items", (schema.get("prefixItems") or [{"type": "string"}]))
        if isinstance(items, list):
            items = items[0] if len(items) == 1 else {"anyOf": items or [{"type": "string"}]}
        out["items"] = _clean(
            items if isinstance(items, Mapping) else {"type": "string"}, definitions, depth + 1
        )
    if isinstance(out.get("enum"), list):
        _clean_enum(out)


def _clean_enum(out: dict[str, Any]) -> None:
    """Values of one type: strings, integers or floats; nothing else may be listed."""
    values = [v for v in out["enum"] if type(v) in (str, int, float)]
    if not values:
        del out["enum"]
        return
    if len({type(v) for v in values}) > 1:
        values = [str(v) for v in values]
    out["enum"] = values
    out["type"] = _SCALARS[type(values[0])]


def _any_of(
    out: dict[str, Any], branches: list[Any], definitions: Mapping[str, Any], depth: int
) -> dict[str, Any]:
    options = [b for b in branches if not (isinstance(b, Mapping) and b.get("type") == "null")]
    cleaned = [_clean(b, definitions, depth + 1) for b in options] or [{"type": "string"}]
    told: dict[str, Any] = {k: out[k] for k in ("description", "title", "default") if k in out}
    if len(cleaned) == 1:
        return {**cleaned[0], **told}
    return {**told, "anyOf": cleaned}


def _merge(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """References and allOf written into the schema that holds them."""
    seen: set[str] = set()
    while isinstance(schema.get("$ref"), str):
        name = schema["$ref"].rpartition("/")[2]
        rest = {k: v for k, v in schema.items() if k != "$ref"}
        if name in seen or not isinstance(definitions.get(name), Mapping):
            return rest or {"type": "object"}
        seen.add(name)
        schema = {**definitions[name], **rest}
    parts = schema.get("allOf")
    if not isinstance(parts, list):
        return schema
    merged: dict[str, Any] = {k: v for k, v in schema.items() if k != "allOf"}
    for part in parts:
        if not isinstance(part, Mapping):
            continue
        part = _merge(part, definitions)
        for key, value in part.items():
            if key == "properties" and isinstance(value, Mapping):
                merged["properties"] = {**merged.get("properties", {}), **value}
            elif key == "required" and isinstance(value, list):
                merged["required"] = [*merged.get("required", []), *value]
            else:
                merged.setdefault(key, value)
    return merged


def _guess(schema: Mapping[str, Any]) -> str:
    if "properties" in schema:
        return "object"
    if "items" in schema:
        return "array"
    values = schema.get("enum")
    if isinstance(values, list) and values:
        return _SCALARS.get(type(values[0]), "string")
    return "string"


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Only what belongs to the type: leftovers of another one are refused."""
    foreign: dict[str, tuple[str, ...]] = {
        "properties": ("object",),
        "required": ("object",),
        "additionalProperties": ("object",),
        "items": ("array",),
        "minItems": ("array",),
        "maxItems": ("array",),
        "minLength": ("string",),
        "maxLength": ("string",),
        "minimum": ("integer", "number"),
        "maximum": ("integer", "number"),
    }
    return {k: v for k, v in schema.items() if schema["type"] in foreign.get(k, (schema["type"],))}
