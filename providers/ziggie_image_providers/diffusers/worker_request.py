"""Say a job in the worker's words."""

from __future__ import annotations

import io
import math

from ziggie_image_mcp.errors import RequestRejected
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.types import Model, ProviderRequest
from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.families import SAMPLERS, sampler
from ziggie_image_providers.diffusers.scan import TINY_ID, Found
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.weights import need

CHANGE, REPAINT = 0.75, 1.0
"""The strength where none is asked for: enough to change, and under a mask all of it."""


def worker_request(
    request: ProviderRequest,
    model: Model,
    found: Found,
    *,
    settings: Settings,
    context: ProviderContext,
) -> wire.WorkerRequest:
    """Make the worker's request from a provider's.

    Raises:
        RequestRejected: It asks for what the model does not take.
    """
    known = found.known
    if request.width % model.multiple_of or request.height % model.multiple_of:
        raise RequestRejected(
            model.provider,
            f"{request.width} x {request.height} cannot be made: sides must be multiples of "
            f"{model.multiple_of}.",
        )
    if request.scheduler is not None:
        raise RequestRejected(model.provider, "This provider takes a sampler, and no scheduler.")
    chosen = sampler(request.sampler) if request.sampler is not None else None
    if request.sampler is not None and (chosen is None or "sampler" not in model.features):
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
    steps = request.steps if request.steps is not None else model.default_steps
    strength = None
    if request.image is not None:
        strength = request.strength or (CHANGE if request.mask is None else REPAINT)
        if steps is not None:  # the pipelines run `steps * strength` of them, and one at least
            steps = max(steps, math.ceil(1 / strength))
    memory = need(found.parts, known, width, height)
    return wire.WorkerRequest(
        path=str(found.path),
        pipeline=found.pipeline,
        single_file=found.single_file,
        config_folder=str(found.config_folder) if found.config_folder else None,
        variant=found.variant,
        device=device(found, settings, context),
        dtype=settings.dtype,
        half_precision=known.half_precision if known else "bfloat16",
        weight_bytes=memory.weights if memory else None,
        vram_bytes=memory.vram_full if memory else None,
        may_offload=context.vram_optimization,
        prompt=request.prompt,
        negative_prompt=negative,
        width=width,
        height=height,
        num_images=request.num_images,
        seed=request.seed,
        steps=steps,
        guidance=(
            model.default_guidance if request.guidance_scale is None else request.guidance_scale
        ),
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
    if request.image is None or not _transparent(request.image):
        return []
    return ["the picture's transparent parts were laid on white: this model knows no transparency"]


def _transparent(data: bytes) -> bool:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        return "A" in picture.getbands() and picture.getchannel("A").getextrema() != (255, 255)


def device(found: Found, settings: Settings, context: ProviderContext) -> str:
    """Say where to run: the provider's setting, else the server's; the tiny model on the CPU."""
    if settings.device != "auto":
        return settings.device
    if found.id == TINY_ID:
        return "cpu"
    return "auto" if context.gpu in ("auto", "auto-detect") else context.gpu
