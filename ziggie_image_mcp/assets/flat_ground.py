"""Find the flat ground that a subject stands on.

Imports numpy: import it where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ziggie_image_mcp.assets.components import Components, Mask, find_components

Pixels = NDArray[np.uint8]
"""Height, width and 3 channels."""

Colour = NDArray[np.float32]

MOST_NOISE = 32
"""How far a pixel of the ground may be from its colour, in the channel that differs most."""

LEAST_NOISE = 6
"""What is nearer is of the ground in any picture."""

FLAT = 16
"""As near are nine of ten pixels of a flat ground at the picture's edges."""

BORDER_SHARE = 0.6
"""Of the pixels at the picture's edges: as many at least are of the ground."""

SIDE_SHARE = 0.1
"""The same for each of the four sides: a sky over a meadow is no ground to stand on."""

BORDER_WIDTH = 1 / 64
"""Of the shorter side: what counts as the picture's edges."""

RARE = 0.0005
"""Of the ground: where the pixels of two neighbouring distances are fewer, its noise ends."""

HOLE_SHARE = 0.04
"""Of what encloses it: a smaller hole, such as the white of an eye, is part of the subject."""

LEAST_HOLE = 16
"""Pixels of the smallest hole."""

EMPTY = 0.005
"""Of a hole: with more than that in it, it is no hole but, say, a face with its features."""

VIVID = 96
"""From the weakest to the strongest channel of a ground in which every hole is one: no part of a
subject is of a screen's green or magenta by chance, as many are white or grey."""

SPECK = 0.0001
"""Of the picture: what is no larger, and faint, is noise."""

FAINT = 24
"""How much further than the ground's noise such a speck is from its colour, at most."""


@dataclass(frozen=True, kw_only=True)
class FlatGround:
    """The ground of a picture."""

    colour: Colour
    border_share: float
    """Of the pixels at the picture's edges, how many are of the ground."""


@dataclass(frozen=True, kw_only=True)
class GroundMask:
    """Where the ground shows, and how noisy it is."""

    pixels: Mask
    noise: int
    """How far its pixels may be from its colour, in the channel that differs most."""


def find_ground(pixels: Pixels) -> FlatGround | str:
    """The colour that the picture's edges agree on, or why they do not."""
    width = max(1, round(min(pixels.shape[:2]) * BORDER_WIDTH))
    sides = {
        "upper": pixels[:width],
        "lower": pixels[-width:],
        "left": pixels[:, :width],
        "right": pixels[:, -width:],
    }
    edges = np.concatenate([side.reshape(-1, 3) for side in sides.values()])
    colour = _commonest(edges)
    distance = distances(edges, colour)
    near = distance <= MOST_NOISE
    share = float(near.mean())
    if share < BORDER_SHARE:
        return (
            f"only {share:.0%} of the picture's edges are of one colour, "
            f"{BORDER_SHARE:.0%} are needed"
        )
    if np.percentile(distance[near], 90) > FLAT:
        return "the ground at the picture's edges is no flat colour but changes"
    for name, side in sides.items():
        if (distances(side, colour) <= MOST_NOISE).mean() < SIDE_SHARE:
            return f"the {name} edge of the picture is not of the colour of the others"
    return FlatGround(colour=colour, border_share=share)


def _commonest(edges: Pixels) -> Colour:
    """The colour round which most pixels lie."""
    red, green, blue = (edges.astype(np.int32) >> 4).T
    bins = (red << 8) | (green << 4) | blue
    fullest = np.bincount(bins).argmax()
    colour = np.median(edges[bins == fullest], axis=0)
    for _ in range(3):  # the pixels may lie across the borders of the bins
        near = edges[distances(edges, colour) <= MOST_NOISE]
        colour = np.median(near, axis=0)
    core = edges[distances(edges, colour) <= LEAST_NOISE]
    return np.asarray(core.mean(axis=0) if len(core) else colour, np.float32)


def distances(pixels: Pixels, colour: NDArray[np.floating]) -> Pixels:
    """How far each pixel is from a colour, in the channel that differs most."""
    result = np.zeros(pixels.shape[:-1], np.uint8)
    for channel, value in enumerate(np.rint(colour).astype(np.uint8)):
        plane = pixels[..., channel]
        np.maximum(result, np.maximum(plane, value) - np.minimum(plane, value), out=result)
    return result


def mask_ground(pixels: Pixels, ground: FlatGround) -> GroundMask:
    """Where the ground shows: what hangs together with the picture's edges, and through holes.

    A hole is enclosed by the subject, large beside what encloses it, and empty: the inside of a
    ring, a handle or a letter, not the white of an eye, and not the face of a white cat.
    """
    distance = distances(pixels, ground.colour)
    noise = _noise(distance)
    of_ground = find_components(distance <= noise, diagonal=False)
    others = find_components(distance > noise, diagonal=True)
    shown = of_ground.at_border.copy()
    if others.count:
        shown |= _holes(of_ground, others, vivid=bool(np.ptp(ground.colour) >= VIVID))
    mask = of_ground.mask(shown)
    if others.count:
        mask |= others.mask(
            _specks(distance, others, noise + FAINT) & _stands_on(of_ground, others, shown)
        )
    return GroundMask(pixels=mask, noise=noise)


def _noise(distance: Pixels) -> int:
    """How far the ground goes: to where hardly any pixels are, or as far as may be."""
    count = Image.fromarray(distance).histogram()  # numpy's takes eight bytes a pixel
    rare = RARE * sum(count[: MOST_NOISE + 1])
    for level in range(LEAST_NOISE, MOST_NOISE):
        if sum(count[level + 1 : level + 3]) <= rare:
            return level
    return MOST_NOISE


def _holes(of_ground: Components, others: Components, *, vivid: bool) -> Mask:
    """Which parts of the ground's colour are holes of the subject."""
    large = of_ground.areas >= LEAST_HOLE
    if vivid:
        return large
    enclosed = np.flatnonzero(~of_ground.at_border)
    around = others.at(of_ground.first_pixels[enclosed] - 1)
    inside = np.zeros(of_ground.count, np.intp)
    things = np.flatnonzero(~others.at_border)
    np.add.at(inside, of_ground.at(others.first_pixels[things] - 1), others.areas[things])
    area = of_ground.areas[enclosed]
    beside = area >= HOLE_SHARE * others.areas[around]
    hole = large[enclosed] & beside & (inside[enclosed] <= EMPTY * area)
    result = np.zeros(of_ground.count, np.bool_)
    result[enclosed[hole]] = True
    return result


def _specks(distance: Pixels, others: Components, faint: int) -> Mask:
    """Which of what is not of the ground's colour is small and faint."""
    height, width = distance.shape
    wide = np.zeros((height, width + 1), np.uint8)
    wide[:, :width] = distance
    stretches = np.stack([others.starts, others.ends], axis=1).ravel()
    strongest = np.zeros(others.count, np.uint8)
    np.maximum.at(strongest, others.labels, np.maximum.reduceat(wide.ravel(), stretches)[::2])
    return (others.areas <= max(4, SPECK * distance.size)) & (strongest <= faint)


def _stands_on(of_ground: Components, others: Components, shown: Mask) -> Mask:
    """Which of what is not of the ground's colour has ground that shows around it."""
    result = others.at_border.copy()
    within = np.flatnonzero(~result)
    result[within] = shown[of_ground.at(others.first_pixels[within] - 1)]
    return result
