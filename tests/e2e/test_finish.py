"""process_image and `process`: tiles, pixel art, trimming, sizes and colours, without a model."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcp import Client
from PIL import Image, ImageDraw, ImageFilter

from tests.cli.test_main import run
from tests.e2e.test_edit import data, in_memory, said
from tests.e2e.test_process import opened, process, sprite
from ziggie_image_mcp.assets.palettes import named_palette
from ziggie_image_mcp.provider.pictures import to_png


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    """Of what is not wholly transparent."""
    pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4)
    return {tuple(int(c) for c in pixel[:3]) for pixel in pixels if pixel[3]}


def art(seed: int = 0, cells: int = 24) -> Image.Image:
    """Pixel art, a pixel a cell."""
    draws = np.random.default_rng(seed)
    image = Image.new("RGB", (cells, cells), (40, 40, 60))
    for _ in range(12):
        x, y, w, h = (int(v) for v in draws.integers(0, cells // 2, 4))
        fill = tuple(int(v) for v in draws.integers(0, 255, 3))
        ImageDraw.Draw(image).rectangle((x, y, x + w, y + h), fill=fill)
    return image


def damaged(image: Image.Image, cell: int = 16) -> bytes:
    """As a model gives it: large, soft and with the marks of JPEG."""
    size = (image.width * cell, image.height * cell)
    large = image.resize(size, Image.Resampling.NEAREST).filter(ImageFilter.GaussianBlur(cell / 6))
    out = io.BytesIO()
    large.save(out, "JPEG", quality=80)
    return out.getvalue()


def file(folder: Path, content: bytes, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


async def made(session: Client, image: Path | str, **arguments: Any) -> dict[str, Any]:
    return data(await process(session, image, **arguments))


async def test_pixel_art_is_drawn_pixel_for_pixel_in_a_palette(tmp_path: Path) -> None:
    source = file(tmp_path / "in", damaged(art()), "art.jpg")
    async with in_memory(tmp_path) as session:
        answer = await made(session, source, pixel_size="auto", palette="PICO-8")

    image = opened(answer)
    assert image.size == (24, 24)
    assert colours(image) <= set(named_palette("pico-8") or ())
    assert "24x24 cells of 16 pixels, each one pixel now" in answer["notes"]
    assert (answer["provider"], answer["cost_usd"]) == ("assets", 0)


async def test_a_sprite_is_cut_out_trimmed_padded_and_brought_to_a_size(tmp_path: Path) -> None:
    source = sprite(tmp_path / "in", ground="lime")
    async with in_memory(tmp_path) as session:
        answer = await made(
            session,
            source,
            remove_background=True,
            trim=True,
            pad=2,
            width=32,
            height=32,
            colors=4,
        )

    image = opened(answer)
    assert image.size == (32, 32)
    assert 1 <= len(colours(image)) <= 4
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert alpha[0].max() == alpha[-1].max() == 0
    assert alpha[16, 16] == 255
    assert any(note.startswith("trimmed to 4") for note in answer["notes"])


async def test_several_pictures_keep_one_grid_and_one_palette(tmp_path: Path) -> None:
    names = [file(tmp_path / "in", damaged(art(seed)), f"{seed}.jpg") for seed in range(3)]
    async with in_memory(tmp_path) as session:
        together = await made(session, ", ".join(map(str, names)), pixel_size=0, colors=8)

    images = [opened(result) for result in together["results"]]
    assert {image.size for image in images} == {(24, 24)}
    assert all(result["notes"][-1].endswith(", of 8 (its own)") for result in together["results"])
    assert len({colour for image in images for colour in colours(image)}) <= 8


async def test_a_tile_is_made_and_measured(tmp_path: Path) -> None:
    gradient = to_png(Image.linear_gradient("L").convert("RGB"))
    source = file(tmp_path / "in", gradient, "gradient.png")
    async with in_memory(tmp_path) as session:
        answer = await made(session, source, seamless=True)
        again = await made(session, answer["images"][0]["id"], seamless=True)

    pixels = np.asarray(opened(answer)).astype(int)
    assert pixels.shape == (256, 256, 3)
    assert np.abs(pixels[0] - pixels[-1]).max() <= 4
    assert "faded into each other" in answer["notes"][0]
    assert "met already" in again["notes"][0]


async def test_a_shape_that_differs_is_centred_and_nothing_is_stretched(tmp_path: Path) -> None:
    wide = to_png(Image.new("RGB", (64, 32), "red"))
    source = file(tmp_path / "in", wide, "wide.png")
    async with in_memory(tmp_path) as session:
        grown = opened(await made(session, source, width=200, height=200, resample="nearest"))
        small = opened(await made(session, source, width=8, height=8))

    assert (grown.size, grown.getbbox()) == ((200, 200), (4, 52, 196, 148))
    assert (small.size, small.getbbox()) == ((8, 8), (0, 2, 8, 6))


async def test_what_a_model_enlarged_is_finished_too(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as session:
        answer = await made(
            session,
            sprite(tmp_path / "in"),
            upscale=2,
            width=100,
            height=100,
            palette="#ff0000 #ffffff",
        )

    assert answer["model"] == "realesrgan-x2"
    assert opened(answer).size == (100, 100)
    assert colours(opened(answer)) <= {(255, 0, 0), (255, 255, 255)}
    told = opened(answer).info["parameters"]
    assert 'Process: "width=100 height=100 palette=#ff0000,#ffffff"' in told


HEX = b"ff0000\n00ff00\n#0000FF\n"
GPL = b"GIMP Palette\nName: mine\n#\n255   0   0 red\n  0 255   0\n  0   0 255 blue\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.hex", HEX),
        ("mine.gpl", GPL),
        ("mine.png", to_png(Image.frombytes("RGB", (3, 1), bytes.fromhex("ff000000ff000000ff")))),
    ],
)
async def test_a_palette_of_ones_own_is_read(tmp_path: Path, name: str, content: bytes) -> None:
    palette, source = file(tmp_path / "in", content, name), sprite(tmp_path / "in")
    async with in_memory(tmp_path) as session:
        answer = await made(session, source, palette=str(palette))

    assert colours(opened(answer)) <= {(255, 0, 0), (0, 255, 0), (0, 0, 255)}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "say what to do: remove_background, upscale"),
        ({"palette": "picco"}, "Did you mean 'pico-8'?"),
        ({"palette": "nowhere.hex"}, "palette="),
        ({"pixel_size": "auto"}, "no grid is found in the picture of 64x64"),
        ({"seamless": True, "trim": True}, "leave out trim and pad"),
        ({"width": 32}, "give height too"),
        ({"resample": "nearest"}, "give width and height"),
        ({"resample": "cubic", "width": 8, "height": 8}, "nearest or lanczos"),
        ({"colors": 300}, "1 to 256"),
        ({"pad": -1}, "0 to 4096"),
        ({"colors": 4, "output_format": "jpeg"}, "png or webp"),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_is_kept(
    tmp_path: Path, asked: dict[str, Any], told: str
) -> None:
    async with in_memory(tmp_path) as session:
        answer = await process(session, sprite(tmp_path / "in"), **asked)

    assert answer.is_error
    assert told in said(answer)
    assert "[INVALID" in said(answer)


async def test_a_picture_of_nothing_but_ground_cannot_be_trimmed(tmp_path: Path) -> None:
    plain = file(tmp_path / "in", to_png(Image.new("RGB", (64, 64), "white")), "plain.png")
    async with in_memory(tmp_path) as session:
        answer = await process(session, plain, trim=True)

    assert "nothing but ground" in said(answer)


def test_the_command_finishes_files_in_order(tmp_path: Path) -> None:
    source = sprite(tmp_path / "in")
    target = tmp_path / "out.png"

    done = run(
        "process",
        str(source),
        "--trim",
        "--pad",
        "1",
        "--palette",
        "game-boy",
        "-o",
        str(target),
        "--json",
    )

    answer = json.loads(done.stdout)
    with Image.open(target) as image:
        assert colours(image) <= set(named_palette("game-boy") or ())
        assert image.getbbox() == (1, 1, image.width - 1, image.height - 1)
    assert answer["provider"] == "assets"
