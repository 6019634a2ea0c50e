"""Read the values of a node's fields, which the editor saves as a list without names."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from ziggie_image_providers.comfyui import wire
from ziggie_image_providers.comfyui.workflow.file import (
    EXPORT,
    WorkflowUnreadable,
    as_dict,
    as_list,
)
from ziggie_image_providers.comfyui.workflow.ui_graph import Node

_FIELDS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR"})
_DYNAMIC = "COMFY_DYNAMICCOMBO_V3"
_GROWING = "COMFY_AUTOGROW_V3"
_CONTROLS = frozenset(
    {"fixed", "increment", "increment-wrap", "decrement", "decrement-wrap", "randomize"}
)
"""What the editor does with a number after a run: saved behind it, and nothing to the server."""
_SEEDS = ("seed", "noise_seed")
_UPLOADS = ("image_upload", "video_upload", "audio_upload", "animated_image_upload")


def read_fields(node: Node, about: Mapping[str, Any]) -> dict[str, Any]:
    """Give the values of a node's fields their names.

    Args:
        node: As the editor saved it.
        about: What `object_info` says of its class.

    Raises:
        WorkflowUnreadable: They are not those of the server's version of this class.
    """
    if node.named_values:
        return _by_name(node.named_values, about)
    if node.type == "CustomCombo":  # its fields are the editor's own
        return dict(zip(("choice", "index"), node.values, strict=False))
    linked = {slot.name for slot in node.inputs if slot.link is not None}
    waiting, values = deque(_specs(about)), deque(node.values)
    fields: dict[str, Any] = {}
    while waiting:
        name, spec = waiting.popleft()
        if not _is_field(spec):
            continue
        facts = _facts(spec)
        if not values:
            if "default" in facts:
                fields[name] = facts["default"]
            elif "socketless" in facts:
                fields[name] = ""  # a drawing of the editor's own, which the server must be given
            continue
        value = values.popleft()
        if name not in linked:
            _check(node, name, spec, value)
        fields[name] = value
        waiting.extendleft(reversed(list(_children(name, spec, value))))
        _skip_extras(name, spec, values, next((_type(s) for _, s in waiting), ""))
    return fields


def required(about: Mapping[str, Any]) -> frozenset[str]:
    """The inputs that a class needs under their own names."""
    inputs = as_dict(as_dict(about.get("input")).get("required"))
    return frozenset(name for name, spec in inputs.items() if _type(spec) != _GROWING)


def wrap(value: object) -> object:
    """Say a value so that the server does not take a list of two for a link."""
    return {"__value__": as_list(value)} if as_list(value) else value


def _by_name(values: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    waiting, fields = deque(_specs(about)), dict[str, Any]()
    while waiting:
        name, spec = waiting.popleft()
        if name in values and _is_field(spec):
            fields[name] = values[name]
            waiting.extendleft(reversed(list(_children(name, spec, values[name]))))
    return fields


def _specs(about: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The inputs of a class in the editor's order, which is not that of their names."""
    groups, order = as_dict(about.get("input")), as_dict(about.get("input_order"))
    for group in ("required", "optional"):
        inputs = as_dict(groups.get(group))
        for name in as_list(order.get(group)) or list(inputs):
            if name in inputs:
                yield name, inputs[name]


def _type(spec: Any) -> str:
    first = as_list(spec)[0] if as_list(spec) else ""
    return "COMBO" if isinstance(first, list) else str(first)


def _facts(spec: Any) -> Mapping[str, Any]:
    parts = as_list(spec)
    return as_dict(parts[1]) if len(parts) > 1 else {}


def _is_field(spec: Any) -> bool:
    kind, facts = _type(spec), _facts(spec)
    if facts.get("forceInput"):
        return False
    return kind in _FIELDS or kind == _DYNAMIC or "widgetType" in facts or "socketless" in facts


def _children(name: str, spec: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """The fields that a choice brings with it: `format.bit_depth` of `format`."""
    for option in _choice(spec, value):
        for child, inner in _specs({"input": option.get("inputs")}):
            yield f"{name}.{child}", inner


def _choice(spec: Any, value: Any) -> list[dict[str, Any]]:
    """The one option of a dynamic choice that is chosen; none of any other input."""
    if _type(spec) != _DYNAMIC:
        return []
    options = map(as_dict, as_list(_facts(spec).get("options")))
    return [option for option in options if option.get("key") == value][:1]


def _skip_extras(name: str, spec: Any, values: deque[Any], after: str) -> None:
    """Drop what the editor saves behind a value for its own use; `after` is the next type."""
    facts, kind = _facts(spec), _type(spec)
    if not values:
        return
    controlled = facts.get("control_after_generate") or (kind == "INT" and name in _SEEDS)
    switch = isinstance(values[0], bool) and after != "BOOLEAN"  # as the first editors had it
    if controlled and (switch or str(values[0]) in _CONTROLS):
        values.popleft()
        if kind == "COMBO" and values and values[0] == "":
            values.popleft()  # its filter
    elif any(facts.get(upload) for upload in _UPLOADS) and values[0] in ("image", "audio", None):
        values.popleft()


def _check(node: Node, name: str, spec: Any, value: Any) -> None:
    kind = _type(spec)
    numeric = isinstance(value, int | float) or (isinstance(value, str) and _is_number(value))
    wrong = (
        (kind in ("INT", "FLOAT") and value is not None and not numeric)
        or (kind == "STRING" and bool(as_dict(value) or as_list(value)))
        or (kind == _DYNAMIC and not _choice(spec, value))
        or (kind == "COMBO" and isinstance(value, bool) and str(value) not in wire.options(spec))
    )
    if wrong:
        raise WorkflowUnreadable(
            f"{node.label}: its `{name}` reads {str(value)[:40]!r}, so the server has another"
            f" version of {node.type} than the workflow; open it in ComfyUI and {EXPORT}"
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
