"""Offer the user's own workflows as models: what each takes, and what it needs of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ziggie_image_mcp.provider import (
    FREE,
    Bucket,
    Buckets,
    Defaults,
    FreeSize,
    Memory,
    Model,
    Option,
    PriceBook,
    ProviderRequest,
    Rate,
    SameAsInput,
    SizeRule,
    Task,
    TaskCapability,
    Where,
)
from ziggie_image_mcp.provider.files import read_regular
from ziggie_image_mcp.provider.pricing import OWN_PRICE
from ziggie_image_providers.comfyui import failures, wire
from ziggie_image_providers.comfyui.capabilities import MAX_IMAGES
from ziggie_image_providers.comfyui.graph import Nodes
from ziggie_image_providers.comfyui.samplers import in_own_words
from ziggie_image_providers.comfyui.settings import WorkflowSettings
from ziggie_image_providers.comfyui.workflow.checks import (
    missing_nodes,
    needed_files_missing,
    paid_nodes,
)
from ziggie_image_providers.comfyui.workflow.file import (
    MAX_BYTES,
    ApiGraph,
    WorkflowUnreadable,
    read_workflow,
)
from ziggie_image_providers.comfyui.workflow.fill import Value, defaults, fill
from ziggie_image_providers.comfyui.workflow.inputs import Inputs, Role, find_inputs
from ziggie_image_providers.comfyui.workflow.ui_format import to_api

MULTIPLE_OF = 8
"""What ComfyUI's own size inputs step by."""
MIN_SIDE, MAX_SIDE = 64, 8192

_PICTURES: tuple[Role, ...] = ("image", "mask", "reference")

_OPTIONS: tuple[Option, ...] = (
    "negative_prompt",
    "seed",
    "steps",
    "guidance_scale",
    "sampler",
    "scheduler",
    "strength",
)


@dataclass(frozen=True, kw_only=True)
class OwnWorkflow:
    """A workflow of the user's, ready to be filled in."""

    graph: ApiGraph
    inputs: Inputs
    paid: bool = False
    """Whether it has nodes of partners, who are paid for it."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The pictures of a request as the server names them."""

    image: str = ""
    mask: str = ""
    references: tuple[str, ...] = ()


def offer(
    id: str,
    settings: WorkflowSettings,
    nodes: wire.NodeTable,
    *,
    provider: str,
    device: str,
    where: Where,
) -> tuple[Model, OwnWorkflow | None]:
    """A workflow as a model; one that cannot be used says why, and what to do.

    Args:
        id: What the user calls it.
        settings: What the user says of it.
        nodes: What the server has.
        provider: The provider's name.
        device: Where it runs.
        where: Who sees what it is given.
    """
    model = Model(
        id=id,
        provider=provider,
        where=where,
        tasks={},
        prices=FREE,
        family=settings.family,
        title=f"workflow {id}",
        device=device,
        memory=Memory(managed=True),
    )
    try:
        own = _read(settings, nodes)
        why = _why_not(own, settings, nodes)
    except (WorkflowUnreadable, OSError) as e:
        own, why = None, str(getattr(e, "strerror", None) or e)
    if own is None or why:
        fix = f"workflow {id} ({settings.file}) cannot be used: {why}"
        return replace(model, state="unusable", fix=fix), None
    standing = defaults(own.graph, own.inputs)
    if own.paid:
        micro_usd = round((settings.price_usd or 0) * 1e6)
        rate = Rate(unit="image", micro_usd=micro_usd)
        model = replace(model, where="vendor", prices=PriceBook(rates=(rate,), source=OWN_PRICE))
    return replace(
        model,
        tasks=_tasks(own.inputs, standing),
        defaults=Defaults(
            steps=_count(standing.get("steps")),
            guidance_scale=_number(standing.get("guidance_scale")),
        ),
    ), own


def compose(
    own: OwnWorkflow, request: ProviderRequest, seed: int, pictures: Pictures, prefix: str
) -> Nodes:
    """The graph of one picture."""
    sampler, scheduler = in_own_words(request.sampler or "", request.scheduler or "")
    asked: dict[Role, Value | tuple[Value, ...] | None] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt or None,
        "seed": seed,
        "steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "sampler": sampler or None,
        "scheduler": scheduler or None,
        "width": request.width,
        "height": request.height,
        "batch": 1,
        "strength": request.strength,
        "image": pictures.image or None,
        "mask": pictures.mask or None,
        "reference": pictures.references or None,
    }
    values: dict[Role, Value | tuple[Value, ...]] = {
        role: value for role, value in asked.items() if value is not None
    }
    return {id: dict(node) for id, node in fill(own.graph, own.inputs, values, prefix).items()}


def _read(settings: WorkflowSettings, nodes: wire.NodeTable) -> OwnWorkflow:
    path = Path(settings.file)
    workflow = read_workflow(read_regular(path, MAX_BYTES), path.name)
    graph = workflow.api
    if graph is None:
        assert workflow.ui is not None, "a workflow has one of its two formats"
        graph = to_api(workflow.ui, nodes.info)
    inputs = find_inputs(graph, settings.inputs, nodes.info)
    return OwnWorkflow(graph=graph, inputs=inputs, paid=bool(paid_nodes(graph, nodes.info)))


def _why_not(own: OwnWorkflow, settings: WorkflowSettings, nodes: wire.NodeTable) -> str:
    if missing := missing_nodes(own.graph, nodes.info):
        return failures.missing_node_text(missing[0])
    if own.paid and settings.price_usd is None:
        names = ", ".join(paid_nodes(own.graph, nodes.info))
        return (
            f"it has nodes of paid partners ({names}); set its `priceUsd` to what a run costs at"
            " most, if it may spend that"
        )
    brought = {port for role in _PICTURES for port in own.inputs.ports.get(role, ())}
    files = needed_files_missing(own.graph, nodes.info)
    if lacking := [file for file in files if (file.node, file.input) not in brought]:
        return f"ComfyUI does not have {lacking[0].value!r}, which node {lacking[0].node} names"
    if "prompt" not in own.inputs:
        return 'no input takes the prompt; say which, as "inputs": {"prompt": "6.text"}'
    return ""


def _tasks(inputs: Inputs, standing: Mapping[Role, Value]) -> dict[Task, TaskCapability]:
    able = TaskCapability(
        sizes=_sizes(inputs, standing),
        options=frozenset(option for option in _OPTIONS if option in inputs),
        max_images=MAX_IMAGES if "seed" in inputs else 1,
        max_references=len(inputs.ports.get("reference", ())),
    )
    if "image" not in inputs:
        return {"text_to_image": able}
    if "mask" in inputs and inputs.ports.get("mask") != inputs.ports.get("image"):
        return {"inpaint": replace(able, mask="white")}
    return {"image_to_image": able}


def _sizes(inputs: Inputs, standing: Mapping[Role, Value]) -> SizeRule:
    width, height = _count(standing.get("width")), _count(standing.get("height"))
    box = FreeSize(
        native_width=_within(width or 1024),
        native_height=_within(height or 1024),
        min_side=MIN_SIDE,
        max_side=MAX_SIDE,
        multiple_of=MULTIPLE_OF,
    )
    if "width" in inputs and "height" in inputs:
        return box
    if "image" in inputs:
        return SameAsInput(accepts=box)
    size = Bucket(width=width or 1024, height=height or 1024)
    return Buckets(sizes=(size,), exact=False)


def _within(side: int) -> int:
    return min(MAX_SIDE, max(MIN_SIDE, side - side % MULTIPLE_OF))


def _count(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value >= 1 else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
