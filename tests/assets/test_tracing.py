"""Drawings of pictures, drawn again by a few lines that know no vtracer."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.support.pixel_pictures import pixel_art
from ziggie_image_mcp.assets.tracing import trace
from ziggie_image_mcp.errors import InvalidRequest

SVG = "{http://www.w3.org/2000/svg}"


def inside(path: ElementTree.Element, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose middle lies in a shape of straight lines along the pixels, nonzero."""
    moved = re.fullmatch(r"translate\((\d+),(\d+)\)", path.get("transform", ""))
    assert moved is not None
    winding = np.zeros((size[1], size[0]), int)
    for part in re.findall(r"M([^MZ]*)Z", path.get("d", "")):
        points = [tuple(map(int, point.split(","))) for point in re.findall(r"-?\d+,-?\d+", part)]
        for (x, y), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
            assert x == x2 or y == y2
            at, top, bottom = x + int(moved[1]), min(y, y2), max(y, y2)
            rows = slice(top + int(moved[2]), bottom + int(moved[2]))
            winding[rows, at:] += 1 if y2 > y else -1
    covered: NDArray[np.bool_] = winding != 0
    return covered


def drawn(svg: bytes, size: tuple[int, int]) -> Image.Image:
    root = ElementTree.fromstring(svg)
    pixels = np.zeros((size[1], size[0], 4), np.uint8)
    group = root.find(f"{SVG}g")
    for path in (root if group is None else group).findall(f"{SVG}path"):
        fill = path.get("fill", "").removeprefix("#")
        pixels[inside(path, size)] = (*bytes.fromhex(fill), 255)
    if group is not None:
        clips = root.findall(f"{SVG}clipPath/{SVG}path")
        shown = np.any([inside(path, size) for path in clips], axis=0)
        pixels[~shown] = 0
    return Image.fromarray(pixels)


@pytest.mark.parametrize("seed", range(4))
def test_pixel_art_is_drawn_pixel_for_pixel(seed: int) -> None:
    art = pixel_art(24, seed)

    svg, proof = trace(art, sharp=True)

    assert drawn(svg, art.size).tobytes() == art.convert("RGBA").tobytes()
    assert "no script" in proof


@pytest.mark.parametrize("hole", [(5, 5, 7, 7), (0, 0, 23, 4), (0, 0, 20, 23)])
def test_what_is_transparent_is_so_in_the_drawing(hole: tuple[int, int, int, int]) -> None:
    art = pixel_art(24, 1).convert("RGBA")
    ImageDraw.Draw(art).rectangle(hole, fill=(0, 0, 0, 0))

    svg, _ = trace(art, sharp=True)

    assert drawn(svg, art.size).tobytes() == art.tobytes()


def test_curves_are_few_and_half_transparent_edges_are_told() -> None:
    large = Image.new("RGBA", (256, 256))
    ImageDraw.Draw(large).ellipse((40, 40, 216, 216), fill=(220, 35, 35, 255))
    soft = large.resize((64, 64), Image.Resampling.BOX)

    svg, proof = trace(soft, sharp=False)

    assert svg.count(b"<path") < 10
    assert b"C" in svg
    assert "half transparent" in proof


def test_a_picture_of_nothing_has_no_drawing() -> None:
    with pytest.raises(InvalidRequest, match="shows nothing"):
        trace(Image.new("RGBA", (8, 8)), sharp=True)
