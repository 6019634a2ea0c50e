"""generate_image with an asset contract, as a client calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.asset_checker import faults
from tests.support.calls import client, data, said
from tests.support.factory import service
from tests.support.hostile_engine import HostileEngine
from ziggie_image_mcp.assets.palettes import named_palette

SPRITE = {"size": (32, 32), "palette": named_palette("pico-8"), "grid": 1, "alpha": True}


@pytest.mark.parametrize(
    "asset",
    [
        "kind=sprite size=32x32 palette=pico-8 grid=1",
        '{"kind": "sprite", "size": [32, 32], "palette": "pico-8", "grid": 1}',
    ],
)
async def test_a_picture_comes_with_what_was_measured_on_it(asset: str, tmp_path: Path) -> None:
    async with client(service(tmp_path, HostileEngine())) as session:
        asked = {"prompt": "a potion", "asset": asset, "seed": 5}
        first = data(await session.call_tool("generate_image", asked))
        again = data(await session.call_tool("generate_image", asked))

    (image,) = first["images"]
    assert faults(image["path"], SPRITE) == []
    assert image["proof"].startswith("size=32x32 alpha=0.")
    assert "grid=32x32-cells-of-1" in image["proof"]
    assert "nothing was made" in again["why"]
    assert again["images"] == first["images"]


async def test_frames_come_with_the_files_that_programs_read(tmp_path: Path) -> None:
    asset = "sprite size=24x32 frames=4 motion=bob palette=nes sheet=phaser,godot animation=gif"
    async with client(service(tmp_path, HostileEngine())) as session:
        asked = {"prompt": "a slime", "asset": asset, "seed": 2}
        (image,) = data(await session.call_tool("generate_image", asked))["images"]
        again = data(await session.call_tool("generate_image", asked))["images"]
        named = asked | {"file_name": "slime"}
        (copy,) = data(await session.call_tool("generate_image", named))["images"]

    assert again == [image]
    assert [Path(file).name.startswith("slime-") for file in copy["files"]] == [True] * 3
    assert Path(copy["path"]).name in Path(copy["files"][0]).read_text("utf-8")
    frames = {"size": (24, 32), "frames": 4, "palette": named_palette("nes"), "alpha": True}
    assert faults(image["path"], frames) == []
    atlas, scene, moving = sorted(
        map(Path, image["files"]), key=lambda file: file.suffix != ".json"
    )
    placed = json.loads(atlas.read_text("utf-8"))["frames"].values()
    assert [(f["frame"]["x"], f["frame"]["y"]) for f in placed] == [
        (0, 0),
        (24, 0),
        (0, 32),
        (24, 32),
    ]
    assert scene.read_text("utf-8").count("AtlasTexture") >= 4
    with Image.open(moving) as gif:
        assert (gif.size, getattr(gif, "n_frames", 1)) == ((24, 32), 4)


async def test_what_cannot_keep_its_contract_names_the_property(tmp_path: Path) -> None:
    engine = HostileEngine()
    engine.habit = "empty"
    async with client(service(tmp_path, engine)) as session:
        answer = await session.call_tool(
            "generate_image", {"prompt": "a cat", "asset": "sprite size=32 frames=4", "seed": 1}
        )

    assert answer.is_error
    assert "cannot keep the asset's frames: it has no subject in frame" in said(answer)
    assert list((tmp_path / "pictures").rglob("*.png")) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"asset": "sprite size=32 grid=5"}, "grid=5: a divisor of both sides of 32x32"),
        ({"asset": "sprit size=32"}, "one of kind, size"),
        ({"asset": "sprite palette=none.hex"}, "none.hex"),
        ({"asset": "sprite", "output_format": "jpeg"}, "a JPEG keeps neither colours nor pixels"),
        ({"asset": "tile", "transparent": True}, "alpha=no"),
        ({"asset": ["sprite"]}, "kind=sprite size=32x32"),
    ],
)
async def test_a_contract_that_makes_no_sense_is_refused_before_anything_is_made(
    arguments: dict[str, Any], words: str, tmp_path: Path
) -> None:
    async with client(service(tmp_path, HostileEngine())) as session:
        answer = await session.call_tool("generate_image", {"prompt": "a cat", **arguments})

    assert answer.is_error
    assert words in said(answer)


async def test_a_palette_of_a_file_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "two.hex").write_text("102030\nf0e0d0\n", "utf-8")
    made = service(tmp_path, HostileEngine(), input_directories=[str(folder)])
    async with client(made) as session:
        asset = f"sprite size=16x16 palette={folder / 'two.hex'}"
        answer = data(await session.call_tool("generate_image", {"prompt": "a", "asset": asset}))

    asked = {"size": (16, 16), "palette": [(16, 32, 48), (240, 224, 208)], "alpha": True}
    assert faults(answer["images"][0]["path"], asked) == []


async def test_a_paid_picture_that_cannot_keep_its_contract_is_kept_as_it_came(
    tmp_path: Path,
) -> None:
    paid = HostileEngine(price=40_000)
    paid.habit = "empty"
    own = service(tmp_path, paid, allowPaidFallback="withinBudget", budget={"perDay": 1})
    async with client(own) as session:
        answer = await session.call_tool(
            "generate_image",
            {"prompt": "a cat", "asset": "sprite size=32 frames=2", "seed": 1},
        )

    assert answer.is_error
    assert "kept as it came" in said(answer)
    (raw,) = (tmp_path / "pictures").rglob("as-it-came-*.png")
    with Image.open(raw) as picture:
        assert picture.width > picture.height > 100
    assert "$0.04 was spent" in said(answer)
