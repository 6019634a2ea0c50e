"""Work out the request that a model would be sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ziggie_image_mcp.assets.region import Placement
from ziggie_image_mcp.config.config import DefaultSettings, ModelSettings
from ziggie_image_mcp.inventory.licences import condition_of
from ziggie_image_mcp.inventory.types import Reason
from ziggie_image_mcp.provider.capabilities import Option, TaskCapability
from ziggie_image_mcp.provider.nouns import Control, Model, ProviderRequest
from ziggie_image_mcp.provider.sizes import native_size
from ziggie_image_mcp.routing.asset_wishes import sheet_words
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.emulation import (
    emulated_options,
    emulation_notes,
    for_size,
    plan_emulation,
    sent_prompt,
)
from ziggie_image_mcp.routing.prompt_words import prompt_notes, wishes
from ziggie_image_mcp.routing.rules import find_cut_out, settings_of
from ziggie_image_mcp.routing.sizing import FittedSize, fit_size
from ziggie_image_mcp.routing.types import NO_EMULATION, Candidate, Emulation

_ALIKE = (None, "sd1", "sd2", "sdxl")
"""Families for which `defaultSettings` means what its author meant: guidance of 7 is usual there.

A model of unknown family is most likely a checkpoint of one of them."""

_OPTIONS: Mapping[str, Option] = {
    "steps": "steps",
    "cfg": "guidance_scale",
    "sampler": "sampler",
    "scheduler": "scheduler",
}


DRAFT_SHARE, LEAST_DRAFT_STEPS = 0.5, 8
"""Of its usual steps a model takes so many for a draft, and no fewer than these."""


class FittedRequest(NamedTuple):
    """A request as a model of one kind would get it."""

    request: ProviderRequest
    notes: tuple[str, ...]
    work: float
    reason: Reason | None = None
    """Why the model cannot serve it; then its size is only the nearest."""
    placement: Placement | None = None
    emulation: Emulation = NO_EMULATION


def work_units(capability: TaskCapability, model: Model, request: ProviderRequest) -> float:
    """How many pictures of native size and default steps a request is worth."""
    native = native_size(capability.sizes)
    work = (request.width * request.height) / (native.width * native.height)
    if request.steps and model.defaults.steps:
        work *= request.steps / model.defaults.steps
    return work * request.num_images


def fit_request(
    model: Model,
    capability: TaskCapability,
    ctx: RoutingContext,
    known: dict[object, FittedRequest],
) -> FittedRequest:
    """Models of one kind share their request, among a thousand files."""
    own, defaults = settings_of(model, ctx.config), model.defaults
    licence = _licence_notes(model, own)
    # Where its name stands in the notes, a model shares its request with no other.
    general = ctx.config.default_settings.model_fields_set and model.family not in _ALIKE
    named = ctx.request.aspect_ratio or model.distilled or model.demo or wishes(ctx.request.prompt)
    emulation = plan_emulation(model, ctx)
    kind: tuple[object, ...] = (
        *(id(capability), id(own), model.id if named or general else "", model.family in _ALIKE),
        *(defaults.steps, defaults.guidance_scale, defaults.quality),
        *licence,
    )
    if emulation != NO_EMULATION:  # where its name stands in the notes, too
        kind = (*kind, emulation, model.provider, model.id)
    fitted = known.get(kind)
    if fitted is None:
        fitted = known[kind] = _fit(model, capability, ctx, licence, emulation)
    return fitted


def as_large(route: Candidate, failed: Candidate) -> Reason | None:
    """Leave out what needs as much memory as a route that ran out of it in the same place.

    What is not known to need as much may be tried; of one family all need about the same.
    """
    if _place(route.model) != _place(failed.model):
        return None
    need, before = _memory(route.model), _memory(failed.model)
    if need is None or before is None:
        less = route.model.family is None or route.model.family != failed.model.family
    else:
        less = need < before
    if less:
        return None
    return Reason(
        code="OUT_OF_MEMORY",
        need=f"less memory than {failed.model.id}, which ran out of it",
        have="as much" if need is None else f"{need / 1e9:.1f} GB",
        fix="ask for a smaller picture, or a smaller model",
    )


def _place(model: Model) -> str:
    return model.device or model.provider


def _memory(model: Model) -> float | None:
    for rung in model.memory.rungs:
        if rung.name == model.rung:
            return rung.vram_bytes
    return model.memory.vram_bytes or model.memory.ram_bytes


def _fit(
    model: Model,
    capability: TaskCapability,
    ctx: RoutingContext,
    licence: list[str],
    emulation: Emulation,
) -> FittedRequest:
    size = fit_size(capability.sizes, ctx.request, model.id, lenient=model.demo)
    request, notes = _request(model, capability, ctx, size)
    if "transparent" in ctx.options and ctx.task == "text_to_image":  # native alpha may fail too
        emulation = replace(emulation, cut_out=find_cut_out(ctx, size.size))
    if emulation != NO_EMULATION:
        emulation = for_size(emulation, model, size.size)
        notes += emulation_notes(emulation, model)
    return FittedRequest(
        request=request,
        notes=(*size.notes, *notes, *prompt_notes(model, ctx), *licence),
        work=work_units(capability, model, request),
        reason=size.reason,
        placement=size.placement,
        emulation=emulation,
    )


def _licence_notes(model: Model, own: ModelSettings) -> list[str]:
    """What its licence asks. At a vendor's, the vendor's own terms hold."""
    condition = condition_of(model.license)
    if not condition or model.where == "vendor" or own.commercial_use:
        return []
    return [f"licence ({model.license}): {condition}"]


def _sampling(
    model: Model, capability: TaskCapability, ctx: RoutingContext
) -> tuple[DefaultSettings, list[str]]:
    """How to sample: as asked, as set for the model, as set for all, as is usual for it.

    The settings for all are left out where the model would mean something else by them.
    """
    request, own, general = ctx.request, settings_of(model, ctx.config), ctx.config.default_settings
    asked = {
        "steps": request.steps,
        "cfg": request.guidance_scale,
        "sampler": request.sampler,
        "scheduler": request.scheduler,
    }
    mine = {
        "steps": own.steps,
        "cfg": own.guidance_scale,
        "sampler": own.sampler,
        "scheduler": own.scheduler,
    }
    usual = {"steps": model.defaults.steps, "cfg": model.defaults.guidance_scale}
    alike = not model.distilled and model.family in _ALIKE
    values, left_out = dict[str, Any](), list[str]()
    for name, option in _OPTIONS.items():
        honoured, for_all = option in capability.options, getattr(general, name)
        takes = [asked[name]]
        if honoured:
            takes += [mine[name], for_all if alike else None, usual.get(name)]
        values[name] = next((value for value in takes if value is not None), None)
        own_words = asked[name] is not None or mine[name] is not None
        if honoured and not (alike or own_words) and for_all not in (None, values[name]):
            left_out.append(name)
    notes = _draft(values, model, own_steps=asked["steps"] or mine["steps"], ctx=ctx)
    if not left_out:
        return DefaultSettings.model_construct(**values), notes
    of_family = f"is of family {model.family}, which has its own"
    why = "is distilled and has its own" if model.distilled else of_family
    key = model.id if model.distilled or model.family is None else model.family
    fix = f"set models.{key} in config.json for others"
    note = f"defaultSettings ({', '.join(left_out)}) left out: {model.id} {why}; {fix}"
    return DefaultSettings.model_construct(**values), [*notes, note]


def _draft(
    values: dict[str, Any], model: Model, *, own_steps: object, ctx: RoutingContext
) -> list[str]:
    """Lower the steps of a draft in `values`, where nobody set them, and say it."""
    usual = values["steps"]
    if ctx.request.quality != "draft" or own_steps or not usual or model.distilled or model.demo:
        return []
    fewer = max(LEAST_DRAFT_STEPS, math.ceil(usual * DRAFT_SHARE))
    if fewer >= usual:
        return []
    values["steps"] = fewer
    return [f"quality draft: {fewer} steps in place of {usual}; steps sets others"]


def _request(
    model: Model, capability: TaskCapability, ctx: RoutingContext, fitted: FittedSize
) -> tuple[ProviderRequest, list[str]]:
    request = ctx.request
    sampling, notes = _sampling(model, capability, ctx)
    emulated = emulated_options(model, ctx)
    return ProviderRequest(
        task=ctx.task,
        prompt=", ".join(filter(None, (sent_prompt(model, ctx), sheet_words(request)))),
        negative_prompt=request.negative_prompt,
        width=fitted.size.width,
        height=fitted.size.height,
        bucket=fitted.bucket,
        num_images=request.num_images,
        seed=request.seed if request.seed is not None else 0,
        steps=sampling.steps,
        guidance_scale=sampling.cfg,
        sampler=sampling.sampler,
        scheduler=sampling.scheduler,
        strength=request.strength,
        quality=model.defaults.quality,
        transparent=request.transparent and "transparent" not in emulated,
        seamless="seamless" in ctx.options - emulated,
        style=request.style,
        factor=request.upscale,
        image_id=request.image.id if request.image else "",
        mask_id=request.mask.id if request.mask else "",
        reference_ids=tuple(image.id for image in request.references),
        loras=request.loras,
        control=tuple(
            Control(kind=c.kind, image_id=c.image.id, weight=c.weight, compute=c.compute)
            for c in request.control
        ),
    ), notes
