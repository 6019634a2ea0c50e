"""Say a workflow that the editor saved in the format that the server takes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ziggie_image_providers.comfyui.workflow.file import (
    EXPORT,
    MAX_NODES,
    ApiGraph,
    WorkflowUnreadable,
    as_dict,
    as_list,
    check_graph,
    is_link,
)
from ziggie_image_providers.comfyui.workflow.ui_graph import (
    BYPASSED,
    INPUT_NODE,
    MUTED,
    OUTPUT_NODE,
    Canvas,
    Link,
    Node,
    Slot,
    read_canvases,
)
from ziggie_image_providers.comfyui.workflow.ui_widgets import read_fields, required, wrap

_REROUTES = ("Reroute", "Reroute (rgthree)", "SetNode")
_EDITORS_OWN = frozenset({"Note", "MarkdownNote", "PrimitiveNode", "GetNode", *_REROUTES})
"""Classes that the server never sees."""
_MAX_HOPS = 100
_MAX_LEVELS = 16


def to_api(ui: Mapping[str, Any], object_info: Mapping[str, Any]) -> ApiGraph:
    """Convert a workflow, as far as its outputs need it.

    Args:
        ui: As the editor saves it.
        object_info: The server's classes of nodes.

    Raises:
        WorkflowUnreadable: It cannot be converted; the message names the node.
    """
    main, subgraphs = read_canvases(ui)
    graph: ApiGraph = {}
    unknown: dict[str, Node] = {}
    for place, node in _nodes(_Place(canvas=main, subgraphs=subgraphs)):
        id = f"{place.prefix}{node.id}"
        if node.type not in object_info:
            unknown[id] = node
        graph[id] = _api_node(node, place, as_dict(object_info.get(node.type)))
    _share(graph)
    graph = _for_outputs(graph, object_info, unknown)
    _check_everywhere(graph)
    for id in graph:
        if id in unknown:
            raise _missing(unknown[id])
    if not graph:
        raise WorkflowUnreadable(
            f"no active node of the workflow is an output, as SaveImage is; add one, or {EXPORT}"
        )
    return check_graph(graph, "the workflow")


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A canvas where it is used: a subgraph may be used several times."""

    canvas: Canvas
    subgraphs: Mapping[str, Canvas]
    prefix: str = ""
    level: int = 0
    parent: _Place | None = None
    instance: Node | None = None
    values: Mapping[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any])
    """What this use sets fields of inner nodes to: by the node's id and the field's name."""
    inner: dict[str, _Place] = field(default_factory=dict[str, "_Place"], compare=False)
    """The subgraphs used here, as far as they were entered."""

    @functools.cached_property
    def nodes(self) -> Mapping[str, Node]:
        return {str(node.id): node for node in self.canvas.nodes}

    @functools.cached_property
    def links(self) -> Mapping[int, Link]:
        return {link.id: link for link in self.canvas.links}

    @functools.cached_property
    def fields(self) -> Mapping[str, list[tuple[str, str]]]:
        """The inner fields that each input of a subgraph is linked to."""
        names = {
            link.id: self.canvas.inputs[link.origin_slot].name
            for link in self.canvas.links
            if str(link.origin_id) == INPUT_NODE and link.origin_slot < len(self.canvas.inputs)
        }
        fields: dict[str, list[tuple[str, str]]] = {b.name: [] for b in self.canvas.inputs}
        for node in self.canvas.nodes:
            for slot in node.inputs:
                if slot.link in names and slot.widget:
                    fields[names[slot.link]].append((str(node.id), slot.name))
        return fields


@dataclass(frozen=True)
class _Value:
    value: Any


@dataclass(frozen=True)
class _Field:
    """A field whose value another input takes too, both being behind one input of a subgraph."""

    id: str
    name: str


_Source = tuple[str, int] | _Value | _Field | None


