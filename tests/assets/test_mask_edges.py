"""Masks are scaled and softened without losing anything that is white."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from ziggie_image_mcp.assets.mask_edges import fade_edges, scale_mask

Box = tuple[int, int, int, int]


def boxes(size: tuple[int, int], *white: Box) -> Image.Image:
    mask = Image.new("L", size)
    for box in white:
        mask.paste(255, box)
    return mask


@pytest.mark.parametrize("radius", [1, 4, 8, 16])
@pytest.mark.parametrize("thickness", [1, 2, 3, 8, 16, 40, 120])
def test_the_middle_of_a_line_is_painted_fully_however_thin_it_is(
    thickness: int, radius: int
) -> None:
    mask = boxes((512, 512), (100, 200, 400, 200 + thickness))

    faded = fade_edges(mask, radius)

    assert faded.getpixel((250, 200 + (thickness - 1) // 2)) == 255
    assert faded.getbbox() == mask.getbbox()


def test_a_single_pixel_is_painted_fully() -> None:
    mask = boxes((512, 512), (250, 250, 251, 251))

    assert fade_edges(mask, 8).tobytes() == mask.tobytes()


def test_a_thick_mask_fades_inside_its_edge_step_by_step() -> None:
    faded = fade_edges(boxes((512, 512), (100, 100, 400, 400)), 8)

    levels = [faded.getpixel((x, 250)) for x in range(99, 118)]
    assert levels == [0, *(round(255 * n / 17) for n in range(1, 18)), 255]


def test_thin_and_thick_parts_of_one_mask_each_fade_as_they_can() -> None:
    hair, dot, blob = (300, 249, 450, 252), (306, 100, 307, 101), (100, 50, 300, 450)
    faded = fade_edges(boxes((512, 512), hair, dot, blob), 8)

    assert {faded.getpixel((x, 250)) for x in range(301, 450)} == {255}
    assert faded.getpixel((306, 100)) == 255
    assert faded.getpixel((100, 250)) == 15
    assert faded.getpixel((200, 250)) == 255


def test_a_round_edge_fades_all_round() -> None:
    mask = Image.new("L", (512, 512))
    ImageDraw.Draw(mask).ellipse((100, 100, 400, 400), fill=255)

    faded = fade_edges(mask, 8)

    for place in ((101, 250), (399, 250), (250, 101), (250, 399), (146, 145), (355, 356)):
        level = faded.getpixel(place)
        assert isinstance(level, int)
        assert level < 90
    assert faded.getpixel((250, 250)) == 255


def test_the_edge_of_the_picture_is_no_edge_of_the_mask() -> None:
    faded = fade_edges(boxes((256, 256), (0, 0, 100, 256)), 8)

    assert [faded.getpixel((0, y)) for y in (0, 128, 255)] == [255, 255, 255]
    assert faded.getpixel((99, 128)) == 15


def test_grey_is_never_painted_stronger_than_it_is() -> None:
    mask = boxes((256, 256), (50, 50, 200, 200)).point([0] * 255 + [100])

    faded = fade_edges(mask, 4)

    assert faded.getextrema() == (0, 100)
    assert faded.getpixel((125, 125)) == 100


@settings(max_examples=60, deadline=None)
@given(
    radius=st.integers(1, 20),
    white=st.lists(
        st.tuples(st.integers(0, 150), st.integers(0, 150), st.integers(1, 60), st.integers(1, 60)),
        min_size=1,
        max_size=5,
    ),
)
def test_black_stays_black_and_something_of_every_mask_is_painted_fully(
    white: list[Box], radius: int
) -> None:
    mask = boxes((160, 160), *((x, y, x + w, y + h) for x, y, w, h in white))

    faded = fade_edges(mask, radius)

    outside = mask.point([255] + [0] * 255)
    black = Image.new("L", mask.size)
    black.paste(faded, mask=outside)
    assert black.getbbox() is None
    assert (
        mask.getbbox() is None
        or faded.getextrema() == (0, 255)
        or faded.getextrema()
        == (
            255,
            255,
        )
    )


@pytest.mark.parametrize("size", [(592, 440), (1024, 768), (7999, 5999), (8000, 440)])
def test_no_spot_is_lost_when_a_mask_is_scaled_down(size: tuple[int, int]) -> None:
    spots = ((3, 3), (7001, 5003), (7999, 5999))

    scaled = scale_mask(boxes((8000, 6000), *((x, y, x + 1, y + 1) for x, y in spots)), size)

    assert scaled.size == size
    for x, y in spots:
        assert scaled.getpixel((x * size[0] // 8000, y * size[1] // 6000)) == 255
    assert scaled.histogram()[255] <= 3 * 9


@settings(max_examples=200, deadline=None)
@given(
    source=st.tuples(st.integers(16, 200), st.integers(16, 200)),
    size=st.tuples(st.integers(16, 200), st.integers(16, 200)),
    at=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
)
def test_every_white_pixel_is_white_where_it_comes_to_lie(
    source: tuple[int, int], size: tuple[int, int], at: tuple[float, float]
) -> None:
    x, y = (int(side * share) for side, share in zip(source, at, strict=True))

    scaled = scale_mask(boxes(source, (x, y, x + 1, y + 1)), size)

    place = tuple(int((p + 0.5) * b / a) for p, a, b in zip((x, y), source, size, strict=True))
    assert scaled.getpixel((place[0], place[1])) == 255


def test_a_large_mask_is_faded_in_seconds() -> None:
    mask = boxes((4000, 3000), (3000, 2000, 3900, 2900), (100, 100, 103, 2900))
    start = time.monotonic()

    faded = fade_edges(mask, 47)

    assert time.monotonic() - start < 30, "a rank filter of this radius takes minutes"
    assert faded.getpixel((101, 1500)) == 255
