"""What is sent to ComfyUI, and what a user may set."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.comfyui_answers import ID, Answers, generated, listed
from tests.support.fake_comfyui import PNG
from ziggie_image_mcp.provider import FREE, Provider, ProviderContext, ProviderType
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings


def stable_diffusion(file: str, sampler: dict[str, Any], negative: str = "") -> dict[str, Any]:
    return {
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": file}},
        "positive": {
            "class_type": "CLIPTextEncode",
            "inputs": {"text": "a red fox", "clip": ["model", 1]},
        },
        "negative": {
            "class_type": "CLIPTextEncode",
            "inputs": {"text": negative, "clip": ["model", 1]},
        },
        "latent": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 512, "height": 768, "batch_size": 1},
        },
        "sampler": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["model", 0],
                "seed": 4294967295,
                "positive": ["positive", 0],
                "negative": ["negative", 0],
                "latent_image": ["latent", 0],
                "denoise": 1.0,
            }
            | sampler,
        },
        "decode": {
            "class_type": "VAEDecode",
            "inputs": {"samples": ["sampler", 0], "vae": ["model", 2]},
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0]}},
    }


def flux(steps: int, guidance: float | None, *, alone: str = "", whole: str = "") -> dict[str, Any]:
    sampler = {"steps": steps, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple"}
    nodes = stable_diffusion(whole, sampler)
    nodes["latent"]["class_type"] = "EmptySD3LatentImage"
    nodes["negative"] = {
        "class_type": "ConditioningZeroOut",
        "inputs": {"conditioning": ["positive", 0]},
    }
    if guidance is not None:
        nodes["guidance"] = {
            "class_type": "FluxGuidance",
            "inputs": {"conditioning": ["positive", 0], "guidance": guidance},
        }
        nodes["sampler"]["inputs"]["positive"] = ["guidance", 0]
    if alone:
        nodes["model"] = {
            "class_type": "UNETLoader",
            "inputs": {"unet_name": alone, "weight_dtype": "default"},
        }
        nodes["clip"] = {
            "class_type": "DualCLIPLoader",
            "inputs": {
                "clip_name1": "clip_l.safetensors",
                "clip_name2": "t5xxl_fp16.safetensors",
                "type": "flux",
            },
        }
        nodes["vae"] = {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}}
        nodes["positive"]["inputs"]["clip"] = ["clip", 0]
        nodes["decode"]["inputs"]["vae"] = ["vae", 0]
    return nodes


@pytest.mark.parametrize(
    ("model", "folder", "changes", "graph"),
    [
        pytest.param(
            "v1-5-pruned.safetensors",
            "checkpoints",
            {"negative_prompt": "blurry", "steps": 12, "guidance_scale": 6.5},
            stable_diffusion(
                "v1-5-pruned.safetensors",
                {"steps": 12, "cfg": 6.5, "sampler_name": "euler", "scheduler": "normal"},
                "blurry",
            ),
            id="sd1",
        ),
        pytest.param(
            "sd_xl_base_1.0.safetensors",
            "checkpoints",
            {"steps": 25, "guidance_scale": 7.0},
            stable_diffusion(
                "sd_xl_base_1.0.safetensors",
                {"steps": 25, "cfg": 7.0, "sampler_name": "dpmpp_2m", "scheduler": "karras"},
            ),
            id="sdxl",
        ),
        pytest.param(
            "sd_xl_base_1.0.safetensors",
            "checkpoints",
            {"sampler": "euler_ancestral", "scheduler": "normal"},
            stable_diffusion(
                "sd_xl_base_1.0.safetensors",
                {"steps": 25, "cfg": 7.0, "sampler_name": "euler_ancestral", "scheduler": "normal"},
            ),
            id="sdxl with another sampler",
        ),
        pytest.param(
            "sdxl_lightning_8step.safetensors",
            "checkpoints",
            {},
            stable_diffusion(
                "sdxl_lightning_8step.safetensors",
                {"steps": 8, "cfg": 1.0, "sampler_name": "euler", "scheduler": "sgm_uniform"},
            ),
            id="sdxl lightning",
        ),
        pytest.param(
            "flux1-dev.safetensors",
            "diffusion_models",
            {"steps": 20, "guidance_scale": 2.5},
            flux(20, 2.5, alone="flux1-dev.safetensors"),
            id="flux dev alone",
        ),
        pytest.param(
            "sub\\flux1-schnell.safetensors",
            "diffusion_models",
            {},
            flux(4, None, alone="sub\\flux1-schnell.safetensors"),
            id="flux schnell alone, on Windows",
        ),
        pytest.param(
            "flux1-dev-fp8.safetensors",
            "checkpoints",
            {},
            flux(20, 3.5, whole="flux1-dev-fp8.safetensors"),
            id="flux dev checkpoint",
        ),
        pytest.param(
            "flux1-schnell-fp8.safetensors",
            "checkpoints",
            {"steps": 2},
            flux(2, None, whole="flux1-schnell-fp8.safetensors"),
            id="flux schnell checkpoint",
        ),
    ],
)
async def test_the_whole_graph_of(
    model: str, folder: str, changes: dict[str, Any], graph: dict[str, Any]
) -> None:
    answers = Answers({f"models/{folder}": [model]})

    result = await generated(answers, model, **changes)

    [posted] = copy.deepcopy(answers.posted)
    prefix = posted["prompt"]["save"]["inputs"].pop("filename_prefix")
    assert posted.keys() == {"prompt", "prompt_id", "client_id"}
    assert posted["prompt"] == graph
    assert re.fullmatch(ID, posted["prompt_id"])
    assert prefix == f"ziggie/{posted['prompt_id']}"
    assert re.fullmatch(ID, posted["client_id"])
    assert [i.data for i in result.images] == [PNG]
    assert [i.seed for i in result.images] == [4294967295]


async def test_all_goes_under_the_path_of_the_base_url_with_the_users_headers() -> None:
    answers = Answers()
    url = "https://me:pass@host.test/comfy/"

    await listed(answers, baseUrl=url, headers={"X-Key": "abc"})

    assert str(answers.requests[0].url) == "https://host.test/comfy/api/system_stats"
    assert {r.headers["x-key"] for r in answers.requests} == {"abc"}
    assert {r.headers["authorization"] for r in answers.requests} == {"Basic bWU6cGFzcw=="}
    assert not [r for r in answers.requests if "origin" in r.headers]


def test_settings_take_the_camel_case_of_config_json_and_nothing_unknown() -> None:
    section = Settings.model_validate({"baseUrl": "http://h:1/x", "verifyTls": False, "timeout": 5})

    assert section.base_url == "http://h:1/x"
    assert not section.verify_tls
    with pytest.raises(ValidationError, match="baseURL"):
        Settings.model_validate({"baseURL": "http://h:1"})


@pytest.mark.parametrize("url", ["", "host:port", "ftp://host", "http://host/?token=x"])
def test_a_base_url_must_be_an_address(url: str) -> None:
    with pytest.raises(ValidationError, match="must be an address") as caught:
        Settings.model_validate({"baseUrl": url})

    assert "token" not in str(caught.value)


def test_no_secret_is_in_the_settings_as_text() -> None:
    section = Settings.model_validate({"baseUrl": "http://me:secret@h", "headers": {"K": "secret"}})

    assert "secret" not in repr(section)
    assert "secret" not in str(section)


@pytest.mark.parametrize(
    ("url", "local", "where"),
    [
        ("http://127.0.0.1:1", None, "this_machine"),
        ("http://192.168.0.7:8188", None, "own_network"),
        ("http://gpu.test:8188", None, "own_network"),
        ("http://gpu.test:8188", True, "own_network"),
        ("http://127.0.0.1:1", False, "own_network"),
    ],
)
async def test_who_sees_the_prompts_goes_by_the_address_and_by_what_the_user_says(
    url: str, local: bool | None, where: str
) -> None:
    models = await listed(Answers(), baseUrl=url, local=local)

    assert {m.where for m in models.values()} == {where}
    assert {m.prices for m in models.values()} == {FREE}


def test_it_keeps_the_contract_of_a_provider() -> None:
    context = ProviderContext(data_dir=Path("unused"))
    kind: ProviderType = ComfyUI

    provider: Provider = kind("render box", Settings(), context)

    assert provider.name == "render box"
    assert kind.contract == 1
    assert kind.info.automatic
