"""Settings as people write them, and what is wrong with them in JSON's words, not in Python's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

_FIGURES = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
"""What Python reads as a number besides, as 1_0, may be a slip of the hand."""
_EXAMPLES = {
    "budget": '{"perDay": 2}',
    "api": '{"type": "comfyui", "url": "http://localhost:8188"}',
    "output": '{"format": "png"}',
    "headers": '{"X-Name": "value"}',
}
_BLOCK = ("model_type", "dict_type", "model_attributes_type", "mapping_type")
_KINDS = {
    "string_type": "a text in quotes",
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
}


def as_written(value: object, kind: Any) -> object:
    """A value for a setting of this kind: one text stands for a list of one.

    Raises:
        ValueError: It is a text in the place of a number, and no figures.
    """
    if not isinstance(value, str):
        return value
    kinds = _members(kind)
    if any(get_origin(k) in (tuple, list) and _is_text(get_args(k)[0]) for k in kinds):
        return [value] if not any(_is_text(k) for k in kinds) else value
    numeric = {int, float} & {k for k in kinds if isinstance(k, type)}
    others = any(_is_text(k) or k is bool for k in kinds)
    if numeric and not others and not _FIGURES.fullmatch(value):
        raise ValueError(f"must be a {'number' if float in numeric else 'whole number'}")
    return value


def described(problem: Mapping[str, Any]) -> str:
    """What pydantic found, in the words of who writes JSON."""
    kind = str(problem["type"])
    key = str(problem["loc"][-1]) if problem["loc"] else ""
    if kind == "value_error" and "error" in problem.get("ctx", {}):
        return str(problem["ctx"]["error"])
    if kind in ("tuple_type", "list_type"):
        folders = key.lower().endswith(("dirs", "directories", "folders"))
        example = '["~/models"]' if folders else '["a", "b"]'
        return f"must be a list, as {example}"
    if kind in _BLOCK:
        example = _EXAMPLES.get(key, '{"name": "value"}')
        return f"must be a block in braces, as {example}"
    return f"must be {_KINDS[kind]}" if kind in _KINDS else str(problem["msg"])


def _members(kind: Any) -> list[Any]:
    """The kinds of a union, without their conditions."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (tuple, list, dict) or not get_args(kind):
        return [kind]
    return [member for part in get_args(kind) for member in _members(part)]


def _is_text(kind: Any) -> bool:
    """Whether a text fits: one of some words too, whose kind has the words as its members."""
    return any(
        isinstance(k, str) or (isinstance(k, type) and issubclass(k, str | Path))
        for k in _members(kind)
    )
