"""Say a plan as a batch of one of InvokeAI's graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ziggie_image_mcp.provider import Control
from ziggie_image_providers.invokeai import families
from ziggie_image_providers.invokeai.families import Kind, Node
from ziggie_image_providers.invokeai.plan import Plan
from ziggie_image_providers.invokeai.wire import OUTPUT, ModelRecord

ORIGIN = "ziggie"
MODEL, POSITIVE, NEGATIVE, NOISE, DENOISE = "model", "positive", "negative", "noise", "denoise"
CHANGE = 0.75
"""The strength where none is asked; under a mask all is painted anew."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The pictures of a request, by the names under which the server has them."""

    image: str = ""
    mask: str = ""
    """Black is painted anew."""
    references: tuple[str, ...] = ()
    control: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Graph:
    """Nodes and edges, and where each slot is fed from by now."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    edges: list[dict[str, dict[str, str]]] = field(default_factory=list[dict[str, dict[str, str]]])
    sources: dict[str, str] = field(default_factory=dict[str, str])
    """The node that a slot comes from, where it is not the loader."""

    def add(self, id: str, type: str, **inputs: Any) -> None:
        self.nodes[id] = {"id": id, "type": type, "is_intermediate": True, **inputs}

    def edge(self, source: str, output: str, id: str, input: str) -> None:
        ends = {"source": (source, output), "destination": (id, input)}
        self.edges.append({k: {"node_id": n, "field": f} for k, (n, f) in ends.items()})

    def feed(self, id: str, slots: Mapping[str, str]) -> None:
        """Lead slots to a node, by its inputs."""
        for input, slot in slots.items():
            self.edge(self.sources.get(slot, MODEL), slot, id, input)

    def pass_through(self, id: str, slots: Mapping[str, str]) -> None:
        """Lead slots through a node: it changes them, and has them as outputs."""
        self.feed(id, slots)
        self.sources |= dict.fromkeys(slots.values(), id)

    def collect(self, id: str, items: Mapping[str, str], into: str) -> None:
        """Lead outputs of some nodes together into one input of the sampler, in their order.

        Each has a collector of its own, which goes on with the one before: one alone keeps no
        order.
        """
        for i, (node, output) in enumerate(items.items(), 1):
            self.add(f"{id}_{i}", "collect")
            if i > 1:
                self.edge(f"{id}_{i - 1}", "collection", f"{id}_{i}", "collection")
            self.edge(node, output, f"{id}_{i}", "item")
        self.edge(f"{id}_{len(items)}", "collection", DENOISE, into)


def batch(plan: Plan, pictures: Pictures, id: str, *, keep: bool) -> dict[str, Any]:
    """The batch that makes all pictures of a request, each with its own seed.

    Args:
        plan: What is asked, and with what.
        pictures: Under which names the server has its pictures.
        id: Of the batch, and the destination by which it is found again.
        keep: Whether the pictures go to the server's gallery.
    """
    kind = plan.entry.kind
    graph = _upscale(plan, pictures) if kind is None else _picture(plan, pictures, kind)
    graph.nodes[OUTPUT] |= {"is_intermediate": not keep, "use_cache": False}
    body: dict[str, Any] = {
        "batch_id": id,
        "origin": ORIGIN,
        "destination": id,
        "graph": {"id": id, "nodes": graph.nodes, "edges": graph.edges},
        "runs": 1,
    }
    if kind is not None:
        request = plan.request
        seeds = [(request.seed + i) % 2**32 for i in range(request.num_images)]
        where = NOISE if kind.noise else DENOISE
        body["data"] = [[{"node_path": where, "field_name": "seed", "items": seeds}]]
    return body


def _upscale(plan: Plan, pictures: Pictures) -> _Graph:
    graph, request = _Graph(), plan.request
    image, factor = {"image_name": pictures.image}, request.factor or 1
    if plan.entry.record is not None:
        model = plan.entry.record.identifier()
        graph.add(
            OUTPUT,
            "spandrel_image_to_image_autoscale",
            image=image,
            image_to_image_model=model,
            scale=factor,
        )
        return graph
    graph.add("upscale", "esrgan", image=image, model_name=plan.entry.file, use_cache=False)
    size = {"width": request.width * factor, "height": request.height * factor}
    graph.add(OUTPUT, "img_resize", resample_mode="lanczos", **size)
    graph.edge("upscale", "image", OUTPUT, "image")
    return graph


def _picture(plan: Plan, pictures: Pictures, kind: Kind) -> _Graph:
    graph, record = _Graph(), plan.entry.record
    assert record, "every model but an upscaler is in the listing"
    beside = {name: part.identifier() for name, part in (plan.entry.parts or {}).items()}
    graph.add(MODEL, kind.loader.type, model=record.identifier(), **beside)
    _add_loras(graph, plan, kind)
    if plan.request.seamless and kind.seamless:
        graph.add("seamless", "seamless", seamless_x=True, seamless_y=True)
        graph.pass_through("seamless", {"unet": "unet", "vae": "vae"})
    _add_sampler(graph, plan, kind)
    _add_prompts(graph, plan, kind)
    _add_image(graph, plan, pictures, kind)
    _add_control(graph, plan, pictures, kind)
    _add_references(graph, plan, pictures, kind)
    graph.add(OUTPUT, kind.decode.type, **kind.decode.always)
    graph.edge(DENOISE, "latents", OUTPUT, "latents")
    graph.feed(OUTPUT, {"vae": "vae"})
    return graph


def _add_loras(graph: _Graph, plan: Plan, kind: Kind) -> None:
    for i, (lora, weight) in enumerate(plan.loras, 1):
        assert kind.lora, "routing gives LoRAs only to who declares them"
        graph.add(f"lora_{i}", kind.lora.type, lora=lora.identifier(), weight=weight)
        graph.pass_through(f"lora_{i}", kind.lora.slots)


def _add_sampler(graph: _Graph, plan: Plan, kind: Kind) -> None:
    request, node = plan.request, kind.denoise
    inputs: dict[str, Any] = {**node.always}
    inputs[node.steps] = plan.entry.model.defaults.steps if request.steps is None else request.steps
    if plan.guidance is not None:
        inputs[node.guidance] = plan.guidance
    if plan.sampler:
        inputs["scheduler"] = plan.sampler
    size: dict[str, Any] = {"width": request.width, "height": request.height}
    if kind.noise:
        graph.add(NOISE, "noise", seed=request.seed, use_cpu=True, **size)
        graph.edge(NOISE, "noise", DENOISE, "noise")
    else:
        inputs |= {"seed": request.seed, **size}
    graph.add(DENOISE, node.type, **inputs)
    graph.feed(DENOISE, node.slots)


def _add_prompts(graph: _Graph, plan: Plan, kind: Kind) -> None:
    node, request = kind.denoise, plan.request
    sides = ("original", "target") if kind.sized_text else ()
    sizes = {f"{of}_{side}": getattr(request, side) for of in sides for side in ("width", "height")}

    def add(id: str, prompt: str, into: str, node: Node) -> None:
        graph.add(id, node.type, prompt=prompt, **sizes, **node.always)
        graph.feed(id, node.slots)
        graph.edge(id, "conditioning", DENOISE, into)

    add(POSITIVE, plan.prompt, node.positive, kind.text)
    unguided = node.negative_if_guided and (plan.guidance or 1.0) <= 1
    if node.negative and not unguided:
        # Qwen-Image's encoder takes no empty text.
        negative = plan.negative_prompt or (" " if node.negative_if_guided else "")
        add(NEGATIVE, negative, node.negative, kind.text)


def _add_image(graph: _Graph, plan: Plan, pictures: Pictures, kind: Kind) -> None:
    request = plan.request
    if not pictures.image or (kind.reference and not pictures.mask):
        return
    strength = request.strength
    if strength is None:
        strength = 1.0 if pictures.mask else CHANGE
    graph.nodes[DENOISE]["denoising_start"] = round(1 - strength, 6)
    image = {"image_name": pictures.image}
    graph.add("image", kind.encode.type, image=image, **kind.encode.always)
    graph.feed("image", {"vae": "vae"})
    graph.edge("image", "latents", DENOISE, "latents")
    if pictures.mask:
        carried = {"image": image, "fp32": True} if kind.masked_image else {}
        graph.add("mask", "create_denoise_mask", mask={"image_name": pictures.mask}, **carried)
        graph.feed("mask", {"vae": "vae"})
        graph.edge("mask", "denoise_mask", DENOISE, "denoise_mask")


def _add_control(graph: _Graph, plan: Plan, pictures: Pictures, kind: Kind) -> None:
    items: dict[str, str] = {}
    for i, ((net, control), image) in enumerate(
        zip(plan.control, pictures.control, strict=True), 1
    ):
        id = f"control_{i}"
        _add_net(graph, id, net, control, image, kind)
        items[id] = "control"
    if items:
        graph.collect("controls", items, "control")


def _add_net(
    graph: _Graph, id: str, net: ModelRecord, control: Control, image: str, kind: Kind
) -> None:
    node = kind.control
    assert node, "routing gives control pictures only to who declares them"
    inputs: dict[str, Any] = {"control_model": net.identifier(), **node.always}
    inputs[node.weight] = control.weight
    if node.modes and families.is_union(net.name):
        inputs["instantx_control_mode"] = node.modes[control.kind]
    if not control.compute:
        graph.add(id, node.type, image={"image_name": image}, **inputs)
        return
    maker = families.data().nodes[control.kind]
    graph.add(f"{id}_map", maker, image={"image_name": image}, use_cache=False)
    graph.add(id, node.type, **inputs)
    graph.edge(f"{id}_map", "image", id, "image")


def _add_references(graph: _Graph, plan: Plan, pictures: Pictures, kind: Kind) -> None:
    names = pictures.references
    if kind.reference:
        if pictures.image and not pictures.mask:
            names = (pictures.image, *names)
        ids = {f"reference_{i}": name for i, name in enumerate(names, 1)}
        for id, name in ids.items():
            graph.add(id, kind.reference, image={"image_name": name})
        if ids:
            items = dict.fromkeys(ids, "kontext_cond")
            graph.collect("references", items, "kontext_conditioning")
    elif plan.adapter is not None and names:
        images = [{"image_name": name} for name in names]
        encoder = _vision_encoder(plan.adapter)
        graph.add(
            "references",
            "ip_adapter",
            image=images,
            ip_adapter_model=plan.adapter.identifier(),
            **encoder,
        )
        graph.edge("references", "ip_adapter", DENOISE, "ip_adapter")


def _vision_encoder(adapter: ModelRecord) -> dict[str, str]:
    """Which encoder goes with an adapter that does not say it itself."""
    if adapter.image_encoder_model_id is not None:
        return {}
    large = adapter.base == "sdxl" and "vit-h" not in adapter.name.lower().replace("_", "-")
    return {"clip_vision_model": "ViT-G" if large else "ViT-H"}
