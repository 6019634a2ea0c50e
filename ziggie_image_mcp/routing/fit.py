"""Work out the request that a model would be sent."""

from __future__ import annotations

from typing import NamedTuple

from ziggie_image_mcp.provider.types import Model, ProviderRequest
from ziggie_image_mcp.routing import sizing
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.rules import (
    settings_of,
)


class FittedRequest(NamedTuple):
    """A request as a model of one kind would get it."""

    request: ProviderRequest
    notes: tuple[str, ...]
    work: float


def work_units(model: Model, request: ProviderRequest) -> float:
    """How many pictures of native size and default steps a request is worth."""
    work = (request.width * request.height) / (model.native_width * model.native_height)
    if request.steps and model.default_steps:
        work *= request.steps / model.default_steps
    return work * request.num_images


def fit_request(
    model: Model, ctx: RoutingContext, known: dict[object, FittedRequest]
) -> FittedRequest:
    """Models of one kind share their request, among a thousand files."""
    kind = (
        model.features,
        model.native_width,
        model.native_height,
        model.min_side,
        model.max_side,
        model.multiple_of,
        model.default_steps,
        model.default_guidance,
        model.id if model.distilled or ctx.config.models or ctx.request.aspect_ratio else "",
    )
    fitted = known.get(kind)
    if fitted is None:
        request, notes = _request(model, ctx)
        fitted = known[kind] = FittedRequest(request, tuple(notes), work_units(model, request))
    return fitted


def _request(model: Model, ctx: RoutingContext) -> tuple[ProviderRequest, list[str]]:
    request, defaults, notes = ctx.request, ctx.config.default_settings, list[str]()
    own = settings_of(model, ctx.config)
    width, height = sizing.resolve(model, request, notes)
    steps, guidance = request.steps, request.guidance_scale
    preset: float | None
    if steps is None and "steps" in model.features:
        general = None if model.distilled else defaults.steps
        steps = own.steps or general or model.default_steps
        if model.distilled and defaults.steps not in (None, steps):
            notes.append(f"defaultSettings.steps left out: {model.id} is distilled for {steps}")
    if guidance is None and "guidance_scale" in model.features:
        preset = None if model.distilled else defaults.cfg
        guidance = next(
            (g for g in (own.guidance_scale, preset, model.default_guidance) if g is not None), None
        )
    sampler, scheduler = request.sampler, request.scheduler
    if not model.distilled:
        sampler = sampler or (defaults.sampler if "sampler" in model.features else None)
        scheduler = scheduler or (defaults.scheduler if "scheduler" in model.features else None)
    return ProviderRequest(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=width,
        height=height,
        num_images=request.num_images,
        seed=request.seed if request.seed is not None else 0,
        steps=steps,
        guidance_scale=guidance,
        sampler=sampler,
        scheduler=scheduler,
        strength=request.strength,
        image_id=request.image.id if request.image else "",
        mask_id=request.mask.id if request.mask else "",
    ), notes
