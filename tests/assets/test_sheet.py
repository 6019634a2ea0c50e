"""Sheets and atlases of frames of any size, and the proof that finds a wrong pixel."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from PIL import Image

from ziggie_image_mcp.assets.frames import Frame, align, read_slice, slice_picture
from ziggie_image_mcp.assets.sheet import ATLAS_GAP, pack_cells, pack_tightly, prove
from ziggie_image_mcp.errors import InvalidOutput, InvalidRequest
from ziggie_image_mcp.provider.pictures import to_png


def frames(seed: int, count: int, side: int) -> list[Frame]:
    draws = random.Random(seed)
    made: list[Frame] = []
    for number in range(count):
        size = draws.randint(1, side), draws.randint(1, side)
        image = Image.new("RGBA", size)
        inner = tuple(draws.randint(1, length) for length in size)
        colour = (*draws.randbytes(3), draws.randint(1, 255))
        place = draws.randint(0, size[0] - inner[0]), draws.randint(0, size[1] - inner[1])
        image.paste(Image.new("RGBA", (inner[0], inner[1]), colour), place)
        made.append(Frame(name=str(number), image=image))
    return made


@pytest.mark.parametrize("seed", range(12))
def test_no_frame_of_an_atlas_touches_another(seed: int) -> None:
    packed = frames(seed, 1 + seed * 5, 40)

    sheet = pack_tightly(packed)

    prove(to_png(sheet.image), sheet, packed)
    taken: set[tuple[int, int]] = set()
    for frame in sheet.frames:
        own = {
            (x, y)
            for x in range(frame.x, frame.x + frame.width + ATLAS_GAP)
            for y in range(frame.y, frame.y + frame.height + ATLAS_GAP)
        }
        assert not own & taken
        taken |= own
    wasted = sheet.image.width * sheet.image.height / sum(f.width * f.height for f in sheet.frames)
    assert wasted < 3 or len(packed) < 10


def test_a_wrong_pixel_or_place_is_found() -> None:
    packed = align(frames(1, 6, 20))
    sheet = pack_cells(packed, 3)
    spoilt = sheet.image.copy()
    first = sheet.frames[0]
    spoilt.putpixel((first.x + first.width - 1, first.y + first.height - 1), (1, 2, 3, 4))
    moved = replace(sheet, frames=(replace(first, x=first.x + 1), *sheet.frames[1:]))

    prove(to_png(sheet.image), sheet, packed)

    with pytest.raises(InvalidOutput):
        prove(to_png(spoilt), sheet, packed)
    with pytest.raises(InvalidOutput):
        prove(to_png(sheet.image), moved, packed)


def test_a_sheet_beyond_what_cards_take_is_refused() -> None:
    wide = [Frame(name=str(i), image=Image.new("RGB", (9000, 2))) for i in range(2)]

    with pytest.raises(InvalidRequest, match="larger than 16384"):
        pack_cells(wide, 2)
    with pytest.raises(InvalidRequest, match="larger than 16384"):
        pack_tightly([Frame(name="0", image=Image.new("RGB", (16_390, 2)))])


@pytest.mark.parametrize(
    ("text", "across", "down"),
    [("4x2", 4, 2), ("4 \u00d7 2", 4, 2), ("8x16px", 8, 4), ("8X16 PX", 8, 4), ("32px", 2, 2)],
)
def test_a_picture_is_cut_row_by_row(text: str, across: int, down: int) -> None:
    image = Image.linear_gradient("L").resize((64, 64)).transpose(Image.Transpose.ROTATE_90)

    cells = slice_picture(image, read_slice(text))

    assert len(cells) == across * down
    width, height = 64 // across, 64 // down
    for place, cell in enumerate(cells):
        x, y = place % across * width, place // across * height
        assert cell.tobytes() == image.crop((x, y, x + width, y + height)).tobytes()
