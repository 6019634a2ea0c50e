"""Encode pictures with their recipe."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from ziggie_image_mcp.errors import InvalidOutput
from ziggie_image_mcp.provider import pictures
from ziggie_image_mcp.provider.capabilities import OutputFormat
from ziggie_image_mcp.storage.parameters_text import OURS, quoted
from ziggie_image_mcp.storage.types import Recipe

if TYPE_CHECKING:
    from PIL import Image


BLACK = 2
"""Of 255: up to here is what encoders make of black."""

LEAST_SEEN = 1 / 10_000
"""Of all pixels: with fewer that are not black, or not transparent, there is nothing to see."""

_USER_COMMENT = 0x9286
_EXIF_IFD = 0x8769


def parameters(recipe: Recipe) -> str:
    """The recipe in AUTOMATIC1111's one-text form, which most tools read."""
    lines = [recipe.prompt]
    if recipe.negative_prompt:
        lines.append(f"Negative prompt: {recipe.negative_prompt}")
    facts: list[str] = []
    if recipe.steps is not None:
        facts.append(f"Steps: {recipe.steps}")
    if recipe.guidance_scale is not None:
        facts.append(f"CFG scale: {recipe.guidance_scale:g}")
    if recipe.seed is not None:
        facts.append(f"Seed: {recipe.seed}")
    facts.append(f"Size: {recipe.width}x{recipe.height}")
    facts.append(f"Model: {quoted(recipe.model)}")
    facts.append(f"Provider: {quoted(recipe.provider)}")
    facts += [f"{key}: {quoted(value)}" for key, value in recipe.extra.items()]
    facts.append(f"Version: {OURS}")
    return "\n".join([*lines, ", ".join(facts)])


def recipe_facts(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON writes it."""
    return {
        "prompt": recipe.prompt,
        "negative_prompt": recipe.negative_prompt,
        "provider": recipe.provider,
        "model": recipe.model,
        "seed": recipe.seed,
        "steps": recipe.steps,
        "guidance_scale": recipe.guidance_scale,
        "width": recipe.width,
        "height": recipe.height,
        **recipe.extra,
    }


def decoded(data: bytes, provider: str, *, max_pixels: int = pictures.MAX_PIXELS) -> Image.Image:
    """The picture, decoded to its last pixel.

    Raises:
        InvalidOutput: It is none that can be used.
    """
    try:
        return pictures.decode(data, max_pixels=max_pixels)
    except pictures.NotAPicture as e:
        raise InvalidOutput(provider, f"{provider} returned {e}.") from e


def refuse_blank(image: Image.Image, provider: str) -> None:
    """Refuse a picture in which nothing can be seen: what filters and overflows leave.

    A dark picture is none: what a model paints of the night lies above BLACK nearly everywhere, and
    a single small star on nothing is more than LEAST_SEEN.

    Raises:
        InvalidOutput: It is black or transparent all over.
    """
    from PIL import ImageChops

    red, green, blue = pictures.on_white(image).split()
    light = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    alpha = image.convert("RGBA").getchannel("A")
    seen = min(sum(band.histogram()[BLACK + 1 :]) for band in (light, alpha))
    if seen < LEAST_SEEN * image.width * image.height:
        raise InvalidOutput(
            provider,
            f"{provider} returned a blank picture: the model overflowed or its filter blacked it.",
        )


def encode(
    image: Image.Image, kind: OutputFormat, recipe: Recipe | None, *, lossless: bool = False
) -> bytes:
    """Encode anew, so that nothing that the engine wrote into the file travels on.

    `lossless` keeps each pixel in WebP too; JPEG cannot.
    """
    from PIL import Image, PngImagePlugin

    mode = "RGBA" if pictures.has_alpha(image) else "RGB"
    clean = image.convert(mode)
    clean.info.clear()
    out = io.BytesIO()
    if kind == "png":
        info = PngImagePlugin.PngInfo()
        if recipe is not None:
            info.add_itxt("parameters", parameters(recipe))
            facts = json.dumps(recipe_facts(recipe), ensure_ascii=False)
            info.add_itxt("ziggie-image", facts)
        clean.save(out, "PNG", pnginfo=info)
        return out.getvalue()
    exif = Image.Exif()
    if recipe is not None:
        text = parameters(recipe).encode("utf-16-be")
        ifd = exif.get_ifd(_EXIF_IFD)
        ifd[_USER_COMMENT] = b"UNICODE\0" + text
    if kind == "webp":
        if lossless:
            clean.save(out, "WEBP", lossless=True, exact=True, exif=exif)
        else:
            clean.save(out, "WEBP", quality=92, exif=exif)
    else:
        pictures.on_white(clean).save(out, "JPEG", quality=93, subsampling=0, exif=exif)
    return out.getvalue()
