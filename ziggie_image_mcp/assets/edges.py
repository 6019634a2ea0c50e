"""Draw a picture's edges as lines of one pixel: Canny's way, white on black.

J. Canny, "A Computational Approach to Edge Detection", 1986: smooth, take the gradient, keep its
ridges, and of these the strong ones with the weak ones that hang on them. Imports numpy: import it
where it is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ziggie_image_mcp.assets.components import find_components

LOW, HIGH = 100.0, 200.0
"""Of the gradient by Sobel's operator on 8-bit grey: what may be an edge, and what surely is one.
The usual thresholds of ControlNet's own examples."""

BLUR = 1.0
"""Pixels: standard deviation of the smoothing."""

DARK_SHARE = 0.6
"""So much of a finished map is black at least."""

_Floats = NDArray[np.floating]


def is_edge_map(image: Image.Image) -> bool:
    """Whether a picture is lines on black already: grey, mostly black, the rest mostly white."""
    rgb = np.asarray(image.convert("RGB"), np.int16)
    if int(np.max(rgb.max(axis=2) - rgb.min(axis=2))) > 8:
        return False
    grey = rgb[:, :, 1]
    dark, bright = float(np.mean(grey < 16)), float(np.mean(grey > 239))
    return dark >= DARK_SHARE and bright > 0 and dark + bright > 0.9


def find_edges(image: Image.Image) -> Image.Image:
    """The edges of a picture of 8 bits, of the same size. A finished map comes back as it is."""
    if is_edge_map(image):
        return image.convert("L").convert("RGB")
    grey = image.convert("L").filter(ImageFilter.GaussianBlur(BLUR))
    across, down = _sobel(np.pad(np.asarray(grey, np.float32), 1, mode="edge"))
    strength: _Floats = np.abs(across) + np.abs(down)
    ridges = _ridges(strength, across, down)
    weak = ridges & (strength >= LOW)
    strong = weak & (strength >= HIGH)
    edges = np.zeros(weak.shape, np.bool_)
    if strong.any():
        parts = find_components(weak, diagonal=True)
        width = weak.shape[1]
        rows, columns = np.nonzero(strong)
        wanted = np.zeros(parts.count, np.bool_)
        wanted[parts.at(rows * (width + 1) + columns)] = True
        edges = parts.mask(wanted)
    return Image.fromarray(edges.astype(np.uint8) * 255).convert("RGB")


def _sobel(padded: _Floats) -> tuple[_Floats, _Floats]:
    """The gradient across and down."""
    left, right = padded[:, :-2], padded[:, 2:]
    above, below = padded[:-2], padded[2:]
    columns, rows = right - left, below - above
    return (
        columns[:-2] + 2 * columns[1:-1] + columns[2:],
        rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:],
    )


def _ridges(strength: _Floats, across: _Floats, down: _Floats) -> NDArray[np.bool_]:
    """Where the gradient is strongest along its own direction, of four."""
    around = np.pad(strength, 1)
    height, width = strength.shape

    def at(y: int, x: int) -> _Floats:
        return around[1 + y : 1 + y + height, 1 + x : 1 + x + width]

    wide, high = np.abs(across), np.abs(down)
    level = high < 0.4142 * wide  # tan 22.5 degrees
    upright = wide < 0.4142 * high
    falling = across * down > 0
    ahead = np.select([level, upright, falling], [at(0, 1), at(1, 0), at(1, 1)], at(-1, 1))
    behind = np.select([level, upright, falling], [at(0, -1), at(-1, 0), at(-1, -1)], at(1, -1))
    return (strength > ahead) & (strength >= behind)
