"""Pictures that are made to keep their contract."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ziggie_image_mcp.assets.contract import read_contract
from ziggie_image_mcp.assets.fulfilment import fulfilled
from ziggie_image_mcp.assets.motion import moved
from ziggie_image_mcp.assets.proof import Unproved, cells_of, prove
from ziggie_image_mcp.provider.seams import seam


def subject(width: int = 200, height: int = 300) -> Image.Image:
    image = Image.new("RGBA", (512, 512), (0, 0, 0, 0))
    box = (100, 50, 99 + width, 49 + height)
    ImageDraw.Draw(image).rectangle(box, fill=(200, 40, 40, 255))
    ImageDraw.Draw(image).rectangle((120, 60, 140, 80), fill=(255, 255, 255, 255))
    return image


def test_a_sprite_fills_its_size_and_keeps_its_shape() -> None:
    made = fulfilled(subject(), read_contract("sprite size=32x32 grid=1"))

    box = made.getchannel("A").getbbox()
    assert made.size == (32, 32)
    assert box is not None
    assert (box[2] - box[0], box[3] - box[1]) == (21, 32)
    assert abs(box[0] - (32 - box[2])) <= 1


@pytest.mark.parametrize("motion", ["bob", "squash", "turn"])
def test_frames_of_a_motion_begin_with_the_drawing_and_stand_on_one_line(motion: str) -> None:
    contract = read_contract(f"sprite size=48x48 frames=6 motion={motion} grid=1")
    cells = cells_of(fulfilled(subject(), contract), contract)

    boxes = [cell.getchannel("A").getbbox() for cell in cells]
    bottoms = [box[3] for box in boxes if box is not None]
    assert len(bottoms) == 6
    assert bottoms[0] == 48
    if motion != "bob":
        assert set(bottoms) == {48}
    assert len({cell.tobytes() for cell in cells}) >= 3


def test_a_coin_shows_its_side_and_its_back() -> None:
    frames = moved(subject().crop((100, 50, 300, 350)), "turn", 4)

    widths = [box[2] - box[0] for f in frames if (box := f.getchannel("A").getbbox())]
    assert widths == [200, 12, 200, 12]
    assert frames[2].tobytes() == frames[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes()


def test_subjects_of_a_sheet_are_brought_to_one_scale_and_one_ground_line() -> None:
    sheet = Image.new("RGBA", (400, 200), (0, 0, 0, 0))
    pen = ImageDraw.Draw(sheet)
    pen.rectangle((60, 20, 139, 119), fill="red")
    pen.rectangle((270, 100, 309, 149), fill="red")
    contract = read_contract("sprite size=40x50 frames=2 grid=1")

    boxes = [c.getchannel("A").getbbox() for c in cells_of(fulfilled(sheet, contract), contract)]

    assert boxes == [(0, 0, 40, 50), (10, 25, 30, 50)]


def test_a_tile_is_scaled_over_its_edges() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    wide = Image.fromarray(np.tile(noise, (3, 3, 1))).resize((1152, 1152), Image.Resampling.BICUBIC)
    tile = wide.crop((384, 384, 768, 768))

    made = fulfilled(tile, read_contract("tile size=48"))

    by_itself = tile.resize((48, 48), Image.Resampling.LANCZOS)
    whole = Image.fromarray(np.tile(np.asarray(tile), (3, 3, 1)))
    true = whole.resize((144, 144), Image.Resampling.LANCZOS).crop((48, 48, 96, 96))
    difference = np.abs(np.asarray(made).astype(int) - np.asarray(true)).max()
    assert difference <= 2
    assert np.abs(np.asarray(by_itself).astype(int) - np.asarray(true)).max() > difference
    assert seam(made).tiles


@pytest.mark.parametrize(
    ("text", "image", "prop"),
    [
        ("sprite size=8", Image.new("RGB", (64, 64), "red"), "alpha"),
        ("sprite size=8", Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "alpha"),
        ("sprite size=8 frames=2", subject(), "frames"),
    ],
)
def test_what_cannot_be_had_of_a_picture_is_named(text: str, image: Image.Image, prop: str) -> None:
    if prop == "frames":  # its second half shows nothing
        image = image.crop((0, 0, 330, 512))
        image = Image.alpha_composite(Image.new("RGBA", (660, 512)), _beside(image, 660))
    with pytest.raises(Unproved) as caught:
        fulfilled(image, read_contract(text))

    assert caught.value.prop == prop


def _beside(image: Image.Image, width: int) -> Image.Image:
    whole = Image.new("RGBA", (width, image.height))
    whole.paste(image, (0, 0))
    return whole


@pytest.mark.parametrize(
    ("text", "prop"),
    [
        ("size=65x64", "size"),
        ("alpha=yes", "alpha"),
        ("colors=2", "colors"),
        ("palette=game-boy", "palette"),
        ("tile", "seamless"),
        ("size=64x64 grid=4", "grid"),
    ],
)
def test_each_property_is_measured(text: str, prop: str) -> None:
    slope = np.linspace(0, 255, 64).astype(np.uint8)
    image = Image.fromarray(np.repeat(np.tile(slope, (64, 1))[..., None], 3, axis=2))

    with pytest.raises(Unproved) as caught:
        prove(image, read_contract(text))

    assert caught.value.prop == prop


@pytest.mark.parametrize(
    "text",
    [
        "sprite size=32",
        "icon size=32 grid=1",
        "sprite size=32 grid=4 palette=pico-8",
        "sprite size=2 grid=1",
        "sprite size=20x30",
        "sprite",
        "sprite size=20 frames=3 motion=squash",
    ],
)
def test_a_crate_that_fills_its_square_keeps_a_free_rim(text: str) -> None:
    crate = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    ImageDraw.Draw(crate).rectangle((60, 40, 179, 219 if "x30" in text else 159), fill=(150, 90, 9))
    contract = read_contract(text)

    made = fulfilled(crate, contract)

    prove(made, contract)
    assert made.getchannel("A").getextrema() == (0, 255)
