"""Whether a picture tiles, told by the step over its edges."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops, ImageDraw

from ziggie_image_mcp.provider.seams import SEAMLESS, seam


def scene(side: int = 96) -> Image.Image:
    """A sky over a ground with a house: its top is not its bottom."""
    image = Image.linear_gradient("L").resize((side, side)).convert("RGB")
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, side * 0.7, side, side), fill=(70, 165, 60))
    pen.rectangle((side * 0.3, side * 0.4, side * 0.5, side * 0.75), fill=(200, 40, 40))
    return image


def dots(side: int = 96) -> Image.Image:
    """Dots that go over the edges."""
    image = Image.new("RGB", (side, side), (250, 220, 40))
    pen = ImageDraw.Draw(image)
    for x, y in ((0, 0), (side, 0), (0, side), (side, side), (side // 2, side // 2)):
        pen.ellipse((x - 17, y - 17, x + 16, y + 16), fill=(40, 80, 220))
    return image


def test_what_tiles_is_told_from_what_does_not() -> None:
    assert seam(dots()).tiles
    assert seam(ImageChops.offset(dots(), 31, 17)).tiles
    assert not seam(scene()).tiles
    assert seam(scene()).down > SEAMLESS >= seam(scene()).across


def test_a_crop_of_a_tile_is_none() -> None:
    across = seam(dots().crop((0, 0, 70, 96)))

    assert across.across > SEAMLESS >= across.down


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_flat_picture_tiles_whatever_its_channels(mode: str) -> None:
    assert seam(Image.new(mode, (40, 30))).tiles


def test_a_seam_that_only_the_alpha_has_is_one() -> None:
    image = Image.new("RGBA", (60, 60), (0, 0, 0, 255))
    image.putalpha(Image.linear_gradient("L").resize((60, 60)))

    assert not seam(image).tiles


@pytest.mark.parametrize("size", [(1, 1), (2, 50), (50, 2)])
def test_the_smallest_pictures_are_measured_too(size: tuple[int, int]) -> None:
    assert seam(Image.new("RGB", size)).tiles


def test_a_large_picture_is_measured_as_its_small_one() -> None:
    assert seam(dots().resize((3000, 3000), Image.Resampling.NEAREST)).tiles
    assert not seam(scene().resize((3000, 3000), Image.Resampling.NEAREST)).tiles
