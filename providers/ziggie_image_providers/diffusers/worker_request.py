"""Say a job in the worker's words."""

from __future__ import annotations

import math

from ziggie_image_mcp.provider import (
    Model,
    ProviderContext,
    ProviderRequest,
    RequestRejected,
    options_of,
    peak_bytes,
)
from ziggie_image_mcp.provider.pictures import decode, is_transparent
from ziggie_image_providers.diffusers import torch_build, wire
from ziggie_image_providers.diffusers.families import SAMPLERS, sampler
from ziggie_image_providers.diffusers.ladder import Way, peaks
from ziggie_image_providers.diffusers.listing import memory_need
from ziggie_image_providers.diffusers.scan import DiskModel
from ziggie_image_providers.diffusers.settings import Settings

CHANGE, REPAINT = 0.75, 1.0
"""The strength where none is asked for: enough to change, and under a mask all of it."""


def worker_request(
    request: ProviderRequest,
    model: Model,
    on_disk: DiskModel,
    *,
    settings: Settings,
    context: ProviderContext,
) -> wire.WorkerRequest:
    """Make the worker's request from a provider's.

    Raises:
        RequestRejected: It asks for what the model does not take.
    """
    known, options = on_disk.known, options_of(model, request.task)
    step = known.multiple_of if known else 16
    if request.width % step or request.height % step:
        raise RequestRejected(
            model.provider,
            f"{request.width} x {request.height} cannot be made: sides must be multiples of "
            f"{step}.",
        )
    if request.scheduler is not None:
        raise RequestRejected(model.provider, "This provider takes a sampler, and no scheduler.")
    chosen = sampler(request.sampler) if request.sampler is not None else None
    if request.sampler is not None and (chosen is None or "sampler" not in options):
        raise RequestRejected(
            model.provider,
            f"{model.id} takes no sampler {request.sampler!r}. Samplers, for sd1 and sdxl: "
            f"{', '.join(SAMPLERS)}.",
        )
    negative: str | None = request.negative_prompt
    if known is None or not known.negative:
        negative = request.negative_prompt or None
    elif known.guidance_argument == "true_cfg_scale":
        negative = request.negative_prompt or " "  # without one there is no guidance at all
    if negative is not None and known is not None and not known.negative:
        raise RequestRejected(model.provider, f"{model.id} takes no negative prompt.")
    width, height = request.width, request.height
    steps, guidance = model.defaults.steps, model.defaults.guidance_scale
    if request.steps is not None and "steps" in options:
        steps = request.steps
    if request.guidance_scale is not None and "guidance_scale" in options:
        guidance = request.guidance_scale
    strength = None
    if request.image is not None:
        strength = request.strength or (CHANGE if request.mask is None else REPAINT)
        if steps is not None:  # the pipelines run `steps * strength` of them, and one at least
            steps = max(steps, math.ceil(1 / strength))
    memory = memory_need(on_disk)
    rung = next((one for one in model.memory.rungs if one.name == model.rung), None)
    return wire.WorkerRequest(
        path=str(on_disk.path),
        pipeline=on_disk.pipeline,
        single_file=on_disk.single_file,
        config_folder=str(on_disk.config_folder) if on_disk.config_folder else None,
        variant=on_disk.variant,
        device=model.device if model.rung else device_wanted(settings, context),
        rung=model.rung,
        dtype=settings.dtype,
        half_precision=known.half_precision if known else "bfloat16",
        weight_bytes=memory.weights if memory else None,
        vram_bytes=peak_bytes(peaks(memory, Way()), width * height) if memory else None,
        may_offload=context.vram_optimization,
        need_bytes=None if rung is None else peak_bytes(rung.peaks, width * height),
        picture_bytes=None if rung is None else int(rung.peaks[0].bytes_per_pixel * width * height),
        batch_size=settings.batch_size,
        prompt=request.prompt,
        negative_prompt=negative,
        width=width,
        height=height,
        num_images=request.num_images,
        seed=request.seed,
        steps=steps,
        guidance=guidance,
        guidance_argument=known.guidance_argument if known else "guidance_scale",
        sampler=chosen,
        strength=strength,
        image_bytes=len(request.image or b""),
        mask_bytes=len(request.mask or b""),
    )


def payload(request: ProviderRequest) -> bytes:
    """What goes with the request."""
    return (request.image or b"") + (request.mask or b"")


def differences(request: ProviderRequest) -> list[str]:
    """What an edit does that was not asked for."""
    if request.image is None or not is_transparent(decode(request.image)):
        return []
    return ["the picture's transparent parts were laid on white: this model knows no transparency"]


def device_wanted(settings: Settings, context: ProviderContext) -> str:
    """Say where to run: the provider's setting, else the server's, else what torch can use."""
    if settings.device != "auto":
        return settings.device
    if context.gpu not in ("auto", "auto-detect"):
        return context.gpu
    return "auto" if torch_build.uses_gpus() else "cpu"
