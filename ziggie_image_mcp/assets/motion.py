"""Move one drawing: the frames of a small animation, without a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

LIFT = 0.12
"""Of a drawing's height: how high `bob` lifts it."""

SQUASH = 0.12
"""Of a drawing's height: by how much `squash` presses it together; its area stays."""

THINNEST = 0.06
"""Of a drawing's width: what `turn` shows of it from the side."""


def moved(image: Image.Image, motion: str, count: int) -> list[Image.Image]:
    """So many frames of one round of a motion, on equal canvases of the drawing's scale.

    Args:
        image: The drawing, RGBA, trimmed to what is seen.
        motion: `bob` (up and down), `squash` (pressed and released), or `turn` (about its upright
            axis, as a coin: the second half is mirrored).
        count: Frames, at least 1. The first is the drawing as it is.
    """
    return _MOTIONS[motion](image, count)


def _bob(image: Image.Image, count: int) -> list[Image.Image]:
    lift = max(1, round(image.height * LIFT))
    ups = [round(lift * (1 - math.cos(2 * math.pi * i / count)) / 2) for i in range(count)]
    return [_placed(image, image.width, image.height + lift, up) for up in ups]


def _squash(image: Image.Image, count: int) -> list[Image.Image]:
    from PIL import Image

    width = math.ceil(image.width / (1 - SQUASH))
    frames: list[Image.Image] = []
    for i in range(count):
        pressed = 1 - SQUASH * (1 - math.cos(2 * math.pi * i / count)) / 2
        size = round(image.width / pressed), max(1, round(image.height * pressed))
        scaled = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
        frames.append(_placed(scaled, width, image.height, 0))
    return frames


def _turn(image: Image.Image, count: int) -> list[Image.Image]:
    from PIL import Image

    frames: list[Image.Image] = []
    for i in range(count):
        facing = math.cos(2 * math.pi * i / count)
        width = max(1, round(image.width * max(abs(facing), THINNEST)))
        seen = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if facing < 0 else image
        scaled = seen.resize((width, image.height), Image.Resampling.LANCZOS)
        frames.append(_placed(scaled, image.width, image.height, 0))
    return frames


def _placed(image: Image.Image, width: int, height: int, up: int) -> Image.Image:
    """The drawing in the middle of a canvas, so many pixels above its bottom."""
    from PIL import Image

    canvas = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    canvas.paste(image, ((width - image.width) // 2, height - image.height - up))
    return canvas


_MOTIONS: Mapping[str, Callable[[Image.Image, int], list[Image.Image]]] = {
    "bob": _bob,
    "squash": _squash,
    "turn": _turn,
}
