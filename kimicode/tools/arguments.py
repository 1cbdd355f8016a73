"""Arguments of a call from the JSON text that the model wrote, or an error that says what to send instead."""

from __future__ import annotations

import difflib
import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kimicode.errors import ToolError
from kimicode.tools.schema import member, plain

M = TypeVar("M", bound=BaseModel)
MAX_PROBLEMS = 5
_EXPECTED = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


def parse_arguments(tool: str, model: type[M], text: str) -> M:
    """The arguments of a call of `tool`. "" and "null" are no arguments. Raises ToolError."""
    data = _decode(tool, text)
    if not isinstance(data, dict):
        raise ToolError(f"{tool}: the arguments must be one JSON object, not {_kind(data)}. {_known(model)}")
    try:
        return model.model_validate(_loosen(model, data))
    except ValidationError as e:
        problems = [_explain(model, error) for error in e.errors(include_url=False)]
    more = len(problems) - MAX_PROBLEMS
    lines = problems[:MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
    raise ToolError(f"{tool}: {'; '.join(lines)}. Nothing was done. {_known(model)}")


def _decode(tool: str, text: str) -> Any:
    if not text.strip():
        return {}
    try:
        # strict=False: a raw newline inside a string is what the model meant by it.
        data = json.loads(text, strict=False, object_pairs_hook=_unique)
        if isinstance(data, str):
            data = json.loads(data, strict=False, object_pairs_hook=_unique)
        json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as e:
        near = e.doc[max(0, e.pos - 30) : e.pos] + "<here>" + e.doc[e.pos : e.pos + 30]
        cut = " The text ends too early: it may have been cut at the output limit; send less in one call."
        raise ToolError(
            f"{tool}: the arguments are not valid JSON: {e.msg} at character {e.pos} of {len(e.doc)}: {near!r}."
            f"{cut if e.pos >= len(e.doc.rstrip()) else ''} Nothing was done. Send the call again."
        ) from None
    except UnicodeEncodeError:
        raise ToolError(
            f"{tool}: the arguments hold half of a surrogate pair (\\ud800-\\udfff), which no file can hold. "
            "Write the character itself."
        ) from None
    except (RecursionError, ValueError) as e:
        reason = "they are nested too deeply" if isinstance(e, RecursionError) else str(e)
        raise ToolError(f"{tool}: the arguments cannot be read: {reason}. Nothing was done.") from None
    return {} if data is None else data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice")
    return result


def _loosen(model: type[BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """Repair what models get wrong without any doubt about the meaning: null, lists sent as a string."""
    result: dict[str, Any] = {}
    for name, value in data.items():
        field = model.model_fields.get(name)
        if field is None:
            result[name] = value
        elif value is not None or field.is_required():
            result[name] = _loosen_value(field.annotation, value)
    return result


def _loosen_value(annotation: Any, value: Any) -> Any:
    inner = member(annotation)
    if inner is None:
        return value
    if isinstance(value, str):
        value = _loosen_list(inner, value)
    elif isinstance(value, dict):
        value = [value]
    if isinstance(inner, type) and issubclass(inner, BaseModel) and isinstance(value, list):
        return [_loosen(inner, item) if isinstance(item, dict) else item for item in value]
    return value


def _loosen_list(inner: Any, text: str) -> Any:
    """A list that came as JSON text, or as its only member."""
    try:
        data = json.loads(text, strict=False, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        data = text
    if isinstance(data, list):
        return data
    if inner is str:
        return [text] if text else []
    return [data] if isinstance(data, dict) else text


def _explain(model: type[BaseModel], error: Any) -> str:
    """One problem of a ValidationError as a sentence."""
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error["loc"]).lstrip(".")
    owner, annotation = _locate(model, error["loc"])
    if error["type"] == "extra_forbidden":
        wrong = str(error["loc"][-1])
        near = difflib.get_close_matches(wrong, list(owner.model_fields), 1, 0.4)
        hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(owner.model_fields)}"
        return f"there is no argument `{where}` ({hint})"
    expected = _expected(annotation)
    if error["type"] == "missing":
        return f"`{where}` is missing ({expected})"
    if error["type"] == "value_error":
        return f"`{where}`: {error['ctx']['error']}" if where else str(error["ctx"]["error"])
    if error["type"].endswith(("_type", "_parsing")) or error["type"] == "int_from_float":
        return f"`{where}` must be {expected}, not {_kind(error['input'])}"
    return f"`{where}`: {error['msg'][0].lower()}{error['msg'][1:]}"


def _locate(model: type[BaseModel], loc: tuple[Any, ...]) -> tuple[type[BaseModel], Any]:
    """The model that holds the last name of `loc`, and the type expected there."""
    owner: type[BaseModel] = model
    annotation: Any = Any
    for part in loc:
        if isinstance(part, int):
            annotation = member(annotation) or annotation
            continue
        inner = plain(annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            owner = inner
        field = owner.model_fields.get(part)
        annotation = field.annotation if field else Any
    return owner, annotation


def _expected(annotation: Any) -> str:
    annotation = plain(annotation)
    if annotation in _EXPECTED:
        return _EXPECTED[annotation]
    inner = plain(member(annotation))
    if inner is not None:
        return "a list of strings" if inner is str else "a list of objects"
    return "an object" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else "a value"


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"the string {(value if len(value) <= 40 else value[:39] + '…')!r}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"the number {value}"


def _known(model: type[BaseModel]) -> str:
    names = [f"{n}{'' if f.is_required() else ' (optional)'}" for n, f in model.model_fields.items()]
    return f"Arguments: {', '.join(names)}." if names else "It takes no arguments."
