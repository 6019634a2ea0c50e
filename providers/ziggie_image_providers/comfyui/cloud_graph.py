"""Make one graph of all pictures of a request, and name uploaded pictures as Comfy Cloud does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ziggie_image_providers.comfyui.graph import Nodes

SAVE = "save"
"""The node of our graphs that gives the picture."""

_LOADERS = ("LoadImage", "LoadImageMask")


def save_nodes(count: int) -> list[str]:
    """The ids of the nodes that give the pictures, in their order."""
    return [_id(SAVE, i) for i in range(count)]


def join(graphs: Sequence[Nodes]) -> Nodes:
    """One graph that makes what several would, of the same nodes under the same ids.

    What is alike in all, as the loaders, is there once.
    """
    first = graphs[0]
    joined = dict(first)
    for i, graph in enumerate(graphs[1:], 1):
        own = {id for id, node in graph.items() if node != first[id]}
        while more := {id for id in graph if id not in own and _links(graph[id]) & own}:
            own |= more
        for id in graph:
            if id in own:
                joined[_id(id, i)] = _renamed(graph[id], own, i)
    return joined


def with_assets(nodes: Nodes) -> Nodes:
    """The graph with the ids of uploaded pictures as references to them."""
    return {
        id: {**node, "inputs": {**node["inputs"], "image": _asset(node["inputs"]["image"])}}
        if node["class_type"] in _LOADERS
        else node
        for id, node in nodes.items()
    }


def _asset(id: str) -> dict[str, Any]:
    return {"__type": "core/ASSET", "info": {"id": id}}


def _id(id: str, picture: int) -> str:
    return f"{id}_p{picture + 1}" if picture else id


def _links(node: Mapping[str, Any]) -> set[str]:
    return {link for value in node["inputs"].values() if (link := _link(value))}


def _link(value: object) -> str:
    if isinstance(value, list | tuple) and len(cast("Sequence[object]", value)) == 2:
        id: object = cast("Sequence[object]", value)[0]
        return id if isinstance(id, str) else ""
    return ""


def _renamed(node: Mapping[str, Any], own: set[str], picture: int) -> dict[str, Any]:
    inputs = {
        name: [_id(link, picture), value[1]] if (link := _link(value)) in own else value
        for name, value in node["inputs"].items()
    }
    return {**node, "inputs": inputs}
