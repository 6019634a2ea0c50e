"""What names of ControlNets and metadata of LoRAs tell, and that each engine reads them alike."""

from __future__ import annotations

import pytest

from ziggie_image_mcp.provider.addition_kinds import CONTROL_PATTERNS, base_family, control_kinds
from ziggie_image_providers.a1111 import families as a1111
from ziggie_image_providers.comfyui import additions as comfyui
from ziggie_image_providers.invokeai import families as invokeai


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("control_v11p_sd15_canny", {"canny"}),
        ("control_v11f1p_sd15_depth", {"depth"}),
        ("control_v11p_sd15_openpose", {"pose"}),
        ("control_v11p_sd15s2_lineart_anime", {"lineart"}),
        ("control_v11p_sd15_softedge", {"softedge"}),
        ("Soft Edge Detection (soft_edge)", {"softedge"}),
        ("control_v11p_sd15_scribble", {"scribble"}),
        ("control_v11p_sd15_normalbae", {"normal"}),
        ("control_v11p_sd15_seg", {"seg"}),
        ("control_v11p_sd15_mlsd", {"mlsd"}),
        ("control_v11f1e_sd15_tile", {"tile"}),
        ("Canny-and-Depth", {"canny", "depth"}),
        ("textile-shed-v2", set[str]()),
    ],
)
def test_a_net_goes_by_the_kinds_in_its_name(name: str, kinds: set[str]) -> None:
    assert control_kinds(name) == kinds
    assert a1111.net_kinds(name) == kinds


@pytest.mark.parametrize(
    ("base_model", "family"),
    [
        ("sdxl_base_v1-0", "sdxl"),
        ("stable-diffusion-v1/lora", "sd1"),
        ("sd_v2-1_768", "sd2"),
        ("sd3.5_large", "sd3"),
        ("flux.1-dev", "flux1"),
        ("FLUX.2-dev", "flux2"),
        ("flux2_klein_4b", "flux2-klein"),
        ("Qwen-Image", "qwen-image"),
        ("zimage", "z-image"),
        ("hidream_i1", "hidream"),
        ("Kolors", "kolors"),
    ],
)
def test_every_engine_reads_the_base_model_of_a_lora_alike(base_model: str, family: str) -> None:
    metadata = {"ss_base_model_version": base_model}

    assert base_family(metadata) == family
    assert a1111.lora_family("x.safetensors", metadata) == family
    assert comfyui.lora_family("x.safetensors", metadata) == family


def test_what_tells_nothing_stands_for_no_family() -> None:
    assert base_family({}) is None
    assert base_family({"ss_base_model_version": None, "unet": "sdxl"}) is None


def test_what_makes_maps_makes_them_of_kinds_that_are_known() -> None:
    assert a1111.data().modules.keys() <= CONTROL_PATTERNS.keys()
    assert invokeai.data().nodes.keys() <= CONTROL_PATTERNS.keys()
