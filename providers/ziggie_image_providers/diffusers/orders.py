"""Say a job in the worker's words."""

from __future__ import annotations

import io
import math

from ziggie_image_mcp.errors import RequestRejected
from ziggie_image_mcp.provider import ProviderContext
from ziggie_image_mcp.types import Job, Model
from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.families import SAMPLERS, sampler
from ziggie_image_providers.diffusers.scan import TINY_ID, Found
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.weights import need

CHANGE, REPAINT = 0.75, 1.0
"""The strength where none is asked for: enough to change, and under a mask all of it."""


def order(
    job: Job, model: Model, found: Found, *, settings: Settings, context: ProviderContext
) -> wire.Order:
    """Make the worker's order from a job.

    Raises:
        RequestRejected: It asks for what the model does not take.
    """
    known = found.known
    if job.width % model.multiple_of or job.height % model.multiple_of:
        raise RequestRejected(
            model.provider,
            f"{job.width} x {job.height} cannot be made: sides must be multiples of "
            f"{model.multiple_of}.",
        )
    if job.scheduler is not None:
        raise RequestRejected(model.provider, "This provider takes a sampler, and no scheduler.")
    chosen = sampler(job.sampler) if job.sampler is not None else None
    if job.sampler is not None and (chosen is None or "sampler" not in model.features):
        raise RequestRejected(
            model.provider,
            f"{model.id} takes no sampler {job.sampler!r}. Samplers, for sd1 and sdxl: "
            f"{', '.join(SAMPLERS)}.",
        )
    negative: str | None = job.negative_prompt
    if known is None or not known.negative:
        negative = job.negative_prompt or None
    elif known.guidance_argument == "true_cfg_scale":
        negative = job.negative_prompt or " "  # without one there is no guidance at all
    if negative is not None and known is not None and not known.negative:
        raise RequestRejected(model.provider, f"{model.id} takes no negative prompt.")
    width, height = job.width, job.height
    steps = job.steps if job.steps is not None else model.default_steps
    strength = None
    if job.image is not None:
        strength = job.strength or (CHANGE if job.mask is None else REPAINT)
        if steps is not None:  # the pipelines run `steps * strength` of them, and one at least
            steps = max(steps, math.ceil(1 / strength))
    memory = need(found.parts, known, width, height)
    return wire.Order(
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
        prompt=job.prompt,
        negative_prompt=negative,
        width=width,
        height=height,
        num_images=job.num_images,
        seed=job.seed,
        steps=steps,
        guidance=(job.guidance_scale if job.guidance_scale is not None else model.default_guidance),
        guidance_argument=known.guidance_argument if known else "guidance_scale",
        sampler=chosen,
        strength=strength,
        image_bytes=len(job.image or b""),
        mask_bytes=len(job.mask or b""),
    )


def payload(job: Job) -> bytes:
    """What goes with the order."""
    return (job.image or b"") + (job.mask or b"")


def differences(job: Job) -> list[str]:
    """What an edit does that was not asked for."""
    if job.image is None or not _transparent(job.image):
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
