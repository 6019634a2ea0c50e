"""Tell how much of a subject's edge pixels is ground, and take the ground's colour out of them.

Imports numpy: import it where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ziggie_image_mcp.assets.components import Indices, Mask
from ziggie_image_mcp.assets.flat_ground import FAINT, Colour, Pixels

WIDEST_EDGE = 6
"""Pixels: as far at most ground and subject mix."""

FULL = 1.06
"""An edge ends where the next pixels differ from the ground by no more than this times as much."""

MANY = 0.25
"""Of the pixels next to the ground: where fewer are as far from it, they tell nothing of the
edge."""

REACH = 12
"""Pixels: as far the colour behind the edge is taken into corners and thin ends."""

OFF = 0.05
"""A pixel that is so far off the way from the ground to a colour is no mixture of the two: as a
share of that way, beside the noise."""

WEAK = 0.25
"""A pixel that is so near to the ground, as a share of the same, and faint, is mostly ground all
the same."""

CLEAR = 12
"""How much further than its noise a colour clearly differs from the ground."""

ALMOST = 0.97
"""What is more opaque is opaque."""

Floats = NDArray[np.float32]

_TO_YCC = np.array(
    [[0.299, -0.168736, 0.5], [0.587, -0.331264, -0.418688], [0.114, 0.5, -0.081312]], np.float32
)
"""RGB to brightness and two axes of hue, as JPEG stores them (JFIF 1.02)."""

_TO_RGB = np.asarray(np.linalg.inv(_TO_YCC), np.float32)

_TRUST = np.array([1, 0.22, 0.22], np.float32)
"""How much brightness and hue say of a pixel's alpha where hue is smeared."""

SMEARED = 0.06
"""Of the way from the ground to the subject: where hue and brightness are further apart, in the
mean over the edge, a lossy format has stored hue at less than the full resolution."""

LEAST_MIXED = 0.15
"""Of the edge: where fewer pixels lie between ground and subject nothing is said of its hue."""

TELLING = 24
"""Of 255: where subject and ground differ less in brightness it tells nothing of hue."""


@dataclass(frozen=True, kw_only=True)
class SoftEdge:
    """The pixels of a subject's edge. Positions count through the rows."""

    positions: Indices
    alpha: Floats
    colours: Floats
    """Without the ground's."""
    contrast: float
    """How much of the edge clearly differs from the ground, as a share."""


@dataclass(frozen=True, kw_only=True)
class _Edge:
    """The subject's pixels near the ground, those next to it first."""

    positions: Indices
    """In a picture with one pixel more at each side."""
    depth: Indices
    """How many steps each is from the ground."""
    colours: Floats
    neighbours: NDArray[np.int32]
    """Of each pixel, the eight around it as numbers of this list; the last stands for none."""


def soften(pixels: Pixels, ground: Mask, colour: Colour, noise: int) -> SoftEdge:
    """Solve pixel = alpha * subject + (1 - alpha) * ground along a subject's edge.

    The subject's colour is that of the nearest pixels behind the edge, which is as wide as it is in
    most of the picture. Where a pixel is no mixture of that and the ground, as in a thin line or an
    outline, it is the strongest colour of the pixels around of which it is one, or its own.

    JPEG stores hue at half the resolution, so that the ground's reaches some pixels into the
    subject and the other way about. Where the edge shows that, brightness tells the alpha.

    Args:
        pixels: The picture.
        ground: Where the ground shows. Not everywhere.
        colour: The ground's.
        noise: How far its pixels may be from it.
    """
    edge = _find_edge(pixels, ground)
    width = _edge_width(edge, colour)
    count = int(np.searchsorted(edge.depth, width, side="right"))
    own = edge.colours[:count]
    spread, reached = _spread_colours(edge, edge.depth > width)
    subject = spread[:count]
    smeared = _is_hue_smeared(own, subject, colour, noise, reached[:count])
    alpha, off = _alpha(own, subject, colour, smeared=smeared)
    span = _span(subject, colour)
    weak = _span(own, colour) <= np.minimum(WEAK * span, noise + FAINT)
    other = ((off > noise + OFF * span) & ~weak) | (span <= noise) | ~reached[:count]
    subject[other] = _strongest(edge, np.flatnonzero(other), colour, noise, smeared=smeared)
    alpha, _ = _alpha(own, subject, colour, smeared=smeared)
    span = _span(subject, colour)
    alpha[alpha >= ALMOST] = 1
    alpha[alpha <= np.minimum(noise / np.maximum(span, 1), 0.25)] = 0
    line = ground.shape[1] + 2
    row, column = np.divmod(edge.positions[:count], line)
    return SoftEdge(
        positions=(row - 1) * ground.shape[1] + column - 1,
        alpha=alpha,
        colours=_without(own, subject, alpha, colour, smeared=smeared),
        contrast=float((span >= noise + CLEAR)[edge.depth[:count] == 1].mean()),
    )


