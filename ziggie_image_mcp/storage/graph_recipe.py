"""Read how a picture was made out of ComfyUI's graph, as its files carry it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from ziggie_image_mcp.provider.json_paths import number
from ziggie_image_mcp.provider.nouns import Lora
from ziggie_image_mcp.storage.types import FileRecipe, NoRecipe

MAX_NODES = 2000
MAX_INPUTS = 20_000
MAX_SAMPLERS = 50
MAX_STEPS = 30
"""From a value to the node that holds it: longer ways end unread."""

_SAMPLERS = ("KSampler", "SamplerCustom")
"""How the kinds of nodes begin that make a picture out of noise."""
_SCALARS = ("value", "int", "float", "number", "string", "text", "seed", "noise_seed")
"""Inputs of the nodes that only hold a value."""
_TEXTS = ("text", "prompt", "user_prompt", "text_g", "t5xxl", "clip_l", "text_l", "caption")
_MODELS = ("ckpt_name", "unet_name", "model_name", "checkpoint", "gguf_name")
_CONDITIONING = ("conditioning", "conditioning_to", "conditioning_1", "conditioning_from", "cond")

Node = Mapping[str, Any]
Graph = Mapping[str, Node]


def read_graph(value: object) -> FileRecipe:
    """The recipe of a graph in the form of ComfyUI's API.

    Raises:
        NoRecipe: It is no such graph, it is too large, or nothing in it samples.
    """
    graph = _checked(value)
    samplers = _reached_samplers(graph)
    if not samplers:
        raise NoRecipe("its ComfyUI graph has no KSampler or SamplerCustom node that can be read")
    if len(samplers) > MAX_SAMPLERS:
        raise NoRecipe(f"its ComfyUI graph samples {len(samplers)} times")
    sampler = _first_pass(graph, samplers)
    unread = list[str]()
    if len(samplers) > 1:
        unread.append(f"{len(samplers) - 1} further sampling passes")
    guider = _node(graph, _inputs(sampler).get("guider")) or sampler
    sigmas = _node(graph, _inputs(sampler).get("sigmas")) or sampler
    selected = _node(graph, _inputs(sampler).get("sampler")) or sampler
    noise = _node(graph, _inputs(sampler).get("noise")) or sampler
    positive_link = _inputs(guider).get("positive", _inputs(guider).get("conditioning"))
    positive, guidance, kinds = _prompt(graph, positive_link, "positive")
    negative, _, _ = _prompt(graph, _inputs(guider).get("negative"), "negative")
    unread += kinds
    model, loras, how = _model(graph, _inputs(guider).get("model"))
    unread += how
    width, height, from_picture = _size(graph, _inputs(sampler).get("latent_image"))
    denoise = _number(graph, sigmas, "denoise")
    if from_picture:
        amount = "" if denoise is None else f" (denoise {denoise:g})"
        unread.append(f"the picture that it was made from{amount}")
    if guidance is None:
        guidance = _number(graph, guider, "cfg")
    return FileRecipe(
        source="ComfyUI",
        prompt=positive,
        negative_prompt=negative,
        seed=_whole(graph, noise, "noise_seed", "seed"),
        steps=_whole(graph, sigmas, "steps"),
        guidance_scale=guidance,
        sampler=_text(graph, selected, "sampler_name"),
        scheduler=_text(graph, sigmas, "scheduler"),
        width=width,
        height=height,
        model=model,
        loras=tuple(loras),
        unread=tuple(dict.fromkeys(unread)),
    )


def _checked(value: object) -> Graph:
    if not isinstance(value, dict) or not value:
        raise NoRecipe("what it carries as ComfyUI's graph is none")
    nodes = cast(dict[str, object], value)
    if len(nodes) > MAX_NODES:
        raise NoRecipe(f"its ComfyUI graph has {len(nodes)} nodes, more than {MAX_NODES}")
    graph: dict[str, Node] = {}
    for name, node in nodes.items():
        if isinstance(node, dict) and isinstance(cast(Node, node).get("inputs"), dict):
            graph[name] = cast(Node, node)
    inputs = sum(len(_inputs(node)) for node in graph.values())
    if inputs > MAX_INPUTS:
        raise NoRecipe(f"its ComfyUI graph has {inputs} inputs, more than {MAX_INPUTS}")
    return graph


def _kind(node: Node) -> str:
    return str(node.get("class_type", ""))


def _inputs(node: Node) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], node["inputs"])


def _node(graph: Graph, link: object) -> Node | None:
    """The node that a link comes from: [id, number of its output]."""
    if isinstance(link, list) and len(cast(list[object], link)) == 2:
        return graph.get(str(cast(list[object], link)[0]))
    return None


def _links(node: Node) -> Iterator[object]:
    for value in _inputs(node).values():
        if isinstance(value, list):
            yield cast(object, value)


def _behind(graph: Graph, starts: Iterable[object]) -> list[Node]:
    """All nodes that these links hang on, the nearest first, each once."""
    seen, order, queue = set[int](), list[Node](), list(starts)
    for link in queue:  # grows while it is gone through
        node = _node(graph, link)
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        order.append(node)
        queue.extend(_links(node))
    return order


def _is_sampler(node: Node) -> bool:
    inputs = _inputs(node)
    return _kind(node).startswith(_SAMPLERS) and ("latent_image" in inputs or "guider" in inputs)


def _reached_samplers(graph: Graph) -> list[Node]:
    """The samplers that a saved picture comes from; all where nothing is saved."""
    saves = [
        node for node in graph.values() if _kind(node).startswith(("SaveImage", "PreviewImage"))
    ]
    saves = [node for node in saves if _kind(node).startswith("Save")] or saves
    links = [link for node in saves[:1] for link in _links(node)]
    behind = _behind(graph, links) if links else list(graph.values())
    return [node for node in behind if _is_sampler(node)]


def _first_pass(graph: Graph, samplers: Sequence[Node]) -> Node:
    """The one that no other works ahead of; the farthest one in a circle."""
    for node in samplers:
        ahead = _behind(graph, [_inputs(node).get("latent_image")])
        if not any(_is_sampler(one) for one in ahead):
            return node
    return samplers[-1]


def _value(graph: Graph, node: Node, keys: Sequence[str]) -> object:
    """The plain value of an input, which another node may hold."""
    value = next((_inputs(node)[key] for key in keys if key in _inputs(node)), None)
    for _ in range(MAX_STEPS):
        holder = _node(graph, value)
        if holder is None:
            return cast(object, value)
        inputs = _inputs(holder)
        value = next((inputs[key] for key in (*keys, *_SCALARS) if key in inputs), None)
    return None


def _number(graph: Graph, node: Node, *keys: str) -> float | None:
    value = _value(graph, node, keys)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**64:
        return float(value)
    return None


def _whole(graph: Graph, node: Node, *keys: str) -> int | None:
    value = _value(graph, node, keys)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(graph: Graph, node: Node, *keys: str) -> str:
    value = _value(graph, node, keys)
    return value if isinstance(value, str) else ""


def _prompt(graph: Graph, link: object, side: str) -> tuple[str, float | None, list[str]]:
    """The words on one side, the guidance on the way to them, and what else is on it."""
    guidance, unread = None, list[str]()
    seen = set[int]()
    while (node := _node(graph, link)) is not None and id(node) not in seen:
        seen.add(id(node))
        kind, inputs = _kind(node), _inputs(node)
        if kind == "ConditioningZeroOut":
            return "", guidance, unread
        if kind == "FluxGuidance":
            guidance = _number(graph, node, "guidance")
        elif "ControlNet" in kind:
            unread.append("control pictures")
        elif kind == "ReferenceLatent":
            unread.append("references")
        elif kind in ("ConditioningCombine", "ConditioningConcat", "ConditioningAverage"):
            unread.append(f"further prompts ({kind})")
        text = _text(graph, node, *_TEXTS)
        if text:
            return text, guidance, unread
        link = next((inputs[key] for key in (side, *_CONDITIONING) if key in inputs), None)
    return "", guidance, unread


def _model(graph: Graph, link: object) -> tuple[str, list[Lora], list[str]]:
    """The file of the weights, the LoRAs on the way to it, and what else is on it."""
    loras, unread, seen = list[Lora](), list[str](), set[int]()
    while (node := _node(graph, link)) is not None and id(node) not in seen:
        seen.add(id(node))
        kind, inputs = _kind(node), _inputs(node)
        loras += _loras(graph, node)
        if name := _text(graph, node, *_MODELS):
            return name, loras[::-1], unread
        if "IPAdapter" in kind:
            unread.append("references (IP-Adapter)")
        link = inputs.get("model")
    return "", loras[::-1], unread


def _loras(graph: Graph, node: Node) -> list[Lora]:
    name = _text(graph, node, "lora_name")
    if name:
        weight = _number(graph, node, "strength_model", "strength")
        return [Lora(id=name, weight=1.0 if weight is None else weight)]
    rows = [cast(Mapping[str, Any], row) for row in _inputs(node).values() if isinstance(row, dict)]
    return [  # rgthree's loader has them as rows
        Lora(id=str(row["lora"]), weight=float(weight))
        for row in rows
        if row.get("on") is True
        and isinstance(row.get("lora"), str)
        and (weight := number(row.get("strength"))) is not None
    ]


def _size(graph: Graph, link: object) -> tuple[int | None, int | None, bool]:
    """Width and height of the empty latent, and whether there is a picture instead."""
    for node in _behind(graph, [link]):
        if _kind(node).startswith(("LoadImage", "VAEEncode")):
            return None, None, True
        width, height = _whole(graph, node, "width"), _whole(graph, node, "height")
        if width is not None and height is not None:
            return width, height, False
    return None, None, False
