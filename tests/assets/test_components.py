"""What hangs together in a mask, beside a flood fill pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ziggie_image_mcp.assets.components import Mask, find_components

Pixel = tuple[int, int]

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())


def flood_fill(mask: Mask, *, diagonal: bool) -> set[frozenset[Pixel]]:
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    steps = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if diagonal or not (x and y)]
    components: set[frozenset[Pixel]] = set()
    while left:
        front = [left.pop()]
        component = set(front)
        while front:
            y, x = front.pop()
            near = {(y + dy, x + dx) for dy, dx in steps} & left
            left -= near
            component |= near
            front += near
        components.add(frozenset(component))
    return components


@pytest.mark.parametrize("diagonal", [False, True])
@given(mask=MASKS)
def test_it_is_what_a_flood_fill_finds(diagonal: bool, mask: Mask) -> None:
    components = find_components(mask, diagonal=diagonal)

    pixels = [
        frozenset((int(y), int(x)) for y, x in np.argwhere(components.mask(wanted)))
        for wanted in np.eye(components.count, dtype=np.bool_)
    ]
    assert set(pixels) == flood_fill(mask, diagonal=diagonal)
    assert [len(component) for component in pixels] == components.areas.tolist()
    height, width = mask.shape
    edges = [
        any(y in (0, height - 1) or x in (0, width - 1) for y, x in component)
        for component in pixels
    ]
    assert edges == components.at_border.tolist()
    firsts = [min(component) for component in pixels]
    assert [y * (width + 1) + x for y, x in firsts] == components.first_pixels.tolist()
    assert components.at(components.first_pixels).tolist() == list(range(components.count))


def test_a_spiral_is_one() -> None:
    mask = np.zeros((101, 101), np.bool_)
    for inset in range(0, 50, 2):
        mask[inset, inset : 101 - inset] = True
        mask[inset : 101 - inset, 100 - inset] = True
        mask[100 - inset, inset : 101 - inset] = True
        mask[inset + 2 : 101 - inset, inset] = True
        mask[inset + 2, inset + 1] = True

    assert find_components(mask, diagonal=False).count == 1
