from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from ziggie_image_mcp.provider import MaskPolarity
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.pictures import NotAPicture, decode


def mask(left: int = 255, right: int = 0, mode: str = "L") -> bytes:
    image = Image.new("L", (16, 8), right)
    image.paste(left, (0, 0, 8, 8))
    out = io.BytesIO()
    image.convert(mode).save(out, "PNG")
    return out.getvalue()


def sides(data: bytes) -> tuple[Any, Any]:
    image = decode(data)
    return image.getpixel((3, 4)), image.getpixel((12, 4))


@pytest.mark.parametrize(
    ("polarity", "left", "right"),
    [("white", 255, 0), ("black", 0, 255), ("alpha", 0, 255)],
)
def test_what_is_painted_anew_is_said_in_the_backends_way(
    polarity: MaskPolarity, left: int, right: int
) -> None:
    converted = convert_mask(mask(), polarity)

    values = sides(converted)
    if polarity == "alpha":
        values = values[0][3], values[1][3]
    assert values == (left, right)
    assert decode(converted).size == (16, 8)


def test_soft_edges_stay_soft() -> None:
    assert sides(convert_mask(mask(200, 100), "white")) == (200, 100)
    assert sides(convert_mask(mask(200, 100), "black")) == (55, 155)
    assert [pixel[3] for pixel in sides(convert_mask(mask(200, 100), "alpha"))] == [55, 155]


@pytest.mark.parametrize("mode", ["1", "RGB", "RGBA", "P"])
def test_a_mask_in_another_mode_is_read_as_grey(mode: str) -> None:
    assert sides(convert_mask(mask(mode=mode), "white")) == (255, 0)


def test_an_alpha_mask_is_a_picture_with_four_channels() -> None:
    assert decode(convert_mask(mask(), "alpha")).mode == "RGBA"


def test_what_is_no_picture_is_no_mask() -> None:
    with pytest.raises(NotAPicture):
        convert_mask(b"no", "white")
