"""Refuse a picture of one colour, which only a damaged model draws. Only the worker uses this."""

from __future__ import annotations

from typing import Any

from ziggie_image_mcp.provider.pictures import has_alpha
from ziggie_image_providers.diffusers.faults import Problem


def check_colours(images: list[Any]) -> list[Any]:
    """The same pictures of Pillow, as the model drew them: a watermark would be a second colour.

    Raises:
        Problem: One has a single colour.
    """
    if any(all(low == high for low, high in _extrema(image)) for image in images):
        raise Problem(
            "invalid_output", "The picture is of one colour: the model's weights may be damaged."
        )
    return images


def _extrema(image: Any) -> list[tuple[int, int]]:
    return list(image.convert("RGBA" if has_alpha(image) else "RGB").getextrema())
