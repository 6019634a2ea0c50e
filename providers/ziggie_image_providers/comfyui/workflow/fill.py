"""Write the values of a request into a workflow."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from ziggie_image_providers.comfyui.workflow.file import ApiGraph
from ziggie_image_providers.comfyui.workflow.inputs import TOKEN, Inputs, Role, role_of

Value = str | int | float
Values = Mapping[Role, Value | tuple[Value, ...]]
"""By role. Several values are dealt out, one to each input; inputs left over stay as they are."""


def fill(graph: ApiGraph, inputs: Inputs, values: Values, prefix: str = "") -> ApiGraph:
    """Copy a workflow with values in it.

    In texts, `${prompt}`, `${seed:0}` and `PARAM_STEPS` stand for a value of that name; what is
    behind the colon stands in where there is none. A text that is nothing but a token becomes the
    number itself.

    Args:
        graph: The workflow, which stays as it is.
        inputs: Where it takes what.
        values: What it gets; what it does not take is left out.
        prefix: How the names of the files begin that it saves; empty leaves them.
    """
    filled = copy.deepcopy(graph)
    for node in filled.values():
        node["inputs"] = {k: _with_tokens(v, values) for k, v in node["inputs"].items()}
    for role, ports in inputs.ports.items():
        if role not in values:
            continue
        value = values[role]
        dealt = value if isinstance(value, tuple) else (value,) * len(ports)
        for (id, name), one in zip(ports, dealt, strict=False):
            own = filled[id]["inputs"]
            own[name] = _like(own.get(name), one)
    for node in filled.values():
        if prefix and "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] = prefix
    return filled


def defaults(graph: ApiGraph, inputs: Inputs) -> dict[Role, Value]:
    """The values that stand in a workflow, where it has them as plain numbers or texts."""
    values: dict[Role, Value] = {}
    for role, ports in inputs.ports.items():
        value = graph[ports[0][0]]["inputs"].get(ports[0][1]) if ports else None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            values[role] = value
    return values


def _like(old: object, new: Value) -> Value:
    """Say a number in the type of the one that it takes the place of."""
    if isinstance(new, str) or isinstance(old, bool):
        return new
    if isinstance(old, float):
        return float(new)
    return round(new) if isinstance(old, int) else new


def _with_tokens(value: Any, values: Values) -> Any:
    if not isinstance(value, str):
        return value
    whole = TOKEN.fullmatch(value)
    if whole:
        return _token(whole, values)
    return TOKEN.sub(lambda match: str(_token(match, values)), value)


def _token(match: re.Match[str], values: Values) -> Value:
    role = role_of(match["name"] or match["param"])
    if role is None:
        return match[0]
    if role not in values:
        return match[0] if match["default"] is None else _number(match["default"])
    value = values[role]
    return value[0] if isinstance(value, tuple) else value


def _number(text: str) -> Value:
    """Read the number that a default is.

    >>> _number("8"), _number("0.5"), _number("euler"), _number("nan")
    (8, 0.5, 'euler', 'nan')
    """
    if re.fullmatch(r"-?\d{1,20}", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d{1,20}\.\d{1,20}", text) else text
