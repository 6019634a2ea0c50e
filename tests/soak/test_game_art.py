"""A small game's art from one batch file, on the built-in engine, without network or key.

`tools/game_art/batch.py` writes the file; docs/game-art.md tells the same to people.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.support.asset_checker import faults
from tests.support.phaser import read_by_phaser
from tools.game_art.batch import ITEMS, MOVING, PALETTE, TILES, lines
from ziggie_image_mcp.assets.palettes import named_palette

pytestmark = pytest.mark.soak

MINUTES = 10
ROOT = Path(__file__).parents[2]
COLOURS = named_palette(PALETTE)


class Art(NamedTuple):
    """What was made."""

    folder: Path
    rows: list[dict[str, Any]]
    """Of the batch, a line each."""
    seconds: float


def command(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> Art:
    folder = tmp_path_factory.mktemp("game")
    text = "\n".join(json.dumps(line) for line in lines())
    (folder / "game.jsonl").write_text(text, "utf-8")
    began = time.monotonic()
    rows = json.loads(command(folder, "batch", "game.jsonl", "--json"))
    made = {str(row["images"][0]["path"]): row for row in rows}
    items = [path for path in made if Path(path).name.startswith("item-")]
    tiles = [path for path in made if Path(path).name.startswith("tile-")]
    formats = "atlas,texturepacker,godot,unity"
    command(folder, "process", *items, "--sheet", formats, "-o", "items.png")
    together = ("--sheet", "tiled,texturepacker", "--columns", "4")
    command(folder, "process", *tiles, *together, "-o", "tiles.png")
    return Art(folder, rows, time.monotonic() - began)


def test_it_is_made_in_time_and_each_picture_is_what_was_asked(art: Art) -> None:
    asked = list(lines())
    assert len(art.rows) == len(asked) == 68
    assert [row["status"] for row in art.rows] == ["done"] * 68
    for row, line in zip(art.rows, asked, strict=True):
        asset = line["asset"]
        wanted = {"size": asset["size"], "grid": 1, "palette": COLOURS}
        wanted["alpha"] = asset["kind"] == "sprite"
        wanted |= {"seamless": True} if asset["kind"] == "tile" else {}
        wanted |= {"frames": asset["frames"]} if "frames" in asset else {}
        assert faults(row["images"][0]["path"], wanted) == [], line
    print(f"68 pictures and two sheets in {art.seconds:.0f} s")
    assert art.seconds <= 60 * MINUTES


def test_sheets_stay_in_the_palette_and_hold_every_picture(art: Art) -> None:
    for name, count in (("items", 48), ("tiles", 16)):
        assert faults(art.folder / f"{name}.png", {"palette": COLOURS}) == []
        frames = json.loads((art.folder / f"{name}.atlas.json").read_text("utf-8"))["frames"]
        assert len(frames) == count
        with Image.open(art.folder / f"{name}.png") as sheet:
            assert all(_holds(sheet, frame["frame"]) for frame in frames.values())


def test_tiled_reads_the_tiles_and_the_animations(art: Art) -> None:
    tileset = pytest.importorskip("pytiled_parser.parsers.tmx.tileset")
    files = [art.folder / "tiles.tsx"]
    for row in art.rows:
        files += [Path(f) for f in row["images"][0].get("files", ()) if f.endswith(".tsx")]
    assert len(files) == 1 + len(MOVING)
    for file in files:
        read = tileset.parse(ElementTree.parse(file).getroot(), 1, "utf-8", file)
        assert (read.tile_width, read.tile_height) == (32, 32)
        assert read.tile_count == (16 if file.name == "tiles.tsx" else 8)
        if file.name != "tiles.tsx":
            assert len(read.tiles[0].animation) == 8


def test_phaser_reads_the_sheets(art: Art) -> None:
    moving = [row["images"][0] for row in art.rows if "files" in row["images"][0]]
    sheets = {
        name: (art.folder / f"{name}.png", art.folder / f"{name}.atlas.json")
        for name in ("items", "tiles")
    }
    for number, image in enumerate(moving):
        data = next(Path(f) for f in image["files"] if f.endswith(".atlas.json"))
        sheets[f"moving{number}"] = (Path(image["path"]), data)

    read = read_by_phaser(sheets)

    assert {name: len(frames) for name, frames in read.items()} == {
        "items": len(ITEMS) * 6,
        "tiles": len(TILES) * 2,
        **{f"moving{i}": 8 for i in range(4)},
    }
    for name, (picture, _) in sheets.items():
        with Image.open(picture) as sheet:
            pixels = sheet.convert("RGBA")
            for frame in read[name].values():
                assert (frame["realWidth"], frame["realHeight"]) == (32, 32)
                x, y = frame["sampleX"], frame["sampleY"]
                assert pixels.getpixel((x, y)) == tuple(frame["pixel"])


def _holds(sheet: Image.Image, at: dict[str, int]) -> bool:
    box = at["x"], at["y"], at["x"] + at["w"], at["y"] + at["h"]
    return sheet.convert("RGBA").crop(box).getchannel("A").getbbox() is not None