def _nodes(main: _Place) -> Iterator[tuple[_Place, Node]]:
    """All nodes that take part, those of subgraphs included."""
    waiting = [(main, node) for node in main.canvas.nodes]
    number = 0
    while waiting:
        place, node = waiting.pop(0)
        number += 1
        if number > MAX_NODES:
            raise WorkflowUnreadable(f"the workflow has more than {MAX_NODES} nodes; split it")
        if node.mode in (MUTED, BYPASSED) or node.type in _EDITORS_OWN:
            continue
        if node.type in main.subgraphs:
            inner = _enter(place, node)
            waiting[:0] = [(inner, one) for one in inner.canvas.nodes]
        else:
            yield place, node


def _enter(place: _Place, node: Node) -> _Place:
    id = str(node.id)
    if id in place.inner:
        return place.inner[id]
    if place.level == _MAX_LEVELS:
        raise WorkflowUnreadable(f"{node.label} is nested too deep; {EXPORT}")
    inner = _Place(
        canvas=place.subgraphs[node.type],
        subgraphs=place.subgraphs,
        prefix=f"{place.prefix}{id}:",
        level=place.level + 1,
        parent=place,
        instance=node,
    )
    values = dict(_own_values(inner, node))
    for (target, name), value in place.values.items():
        if target == id:  # set from further out
            values |= dict.fromkeys(inner.fields.get(name, ()), value)
    place.inner[id] = replace(inner, values=values)
    return place.inner[id]


def _own_values(place: _Place, node: Node) -> Iterator[tuple[tuple[str, str], Any]]:
    """The values that a use of a subgraph carries itself, by the inner fields that they set."""
    proxies = _proxies(node)
    if proxies:
        if len(proxies) == len(node.values):
            for (id, name), value in zip(proxies, node.values, strict=True):
                for target in place.fields.get(name, ()) if id == "-1" else [(id, name)]:
                    yield target, value
        return
    named = node.named_values
    names = [name for name, targets in place.fields.items() if targets]
    if len(names) == len(node.values):
        named = dict(zip(names, node.values, strict=True))
    for name, value in named.items():
        for target in place.fields.get(name, ()):
            yield target, value


def _proxies(node: Node) -> list[tuple[str, str]]:
    rows = map(as_list, as_list(node.properties.get("proxyWidgets")))
    return [(str(row[0]), str(row[1])) for row in rows if len(row) > 1]


