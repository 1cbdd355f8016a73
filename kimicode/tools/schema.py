"""JSON Schema of argument models in the subset that Moonshot takes: flat, typed, no $defs, anyOf, title or default."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

_SIMPLE: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def parameters(model: type[BaseModel], texts: dict[str, str], prefix: str = "") -> dict[str, Any]:
    """Schema of `model`. `texts`: description by argument name, "list.name" for the members of a list."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, field in model.model_fields.items():
        schema = _schema(plain(field.annotation), texts, f"{prefix}{name}.")
        if text := texts.get(prefix + name):
            schema["description"] = text
        properties[name] = schema
        if field.is_required():
            required.append(name)
    result: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        result["required"] = required
    return result


def plain(annotation: Any) -> Any:
    """`X | None` without the None."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [a for a in get_args(annotation) if a is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return annotation


def member(annotation: Any) -> Any:
    """Type of the members of a list or tuple type; None for any other type."""
    annotation = plain(annotation)
    return get_args(annotation)[0] if get_origin(annotation) in (list, tuple) else None


def _schema(annotation: Any, texts: dict[str, str], prefix: str) -> dict[str, Any]:
    if annotation in _SIMPLE:
        return {"type": _SIMPLE[annotation]}
    inner = member(annotation)
    if inner is not None:
        return {"type": "array", "items": _schema(inner, texts, prefix)}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return parameters(annotation, texts, prefix)
    raise TypeError(f"{annotation!r} has no form in Moonshot's subset of JSON Schema")
