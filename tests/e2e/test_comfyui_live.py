"""A real ComfyUI on 127.0.0.1:8188, filled by tools/comfyui, through the MCP client: -m live."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcp import Client
from mcp.types import TextContent
from numpy.typing import NDArray
from PIL import Image

from tests.support.factory import opener, service
from ziggie_image_mcp.server.tools import make_server

URL = "http://127.0.0.1:8188"
SD1, SDXL = "random-sd15.safetensors", "random-sdxl.safetensors"
GRAPHS = [
    SD1,
    "v2-1_512-random.safetensors",
    SDXL,
    "sd_xl_turbo_random.safetensors",
    "playground-v2.5-random.safetensors",
    "sd3.5_medium_incl_clips_random.safetensors",
    "sd3.5_medium_random.safetensors",
    "flux1-dev-random.safetensors",
    "flux1-schnell-random.safetensors",
    "flux1-kontext-dev-random.safetensors",
    "flux2-dev-random.safetensors",
    "flux-2-klein-4b-random.safetensors",
    "hidream_i1_full_random.safetensors",
    "pixart_sigma_random.safetensors",
    "qwen_image_random.safetensors",
    "z_image_turbo_random.safetensors",
    "chroma1-hd-random.safetensors",
    "lumina2-random.safetensors",
]
EDITORS = [
    SD1,
    "random-sd15-inpainting.safetensors",
    SDXL,
    "flux1-dev-random.safetensors",
    "flux1-fill-dev-random.safetensors",
    "flux1-kontext-dev-random.safetensors",
    "qwen_image_edit_2511_random.safetensors",
    "z_image_turbo_random.safetensors",
]

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("markexpr") != "live":
        pytest.skip("only with -m live")


@asynccontextmanager
async def session(folder: Path, **section: Any) -> AsyncGenerator[Client]:
    off = {name: {"enabled": False} for name in ("builtin", "diffusers")}
    providers = off | {"comfyui": {"baseUrl": URL} | section}
    made = service(folder, providers=providers, cache=False, inputDirectories=[str(folder)])
    try:
        await made.registry.open()
        async with Client(make_server(opener(made))) as client:
            yield client
    finally:
        await made.aclose()


async def call(client: Client, tool: str, **arguments: Any) -> tuple[Any, Image.Image]:
    """What the tool answers, and its picture."""
    result = await client.call_tool(tool, arguments | {"wait_seconds": 300})
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    data = json.loads(result.content[0].text)
    with Image.open(data["images"][0]["path"]) as image:
        return data, image.convert("RGB")


async def generate(client: Client, model: str, **arguments: Any) -> Image.Image:
    plain = {"prompt": "a red fox", "width": 128, "height": 192, "steps": 1, "seed": 42}
    _, image = await call(client, "generate_image", **(plain | {"model": model} | arguments))
    return image


def differ(one: Image.Image, other: Image.Image) -> float:
    """The share of pixels that are not the same."""
    apart: NDArray[np.int16] = np.asarray(one, np.int16) - np.asarray(other, np.int16)
    return float(np.any(apart, axis=-1).mean())


def painting(folder: Path, name: str = "painting.png", size: tuple[int, int] = (128, 192)) -> str:
    colours = np.random.default_rng(7).integers(0, 256, (12, 8, 3), np.uint8)
    path = folder / name
    Image.fromarray(colours).resize(size, Image.Resampling.NEAREST).save(path)
    return str(path)


@pytest.mark.parametrize("model", GRAPHS)
async def test_a_graph_gives_a_picture_of_the_size_that_was_asked(
    model: str, tmp_path: Path
) -> None:
    size = (288, 320) if "pixart" in model else (128, 192)
    async with session(tmp_path) as client:
        image = await generate(client, model, width=size[0], height=size[1])
        again = await generate(client, model, width=size[0], height=size[1])

    assert image.size == size
    assert differ(image, again) == 0


@pytest.mark.parametrize("model", EDITORS)
async def test_what_is_not_masked_stays_to_the_bit_and_the_rest_changes(
    model: str, tmp_path: Path
) -> None:
    picture = painting(tmp_path)
    mask = Image.new("L", (128, 192))
    mask.paste(255, (32, 48, 96, 144))
    mask.save(tmp_path / "mask.png")
    async with session(tmp_path) as client:
        _, image = await call(
            *(client, "edit_image"),
            image=picture,
            mask=str(tmp_path / "mask.png"),
            prompt="a blue cat",
            model=model,
            steps=2,
            seed=1,
        )

    outside = np.asarray(mask) == 0
    before, after = np.asarray(Image.open(picture).convert("RGB")), np.asarray(image)
    assert np.array_equal(before[outside], after[outside])
    assert np.mean(np.any(before[~outside] != after[~outside], axis=-1)) > 0.5


async def test_a_picture_is_changed_as_a_whole_and_beyond_its_edges(tmp_path: Path) -> None:
    picture = painting(tmp_path)
    async with session(tmp_path) as client:
        words = {"image": picture, "prompt": "a cat", "model": SD1, "steps": 4, "seed": 1}
        _, little = await call(client, "edit_image", **words, strength=0.3)
        _, much = await call(client, "edit_image", **words, strength=0.9)
        _, wider = await call(client, "edit_image", **words, expand="64,0,64,0")

    assert little.size == much.size == (128, 192)
    assert differ(little, much) > 0.1
    assert wider.size == (256, 192)
    inner = wider.crop((80, 0, 176, 192))
    assert differ(inner, Image.open(picture).convert("RGB").crop((16, 0, 112, 192))) < 0.1


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        (SD1, {"loras": "random-sd15-lora:0.8"}),
        (SDXL, {"loras": "random-sdxl-lora"}),
        ("flux1-dev-random.safetensors", {"loras": "random-flux1-lora:0.7"}),
        (SD1, {"prompt": "a red fox <lora:random-sd15-lora:0.8>"}),
        (SD1, {"prompt": "a red fox, embedding:random-embedding"}),
        (SD1, {"control": "canny:PICTURE:0.9"}),
        (SD1, {"control": "depth:PICTURE"}),
        (SD1, {"control": "make-depth:PICTURE"}),
        (SDXL, {"control": "canny:PICTURE, depth:PICTURE:0.5"}),
        ("flux1-dev-random.safetensors", {"control": "canny:PICTURE"}),
        (SD1, {"references": "PICTURE"}),
        ("flux1-kontext-dev-random.safetensors", {"references": "PICTURE"}),
        ("flux2-dev-random.safetensors", {"references": "PICTURE"}),
        ("qwen_image_edit_2511_random.safetensors", {"references": "PICTURE"}),
        (SD1, {"seamless": True}),
        (SD1, {"sampler": "DPM++ 2M Karras", "steps": 3}),
    ],
)
async def test_what_is_laid_over_a_model_changes_the_picture(
    model: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    picture = painting(tmp_path)
    given = {
        k: v.replace("PICTURE", picture) if isinstance(v, str) else v for k, v in changes.items()
    }
    async with session(tmp_path) as client:
        plain = await generate(client, model, steps=given.get("steps", 1))
        other = await generate(client, model, **given)

    assert other.size == plain.size
    assert differ(plain, other) > 0.05


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loras": "no-such-lora"}, "LORA_MISSING"),
        ({"loras": "random-sdxl-lora"}, "is a LoRA for sdxl"),
        ({"prompt": "a fox <lora:missing:1>"}, "LORA_MISSING"),
        ({"prompt": "a fox embedding:missing"}, "EMBEDDING_MISSING"),
        ({"control": "normal:PICTURE"}, "control normal"),
        ({"sampler": "no such sampler"}, "no sampler_name"),
    ],
)
async def test_what_is_not_there_is_refused_by_name(
    changes: dict[str, str], words: str, tmp_path: Path
) -> None:
    picture = painting(tmp_path)
    given = {k: v.replace("PICTURE", picture) for k, v in changes.items()}
    plain = {"prompt": "a fox", "width": 128, "height": 128, "steps": 1, "model": SD1}
    async with session(tmp_path) as client:
        result = await client.call_tool("generate_image", plain | given)

    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    assert words in result.content[0].text


async def test_an_upscaler_enlarges_to_the_very_size(tmp_path: Path) -> None:
    picture = painting(tmp_path)
    async with session(tmp_path) as client:
        data, image = await call(client, "process_image", image=picture, upscale=2)

    assert image.size == (256, 384)
    assert data["provider"] == "comfyui"


async def test_pictures_sampled_together_are_those_that_each_is_alone(tmp_path: Path) -> None:
    words: dict[str, Any] = {"prompt": "a red fox", "width": 128, "height": 128, "steps": 3}
    words |= {"seed": 5, "model": SD1, "sampler": "euler", "scheduler": "karras"}
    async with session(tmp_path, maxBatch=4) as client:
        data, _ = await call(client, "generate_image", **words, num_images=4)
    async with session(tmp_path) as client:
        _, third = await call(client, "generate_image", **(words | {"seed": 7}))

    assert [image["seed"] for image in data["images"]] == [5, 6, 7, 8]
    with Image.open(data["images"][2]["path"]) as together:
        apart = np.abs(np.asarray(together.convert("RGB"), int) - np.asarray(third, int))
    assert apart.max() <= 8
    assert np.mean(apart > 0) < 0.02


async def test_a_large_picture_is_made_in_two_passes(tmp_path: Path) -> None:
    async with session(tmp_path) as client:
        words = {"prompt": "a fox", "model": "sd_xl_turbo_random.safetensors", "steps": 1}
        data, image = await call(client, "generate_image", **words, width=768, height=640)

    assert image.size == (768, 640)
    assert any("hires pass" in note for note in data["notes"])


async def test_a_workflow_of_ones_own_runs_out_of_a_picture_that_carries_it(
    tmp_path: Path,
) -> None:
    graph = {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": SD1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "old", "clip": ["4", 1]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1},
        },
        "3": {
            "class_type": "KSampler",
            "inputs": {
                **{"model": ["4", 0], "seed": 1, "steps": 1, "cfg": 7.0, "denoise": 1.0},
                **{"sampler_name": "euler", "scheduler": "normal"},
                **{"positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]},
            },
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "x"}},
    }
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(graph), encoding="utf-8")
    async with session(tmp_path, workflows={"my-style": str(file)}) as client:
        one = await generate(client, "my-style")
        other = await generate(client, "my-style", prompt="a blue house")

    assert one.size == (128, 192)
    assert differ(one, other) > 0.05
