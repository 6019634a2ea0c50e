"""Work out picture sizes: aspect ratios, and the sides that a model can make."""

from __future__ import annotations

import math

from ziggie_image_mcp.provider.types import Model
from ziggie_image_mcp.routing.request import ImageRequest, ratio
from ziggie_image_mcp.storage.types import InputImage


def resolve(model: Model, request: ImageRequest, notes: list[str]) -> tuple[int, int]:
    """Width and height for this model, pixels; what differs from the request goes to `notes`."""
    if request.width is not None and request.height is not None:
        return request.width, request.height
    if request.image is not None:
        return _like(request.image, model, notes)
    if request.aspect_ratio is None:
        return model.native_width, model.native_height
    target = ratio(request.aspect_ratio)
    area = model.native_width * model.native_height
    least, most, step = model.min_side, model.max_side, model.multiple_of
    width = nearest_side(math.sqrt(area * target), least, most, step)
    height = nearest_side(math.sqrt(area / target), least, most, step)
    if abs(width / height / target - 1) > 0.01:
        notes.append(
            f"aspect_ratio {request.aspect_ratio} is delivered as {width}x{height}: "
            f"{model.id} makes sides in steps of {model.multiple_of} px"
        )
    return width, height


def _like(image: InputImage, model: Model, notes: list[str]) -> tuple[int, int]:
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


def nearest_side(side: float, least: int, most: int, step: int) -> int:
    """The nearest multiple of `step` between two bounds, pixels."""
    low, high = math.ceil(least / step), most // step
    return max(low, min(high, round(side / step))) * step
