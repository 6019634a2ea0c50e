"""Say what a workflow needs of the server it is to run on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ziggie_image_providers.comfyui import wire
from ziggie_image_providers.comfyui.workflow.file import ApiGraph, as_dict, as_list

_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf", ".onnx")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a node of a workflow chooses of a list of the server's, mostly a file."""

    node: str
    input: str
    value: str


def output_nodes(graph: ApiGraph, object_info: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the nodes that hand something out."""
    return tuple(id for id, about in _classes(graph, object_info) if about.get("output_node"))


def paid_nodes(graph: ApiGraph, object_info: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes of nodes that send their work to a partner, who is paid for it."""
    paid = {
        graph[id]["class_type"]
        for id, about in _classes(graph, object_info)
        if about.get("api_node") or str(about.get("python_module")).startswith("comfy_api_nodes")
    }
    return tuple(sorted(paid))


def missing_nodes(graph: ApiGraph, object_info: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes of nodes that the server does not have."""
    return tuple(sorted({n["class_type"] for n in graph.values()} - object_info.keys()))


def model_files(graph: ApiGraph) -> tuple[Choice, ...]:
    """The model files that a workflow loads."""
    return tuple(
        Choice(node=id, input=name, value=value)
        for id, name, value in _texts(graph)
        if value.casefold().endswith(_ENDINGS)
    )


def needed_files_missing(graph: ApiGraph, object_info: Mapping[str, Any]) -> tuple[Choice, ...]:
    """What a workflow chooses that the server's lists do not have.

    Pictures that nodes load are left out: a request may bring its own.
    """
    table = wire.NodeTable(object_info)
    return tuple(
        Choice(node=id, input=name, value=value)
        for id, name, value in _texts(graph)
        if _lists_without(table.inputs(graph[id]["class_type"]).get(name), value)
    )


def _lists_without(spec: object, value: str) -> bool:
    """Whether an input takes one of a list, and this is none of them."""
    parts = as_list(spec)
    facts = as_dict(parts[1]) if len(parts) > 1 else {}
    takes_any = "options" not in facts and not (parts and as_list(parts[0]) == parts[0])
    if takes_any or facts.get("remote") or any(n.endswith("_upload") for n in facts):
        return False
    is_list = parts[0] == "COMBO" or isinstance(parts[0], list)
    return is_list and value not in wire.options(spec)


def _classes(graph: ApiGraph, info: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for id, node in graph.items():
        yield id, as_dict(info.get(node["class_type"]))


def _texts(graph: ApiGraph) -> Iterator[tuple[str, str, str]]:
    for id, node in graph.items():
        for name, value in node["inputs"].items():
            if isinstance(value, str):
                yield id, name, value
