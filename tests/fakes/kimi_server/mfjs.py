"""Moonshot's flavour of JSON Schema, as far as it refuses: one fault per schema, with its path."""

from __future__ import annotations

from typing import Any

_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_UNSUPPORTED = (
    *("oneOf", "allOf", "not", "if", "then", "else", "const", "pattern", "format", "$schema", "contains"),
    *("patternProperties", "propertyNames", "prefixItems", "uniqueItems", "multipleOf"),
    *("exclusiveMinimum", "exclusiveMaximum", "minProperties", "maxProperties"),
)
_FORBIDDEN_NAMES = ("$defs", "$ref", "anyOf", "required", "additionalProperties")


def schema_fault(schema: Any) -> str:
    """What is wrong with a tool's parameters, or ""."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return 'tools.function.parameters.type is required and must be "object"'
    if len(str(schema)) > 15_000:
        return "At path '': schema is too large"
    return _fault(schema, "", 0)


def _fault(schema: Any, path: str, depth: int) -> str:
    where = f"At path '{path}'"
    if not isinstance(schema, dict):
        return f"{where}: schema must be an object"
    if depth > 30:
        return f"{where}: nested too deeply"
    for key in _UNSUPPORTED:
        if key in schema:
            return f"{where}: {key} is not supported"
    if not isinstance(schema.get("description", ""), str):
        return f"{where}: description must be a string"
    if "$ref" in schema:
        return "" if set(schema) == {"$ref"} else f"{where}: conflicting keywords found after $ref expansion"
    if "anyOf" in schema:
        return _any_of_fault(schema, path, depth)
    if schema.get("type") not in _TYPES:
        return f"{where}: type is not defined"
    return _enum_fault(schema, where) or _parts_fault(schema, path, depth)


def _any_of_fault(schema: dict[str, Any], path: str, depth: int) -> str:
    if "type" in schema:
        return f"At path '{path}': when using anyOf, type should be defined in anyOf items instead of the parent schema"
    options = schema["anyOf"]
    if not isinstance(options, list) or not options:
        return f"At path '{path}': anyOf must not be empty"
    faults = (_fault(option, f"{path}.anyOf", depth + 1) for option in options)
    return next((f for f in faults if f), "")


def _enum_fault(schema: dict[str, Any], where: str) -> str:
    if "enum" not in schema:
        return ""
    kinds = {type(v) for v in schema["enum"]}
    if not kinds or len(kinds) > 1 or not kinds <= {str, int, float}:
        return f"{where}: enum values must be strings, integers or floats of one type"
    return ""


def _parts_fault(schema: dict[str, Any], path: str, depth: int) -> str:
    properties = schema.get("properties", {})
    for name, value in properties.items():
        if name in _FORBIDDEN_NAMES:
            return f"At path '{path}': property {name} is not allowed"
        fault = _fault(value, f"{path}.properties.{name}".lstrip("."), depth + 1)
        if fault:
            return fault
    for name in schema.get("required", []):
        if name not in properties:
            return f"At path '{path}': required property {name} is not defined"
    if schema["type"] == "array":
        if not isinstance(schema.get("items"), dict):
            return f"At path '{path}': items must be an object"
        return _fault(schema["items"], f"{path}.items", depth + 1)
    return ""
