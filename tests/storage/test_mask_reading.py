"""Masks as people and tools make them: which part is painted anew, and what is refused."""

from __future__ import annotations

import random

import pytest
from PIL import Image, ImageDraw

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.storage.mask_reading import read_mask

SIZE = (96, 64)
INSIDE, OUTSIDE = (48, 32), (5, 5)
BOX = (30, 20, 66, 44)


def photo() -> Image.Image:
    return Image.frombytes("RGB", SIZE, random.Random(0).randbytes(SIZE[0] * SIZE[1] * 3))


def drawing() -> Image.Image:
    image = Image.new("RGB", SIZE, "white")
    ImageDraw.Draw(image).ellipse((10, 10, 80, 60), fill="red")
    return image


def with_hole(image: Image.Image, box: tuple[int, int, int, int] = BOX) -> Image.Image:
    mask = image.convert("RGBA")
    mask.paste((0, 0, 0, 0), box)
    return mask


def strokes(*colours: str | tuple[int, ...]) -> Image.Image:
    mask = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    for i, colour in enumerate(colours):
        ImageDraw.Draw(mask).rectangle((30, 20 + 12 * i, 65, 31 + 12 * i), fill=colour)
    return mask


def painted(mask: Image.Image, image: Image.Image | None = None) -> tuple[object, object]:
    grey = read_mask(mask, image, "mask.png")
    assert grey.mode == "L"
    return grey.getpixel((48, 25)), grey.getpixel(OUTSIDE)


@pytest.mark.parametrize(
    "mask",
    [
        with_hole(photo()),
        with_hole(Image.new("RGB", SIZE, "black")),
        with_hole(Image.new("RGB", SIZE, "black"), (0, 20, 96, 64)),
    ],
    ids=["photo", "black", "half of it"],
)
def test_the_hole_of_a_picture_is_painted_anew_as_openai_does(mask: Image.Image) -> None:
    assert painted(mask) == (255, 0)


def test_the_image_itself_with_a_hole_is_known_however_few_colours_it_has() -> None:
    assert painted(with_hole(drawing()), drawing()) == (255, 0)


@pytest.mark.parametrize("colour", ["white", "red", "#00ff00", "#808080", (255, 0, 0, 110)])
def test_strokes_of_one_colour_on_transparent_ground_are_painted_anew(
    colour: str | tuple[int, ...],
) -> None:
    assert painted(strokes(colour), photo()) == (255, 0)


def test_a_smoothed_edge_stays_soft() -> None:
    mask = strokes("red")
    mask.putpixel((29, 25), (255, 0, 0, 100))

    assert read_mask(mask, None, "m").getpixel((29, 25)) == 100


def test_the_faint_mask_of_openais_cookbook_is_read() -> None:
    mask = with_hole(Image.new("RGBA", SIZE, (0, 0, 0, 1)))

    assert painted(mask) == (255, 0)


@pytest.mark.parametrize(
    "mask",
    [
        with_hole(Image.new("RGB", SIZE, "white")),
        with_hole(Image.new("RGB", SIZE, "red")),
        strokes("black"),
        strokes("red", "blue"),
        strokes("white", "black"),
        with_hole(drawing()),
        Image.new("RGBA", SIZE, (255, 255, 255, 0)),
    ],
    ids=["white ground", "red ground", "black", "red and blue", "white and black", "drawing", "-"],
)
def test_what_may_be_read_either_way_is_refused_with_the_way_out(mask: Image.Image) -> None:
    with pytest.raises(InvalidRequest, match="make") as caught:
        read_mask(mask, photo(), "mask.png")

    assert caught.value.field == "mask"


def test_an_opaque_mask_is_read_by_its_brightness() -> None:
    mask = Image.new("L", SIZE)
    mask.paste(255, BOX)

    assert painted(mask) == painted(mask.convert("RGB")) == painted(mask.convert("RGBA"))
    assert painted(mask) == (255, 0)
