from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ziggie_image_mcp.assets.palettes import (
    listed_palette,
    named_palette,
    palette_names,
    read_palette,
)
from ziggie_image_mcp.assets.recolour import count_colours, own_palette, to_palette
from ziggie_image_mcp.errors import InvalidRequest


def noise(seed: int = 0, side: int = 32) -> Image.Image:
    draws = np.random.default_rng(seed)
    return Image.fromarray(draws.integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "count"),
    [("pico-8", 16), ("PICO8", 16), ("Game Boy", 4), ("db32", 32), ("EDG32", 32), ("nes", 55)],
)
def test_palettes_are_known_by_their_names(name: str, count: int) -> None:
    palette = named_palette(name)

    assert palette is not None
    assert len(set(palette)) == len(palette) == count


def test_a_pixel_takes_the_colour_that_looks_nearest() -> None:
    palette = named_palette("pico-8") or ()
    source = Image.new("RGB", (3, 1))
    source.putdata([(250, 5, 70), (30, 40, 80), (1, 1, 1)])

    result = to_palette(source, palette)

    assert [result.getpixel((x, 0)) for x in range(3)] == [
        (255, 0, 77),
        (29, 43, 83),
        (0, 0, 0),
    ]


@pytest.mark.parametrize("name", palette_names())
def test_no_colour_beside_the_palettes_is_left_and_none_of_them_changes(name: str) -> None:
    palette = named_palette(name) or ()

    once = to_palette(noise(), palette)

    assert {tuple(map(int, c)) for c in np.asarray(once).reshape(-1, 3)} <= set(palette)
    assert to_palette(once, palette).tobytes() == once.tobytes()


def test_alpha_is_kept_and_what_is_not_seen_counts_nothing() -> None:
    source = noise().convert("RGBA")
    source.paste((9, 9, 9, 0), (0, 0, 16, 32))

    result = to_palette(source, [(255, 255, 255)])

    assert result.getchannel("A").tobytes() == source.getchannel("A").tobytes()
    assert count_colours(result) == 1
    assert own_palette([Image.new("RGBA", (4, 4))], 8) == ()


@pytest.mark.parametrize("count", [1, 2, 7, 16, 256])
def test_a_picture_is_reduced_to_no_more_colours_than_asked(count: int) -> None:
    palette = own_palette([noise(1), noise(2)], count)

    assert 1 <= len(palette) <= count
    assert count_colours(to_palette(noise(1), palette)) <= count


def test_few_colours_are_kept_as_they_are() -> None:
    source = to_palette(noise(), named_palette("pico-8") or ())

    assert set(own_palette([source], 16)) == set(named_palette("pico-8") or ())


def test_own_colours_stand_for_the_picture_better_than_any_palettes() -> None:
    source = noise()
    named = np.asarray(to_palette(source, named_palette("pico-8") or ())).astype(float)
    own = np.asarray(to_palette(source, own_palette([source], 16))).astype(float)

    assert np.abs(own - np.asarray(source)).mean() < 0.9 * np.abs(named - np.asarray(source)).mean()


@pytest.mark.parametrize(
    "text", ["#ff0000 #00ff00", "ff0000,00FF00", "#ff0000;#00ff00ff", "0xff0000 0x00ff00 #ff0000"]
)
def test_colours_may_be_listed(text: str) -> None:
    assert listed_palette(text) == ((255, 0, 0), (0, 255, 0))


@pytest.mark.parametrize("text", ["", "pico-8", "#ff00", "red green"])
def test_what_is_no_list_of_colours_is_none(text: str) -> None:
    assert listed_palette(text) is None


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "mine.hex"),
        (b"ff00zz\n", "mine.hex"),
        (b"GIMP Palette\n#\n", "mine.gpl"),
        (b"GIMP Palette\n300 0 0 red\n", "mine.gpl"),
        (b"no picture", "mine.png"),
        ("\n".join(f"{i:06x}" for i in range(257)).encode(), "mine.hex"),
        (b"\xff\xfe\x00\x00", "mine.hex"),
    ],
)
def test_a_file_that_is_no_palette_is_refused(data: bytes, name: str) -> None:
    with pytest.raises(InvalidRequest, match="palette="):
        read_palette(data, name)
