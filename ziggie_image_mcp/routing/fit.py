"""Work out the request that a model would be sent."""

from __future__ import annotations

from typing import NamedTuple

from ziggie_image_mcp.assets.region import Placement
from ziggie_image_mcp.inventory.types import Reason
from ziggie_image_mcp.provider.capabilities import TaskCapability
from ziggie_image_mcp.provider.nouns import Control, Model, ProviderRequest
from ziggie_image_mcp.provider.sizes import native_size
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.prompt_words import prompt_notes, wishes
from ziggie_image_mcp.routing.rules import settings_of
from ziggie_image_mcp.routing.sizing import FittedSize, fit_size
from ziggie_image_mcp.routing.types import Candidate


class FittedRequest(NamedTuple):
    """A request as a model of one kind would get it."""

    request: ProviderRequest
    notes: tuple[str, ...]
    work: float
    reason: Reason | None = None
    """Why the model cannot serve it; then its size is only the nearest."""
    placement: Placement | None = None


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
    # Where its name stands in the notes, a model shares its request with no other.
    named = ctx.request.aspect_ratio or model.distilled or model.demo or wishes(ctx.request.prompt)
    kind = (
        *(id(capability), id(own), model.id if named else ""),
        *(defaults.steps, defaults.guidance_scale, defaults.quality),
    )
    fitted = known.get(kind)
    if fitted is None:
        fitted = known[kind] = _fit(model, capability, ctx)
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
    return model.memory.vram_bytes or model.memory.ram_bytes


def _fit(model: Model, capability: TaskCapability, ctx: RoutingContext) -> FittedRequest:
    size = fit_size(capability.sizes, ctx.request, model.id, lenient=model.demo)
    request, notes = _request(model, capability, ctx, size)
    return FittedRequest(
        request=request,
        notes=(*size.notes, *notes, *prompt_notes(model, ctx)),
        work=work_units(capability, model, request),
        reason=size.reason,
        placement=size.placement,
    )


def _request(
    model: Model, capability: TaskCapability, ctx: RoutingContext, fitted: FittedSize
) -> tuple[ProviderRequest, list[str]]:
    request, defaults, notes = ctx.request, ctx.config.default_settings, list[str]()
    own, options = settings_of(model, ctx.config), capability.options
    steps, guidance = request.steps, request.guidance_scale
    preset: float | None
    if steps is None and "steps" in options:
        general = None if model.distilled else defaults.steps
        steps = own.steps or general or model.defaults.steps
        if model.distilled and defaults.steps not in (None, steps):
            notes.append(f"defaultSettings.steps left out: {model.id} is distilled for {steps}")
    if guidance is None and "guidance_scale" in options:
        preset = None if model.distilled else defaults.cfg
        guidance = next(
            (
                g
                for g in (own.guidance_scale, preset, model.defaults.guidance_scale)
                if g is not None
            ),
            None,
        )
    sampler, scheduler = request.sampler, request.scheduler
    if not model.distilled:
        sampler = sampler or (defaults.sampler if "sampler" in options else None)
        scheduler = scheduler or (defaults.scheduler if "scheduler" in options else None)
    return ProviderRequest(
        task=ctx.task,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=fitted.size.width,
        height=fitted.size.height,
        bucket=fitted.bucket,
        num_images=request.num_images,
        seed=request.seed if request.seed is not None else 0,
        steps=steps,
        guidance_scale=guidance,
        sampler=sampler,
        scheduler=scheduler,
        strength=request.strength,
        quality=model.defaults.quality,
        transparent=request.transparent,
        seamless=request.seamless,
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
