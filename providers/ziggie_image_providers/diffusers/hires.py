"""Decide when a large picture is drawn small at first, and over at full size then."""

from __future__ import annotations

import math

from ziggie_image_mcp.provider.sizes import Size, first_pass_size
from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.families import Family

STRENGTH = 0.5
"""Of the second pass: enough for new detail, and too little for another composition."""


def first_size(family: Family | None, native: int, width: int, height: int) -> wire.Size | None:
    """The size of the first pass: of native area and the shape asked for; None where one will do.

    Only of families that work from a picture by a strength, which is how the second pass is made.
    """
    if family is None or not family.image_to_image or family.references:
        return None
    small = first_pass_size(Size(width, height), native**2, step=family.multiple_of)
    return wire.Size(width=small.width, height=small.height) if small else None


def second_steps(steps: int | None) -> int:
    """The steps that the second pass is asked for; the pipelines run `STRENGTH` of them."""
    return max(steps or 1, math.ceil(1 / STRENGTH))


def note(first: wire.Size) -> str:
    """Say it to the caller."""
    size = f"{first.width}x{first.height}"
    return f"drawn at {size} first, and then over at full size (hires pass)"
