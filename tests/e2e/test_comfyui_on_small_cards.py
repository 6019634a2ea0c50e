"""What a card of 8 GB is told, and who sees pictures of the unfinished work: a ComfyUI by MCP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import TextContent
from PIL import Image

from tests.support.factory import opener, service
from tests.support.fake_comfyui import FakeComfyUI
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.provider import Lora
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.tools import make_server

GB = 10**9
CARD = [{"name": "cuda:0 NVIDIA GeForce RTX 4060", "type": "cuda", "vram_total": 8 * GB}]
FILES = {
    "checkpoints": ["sd_xl_base_1.0.safetensors"],
    "diffusion_models": ["flux1-dev.safetensors", "flux1-dev-fp8.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl_fp8_e4m3fn_scaled.safetensors"],
    "vae": ["ae.safetensors"],
}
SIZES = {
    "sd_xl_base_1.0.safetensors": 6_938_000_000,
    "flux1-dev.safetensors": 23_800_000_000,
    "flux1-dev-fp8.safetensors": 11_900_000_000,
    "clip_l.safetensors": 246_000_000,
    "t5xxl_fp8_e4m3fn_scaled.safetensors": 5_160_000_000,
    "ae.safetensors": 335_000_000,
}


def at(server: FakeComfyUI, folder: Path) -> Service:
    """The service with this ComfyUI alone."""
    off = {name: {"enabled": False} for name in ("builtin", "diffusers")}
    return service(folder, providers=off | {"comfyui": {"baseUrl": server.url}}, cache=False)


async def planned(server: FakeComfyUI, folder: Path, **arguments: Any) -> dict[str, Any]:
    built = at(server, folder)
    try:
        await built.registry.open()
        async with Client(make_server(opener(built))) as client:
            call = {"prompt": "a fox", "dry_run": True} | arguments
            result = await client.call_tool("generate_image", call)
    finally:
        await built.aclose()
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    plan: dict[str, Any] = json.loads(result.content[0].text)
    return plan


async def test_with_8_gb_the_plan_takes_what_fits_says_the_rung_and_never_what_cannot(
    tmp_path: Path,
) -> None:
    card = FakeComfyUI(devices=CARD, ram_total=24 * GB, files=FILES, sizes=SIZES)
    async with card as server:
        plan = await planned(server, tmp_path)
        slow = await planned(server, tmp_path, model="flux1-dev-fp8.safetensors")

    models = [candidate["model"] for candidate in plan["candidates"]]
    assert models[0] == "sd_xl_base_1.0.safetensors"
    assert "flux1-dev.safetensors" not in models
    [reason] = [r for r in plan["rejected"] if r["model"] == "flux1-dev.safetensors"]
    assert "ComfyUI has 8.0 GB of GPU memory and 24.0 GB of RAM" in json.dumps(reason)
    notes = " ".join(slow["candidates"][0]["notes"])
    assert "keeps about 5.1 GB of its 11.9 GB in RAM" in notes


async def test_pictures_of_the_work_reach_who_looks_and_no_result(tmp_path: Path) -> None:
    frame = (1).to_bytes(4, "big") + (1).to_bytes(4, "big") + picture(64, 48)
    shown: list[tuple[str, bytes]] = []
    wanted = ImageRequest(prompt="a fox", width=512, height=512, seed=1)
    async with FakeComfyUI(preview=frame, image=picture(512, 512)) as server:
        built = at(server, tmp_path)
        try:
            await built.generate(wanted)
            built.scheduler.show_previews(lambda job_id, data: shown.append((job_id, data)))
            result = await built.generate(wanted)
            built.scheduler.show_previews(None)
            await built.generate(wanted)
        finally:
            await built.aclose()

    assert {data for _, data in shown} == {picture(64, 48)}
    assert len({job_id for job_id, _ in shown}) == 1
    assert len(result.images) == 1
    assert ["extra_data" in body for body in server.prompts] == [False, True, False]


async def test_what_is_laid_over_a_model_stands_in_the_recipe_of_its_picture(
    tmp_path: Path,
) -> None:
    beside = {"loras": ["pixel-art.safetensors"], "controlnet": ["control_v11p_sd15_canny.pth"]}
    model = {"checkpoints": ["v1-5-pruned.safetensors"]}
    async with FakeComfyUI(files=FILES | model | beside, image=picture(512, 512)) as server:
        built = at(server, tmp_path)
        try:
            wanted = ImageRequest(prompt="a fox", width=512, height=512, seed=1)
            plain = await built.generate(wanted)
            [guide] = plain.images
            laid = replace(wanted, loras=(Lora(id="pixel-art", weight=0.8),))
            laid = await built.with_control(laid, f"canny:{guide.id}:0.5")
            laid = replace(laid, model="v1-5-pruned.safetensors")
            [image] = (await built.generate(laid)).images
        finally:
            await built.aclose()

    with Image.open(image.path) as file:
        recipe = str(file.info["parameters"])
    assert "Loras: <lora:pixel-art:0.8>" in recipe
    assert f"Control: canny:{guide.id}:0.5" in recipe
