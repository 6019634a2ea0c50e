"""Oklab, in which equal distances look about equal: bottosson.github.io/posts/oklab (2020).

For single colours, without numpy; `recolour` does the same for whole pictures.
"""

from __future__ import annotations

import math

TO_LMS = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)

Lab = tuple[float, float, float]


def oklab(colour: tuple[int, int, int]) -> Lab:
    """Of an sRGB colour: lightness 0 to 1, and two axes of hue."""
    linear = [_linear(channel / 255) for channel in colour]
    lms = [math.cbrt(_dot(row, linear)) for row in TO_LMS]
    lightness, a, b = (_dot(row, lms) for row in TO_LAB)
    return lightness, a, b


def distance(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """How far two sRGB colours are apart: 1 from black to white."""
    return math.dist(oklab(one), oklab(other))


def _linear(share: float) -> float:
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def _dot(row: tuple[float, float, float], values: list[float]) -> float:
    return sum(factor * value for factor, value in zip(row, values, strict=True))
