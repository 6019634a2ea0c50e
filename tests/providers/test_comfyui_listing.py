"""Which models a ComfyUI has, and what they are taken for."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.comfyui_answers import Answers, generated, listed, provider
from tests.support.fake_comfyui import FILES
from ziggie_image_mcp.provider import (
    FREE,
    Defaults,
    FreeSize,
    LoraSupport,
    Memory,
    Model,
    ModelMissing,
    ModelUnusable,
    Option,
    TaskCapability,
    options_of,
)
from ziggie_image_providers.comfyui.server import FRESH_SECONDS

SDXL_OPTIONS: frozenset[Option] = frozenset(
    ("negative_prompt", "seed", "steps", "guidance_scale", "sampler", "scheduler")
)


async def test_models_are_listed_with_what_they_can_do() -> None:
    models = await listed(Answers())

    sdxl = models["sd_xl_base_1.0.safetensors"]
    schnell = models["flux1-schnell.safetensors"]
    able = TaskCapability(
        sizes=FreeSize(max_side=4096),
        options=SDXL_OPTIONS,
        max_images=16,
        loras=LoraSupport(families=frozenset({"sdxl", "playground"})),
    )
    assert list(models) == [*FILES["checkpoints"], *FILES["diffusion_models"]]
    assert sdxl == Model(
        id="sd_xl_base_1.0.safetensors",
        provider="comfyui",
        where="this_machine",
        tasks={
            "text_to_image": able,
            "image_to_image": replace(able, options=able.options | {"strength"}),
            "inpaint": replace(able, options=able.options | {"strength"}, mask="white"),
        },
        prices=FREE,
        family="sdxl",
        aliases=("sd_xl_base_1.0",),
        device="http://127.0.0.1:1",
        memory=Memory(managed=True),
        defaults=Defaults(steps=25, guidance_scale=7.0),
    )
    capability = schnell.tasks["text_to_image"]
    assert capability.options == {"seed", "steps", "sampler", "scheduler"}
    assert isinstance(capability.sizes, FreeSize)
    assert capability.sizes.multiple_of == 16
    assert schnell.distilled
    assert schnell.defaults == Defaults(steps=4)


async def test_a_model_of_which_files_are_missing_names_each_with_its_folder() -> None:
    models = await listed(Answers({"models/text_encoders": [], "models/vae": ["pixel_space"]}))

    schnell = models["flux1-schnell.safetensors"]
    assert schnell.state == "missing"
    assert schnell.fix == (
        "put clip_l.safetensors into ComfyUI/models/text_encoders,"
        " t5xxl_fp16.safetensors (or t5xxl_fp8_e4m3fn_scaled.safetensors where memory is short)"
        " into ComfyUI/models/text_encoders, ae.safetensors into ComfyUI/models/vae"
    )


async def test_a_model_that_lacks_files_is_not_posted() -> None:
    answers = Answers({"models/vae": []})

    with pytest.raises(ModelMissing, match=r"ae\.safetensors into ComfyUI/models/vae"):
        await generated(answers, "flux1-schnell.safetensors")

    assert answers.posted == []


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("mystery.safetensors", "its family could not be told"),
        ("sd_xl_refiner_1.0.safetensors", "it only finishes what an SDXL base model began"),
        ("Sana_1600M_1024px.safetensors", "install the node pack ComfyUI_ExtraModels"),
        ("kolors.safetensors", "install the node pack ComfyUI-KwaiKolorsWrapper"),
        ("svd_xt.safetensors", "it is a model for video"),
        ("flux1-dev-bnb-nf4-v2.safetensors", "the node pack ComfyUI_bitsandbytes_NF4 can"),
        ("svdq-int4_r32-flux.1-dev.safetensors", "the node pack ComfyUI-nunchaku can"),
    ],
)
async def test_a_file_that_we_cannot_run_is_listed_with_the_reason(file: str, why: str) -> None:
    answers = Answers({"models/checkpoints": [file]})

    models = await listed(answers)

    assert models[file].tasks == {}
    assert models[file].state == "unusable"
    assert why in models[file].fix
    with pytest.raises(ModelUnusable, match=re.escape(why)):
        await generated(answers, file)


async def test_the_users_word_on_a_family_beats_all_else() -> None:
    answers = Answers({"models/checkpoints": ["sub/Mystery.safetensors"]})

    models = await listed(answers, families={"mystery*": "sdxl"})

    assert models["sub/Mystery.safetensors"].family == "sdxl"
    assert options_of(models["sub/Mystery.safetensors"], "text_to_image") == SDXL_OPTIONS


async def test_metadata_are_read_once_per_file() -> None:
    answers = Answers(
        {
            "models/checkpoints": ["mystery.safetensors"],
            "view_metadata/checkpoints": {"modelspec.architecture": "stable-diffusion-xl-v1-base"},
        }
    )
    comfy = provider(answers)

    first, again = await comfy.list_models(), await comfy.list_models()
    await comfy.aclose()

    asked = [r.url.params["filename"] for r in answers.requests if "metadata" in r.url.path]
    assert [m.family for m in first] == ["sdxl", "flux1"]
    assert first == again
    assert asked == ["mystery.safetensors", "flux1-schnell.safetensors"]


async def test_a_checkpoint_without_a_telling_name_goes_by_its_size() -> None:
    files = [{"name": "deliberate_v2.safetensors", "size": 2132625894, "pathIndex": 0}]
    answers = Answers(
        {
            "models/checkpoints": ["deliberate_v2.safetensors"],
            "experiment/models/checkpoints": files,
        }
    )

    models = await listed(answers)

    assert models["deliberate_v2.safetensors"].family == "sd1"


@pytest.mark.parametrize(
    ("local", "bytes_more", "family"), [(True, 0, "sd3"), (True, 1, None), (None, 0, None)]
)
async def test_files_of_a_container_that_are_mounted_here_are_known_by_their_tensors(
    local: bool | None, bytes_more: int, family: str | None, tmp_path: Path
) -> None:
    header = json.dumps({"joint_blocks.0.context_block.attn.qkv.weight": {"shape": [1, 1]}})
    file = tmp_path / "mystery.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    size = file.stat().st_size + bytes_more
    answers = Answers(
        {
            "models/checkpoints": [file.name],
            "experiment/models/checkpoints": [{"name": file.name, "size": size, "pathIndex": 0}],
            "": {"checkpoints": [str(tmp_path)]},  # internal/folder_paths, without /api
        }
    )

    models = await listed(answers, baseUrl="http://comfyui:8188", local=local)

    assert models[file.name].family == family


async def test_a_name_in_both_folders_stays_two_models() -> None:
    name = "flux1-dev.safetensors"
    answers = Answers({"models/checkpoints": [name], "models/diffusion_models": [name]})

    models = await listed(answers)

    assert list(models) == [name, f"diffusion_models/{name}"]
    assert [m.aliases for m in models.values()] == [(), ()]


async def test_a_server_without_models_says_where_to_put_one() -> None:
    answers = Answers({"models/checkpoints": [], "models/diffusion_models": []})

    with pytest.raises(ModelMissing, match="put a checkpoint into ComfyUI/models/checkpoints"):
        await listed(answers)


async def test_a_file_that_was_just_copied_in_is_listed_at_once() -> None:
    answers = Answers({"models/checkpoints": ["sd1.5-a.ckpt"]})
    comfy = provider(answers)
    before = await comfy.list_models()
    await asyncio.sleep(FRESH_SECONDS)
    answers.answers["models/checkpoints"] = ["sd1.5-a.ckpt", "sd1.5-new.ckpt"]
    seen = len(answers.requests)
    after = await comfy.list_models()
    again = len(answers.requests)
    await comfy.list_models()
    await comfy.aclose()

    assert "sd1.5-new.ckpt" not in [m.id for m in before]
    assert "sd1.5-new.ckpt" in [m.id for m in after]
    assert len(answers.requests) - again < again - seen