def _find_edge(pixels: Pixels, ground: Mask) -> _Edge:
    height, width = ground.shape
    none, subject = -1, -2
    numbers = np.full((height + 2, width + 2), none, np.int32)
    numbers[1:-1, 1:-1][~ground] = subject
    flat = numbers.ravel()
    line = width + 2
    steps = np.array([y * line + x for y in (-1, 0, 1) for x in (-1, 0, 1) if x or y])
    wide = np.zeros(numbers.shape, np.bool_)
    wide[1:-1, 1:-1] = ground
    beside = np.zeros(ground.shape, np.bool_)
    for y in range(3):
        for x in range(3):
            beside |= wide[y : y + height, x : x + width]
    row, column = np.nonzero(beside & ~ground)
    front: Indices = (row + 1) * line + column + 1
    layers: list[Indices] = []
    count = 0
    while len(front) and len(layers) <= WIDEST_EDGE:
        flat[front] = np.arange(count, count + len(front))
        count += len(front)
        layers.append(front)
        near = (front[:, None] + steps).ravel()
        front = np.unique(near[flat[near] == subject])
    positions = np.concatenate(layers)
    row, column = np.divmod(positions, line)
    return _Edge(
        positions=positions,
        depth=np.repeat(np.arange(1, len(layers) + 1), [len(layer) for layer in layers]),
        colours=pixels[row - 1, column - 1].astype(np.float32),
        neighbours=np.maximum(flat[positions[:, None] + steps], none),
    )


def _edge_width(edge: _Edge, colour: Colour) -> int:
    """How many pixels the edge is wide in most places: behind it the colour changes no more."""
    span = _span(edge.colours, colour)
    layers = [span[edge.depth == depth] for depth in range(1, int(edge.depth[-1]) + 1)]
    middle = [float(np.median(layer)) for layer in layers if len(layer) >= MANY * len(layers[0])]
    for number in range(1, len(middle) - 1):
        if middle[number + 1] <= FULL * middle[number]:
            return number + 1
    return max(1, len(middle) - 1)


def _span(colours: Floats, colour: Colour) -> Floats:
    """How far colours are from the ground's, in the channel that differs most."""
    span: Floats = np.abs(colours - colour).max(axis=1)
    return span


def _spread_colours(edge: _Edge, sources: Mask) -> tuple[Floats, Mask]:
    """Carry the colours of some pixels outwards, a pixel at a time, and say where they come to."""
    result = edge.colours.copy()
    known = np.append(sources, False)  # the last stands for none
    todo = np.flatnonzero(~sources)
    for _ in range(REACH):
        near = edge.neighbours[todo]
        there = known[near]
        count = there.sum(axis=1)
        reached = count > 0
        if not reached.any():
            break
        near, there = near[reached], there[reached, :, None]
        result[todo[reached]] = (result[near] * there).sum(axis=1) / count[reached, None]
        known[todo[reached]] = True
        todo = todo[~reached]
    return result, known[:-1]