def _api_node(node: Node, place: _Place, about: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {name: wrap(value) for name, value in read_fields(node, about).items()}
    for (id, name), value in place.values.items():
        if id == str(node.id) and name in inputs:
            inputs[name] = wrap(value)
    for slot in node.inputs:
        if slot.link is None:
            continue
        source = _source(place, slot.link, 0)
        if isinstance(source, _Value):
            inputs[slot.name] = wrap(source.value)
        elif isinstance(source, _Field):
            inputs.setdefault(slot.name, source)
        elif source is not None:
            inputs[slot.name] = list(source)
    title = node.title or str(about.get("display_name") or node.type)
    return {"class_type": node.type, "inputs": inputs, "_meta": {"title": title}}


def _source(place: _Place, id: int, hops: int) -> _Source:
    """Where a link really comes from, past all that only the editor knows."""
    if hops > _MAX_HOPS:
        raise WorkflowUnreadable(f"its links go in a circle; {EXPORT}")
    link = place.links.get(id)
    if link is None:
        return None
    origin, hops = str(link.origin_id), hops + 1
    if origin == INPUT_NODE:
        return _outer_source(place, link.origin_slot, hops)
    node = place.nodes.get(origin)
    if node is None or (node.mode == MUTED and node.type not in _EDITORS_OWN):
        return None
    if node.mode == BYPASSED:
        slot = _passage(node, link.origin_slot)
        return None if slot is None else _source(place, slot, hops)
    if node.type == "PrimitiveNode":
        return _Value(node.values[0]) if node.values else None
    if node.type == "GetNode":
        return _set_source(place, node, hops)
    if node.type in _REROUTES:
        slot = next((s.link for s in node.inputs if s.link is not None), None)
        return None if slot is None else _source(place, slot, hops)
    if node.type not in place.subgraphs:
        return f"{place.prefix}{origin}", link.origin_slot
    inner = _enter(place, node)
    for end in inner.canvas.links:
        if str(end.target_id) == OUTPUT_NODE and end.target_slot == link.origin_slot:
            return _source(inner, end.id, hops)
    return None


def _outer_source(place: _Place, index: int, hops: int) -> _Source:
    if place.parent is None or place.instance is None or index >= len(place.canvas.inputs):
        return None
    name = place.canvas.inputs[index].name
    slot = next((s for s in place.instance.inputs if s.name == name), None)
    if slot is None or slot.link is None:
        return _field_behind(place, name)
    return _source(place.parent, slot.link, hops)


def _field_behind(place: _Place, name: str) -> _Field | None:
    """The first field of a server's node behind an input of a subgraph."""
    for id, inner_name in place.fields.get(name, ()):
        node = place.nodes[id]
        if node.type not in place.subgraphs:
            return _Field(f"{place.prefix}{id}", inner_name)
        shared = _field_behind(_enter(place, node), inner_name)
        if shared is not None:
            return shared
    return None


def _share(graph: ApiGraph) -> None:
    for node in graph.values():
        for name, value in list(node["inputs"].items()):
            if isinstance(value, _Field):
                shared = as_dict(graph.get(value.id, {}).get("inputs")).get(value.name)
                if shared is None or isinstance(shared, _Field):
                    del node["inputs"][name]
                else:
                    node["inputs"][name] = shared


def _passage(node: Node, index: int) -> int | None:
    """The link that a bypassed node lets through to an output: one of the same type."""
    kinds = node.outputs[index].kinds if index < len(node.outputs) else frozenset({"*"})
    same = node.inputs[index : index + 1]

    def fits(slot: Slot) -> bool:
        return slot.link is not None and (bool(slot.kinds & kinds) or "*" in slot.kinds | kinds)

    exact = [s for s in (*same, *node.inputs) if s.link is not None and s.kinds == kinds]
    return next((s.link for s in (*exact, *filter(fits, (*same, *node.inputs)))), None)


def _set_source(place: _Place, node: Node, hops: int) -> _Source:
    """What the SetNode of the same name is given, on this canvas or one further out."""
    name = node.values[:1]
    for other in place.canvas.nodes:
        if other.type == "SetNode" and other.values[:1] == name and other.mode != MUTED:
            link = next((s.link for s in other.inputs if s.link is not None), None)
            return None if link is None else _source(place, link, hops)
    if place.parent is not None:
        return _set_source(place.parent, node, hops)
    raise WorkflowUnreadable(f"{node.label} gets {name} that no SetNode sets; {EXPORT}")


def _for_outputs(
    graph: ApiGraph, object_info: Mapping[str, Any], unknown: Mapping[str, Node]
) -> ApiGraph:
    """Leave out what leads to no output; the server would ask for its classes all the same.

    An output that lacks an input is left out as well where others are whole: so does the server.
    """
    feeding = {v[0] for n in graph.values() for v in n["inputs"].values() if is_link(v)}
    outputs = [
        id
        for id, node in graph.items()
        if as_dict(object_info.get(node["class_type"])).get("output_node")
        or (id in unknown and id not in feeding and any(map(is_link, node["inputs"].values())))
    ]
    whole = [
        id
        for id in outputs
        if required(as_dict(object_info.get(graph[id]["class_type"]))) <= set(graph[id]["inputs"])
    ]
    waiting, needed = whole or outputs, set[str]()
    while waiting:
        id = waiting.pop()
        if id in needed or id not in graph:
            continue
        needed.add(id)
        waiting += [v[0] for v in graph[id]["inputs"].values() if is_link(v)]
    return {id: node for id, node in graph.items() if id in needed}


def _check_everywhere(graph: ApiGraph) -> None:
    for id, node in graph.items():
        if "Everywhere" in node["class_type"]:
            raise WorkflowUnreadable(
                f"node {id} ({node['class_type']}) links without lines, which only the editor can"
                f" follow; {EXPORT}"
            )


def _missing(node: Node) -> WorkflowUnreadable:
    pack = node.properties.get("cnr_id") or node.properties.get("aux_id")
    if pack == "comfy-core":
        fix = "update ComfyUI"
    else:
        fix = f"install {pack or 'the node pack that has it'} in ComfyUI"
    return WorkflowUnreadable(f"{node.label}: this ComfyUI has no {node.type}; {fix}, or {EXPORT}")
