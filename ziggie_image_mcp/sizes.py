"""Work out picture sizes: aspect ratios, and the sides that a model can make."""

from __future__ import annotations

import math
import re

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.types import GivenImage, ImageRequest, Model


def ratio(text: str) -> float:
    """Width by height of a text as "16:9".

    Raises:
        InvalidRequest: It is no ratio between 1:4 and 4:1.
    """
    found = re.fullmatch(r"\s*(\d{1,4})\s*[:x/]\s*(\d{1,4})\s*", text)
    if found is None or int(found[1]) == 0 or int(found[2]) == 0:
        raise InvalidRequest("aspect_ratio", text, 'two whole numbers, as "16:9"')
    found_ratio = int(found[1]) / int(found[2])
    if not 1 / 4 <= found_ratio <= 4:
        raise InvalidRequest("aspect_ratio", text, "between 1:4 and 4:1")
    return found_ratio


def resolve(model: Model, request: ImageRequest, notes: list[str]) -> tuple[int, int]:
    """Width and height for this model, pixels; what differs from the request goes to `notes`."""
    if request.width is not None and request.height is not None:
        return request.width, request.height
    if request.image is not None:
        return _like(request.image, model, notes)
    if request.aspect_ratio is None:
        return model.native_width, model.native_height
    wanted = ratio(request.aspect_ratio)
    area = model.native_width * model.native_height
    least, most, step = model.min_side, model.max_side, model.multiple_of
    width = nearest_side(math.sqrt(area * wanted), least, most, step)
    height = nearest_side(math.sqrt(area / wanted), least, most, step)
    if abs(width / height / wanted - 1) > 0.01:
        notes.append(
            f"aspect_ratio {request.aspect_ratio} is delivered as {width}x{height}: "
            f"{model.id} makes sides in steps of {model.multiple_of} px"
        )
    return width, height


def _like(image: GivenImage, model: Model, notes: list[str]) -> tuple[int, int]:
    """The image's own size, or the nearest to it that the model is good at."""
    least, most, step = model.min_side, model.max_side, model.multiple_of
    native = model.native_width * model.native_height
    scale = min(1.0, math.sqrt(native / (image.width * image.height)))
    scale = max(scale, math.sqrt(model.min_pixels / (image.width * image.height)))
    scale = max(scale, least / min(image.width, image.height))
    scale = min(scale, most / max(image.width, image.height))
    width, height = (
        nearest_side(side * scale, least, most, step) for side in (image.width, image.height)
    )
    if width * height < model.min_pixels:  # by the rounding
        width, height = width + step, height + step
    if (width, height) != (image.width, image.height):
        notes.append(f"the image of {image.width}x{image.height} is worked on at {width}x{height}")
    return width, height


def check_mask(image: GivenImage | None, mask: GivenImage) -> None:
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


def nearest_side(side: float, least: int, most: int, step: int) -> int:
    """The nearest multiple of `step` between two bounds, pixels."""
    low, high = math.ceil(least / step), most // step
    return max(low, min(high, round(side / step))) * step
