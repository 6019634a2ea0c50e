"""Refuse what no provider could honour, before anything is looked at, loaded or spent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.routing.request import ImageRequest, is_processing
from ziggie_image_mcp.storage.types import InputImage

MAX_SIDE = 16_384
MAX_PROMPT = 10_000
MAX_PAD = 4096
MAX_IMAGES = 16
MAX_REFERENCES = 16
MAX_LORA_WEIGHT = 4
"""Beyond it, either way, no LoRA was ever meant to go."""
MAX_SEED = 2**32 - 1
MAX_WAIT_SECONDS = 3600
MAX_VIEW_SIDE = 1568
"""Pixels: models scale larger pictures down."""
MAX_NUMBER = 10**12
"""Of any number; NaN and infinity are beyond it."""
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
"""A lone surrogate, which no file, database or vendor takes."""
WHOLE_CHARACTERS = (
    "it holds half a character (a lone surrogate); give the whole one, or leave it out"
)


_A_RATIO = 'as "16:9", "1.91:1", "square", "portrait" or "landscape"'
MAX_RATIO_PART = 100
"""Of both sides of a ratio: larger ones are pixels."""
TAKES: Mapping[str, str] = {
    "prompt": "say what the picture shows",
    "image": "the id of a picture made here, or a file's path",
    "image_id": "the id of a picture made here",
    "job_id": "the id that generate_image, edit_image or process_image gave",
    "width": f"16 to {MAX_SIDE} pixels, or leave it out for the model's own size",
    "height": f"16 to {MAX_SIDE} pixels, or leave it out for the model's own size",
    "aspect_ratio": f"{_A_RATIO}, between 1:4 and 4:1, or leave it out for the model's own shape",
    "num_images": f"1 to {MAX_IMAGES}, or leave it out for 1",
    "seed": f"0 to {MAX_SEED}, or leave it out for a random one",
    "steps": "1 to 500, or leave it out for the model's own number",
    "guidance_scale": "0 to 50, or leave it out for the model's own",
    "strength": "above 0 and up to 1, or leave it out for the model's own",
    "quality": "or leave it out for any",
    "preference": "or leave it out for what the settings say",
    "provider": "auto, local, cloud or a name from list_models, or leave it out for the best route",
    "model": "an id or name from list_models, or leave it out for the best one",
    "max_cost_usd": "US dollars, 0 or more, or leave it out for what the budget allows",
    "allow_paid": "or leave it out until the user agreed to pay",
    "output_format": "or leave it out for what the settings say",
    "upscale": "2 to 8 times, or leave it out for no enlargement",
    "pixel_size": "1 to 1024 pixels, 0 or auto to find it, or leave it out for no grid",
    "colors": "1 to 256, or leave it out for all that it has",
    "pad": f"0 to {MAX_PAD} pixels, or leave it out for none",
    "columns": "1 to 1024, or leave it out for a sheet that is nearly square",
    "animation": "or leave it out for none",
    "fps": "1 to 60 frames a second, or leave it out for 10",
    "icons": "or leave it out for none",
    "resample": "or leave it out for what fits the picture",
    "expand": "four numbers of pixels: left, top, right, bottom",
    "wait_seconds": f"0 to {MAX_WAIT_SECONDS} seconds, or leave it out for what the client bears",
    "max_side": f"32 to {MAX_VIEW_SIDE} pixels, or leave it out for 768",
}
"""What arguments take, and what it means to leave them out."""

_SHAPES: Mapping[str, str] = {
    "square": "1:1",
    "portrait": "2:3",
    "vertical": "2:3",
    "landscape": "3:2",
    "horizontal": "3:2",
    "widescreen": "16:9",
    "wide": "16:9",
    "tall": "9:16",
    "ultrawide": "21:9",
    "square_hd": "1:1",
    "portrait_4_3": "3:4",
    "portrait_16_9": "9:16",
    "landscape_4_3": "4:3",
    "landscape_16_9": "16:9",
}


def check_request(request: ImageRequest, *, processing: bool = False) -> None:
    """Refuse what no provider could honour.

    Args:
        request: Any.
        processing: Whether it works on a finished picture, which may become small, and needs no
            prompt.

    Raises:
        InvalidRequest: Names the field, its value and what would be accepted.
    """
    for field, value in vars(request).items():
        if isinstance(value, str) and HALF_CHARACTER.search(value):
            raise InvalidRequest(field, value, WHOLE_CHARACTERS)
    works_on_image = processing or is_processing(request)
    if not request.prompt.strip() and not works_on_image:
        raise InvalidRequest("prompt", request.prompt, TAKES["prompt"])
    if is_processing(request) and request.image is None:
        field = "remove_background" if request.remove_background else "upscale"
        raise InvalidRequest(field, getattr(request, field), "it needs an image")
    for lora in request.loras:
        if not -MAX_LORA_WEIGHT <= lora.weight <= MAX_LORA_WEIGHT:  # NaN is not either
            raise InvalidRequest("loras", f"{lora.id}:{lora.weight}", "a weight of -4 to 4")
    for field in ("prompt", "negative_prompt"):
        if len(getattr(request, field)) > MAX_PROMPT:
            raise InvalidRequest(field, getattr(request, field), f"at most {MAX_PROMPT} characters")
    for field, least, most in _RANGES:
        value = getattr(request, field)
        if works_on_image and field in ("width", "height"):
            least = 1
        if value is not None and not least <= value <= min(most, MAX_NUMBER):
            raise InvalidRequest(field, value, _out_of_range(field, value))
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
    if request.strength is not None:
        if request.strength == 0:
            raise InvalidRequest("strength", request.strength, TAKES["strength"])
        if request.image is None:
            raise InvalidRequest("strength", request.strength, "it needs an image to change")
    if request.mask is not None:
        check_mask(request.image, request.mask)
    if request.output_format in ("svg", "gif") and not works_on_image:
        fix = "png, webp or jpeg; process_image makes svg and gif of the picture"
        raise InvalidRequest("output_format", request.output_format, fix)
    if (request.transparent or request.remove_background) and request.output_format == "jpeg":
        raise InvalidRequest("output_format", "jpeg", "png or webp: a JPEG has no transparency")


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("upscale", 2, 8),
    ("pixel_size", 0, 1024),
    ("colors", 1, 256),
    ("pad", 0, MAX_PAD),
    ("columns", 1, 1024),
    ("fps", 1, 60),
    ("width", 16, MAX_SIDE),
    ("height", 16, MAX_SIDE),
    ("num_images", 1, MAX_IMAGES),
    ("seed", 0, MAX_SEED),
    ("steps", 1, 500),
    ("guidance_scale", 0, 50),
    ("strength", 0, 1),
    ("max_cost_usd", 0, math.inf),
)


def _out_of_range(field: str, value: float) -> str:
    """What the field takes, and what else does what the value was meant for."""
    if field == "seed" and value > MAX_SEED:
        return f"{TAKES[field]}; {int(value) % (MAX_SEED + 1)} is its last 32 bits"
    if field == "num_images" and value > MAX_IMAGES:
        more = "for more, call again with another seed, or run `ziggie-image-mcp batch FILE`"
        return f"{TAKES[field]}; {more}"
    return TAKES[field]


def shape_of(text: str) -> str:
    """A shape as `16:9`, out of its name, of a ratio in another spelling, or of a quotient."""
    plain = re.sub(r"\s*[x\u00d7\u2215\u2236/:]\s*|\s*to\s*", ":", text.strip().lower())
    if re.fullmatch(r"\d{1,3}\.\d{1,20}|[1-4]", plain):
        plain += ":1"
    return _SHAPES.get(plain, plain)


def ratio(text: str) -> float:
    """Width by height of a text as "16:9".

    Raises:
        InvalidRequest: It is no ratio between 1:4 and 4:1.
    """
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,20})?):(\d{1,4}(?:\.\d{1,20})?)", shape_of(text))
    if match is None or float(match[1]) == 0 or float(match[2]) == 0:
        raise InvalidRequest("aspect_ratio", text, TAKES["aspect_ratio"])
    if min(float(match[1]), float(match[2])) > MAX_RATIO_PART:
        fix = f"that looks like a size in pixels: give width and height; a ratio is {_A_RATIO}"
        raise InvalidRequest("aspect_ratio", text, fix)
    quotient = float(match[1]) / float(match[2])
    if not 1 / 4 <= quotient <= 4:
        raise InvalidRequest("aspect_ratio", text, TAKES["aspect_ratio"])
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