def _strongest(
    edge: _Edge, wanted: Indices, colour: Colour, noise: int, *, smeared: bool
) -> Floats:
    """The colour that differs most from the ground's of those around with which a pixel agrees.

    It agrees with its own, and with what it is a mixture of with the ground.
    """
    subject = edge.colours[wanted]
    furthest = _span(subject, colour)
    for near in edge.neighbours[wanted].T:
        other: Floats = edge.colours[near]
        span = _span(other, colour)
        _, off = _alpha(edge.colours[wanted], other, colour, smeared=smeared)
        better = (near >= 0) & (span > furthest) & (off <= noise + OFF * span)
        subject[better] = other[better]
        furthest[better] = span[better]
    return subject


def _is_hue_smeared(
    own: Floats, subject: Floats, colour: Colour, noise: int, reached: Mask
) -> bool:
    """Whether hue changes over more pixels than brightness does, along most of the edge."""
    way, step = _to_ycc(subject - colour), _to_ycc(own - colour)
    bright, hue, rest = _parts(step, way)
    off = np.abs(rest @ _TO_RGB).max(axis=1)
    mixed = reached & (off <= noise + OFF * _span(subject, colour)) & (np.abs(way[:, 0]) >= TELLING)
    if mixed.mean() < LEAST_MIXED:
        return False
    return float(np.abs(bright - hue)[mixed].mean()) > SMEARED


def _parts(step: Floats, way: Floats) -> tuple[Floats, Floats, Floats]:
    """How far pixels have gone from the ground's colour, by brightness and by hue, and the rest."""
    bright = np.clip(_share(step[:, :1], way[:, :1]), 0, 1)
    hue = np.clip(_share(step[:, 1:], way[:, 1:]), 0, 1)
    rest = np.asarray(step - np.stack([bright, hue, hue], axis=1) * way, np.float32)
    return bright, hue, rest


def _to_ycc(colours: Floats) -> Floats:
    return np.asarray(colours @ _TO_YCC, np.float32)


def _share(step: Floats, way: Floats) -> Floats:
    length = np.maximum((way**2).sum(axis=1), 1)
    return np.asarray((step * way).sum(axis=1) / length, np.float32)


def _alpha(own: Floats, subject: Floats, colour: Colour, *, smeared: bool) -> tuple[Floats, Floats]:
    """How much of each pixel is subject, and how far it is off any mixture with the ground.

    Where hue is smeared brightness says it, unless both are about as bright.
    """
    if not smeared:
        way = subject - colour
        alpha = np.clip(_share(own - colour, way), 0, 1)
        return alpha, np.abs(own - colour - alpha[:, None] * way).max(axis=1)
    way, step = _to_ycc(subject - colour), _to_ycc(own - colour)
    alpha = np.clip(_share(step * _TRUST, way * _TRUST), 0, 1)
    hue = np.clip(_share(step[:, 1:], way[:, 1:]), 0, 1)
    rest = step - np.stack([alpha, hue, hue], axis=1) * way
    return alpha, np.abs(rest @ _TO_RGB).max(axis=1)


def _without(
    own: Floats, subject: Floats, alpha: Floats, colour: Colour, *, smeared: bool
) -> Floats:
    """The pixels without the ground's share; where little is left, the subject's colour.

    Where hue is smeared theirs is the subject's, if it lies between that and the ground's.
    """
    share = alpha[:, None]
    solved = np.asarray((own - (1 - share) * colour) / np.maximum(share, 0.01), np.float32)
    if smeared:
        way, step = _to_ycc(subject - colour), _to_ycc(own - colour)
        between = _share(step[:, 1:], way[:, 1:]) < 1
        parts = _to_ycc(solved)
        parts[between, 1:] = _to_ycc(subject)[between, 1:]
        solved = np.asarray(parts @ _TO_RGB, np.float32)
    trust = np.clip((share - 0.2) / 0.5, 0, 1)
    return np.asarray(trust * np.clip(solved, 0, 255) + (1 - trust) * subject, np.float32)
