"""Files beside a picture whose asset contract names some."""

from __future__ import annotations

import json

import pytest
from PIL import Image, ImageDraw

from ziggie_image_mcp.assets.contract import read_contract
from ziggie_image_mcp.assets.fulfilment import fulfilled
from ziggie_image_mcp.jobs.asset_contracts import SheetFiles


def _made(text: str, notes: list[str]) -> SheetFiles:
    drawing = Image.new("RGBA", (128, 128), (0, 0, 0, 0))
    ImageDraw.Draw(drawing).ellipse((30, 20, 90, 111), fill=(150, 90, 30, 255))
    contract = read_contract(text)
    made = SheetFiles(contract, lambda picture: fulfilled(picture, contract), notes)
    made.finish(drawing)
    return made


@pytest.mark.parametrize("mark", ["", "-01234567"])
def test_frames_are_called_as_the_picture_whoever_owns_it(mark: str) -> None:
    made = _made("sprite size=16 frames=2 motion=bob sheet=texturepacker", [])

    data = json.loads(made.files(f"coin-20261130-0123456789abcdef{mark}.png")[".atlas.json"])

    assert list(data["frames"]) == ["coin_0", "coin_1"]


def test_what_a_gif_cannot_hold_is_told() -> None:
    notes: list[str] = []
    made = _made("sprite size=30 frames=2 motion=bob animation=gif", notes)

    made.files("coin-20261130-0123456789abcdef.png")

    assert any("gif has no soft edges" in note for note in notes)
