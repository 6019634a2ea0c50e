"""Work out picture sizes: aspect ratios, and the sides that a model can make."""

from __future__ import annotations

import math
import re

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.types import ImageRequest, Model


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


def nearest_side(side: float, least: int, most: int, step: int) -> int:
    """The nearest multiple of `step` between two bounds, pixels."""
    low, high = math.ceil(least / step), most // step
    return max(low, min(high, round(side / step))) * step
