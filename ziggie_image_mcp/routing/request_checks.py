"""Refuse what no provider could honour, before anything is looked at, loaded or spent."""

from __future__ import annotations

import math
import re

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.types import InputImage

MAX_SIDE = 16_384
MAX_PROMPT = 10_000
MAX_IMAGES = 16
MAX_REFERENCES = 16
MAX_SEED = 2**32 - 1
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
"""A lone surrogate, which no file, database or vendor takes."""
WHOLE_CHARACTERS = (
    "it holds half a character (a lone surrogate); give the whole one, or leave it out"
)


def check_request(request: ImageRequest) -> None:
    """Refuse what no provider could honour.

    Raises:
        InvalidRequest: Names the field, its value and what would be accepted.
    """
    for field, value in vars(request).items():
        if isinstance(value, str) and HALF_CHARACTER.search(value):
            raise InvalidRequest(field, value, WHOLE_CHARACTERS)
    works_on_image = request.remove_background or request.upscale is not None
    if not request.prompt.strip() and not works_on_image:
        raise InvalidRequest("prompt", request.prompt, "say what the picture shows")
    if works_on_image and request.image is None:
        field = "remove_background" if request.remove_background else "upscale"
        raise InvalidRequest(field, getattr(request, field), "it needs an image")
    if request.upscale is not None and not 2 <= request.upscale <= 8:
        raise InvalidRequest("upscale", request.upscale, "2 to 8 times")
    for lora in request.loras:
        if not (math.isfinite(lora.weight) and -4 <= lora.weight <= 4):
            raise InvalidRequest("loras", f"{lora.id}:{lora.weight}", "a weight of -4 to 4")
    for field in ("prompt", "negative_prompt"):
        if len(getattr(request, field)) > MAX_PROMPT:
            raise InvalidRequest(field, getattr(request, field), f"at most {MAX_PROMPT} characters")
    for field, value in (("width", request.width), ("height", request.height)):
        if value is not None and not 16 <= value <= MAX_SIDE:
            raise InvalidRequest(field, value, f"16 to {MAX_SIDE} pixels, or leave it out")
    if (request.width is None) != (request.height is None):
        present = "width" if request.height is None else "height"
        other = "height" if present == "width" else "width"
        raise InvalidRequest(present, getattr(request, present), f"give {other} too, or neither")
    if request.aspect_ratio is not None:
        ratio(request.aspect_ratio)
        if request.width is not None:
            raise InvalidRequest(
                "aspect_ratio", request.aspect_ratio, "give it or width and height, not both"
            )
    if not 1 <= request.num_images <= MAX_IMAGES:
        raise InvalidRequest("num_images", request.num_images, f"1 to {MAX_IMAGES}")
    if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
        raise InvalidRequest("seed", request.seed, f"0 to {MAX_SEED}, or leave it out")
    if request.steps is not None and not 1 <= request.steps <= 500:
        raise InvalidRequest("steps", request.steps, "1 to 500, or leave it out")
    if request.guidance_scale is not None and not (
        math.isfinite(request.guidance_scale) and 0 <= request.guidance_scale <= 50
    ):
        raise InvalidRequest("guidance_scale", request.guidance_scale, "0 to 50, or leave it out")
    if request.strength is not None:
        if not (math.isfinite(request.strength) and 0 < request.strength <= 1):
            raise InvalidRequest("strength", request.strength, "above 0 and up to 1")
        if request.image is None:
            raise InvalidRequest("strength", request.strength, "it needs an image to change")
    if request.mask is not None:
        check_mask(request.image, request.mask)
    if (request.transparent or request.remove_background) and request.output_format == "jpeg":
        raise InvalidRequest("output_format", "jpeg", "png or webp: a JPEG has no transparency")
    limit = request.max_cost_usd
    if limit is not None and not (math.isfinite(limit) and limit >= 0):
        raise InvalidRequest("max_cost_usd", limit, "US dollars, 0 or more, or leave it out")


def ratio(text: str) -> float:
    """Width by height of a text as "16:9".

    Raises:
        InvalidRequest: It is no ratio between 1:4 and 4:1.
    """
    match = re.fullmatch(r"\s*(\d{1,4})\s*[:x/]\s*(\d{1,4})\s*", text)
    if match is None or int(match[1]) == 0 or int(match[2]) == 0:
        raise InvalidRequest("aspect_ratio", text, 'two whole numbers, as "16:9"')
    quotient = int(match[1]) / int(match[2])
    if not 1 / 4 <= quotient <= 4:
        raise InvalidRequest("aspect_ratio", text, "between 1:4 and 4:1")
    return quotient


def check_mask(image: InputImage | None, mask: InputImage) -> None:
    """Refuse a mask that does not lie on its image.

    Raises:
        InvalidRequest: There is no image, or it has another size.
    """
    size = f"{mask.width}x{mask.height}"
    if image is None:
        raise InvalidRequest("mask", size, "it needs an image to lie on")
    if (mask.width, mask.height) != (image.width, image.height):
        fix = f"make it {image.width}x{image.height}, as the image is"
        raise InvalidRequest("mask", size, fix)
