"""`seamless: true` from any route, through the MCP client, proved on the stored file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.e2e.test_edit import data, in_memory
from tests.e2e.test_transparent import client_of, engine, opened
from tests.support.stand_in_engine import StandInEngine, always
from ziggie_image_mcp.errors import EngineCrashed
from ziggie_image_mcp.provider import Model, ProviderRequest
from ziggie_image_mcp.provider.pictures import decode
from ziggie_image_mcp.provider.seams import seam
from ziggie_image_mcp.provider.testing import OPTIONS, model

SIDE = 128


def gradient() -> Image.Image:
    """Whose edges are as far apart as can be, left to right and top to bottom."""
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = np.stack([x * 255 / SIDE, y * 255 / SIDE, (x + y) * 127 / SIDE], axis=2)
    return Image.fromarray(pixels.astype(np.uint8))


def waves(periods: int = 4) -> Image.Image:
    """A picture that tiles."""
    y, x = np.mgrid[:SIDE, :SIDE] * (2 * np.pi * periods / SIDE)
    plane = 127 + 60 * np.sin(x) + 60 * np.sin(y)
    return Image.fromarray(np.stack([plane] * 3, axis=2).astype(np.uint8))


def able(**facts: Any) -> Model:
    return model("engine", options={*OPTIONS, "seamless"}, **facts)


def painting(draw: Any, *, mask: str = "white") -> StandInEngine:
    tasks = ("text_to_image", "inpaint")
    paints = model("engine", tasks=tasks, capability={"mask": mask})
    return StandInEngine("engine", [paints], draw)


async def generate(session: Any, **arguments: Any) -> Any:
    call = {"prompt": "bricks", "seamless": True, "width": SIDE, "height": SIDE, **arguments}
    return data(await session.call_tool("generate_image", call))


async def test_a_route_without_the_option_fades_its_edges_and_says_so(tmp_path: Path) -> None:
    drawn = engine(gradient)
    async with client_of(tmp_path, drawn) as session:
        planned = await generate(session, dry_run=True)
        answer = await generate(session)

    said = "model makes no tiles: its edges are faded into each other here"
    assert not seam(gradient()).tiles
    assert seam(opened(answer)).tiles
    assert said in planned["candidates"][0]["notes"]
    assert said in answer["notes"]
    assert "its edges were faded into each other" in answer["notes"]
    assert any(note.startswith("it tiles: ") for note in answer["notes"])
    assert not drawn.seen[0].seamless


async def test_a_picture_that_tiles_by_itself_is_left_alone(tmp_path: Path) -> None:
    async with client_of(tmp_path, engine(waves)) as session:
        answer = await generate(session)

    assert np.array_equal(np.asarray(opened(answer)), np.asarray(waves()))
    assert "its edges were faded into each other" not in answer["notes"]


async def test_a_model_that_inpaints_paints_the_offset_edges_anew(tmp_path: Path) -> None:
    """The stand-in repaints in the mean colour, so that what is under no mask is seen to stay."""

    def draw(request: ProviderRequest, place: int) -> Image.Image:
        if request.image is None:
            return gradient()
        return Image.new("RGB", (SIDE, SIDE), (127, 127, 127))

    drawn = painting(draw)
    async with client_of(tmp_path, drawn) as session:
        answer = await generate(session)

    made = np.asarray(opened(answer)).astype(int)
    first, cross, boxes = drawn.seen
    assert [r.task for r in drawn.seen] == ["text_to_image", "inpaint", "inpaint"]
    assert (cross.seed, cross.num_images, cross.strength) == (first.seed, 1, None)
    assert cross.prompt == "bricks"
    masks = [np.asarray(decode(r.mask or b"").convert("L")) for r in (cross, boxes)]
    assert masks[0][:, SIDE // 2].min() == masks[0][SIDE // 2].min() == 255
    assert masks[1][0].max() == masks[1][:, 0].max() == 0, "the second pass touches no edge"
    assert seam(opened(answer)).tiles
    middle = slice(SIDE // 4, SIDE // 2 - SIDE // 8)
    assert np.array_equal(made[middle, middle], np.asarray(gradient()).astype(int)[middle, middle])
    assert "its edges were offset into it and painted anew" in answer["notes"]


async def test_where_painting_anew_fails_the_edges_fade_and_the_reason_is_said(
    tmp_path: Path,
) -> None:
    def draw(request: ProviderRequest, place: int) -> Image.Image:
        if request.image is not None:
            raise EngineCrashed("engine", "the VAE fell over")
        return gradient()

    async with client_of(tmp_path, painting(draw)) as session:
        answer = await generate(session)

    assert seam(opened(answer)).tiles
    assert any("the VAE fell over" in note for note in answer["notes"])
    assert "its edges were faded into each other" in answer["notes"]


@pytest.mark.parametrize("tiles_at", [1, 2, 3])
async def test_what_does_not_tile_is_made_again_with_the_next_seeds(
    tmp_path: Path, tiles_at: int
) -> None:
    drawn: list[int] = []

    def draw(request: ProviderRequest, place: int) -> Image.Image:
        drawn.append(request.seed)
        return waves() if len(drawn) > tiles_at else gradient()

    async with client_of(tmp_path, StandInEngine("engine", [able()], draw)) as session:
        answer = await generate(session)

    seed = answer["images"][0]["seed"]
    assert drawn == [drawn[0] + n for n in range(min(tiles_at + 1, 3))]
    if tiles_at < 3:
        assert seed == drawn[-1]
        assert f"seed {drawn[0]} did not tile: this is seed {seed}" in answer["notes"]
        assert seam(opened(answer)).tiles
    else:
        assert seed == drawn[0]
        assert "its edges do not meet, nor did those of 2 further seeds" in answer["notes"]
        assert any(note.startswith("a seam may show: ") for note in answer["notes"])


async def test_a_seed_that_is_given_is_kept(tmp_path: Path) -> None:
    drawn = StandInEngine("engine", [able()], always(gradient()))
    async with client_of(tmp_path, drawn) as session:
        answer = await generate(session, seed=5)

    assert answer["images"][0]["seed"] == 5
    assert len(drawn.seen) == 1
    assert any("other seeds are tried where none is given" in note for note in answer["notes"])


async def test_a_paid_route_is_not_charged_again(tmp_path: Path) -> None:
    paid = StandInEngine("engine", [able(where="vendor", price=10_000)], always(gradient()))
    budget = {"perImage": 1, "perDay": 10, "perMonth": 10}
    async with client_of(tmp_path, paid, budget=budget) as session:
        answer = await generate(session, allow_paid=True)

    assert len(paid.seen) == 1
    assert any("another try would be charged again" in note for note in answer["notes"])


async def test_each_of_several_pictures_is_told_of(tmp_path: Path) -> None:
    def draw(request: ProviderRequest, place: int) -> Image.Image:
        return gradient() if place else waves()

    async with client_of(tmp_path, StandInEngine("engine", [model("engine")], draw)) as session:
        answer = await generate(session, num_images=2)

    assert all(seam(opened(answer, place)).tiles for place in (0, 1))
    assert "picture 2: its edges were faded into each other" in answer["notes"]
    assert not any(note.startswith("picture 1: its edges") for note in answer["notes"])


async def test_a_tile_with_alpha_has_both(tmp_path: Path) -> None:
    """Balls, some over the edges of the picture, on the ground that keying asks for."""

    def draw(request: ProviderRequest, place: int) -> Image.Image:
        large = Image.new("RGB", (SIDE * 2, SIDE * 2), "lime")
        pen = ImageDraw.Draw(large)
        for x, y in ((0, 70), (128, 128), (200, 30)):
            pen.ellipse((x - 30, y - 30, x + 30, y + 30), fill=(220, 35, 35))
        return large.resize((SIDE, SIDE), Image.Resampling.BOX)

    async with client_of(tmp_path, StandInEngine("engine", [model("engine")], draw)) as session:
        answer = await generate(session, prompt="red balls", transparent=True)

    image = opened(answer)
    assert image.mode == "RGBA"
    assert np.asarray(image)[..., 3].min() == 0
    assert not seam(draw(ProviderRequest(prompt="", width=1, height=1), 0)).tiles
    assert seam(image).tiles


async def test_the_seam_of_the_stored_file_is_what_is_told(tmp_path: Path) -> None:
    async with client_of(tmp_path, engine(waves)) as session:
        answer = await generate(session, output_format="jpeg")

    across, down = seam(opened(answer))
    note = next(note for note in answer["notes"] if "steps over the edges" in note)
    assert f"{across:.2f} left to right, {down:.2f} top to bottom" in note


async def test_enlarging_a_tile_gives_a_tile(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    waves().save(tmp_path / "in" / "tile.png")
    async with in_memory(tmp_path) as session:
        call = {"image": str(tmp_path / "in" / "tile.png"), "upscale": 2, "seamless": True}
        answer = data(await session.call_tool("process_image", call))

    assert opened(answer).size == (2 * SIDE, 2 * SIDE)
    assert any("its edges met already" in note for note in answer["notes"])
