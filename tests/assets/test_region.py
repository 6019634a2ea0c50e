"""What a model works on is cut out and put back, and what a mask keeps stays to the bit."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ziggie_image_mcp.assets.region import (
    Margins,
    Placement,
    add_margins,
    cut_out,
    place,
    put_back,
    whole,
)
from ziggie_image_mcp.provider import FreeSize
from ziggie_image_mcp.provider.sizes import Size, problem

SD1 = FreeSize(native_width=512, native_height=512, max_side=2048)
SDXL = FreeSize(native_width=1024, native_height=1024, max_side=4096)
GPT = FreeSize(
    min_side=480,
    max_side=2560,
    multiple_of=16,
    min_pixels=655_360,
    max_pixels=3_686_400,
    max_ratio=3,
)
RULES = {"sd1": SD1, "sdxl": SDXL, "gpt": GPT}
WHOLE = Size(1920, 1080)


def noise(size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    data = random.Random(seed).randbytes(size[0] * size[1] * bands)
    return Image.frombytes(mode, size, data)


def box_mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


@pytest.mark.parametrize(
    ("rule", "box", "size", "part"),
    [
        ("sd1", None, (680, 384), (0, 0, 1920, 1080)),
        ("sdxl", None, (1368, 768), (0, 0, 1920, 1080)),
        ("sd1", (900, 500, 1000, 600), (512, 512), (694, 294, 512, 512)),
        ("sdxl", (900, 500, 1000, 600), (1024, 1024), (438, 38, 1024, 1024)),
        ("sd1", (0, 0, 40, 40), (512, 512), (0, 0, 512, 512)),
        ("sd1", (1880, 1040, 1920, 1080), (512, 512), (1408, 568, 512, 512)),
        ("sdxl", (0, 0, 1920, 1080), (1368, 768), (0, 0, 1920, 1080)),
        ("gpt", (900, 500, 1000, 600), (1024, 1024), (438, 38, 1024, 1024)),
    ],
)
def test_a_model_gets_the_part_around_the_mask_unscaled_where_it_can(
    rule: str,
    box: tuple[int, int, int, int] | None,
    size: tuple[int, int],
    part: tuple[int, int, int, int],
) -> None:
    sent, placement = place(RULES[rule], WHOLE, box)

    assert sent == size
    assert (placement.left, placement.top, placement.width, placement.height) == part
    assert (placement.image_width, placement.image_height) == WHOLE


@settings(max_examples=300, deadline=None)
@given(
    rule=st.sampled_from([SD1, SDXL, GPT]),
    width=st.integers(200, 6000),
    ratio=st.floats(0.4, 2.5),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    share=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)),
)
def test_the_part_takes_in_all_that_is_painted_anew_and_lies_in_the_picture(
    rule: FreeSize,
    width: int,
    ratio: float,
    at: tuple[float, float],
    share: tuple[float, float],
) -> None:
    image = Size(width, max(64, round(width / ratio)))
    wide, high = (max(1, round(side * part)) for side, part in zip(image, share, strict=True))
    left, top = (round((a - b) * c) for a, b, c in zip(image, (wide, high), at, strict=True))
    box = (left, top, left + wide, top + high)

    size, placement = place(rule, image, box)

    right, bottom = placement.left + placement.width, placement.top + placement.height
    assert problem(rule, size) == ""
    assert 0 <= placement.left <= box[0]
    assert 0 <= placement.top <= box[1]
    assert box[2] <= right <= image.width
    assert box[3] <= bottom <= image.height
    shape = size.width / size.height * placement.height / placement.width
    assert abs(shape - 1) < 0.06


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("rule", [SD1, SDXL])
@pytest.mark.parametrize("box", [(700, 300, 1300, 900), (3, 5, 60, 70), (0, 0, 1920, 1080)])
def test_what_the_mask_keeps_is_the_pictures_to_the_bit(
    box: tuple[int, int, int, int], rule: FreeSize, mode: str
) -> None:
    whole, mask = noise(WHOLE, mode), box_mask(WHOLE, box)
    size, placement = place(rule, WHOLE, box)
    part, over = cut_out(whole, mask, placement, size)
    patch = Image.new("RGB", size, "red")

    result = put_back(whole, mask, patch, placement)

    assert over is not None
    assert part.size == over.size == result_size(size)
    assert result.size == WHOLE
    kept = Image.new(result.mode, WHOLE)
    kept.paste(whole.convert(result.mode))
    kept.paste(result.crop(box), box)
    assert kept.tobytes() == result.tobytes()
    middle = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    assert result.convert("RGB").getpixel(middle) == (255, 0, 0)


def result_size(size: Size) -> tuple[int, int]:
    return size.width, size.height


def test_a_part_that_is_not_scaled_comes_back_as_the_model_made_it() -> None:
    box = (900, 500, 1000, 600)
    size, placement = place(SD1, WHOLE, box)
    patch = noise(result_size(size), seed=1)

    result = put_back(noise(WHOLE), box_mask(WHOLE, box), patch, placement)

    inner = (940, 540, 960, 560)
    corner = (inner[0] - placement.left, inner[1] - placement.top)
    assert (
        result.crop(inner).tobytes()
        == patch.crop((*corner, corner[0] + 20, corner[1] + 20)).tobytes()
    )


def test_a_picture_that_is_worked_on_as_a_whole_keeps_its_size() -> None:
    size, placement = place(SDXL, WHOLE, None)

    result = put_back(noise(WHOLE), None, Image.new("RGB", size, "red"), placement)

    assert size != WHOLE
    assert result.size == WHOLE
    assert result.getpixel((7, 7)) == (255, 0, 0)


def test_another_size_that_was_asked_for_is_that_of_the_result() -> None:
    placement = Placement(left=0, top=0, width=640, height=360, image_width=640, image_height=360)

    part, _ = cut_out(noise(WHOLE), None, placement, Size(640, 360))
    result = put_back(noise(WHOLE), None, part, placement)

    assert (part.size, result.size) == ((640, 360), (640, 360))


@pytest.mark.parametrize("thickness", [1, 3, 8])
def test_a_thin_mask_is_painted_fully_in_its_middle(thickness: int) -> None:
    size = Size(1024, 1024)
    mask = box_mask(size, (200, 500, 800, 500 + thickness))
    original = Image.new("RGB", size, "white")

    result = put_back(original, mask, Image.new("RGB", size, "red"), whole(size))

    assert result.getpixel((500, 500 + (thickness - 1) // 2)) == (255, 0, 0)
    assert result.getpixel((500, 499)) == (255, 255, 255)


def test_single_pixels_of_a_large_mask_reach_the_model_and_the_result() -> None:
    size = Size(4000, 3000)
    mask = box_mask(size, (2000, 1500, 2001, 1501))
    mask.putpixel((5, 5), 255)
    original = Image.new("RGB", size, "white")

    _, over = cut_out(original, mask, whole(size), Size(592, 440))
    result = put_back(original, mask, Image.new("RGB", (592, 440), "red"), whole(size))

    assert over is not None
    assert [over.getpixel(place) for place in ((0, 0), (296, 220))] == [255, 255]
    assert [result.getpixel(place) for place in ((5, 5), (2000, 1500))] == [(255, 0, 0)] * 2
    assert result.getpixel((6, 5)) == (255, 255, 255)


def test_a_spot_of_a_mask_survives_another_size_that_was_asked_for() -> None:
    mask = box_mask(WHOLE, (1001, 501, 1002, 502))
    placement = Placement(left=0, top=0, width=192, height=108, image_width=192, image_height=108)

    _, over = cut_out(noise(WHOLE), mask, placement, Size(192, 108))

    assert over is not None
    assert over.getpixel((100, 50)) == 255


def test_a_picture_that_grows_keeps_its_transparency_to_the_bit() -> None:
    inner = noise((100, 80), "RGBA")

    grown, painted = add_margins(inner, None, Margins(10, 20, 30, 40))
    size = Size(*grown.size)
    result = put_back(grown, painted, Image.new("RGB", size, "red"), whole(size))

    kept = (10, 20, 110, 100)
    for image in (grown, result):
        assert image.mode == "RGBA"
        assert image.crop(kept).tobytes() == inner.tobytes()
        assert image.crop((0, 0, 140, 20)).getchannel("A").getextrema() == (255, 255)
    assert result.getpixel((2, 2)) == (255, 0, 0, 255)


def test_a_picture_without_transparency_grows_without() -> None:
    grown, _ = add_margins(noise((100, 80)), None, Margins(left=10))

    assert grown.mode == "RGB"
