"""Which models a ComfyUI has, and what they are taken for."""

from __future__ import annotations

import re

import pytest

from tests.support.comfyui_answers import Answers, generated, listed, provider
from tests.support.fake_comfyui import FILES
from ziggie_image_mcp.provider import (
    FREE,
    Defaults,
    FreeSize,
    Memory,
    Model,
    ModelMissing,
    ModelUnusable,
    TaskCapability,
    options_of,
)
from ziggie_image_providers.comfyui import families


async def test_models_are_listed_with_what_they_can_do() -> None:
    models = await listed(Answers())

    sdxl = models["sd_xl_base_1.0.safetensors"]
    schnell = models["flux1-schnell.safetensors"]
    assert list(models) == [*FILES["checkpoints"], *FILES["diffusion_models"]]
    assert sdxl == Model(
        id="sd_xl_base_1.0.safetensors",
        provider="comfyui",
        where="this_machine",
        tasks={
            "text_to_image": TaskCapability(
                sizes=FreeSize(max_side=4096),
                options=families.SDXL.options,
                max_images=16,
            )
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


async def test_models_of_one_kind_share_what_they_can_do() -> None:
    models = await listed(Answers({"models/checkpoints": ["sd1.5-a.ckpt", "sd1.5-b.ckpt"]}))

    assert models["sd1.5-a.ckpt"].tasks is models["sd1.5-b.ckpt"].tasks


async def test_a_model_of_which_files_are_missing_names_each_with_its_folder() -> None:
    models = await listed(Answers({"models/text_encoders": [], "models/vae": ["pixel_space"]}))

    schnell = models["flux1-schnell.safetensors"]
    assert schnell.state == "missing"
    assert schnell.fix == (
        "put clip_l.safetensors into ComfyUI/models/text_encoders,"
        " t5xxl_fp16.safetensors (or t5xxl_fp8_e4m3fn.safetensors) into"
        " ComfyUI/models/text_encoders, ae.safetensors into ComfyUI/models/vae"
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
        ("sd3.5_large.safetensors", "sd3 models are not supported here yet"),
        ("sd_xl_refiner_1.0.safetensors", "for another purpose (refiner)"),
        ("sd-v1-5-inpainting.ckpt", "for another purpose (inpainting)"),
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
    assert options_of(models["sub/Mystery.safetensors"], "text_to_image") == families.SDXL.options


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


@pytest.mark.parametrize(
    ("file", "folder", "architecture", "size", "family"),
    [
        ("random-sd15.safetensors", "checkpoints", "", None, "sd1"),
        ("v1-5-pruned-emaonly.ckpt", "checkpoints", "", None, "sd1"),
        ("anything.safetensors", "checkpoints", "stable-diffusion-v1", None, "sd1"),
        ("juggernautXL_v9.safetensors", "checkpoints", "", None, "sdxl"),
        ("realvisxlV40.safetensors", "checkpoints", "", None, "sdxl"),
        ("animagine-xl-4.0.safetensors", "checkpoints", "", None, "sdxl"),
        ("noname.safetensors", "checkpoints", "", 6938078334, "sdxl"),
        ("noname.safetensors", "checkpoints", "", 5000000000, None),
        ("noname.safetensors", "diffusion_models", "", 6938078334, None),
        ("flux1-dev.safetensors", "diffusion_models", "flux-1-dev", None, "flux1"),
        ("FLUX.1-schnell.safetensors", "diffusion_models", "Flux.1-schnell", None, "flux1"),
        ("flux-2-klein-4b.safetensors", "diffusion_models", "", None, "flux2"),
        ("qwen_image_2512_fp8.safetensors", "diffusion_models", "", None, "qwen-image"),
        ("z_image_turbo_bf16.safetensors", "diffusion_models", "", None, "z-image"),
        ("sd_turbo.safetensors", "checkpoints", "", None, "sd2"),
        ("chroma-v9.safetensors", "diffusion_models", "", None, "chroma"),
        ("x.safetensors", "checkpoints", "stable-diffusion-xl-v1-base/lora", None, None),
        ("x.safetensors", "checkpoints", "brand-new", None, "brand-new"),
        ("flux1-fill-dev.safetensors", "diffusion_models", "", None, None),
        ("flux1-dev-kontext_fp8.safetensors", "diffusion_models", "", None, None),
    ],
)
def test_the_family_is_told_by(
    file: str, folder: families.Folder, architecture: str, size: int | None, family: str | None
) -> None:
    verdict = families.judge(file, folder, {}, architecture, size)

    assert verdict.family == family
    assert (verdict.kind is not None) == (family in ("sd1", "sdxl", "flux1"))
    assert bool(verdict.why_not) == (verdict.kind is None)


def test_a_stable_diffusion_model_alone_is_not_run() -> None:
    verdict = families.judge("sd_xl_unet.safetensors", "diffusion_models", {})

    assert verdict.kind is None
    assert verdict.why_not == ("a sdxl model alone is not supported; use a whole checkpoint of it")


@pytest.mark.parametrize(
    ("encoders", "vaes", "chosen"),
    [
        (
            ["t5xxl_fp8_e4m3fn.safetensors", "clip_l.safetensors", "t5xxl_fp16.safetensors"],
            ["flux2-vae.safetensors", "ae.safetensors"],
            families.Companions(
                clip_l="clip_l.safetensors", t5xxl="t5xxl_fp16.safetensors", vae="ae.safetensors"
            ),
        ),
        (
            ["clip_g.safetensors", "flux\\clip_l.safetensors", "flux\\T5-XXL_fp8.safetensors"],
            ["sdxl_vae.safetensors", "flux_vae.safetensors"],
            families.Companions(
                clip_l="flux\\clip_l.safetensors",
                t5xxl="flux\\T5-XXL_fp8.safetensors",
                vae="flux_vae.safetensors",
            ),
        ),
        (["clip_l.safetensors", "t5xxl_fp16.safetensors"], ["flux2-vae.safetensors"], None),
    ],
)
def test_companions_are_picked_by_name(
    encoders: list[str], vaes: list[str], chosen: families.Companions | None
) -> None:
    assert families.companions(encoders, vaes)[0] == chosen
