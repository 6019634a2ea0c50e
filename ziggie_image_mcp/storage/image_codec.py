"""Decode pictures with bounds, and encode them with their recipe."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ziggie_image_mcp.errors import InvalidOutput
from ziggie_image_mcp.provider.types import OutputFormat
from ziggie_image_mcp.storage.types import Recipe

if TYPE_CHECKING:
    from PIL import Image


MAX_PIXELS = 80_000_000
"""A larger picture is refused as damaged or hostile."""
_USER_COMMENT = 0x9286
_EXIF_IFD = 0x8769


def media_type(data: bytes) -> str:
    """The media type by the first bytes; `application/octet-stream` for what is no picture."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/octet-stream"


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
    facts.append(f"Model: {recipe.model}")
    facts += [f"{key}: {value}" for key, value in recipe.extra.items()]
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


@contextmanager
def decoded(data: bytes, provider: str) -> Generator[Image.Image]:
    """The picture, decoded to its last pixel."""
    from PIL import Image, UnidentifiedImageError

    if media_type(data) == "application/octet-stream":
        raise InvalidOutput(provider, f"{provider} returned {len(data)} bytes that are no picture.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise InvalidOutput(
                        provider, f"{provider} returned {image.width}x{image.height} pixels."
                    )
                image.load()
                yield image
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as e:
        raise InvalidOutput(provider, f"{provider} returned a damaged picture.") from e
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise InvalidOutput(provider, f"{provider} returned too many pixels.") from e


def refuse_blank(image: Image.Image, provider: str) -> None:
    """Refuse a picture in which nothing can be seen.

    Raises:
        InvalidOutput: It is black or transparent all over.
    """
    highest = [band.histogram() for band in image.convert("RGBA").split()]
    red, green, blue, alpha = (max(i for i, n in enumerate(h) if n) for h in highest)
    if alpha == 0 or (red == green == blue == 0):
        raise InvalidOutput(
            provider,
            f"{provider} returned a blank picture: the model overflowed or its filter blacked it.",
        )


def encode(image: Image.Image, kind: OutputFormat, recipe: Recipe | None) -> bytes:
    """Encode anew, so that nothing that the engine wrote into the file travels on."""
    from PIL import Image, PngImagePlugin

    mode = "RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB"
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
        clean.save(out, "WEBP", quality=92, exif=exif)
    else:
        if mode == "RGBA":
            ground = Image.new("RGB", clean.size, "white")
            ground.paste(clean, mask=clean.getchannel("A"))
            clean = ground
        clean.save(out, "JPEG", quality=93, subsampling=0, exif=exif)
    return out.getvalue()
