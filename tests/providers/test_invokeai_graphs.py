"""The graphs that go out to InvokeAI, compared whole with invokeai_graphs.txt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.invokeai_calls import graph_of, request
from ziggie_image_mcp.provider import Control, Lora, ProviderRequest
from ziggie_image_mcp.provider.testing import picture

OTHER = picture(64, 64)
CASES: Mapping[str, tuple[str, ProviderRequest]] = {
    "SD 1.5, text": (
        "dreamshaper",
        request(negative_prompt="blurry", guidance_scale=5.0, sampler="DPM++ 2M Karras"),
    ),
    "SD 1.5, image": ("dreamshaper", request("image_to_image", strength=0.4)),
    "SD 1.5, mask": ("dreamshaper", request("inpaint")),
    "SD 1.5, LoRAs and tiles": (
        "dreamshaper",
        request(
            loras=(Lora(id="pixel-art", weight=0.5), Lora(id="pixel-art", weight=0.2)),
            seamless=True,
        ),
    ),
    "SD 1.5, control": (
        "dreamshaper",
        request(
            control=(
                Control(kind="canny", image_id="c", weight=0.7, image=OTHER),
                Control(kind="depth", image_id="d", compute=True, image=OTHER),
            )
        ),
    ),
    "SD 1.5, references": (
        "dreamshaper",
        request(reference_ids=("r", "s"), references=(OTHER, OTHER)),
    ),
    "SDXL, text": ("juggernaut-xl", request(scheduler="karras", sampler="euler")),
    "SDXL, LoRA": ("juggernaut-xl", request(loras=(Lora(id="pixel-art-xl"),))),
    "FLUX dev, text": (
        "flux-dev",
        request(guidance_scale=3.0, sampler="heun", loras=(Lora(id="pixel-art-flux"),)),
    ),
    "FLUX dev, mask": ("flux-dev", request("inpaint", strength=0.8)),
    "FLUX dev, control": (
        "flux-dev",
        request(control=(Control(kind="depth", image_id="c", image=OTHER),)),
    ),
    "FLUX schnell, text": ("flux-schnell", request()),
    "FLUX Kontext, image": (
        "flux-kontext-dev",
        request("image_to_image", reference_ids=("r",), references=(OTHER,)),
    ),
    "FLUX.2 klein, text": ("klein-4b", request()),
    "FLUX.2 klein, image": ("klein-4b", request("image_to_image")),
    "FLUX.2 klein, mask": ("klein-4b", request("inpaint")),
    "Z-Image turbo, text": ("z-image-turbo", request()),
    "Z-Image base, text": ("z-image-base", request(negative_prompt="blurry")),
    "Z-Image base, unguided": ("z-image-base", request(guidance_scale=1.0)),
    "Qwen-Image, image": ("qwen-image", request("image_to_image")),
    "SD 3, text": ("sd3.5-medium", request()),
    "upscaler": ("4x-UltraSharp", request("upscale", factor=2)),
    "built-in upscaler": ("RealESRGAN_x2plus", request("upscale", factor=4)),
}


def expected() -> Mapping[str, list[str]]:
    """The graphs of the file, by the names of the cases."""
    text = (Path(__file__).parent / "invokeai_graphs.txt").read_text(encoding="utf-8")
    sections = (part.strip().splitlines() for part in text.split("## ")[1:])
    return {name: lines for name, *lines in sections}


@pytest.mark.parametrize("case", CASES)
async def test_a_request_goes_out_as_this_graph(case: str) -> None:
    id, asked = CASES[case]

    graph = await graph_of(id, asked)

    assert graph == expected()[case]


def test_every_graph_of_the_file_is_tried() -> None:
    assert list(expected()) == list(CASES)
