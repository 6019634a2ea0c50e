"""Paint and upscale: the work of the engine's thread."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from ziggie_image_mcp.provider import GeneratedImage, Generation, ProviderRequest
from ziggie_image_mcp.provider.pictures import decode, is_transparent, on_white, to_png
from ziggie_image_mcp.provider.seams import seam
from ziggie_image_providers.builtin.engine import Report, Weights
from ziggie_image_providers.builtin.models import SIZES, TOKENS, Factor

if TYPE_CHECKING:
    from PIL import Image

    from ziggie_image_providers.builtin.cut_out import Network
    from ziggie_image_providers.builtin.tiny import Job, Pixels, TinyModel

CHANGE, REPAINT = 0.75, 1.0
"""The strength where none is asked for: enough to change, and under a mask all of it."""

PLAIN = 16
"""Of 255: so little may the colours along an edge differ that shows nothing."""

QUOTED = 80
"""Characters of what was not read."""

DEMO = "Made by the built-in demo model, which knows only simple shapes, items, scenes and tiles"
ON_WHITE = "the picture's transparent parts were laid on white: this model knows no transparency"
TILES = "the picture tiles, and so does the result"


def paint(
    request: ProviderRequest,
    steps: int,
    guidance: float,
    weights: Weights,
    report: Report,
    stop: threading.Event,
) -> Generation:
    """Make the pictures of one request with the tiny model, at the size that was asked."""
    factor = SIZES[request.width]
    report(0.0, "loading the built-in model")
    began, is_cold = time.monotonic(), weights.tiny is None
    model = weights.get_tiny()
    job, notes = _job(request, steps, guidance)
    model.load(job)
    if factor is not None:
        weights.get_upscaler()
    load_seconds = time.monotonic() - began if is_cold else 0.0
    images: list[GeneratedImage] = []
    for number in range(request.num_images):

        def on_step(step: int, steps: int, number: int = number) -> None:
            name = f"picture {number + 1} of {request.num_images}, step {step} of {steps}"
            report((number + 0.9 * step / steps) / request.num_images, name)

        seed = (request.seed + number) % 2**32
        pixels = model.paint(replace(job, seed=seed), on_step)
        if factor is not None:
            pixels = weights.get_upscaler().upscale(
                pixels, factor, wrap=request.seamless, on_tile=_untold, stop=stop
            )
        images.append(GeneratedImage(data=to_png(_image(pixels)), seed=seed))
        report((number + 1) / request.num_images, f"picture {number + 1} is there")
    return Generation(
        images=tuple(images),
        notes=(*notes, *_about_words(model, request), *_about_guidance(request, guidance)),
        load_seconds=load_seconds,
    )


def upscale(
    request: ProviderRequest,
    factor: Factor,
    weights: Weights,
    report: Report,
    stop: threading.Event,
) -> Generation:
    """Enlarge the picture of a request. One that tiles is enlarged to one that tiles."""
    import numpy as np

    assert request.image is not None
    report(0.0, "loading the upscaler")
    began, is_cold = time.monotonic(), weights.upscaler is None
    upscaler = weights.get_upscaler()
    load_seconds = time.monotonic() - began if is_cold else 0.0
    picture = decode(request.image)
    wrap = seam(picture).tiles
    mode = "RGBA" if "A" in picture.getbands() else "RGB"
    grey = picture.mode == "L"

    def on_tile(done: int, count: int) -> None:
        report(done / count, f"tile {done} of {count}")

    pixels = upscaler.upscale(
        np.asarray(picture.convert(mode)), factor, wrap=wrap, on_tile=on_tile, stop=stop
    )
    enlarged = _image(pixels)
    del pixels
    data = to_png(enlarged.convert("L") if grey else enlarged)
    return Generation(
        images=(GeneratedImage(data=data, seed=None),),
        notes=(TILES,) if wrap and not _has_plain_edges(picture) else (),
        load_seconds=load_seconds,
    )


def remove_background(
    request: ProviderRequest,
    network: Network,
    weights: Weights,
    report: Report,
    stop: threading.Event,
) -> Generation:
    """Cut the subject of the request's picture out."""
    from ziggie_image_providers.builtin.cut_out import cut_out

    assert request.image is not None
    report(0.0, f"loading {network.path.stem}")
    began, is_cold = time.monotonic(), network.path not in weights.networks
    session = weights.get_network(network)
    load_seconds = time.monotonic() - began if is_cold else 0.0
    report(0.1, f"cutting out by {network.path.stem}")
    result = cut_out(session, network, decode(request.image), stop)
    image = GeneratedImage(data=to_png(result), seed=None)
    return Generation(images=(image,), load_seconds=load_seconds)


def _has_plain_edges(picture: Image.Image) -> bool:
    """Whether a picture tiles only because nothing is at its edges, as one on a flat ground."""
    width, height = picture.size
    lines = ((0, 0, width, 1), (0, height - 1, width, height), (0, 0, 1, height))
    for box in lines:
        for channel in picture.crop(box).convert("RGBA").split():
            values = channel.tobytes()
            if max(values) - min(values) > PLAIN:
                return False
    return True


def _job(request: ProviderRequest, steps: int, guidance: float) -> tuple[Job, list[str]]:
    import numpy as np

    from ziggie_image_providers.builtin.tiny import Job, reduce

    job = Job(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        steps=steps,
        guidance_scale=guidance,
        seamless=request.seamless,
    )
    if request.image is None:
        return job, []
    strength = request.strength or (CHANGE if request.mask is None else REPAINT)
    picture = decode(request.image)
    mask = None if request.mask is None else decode(request.mask).convert("L")
    changed = replace(
        job,
        steps=max(steps, math.ceil(1 / strength)),  # `steps * strength` are run, and one at least
        strength=strength,
        image=np.asarray(reduce(on_white(picture))),
        mask=None if mask is None else np.asarray(reduce(mask)),
    )
    return changed, [ON_WHITE] if is_transparent(picture) else []


def _about_words(model: TinyModel, request: ProviderRequest) -> list[str]:
    """Say what the model did not read, and which words mean nothing to it."""
    notes = [DEMO]
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        reading = model.read(text)
        if reading.unknown:
            words = _quoted(", ".join(reading.unknown))
            notes.append(f"words of the {name} that it does not know, and left out: {words}")
        if reading.unread:
            words = _quoted(reading.unread)
            notes.append(f'the model reads {TOKENS} words of a {name}; not read: "{words}"')
    return notes


def _about_guidance(request: ProviderRequest, guidance: float) -> list[str]:
    """Say what has no effect: guidance works between the prompt and what is to be kept out."""
    notes: list[str] = []
    if guidance <= 1 and request.negative_prompt.strip():
        notes.append("a negative prompt has no effect at a guidance_scale of 1 and less")
    if guidance < 1:
        notes.append(f"guidance_scale {guidance:g} is as 1: none")
    return notes


def _quoted(text: str) -> str:
    return text if len(text) <= QUOTED else text[: QUOTED - 3] + "..."


def _untold(done: int, count: int) -> None:
    """A picture of 64 pixels is one tile."""


def _image(pixels: Pixels) -> Image.Image:
    from PIL import Image

    return Image.fromarray(pixels)
