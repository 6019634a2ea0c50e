from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ziggie_image_mcp.assets.framing import padded, resized, subject_box
from ziggie_image_mcp.assets.tiling import made_seamless
from ziggie_image_mcp.provider.seams import seam


def spot(mode: str, ground: tuple[int, ...]) -> Image.Image:
    image = Image.new(mode, (40, 30), ground)
    image.paste((200, 10, 10, 255)[: len(ground)], (5, 7, 20, 25))
    return image


@pytest.mark.parametrize(
    ("mode", "ground"), [("RGB", (255, 255, 255)), ("RGB", (203, 10, 30)), ("RGBA", (9, 9, 9, 0))]
)
def test_the_subject_is_what_is_not_ground(mode: str, ground: tuple[int, ...]) -> None:
    assert subject_box(spot(mode, ground)) == (5, 7, 20, 25)


def test_where_the_corners_differ_nothing_is_ground() -> None:
    assert subject_box(Image.linear_gradient("L")) == (0, 0, 256, 256)


@pytest.mark.parametrize("image", [Image.new("RGB", (9, 9)), Image.new("RGBA", (9, 9))])
def test_where_all_is_ground_there_is_no_subject(image: Image.Image) -> None:
    assert subject_box(image) is None


def test_padding_is_transparent() -> None:
    image = padded(Image.new("RGB", (4, 3), "red"), 2)

    assert (image.size, image.getbbox()) == ((8, 7), (2, 2, 6, 5))


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((20, 10), (0, 0, 20, 10)),  # twice as large
        ((25, 12), (2, 1, 22, 11)),  # whole pixels stay equal
        ((5, 5), (0, 1, 5, 3)),
        ((10, 30), (0, 12, 10, 17)),
    ],
)
def test_nearest_keeps_pixels_as_large_as_each_other(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    image = resized(Image.new("RGB", (10, 5), "red"), *size, "nearest")

    assert (image.size, image.convert("RGBA").getbbox()) == (size, box)


@pytest.mark.parametrize("resample", ["nearest", "lanczos"])
def test_colours_of_what_is_transparent_do_not_bleed(resample: str) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 4, 8))

    pixels = np.asarray(resized(image, 5, 5, resample))  # type: ignore[arg-type]

    assert pixels[pixels[..., 3] > 8][:, 0].max() == 0


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (333, 257)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_edges_are_made_to_meet_in_the_same_size(size: tuple[int, int], mode: str) -> None:
    width, height = size
    ramp = np.linspace(0, 255, width)[None, :, None] * np.linspace(0.2, 1, height)[:, None, None]
    image = Image.fromarray(np.repeat(ramp, 3, axis=2).astype(np.uint8)).convert(mode)
    assert not seam(image).tiles

    tile = made_seamless(image)

    assert (tile.size, tile.mode) == (size, mode)
    assert seam(tile).tiles
