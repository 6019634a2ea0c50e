"""Offset a picture so that its edges lie within it, and say what to paint anew there.

The usual way to a tile, in two passes: rolled by half the picture's edges are a cross, which is
painted anew; where the cross itself met the new edges, two boxes are, rolled by a quarter more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

STRIP = 1 / 8
"""Of a side: to each side of an edge as much is painted anew."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One time that a part of a picture is painted anew."""

    across: int
    """How far the picture is rolled before, pixels."""
    down: int
    boxes: tuple[tuple[int, int, int, int], ...]
    """Left, top, right and bottom of what is painted anew, after that."""


def passes(width: int, height: int) -> tuple[Pass, Pass]:
    """What is painted anew so that a picture of this size tiles."""
    half, middle = (width // 2, height // 2), (width // 4, height // 4)
    reach = max(1, round(width * STRIP)), max(1, round(height * STRIP))
    cross = (
        (half[0] - reach[0], 0, half[0] + reach[0], height),
        (0, half[1] - reach[1], width, half[1] + reach[1]),
    )
    centres = ((half[0] + middle[0], middle[1]), (middle[0], half[1] + middle[1]))
    boxes = tuple((x - reach[0], y - reach[1], x + reach[0], y + reach[1]) for x, y in centres)
    return (
        Pass(across=half[0], down=half[1], boxes=cross),
        Pass(across=middle[0], down=middle[1], boxes=boxes),
    )


def rolled(image: Image.Image, across: int, down: int) -> Image.Image:
    """The picture moved right and down; what leaves it comes in again opposite."""
    from PIL import ImageChops

    return ImageChops.offset(image, across, down)


def mask_of(one: Pass, size: tuple[int, int]) -> Image.Image:
    """White where it paints anew, in 8-bit grey."""
    from PIL import Image

    mask = Image.new("L", size)
    for box in one.boxes:
        mask.paste(255, box)
    return mask
