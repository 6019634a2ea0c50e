"""Count what a request lays over a model into what the model needs. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ziggie_image_mcp.provider.additions import find_addition
from ziggie_image_mcp.provider.capabilities import TaskCapability
from ziggie_image_mcp.provider.nouns import Model, Peak, Rung
from ziggie_image_mcp.routing.context import RoutingContext


def with_additions(model: Model, ctx: RoutingContext) -> Model:
    """The model with the weights of the request's LoRAs, ControlNets and references in its rungs.

    Unchanged where its provider names no ways of holding it. The two numbers for native size stay:
    by them a stored picture is found again.
    """
    request, capability = ctx.request, model.tasks.get(ctx.task)
    if capability is None or not model.memory.rungs:
        return model
    if not (request.loras or request.control or request.references):
        return model
    own = [a for a in ctx.survey.additions if a.provider == model.provider]
    laid = {a.id: a.memory.vram_bytes or 0 for a in _additions(capability, ctx, own)}
    weights = sum(laid.values())
    looking = capability.reference_bytes if request.references else 0
    memory = replace(
        model.memory,
        rungs=tuple(_more(rung, weights, looking) for rung in model.memory.rungs),
        ram_peaks=tuple(_higher(model.memory.ram_peaks, weights + looking)),
    )
    return replace(model, memory=memory)


def _additions(
    capability: TaskCapability, ctx: RoutingContext, own: Sequence[Model]
) -> Sequence[Model]:
    """The listed LoRAs and ControlNets that the request would load, as far as they are here."""
    loras = [find_addition(lora.id, "lora", own) for lora in ctx.request.loras]
    kinds = {control.kind for control in ctx.request.control}
    nets = capability.control.nets if capability.control else ()
    by_kind = next((one for one in nets if one.keys() >= kinds), dict[str, str]())
    ids = {by_kind[kind] for kind in kinds if kind in by_kind}
    controls = [a for a in own if a.role == "control" and a.id in ids]
    return [*filter(None, loras), *controls]


def _more(rung: Rung, weights: int, looking: int) -> Rung:
    on_gpu = looking if rung.by_layer else weights + looking
    return replace(
        rung,
        vram_bytes=rung.vram_bytes + on_gpu,
        peaks=tuple(_higher(rung.peaks, on_gpu)),
        ram_bytes=rung.ram_bytes + weights + looking if rung.ram_bytes else 0,
    )


def _higher(peaks: Sequence[Peak], by: int) -> Sequence[Peak]:
    return [replace(peak, bytes=peak.bytes + by) for peak in peaks]
