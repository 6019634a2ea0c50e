"""The built-in tiny model through the MCP client: words have their effect, told by pixels."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import TextContent
from PIL import Image

from tests.support.factory import opener
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider.seams import seam
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.storage.artifact_store import ArtifactStore

Rgb = tuple[float, float, float]
Box = tuple[float, float, float, float]

CENTRE: Box = (0.38, 0.38, 0.62, 0.62)
CORNERS: tuple[Box, ...] = (
    (0.0, 0.0, 0.1, 0.1),
    (0.9, 0.0, 1.0, 0.1),
    (0.0, 0.9, 0.1, 1.0),
    (0.9, 0.9, 1.0, 1.0),
)
TOP: Box = (0.0, 0.0, 1.0, 0.25)
BOTTOM: Box = (0.0, 0.88, 1.0, 1.0)

COLOURS: dict[str, Rgb] = {
    "red": (220, 35, 35),
    "orange": (245, 135, 25),
    "yellow": (250, 220, 40),
    "green": (40, 165, 60),
    "blue": (40, 80, 220),
    "purple": (130, 50, 175),
    "pink": (250, 150, 190),
    "brown": (125, 75, 35),
    "black": (15, 15, 18),
    "white": (248, 248, 248),
    "gray": (135, 135, 140),
    "cyan": (50, 205, 220),
}


def mean(image: Image.Image, box: Box) -> Rgb:
    w, h = image.size
    part = image.crop((int(box[0] * w), int(box[1] * h), int(box[2] * w), int(box[3] * h)))
    red, green, blue = part.resize((1, 1), Image.Resampling.BOX).convert("RGB").tobytes()
    return red, green, blue


def colour(rgb: Rgb) -> str:
    def distance(name: str) -> float:
        return sum((a - b) ** 2 for a, b in zip(rgb, COLOURS[name], strict=True))

    return min(COLOURS, key=distance)


@asynccontextmanager
async def tiny(folder: Path) -> AsyncGenerator[Client]:
    config = Config.model_validate({"providers": {"comfyui": {"enabled": False}}})
    artifacts = ArtifactStore(folder / "pictures")
    made = build_service(config, folder / "data", role=Role.ALONE, artifacts=artifacts)
    try:
        async with Client(make_server(opener(made)), raise_exceptions=True) as session:
            yield session
    finally:
        await made.aclose()


async def make(
    session: Client, prompt: str, seed: int, **arguments: Any
) -> tuple[Image.Image, dict[str, Any]]:
    result = await session.call_tool(
        "generate_image", {"prompt": prompt, "seed": seed, **arguments}
    )
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    data = json.loads(result.content[0].text)
    while "images" not in data:  # on a busy machine the call ends before the picture is made
        result = await session.call_tool("get_job", {"job_id": data["job_id"]})
        assert isinstance(result.content[0], TextContent)
        assert not result.is_error, result.content[0].text
        data = json.loads(result.content[0].text)
    with Image.open(data["images"][0]["path"]) as image:
        return image.convert("RGB"), data


async def test_the_words_of_its_world_show_in_the_pixels(tmp_path: Path) -> None:
    figures = [
        ("a big blue circle on a yellow background", "blue", "yellow"),
        ("a big red square on a white background", "red", "white"),
        ("a big green heart on a black background", "green", "black"),
        ("a big white diamond on a purple background", "white", "purple"),
    ]
    async with tiny(tmp_path) as session:
        for prompt, figure, ground in figures:
            for seed in (1, 2):
                image, _ = await make(session, prompt, seed)
                assert colour(mean(image, CENTRE)) == figure, (prompt, seed)
                assert {colour(mean(image, c)) for c in CORNERS} == {ground}, (prompt, seed)

        day, _ = await make(session, "a green field during the day", 1)
        night, _ = await make(session, "a green field at night", 1)
        desert, _ = await make(session, "a desert during the day", 1)
        snow, _ = await make(session, "a snowy field on a sunny day", 1)
        sea, _ = await make(session, "the sea on a sunny day", 1)
        sunset, _ = await make(session, "a desert at sunset", 1)

    assert mean(day, TOP)[2] > 180 > mean(day, TOP)[0]
    assert max(mean(night, TOP)) < 110
    assert colour(mean(day, BOTTOM)) == "green"
    assert sum(mean(night, BOTTOM)) < sum(mean(day, BOTTOM))
    red, green, blue = mean(desert, BOTTOM)
    assert red > green > blue + 40
    assert min(mean(snow, BOTTOM)) > 200
    assert mean(sea, BOTTOM)[2] > mean(sea, BOTTOM)[0] + 60
    assert mean(sunset, (0.0, 0.35, 1.0, 0.55))[0] > mean(day, (0.0, 0.35, 1.0, 0.55))[0]


async def test_the_answer_says_plainly_that_it_is_the_demo_model(tmp_path: Path) -> None:
    async with tiny(tmp_path) as session:
        image, data = await make(session, "a red star on a black background", 5)
        again, _ = await make(session, "a red star on a black background", 5)
        other, _ = await make(session, "a red star on a black background", 6)
        big = await session.call_tool(
            "generate_image", {"prompt": "x", "width": 1024, "height": 1024}
        )

    assert image.size == (256, 256)
    assert data["model"] == "tiny"
    assert "demo model" in data["why"]
    assert any("demo model" in note for note in data["notes"])
    assert image.tobytes() == again.tobytes()
    assert image.tobytes() != other.tobytes()
    assert big.is_error
    assert isinstance(big.content[0], TextContent)
    assert "SIZE_UNSUPPORTED" in big.content[0].text


async def test_it_knows_places_and_counts(tmp_path: Path) -> None:
    async with tiny(tmp_path) as session:
        left, _ = await make(session, "a red circle on the left on a white background", 1)
        right, _ = await make(session, "a red circle on the right on a white background", 2)
        low, _ = await make(session, "a blue circle at the bottom on a yellow background", 1)
        pair, _ = await make(session, "two red circles on a white background", 1)
        three, _ = await make(session, "three red circles on a white background", 2)

    assert reddest(left) < 0.45 < 0.55 < reddest(right)
    assert colour(mean(low, (0.4, 0.7, 0.6, 0.85))) == "blue"
    assert colour(mean(low, (0.4, 0.1, 0.6, 0.3))) == "yellow"
    assert reds(pair) == 2
    assert reds(three) == 3


@pytest.mark.parametrize(
    ("prompt", "seed"),
    [
        ("red brick wall, seamless texture", 1),
        ("seamless blue water tile", 2),
        ("red and white checkers, seamless pattern", 3),
        ("a seamless texture of gray stone", 1),
    ],
)
async def test_its_tiles_repeat_without_a_seam_and_the_result_says_so(
    tmp_path: Path, prompt: str, seed: int
) -> None:
    async with tiny(tmp_path) as session:
        tile, data = await make(session, prompt, seed, seamless=True)
        _, without = await make(session, "a red star on a black background", seed)

    assert seam(tile).tiles
    assert any(note.startswith("it tiles") for note in data["notes"])
    assert not any("tiles:" in note for note in without["notes"])


@pytest.mark.parametrize(
    ("subject", "ground"),
    [
        ("red mushroom", "white"),
        ("blue potion", "black"),
        ("yellow star", "green"),
        ("purple heart", "white"),
        ("green gem", "black"),
    ],
)
async def test_its_isolated_subjects_can_be_cut_out(
    tmp_path: Path, subject: str, ground: str
) -> None:
    async with tiny(tmp_path) as session:
        for seed in (1, 2):
            prompt = f"an isolated {subject} on a plain {ground} background"
            _, data = await make(session, prompt, seed)
            answer = await session.call_tool(
                "process_image", {"image": data["images"][0]["id"], "remove_background": True}
            )
            assert isinstance(answer.content[0], TextContent)
            assert not answer.is_error, answer.content[0].text
            with Image.open(json.loads(answer.content[0].text)["images"][0]["path"]) as cut:
                alpha = cut.getchannel("A")
            assert mean(alpha, CENTRE)[0] > 200
            assert max(mean(alpha, corner)[0] for corner in CORNERS) == 0


def reddest(image: Image.Image) -> float:
    """Where the middle of what is red lies across, 0 to 1."""
    columns = [x for x in range(64) if is_red(image, x, 32)]
    return sum(columns) / len(columns) / 64


def reds(image: Image.Image) -> int:
    """How many stretches of red a line across the middle goes through."""
    row = [is_red(image, x, 32) for x in range(64)]
    return sum(now and not before for before, now in zip([False, *row], row, strict=False))


def is_red(image: Image.Image, x: int, y: int) -> bool:
    """At a place of 64 by 64."""
    return colour(mean(image, (x / 64, y / 64, (x + 1) / 64, (y + 1) / 64))) == "red"
