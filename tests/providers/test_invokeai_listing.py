"""What an InvokeAI has, as models: families, what goes with them, vendors, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import client, said
from tests.support.factory import service
from tests.support.fake_invokeai import (
    CANNY,
    CLIP,
    FLUX,
    GPT,
    KLEIN,
    LORA,
    Q3_8B,
    QWEN3,
    RECORDS,
    SD1,
    SDXL,
    T5,
    VAE,
    Z_IMAGE,
    FakeInvokeAI,
    record,
)
from tests.support.invokeai_calls import listed, provider, request
from tests.support.vendors import ignore
from ziggie_image_mcp.provider import (
    FreeSize,
    Model,
    ModelMissing,
    ModelUnusable,
    PriceBook,
    Run,
)
from ziggie_image_mcp.provider.pricing import estimate


async def models_of(*records: dict[str, Any], **fake: Any) -> dict[str, Model]:
    async with provider(FakeInvokeAI(records=[*records], **fake)) as invoke:
        return {**await listed(invoke)}


async def test_models_are_told_by_family_with_what_can_be_laid_over_them() -> None:
    models = await models_of(*RECORDS)

    assert {id: m.family for id, m in models.items() if m.tasks and m.family != "upscaler"} == {
        "dreamshaper": "sd1",
        "juggernaut-xl": "sdxl",
        "flux-dev": "flux1",
        "flux-schnell": "flux1",
        "flux-kontext-dev": "flux1",
        "klein-4b": "flux2-klein",
        "z-image-turbo": "z-image",
        "z-image-base": "z-image",
        "qwen-image": "qwen-image",
        "sd3.5-medium": "sd3",
    }
    assert {(id, m.family) for id, m in models.items() if m.role == "lora"} == {
        ("pixel-art", "sd1"),
        ("pixel-art-xl", "sdxl"),
        ("pixel-art-flux", "flux1"),
    }
    assert {id for id, m in models.items() if m.role == "control"} == {
        "control_v11p_sd15_canny",
        "my-net",
        "flux-union-pro",
    }
    assert {id for id, m in models.items() if "upscale" in m.tasks} == {
        "4x-UltraSharp",
        "RealESRGAN_x4plus",
        "RealESRGAN_x4plus_anime_6B",
        "RealESRGAN_x2plus",
    }


async def test_capabilities_are_those_of_the_family_and_of_what_is_installed() -> None:
    models = await models_of(*RECORDS)

    sd1 = models["dreamshaper"].tasks["text_to_image"]
    flux = models["flux-dev"].tasks["text_to_image"]
    assert sd1.control
    assert sd1.control.kinds == {"canny", "depth"}
    assert sd1.control.computed == {"canny", "depth"}
    assert (sd1.max_references, sd1.embeddings) == (4, True)
    assert "negative_prompt" in sd1.options
    assert flux.control
    assert flux.control.kinds == {"canny", "tile", "depth", "pose"}
    assert flux.options == {"seed", "steps", "guidance_scale", "sampler"}
    assert isinstance(flux.sizes, FreeSize)
    assert flux.sizes.multiple_of == 16
    assert "guidance_scale" not in models["flux-schnell"].tasks["text_to_image"].options
    assert set(models["flux-kontext-dev"].tasks) == {"text_to_image", "image_to_image"}
    assert "strength" not in models["klein-4b"].tasks["image_to_image"].options
    assert models["juggernaut-xl"].tasks["inpaint"].mask == "black"
    assert models["juggernaut-xl"].tasks["text_to_image"].max_references == 0


async def test_what_the_user_set_in_the_model_manager_is_the_default() -> None:
    own = {"steps": 33, "cfg_scale": 4.5, "width": 768, "height": 640, "scheduler": "unipc_k"}
    async with provider(
        server := FakeInvokeAI(records=[SD1 | {"default_settings": own}])
    ) as invoke:
        model = (await listed(invoke))["dreamshaper"]
        await invoke.submit(request(steps=None), model, Run(key="k", progress=ignore))

    sizes = model.tasks["text_to_image"].sizes
    assert isinstance(sizes, FreeSize)
    assert (sizes.native_width, sizes.native_height) == (768, 640)
    assert (model.defaults.steps, model.defaults.guidance_scale) == (33, 4.5)
    denoise = server.batches[0]["graph"]["nodes"]["denoise"]
    assert (denoise["steps"], denoise["scheduler"]) == (33, "unipc_k")


async def test_what_ran_last_is_in_memory() -> None:
    stats = {"loaded_model_sizes": {"sdxl:main:juggernaut-xl:unet": 5, "any:t5:x": 1}}
    async with provider(FakeInvokeAI(records=[SD1, SDXL], stats=stats)) as invoke:
        models = await listed(invoke)
        probe = await invoke.probe()

    assert models["juggernaut-xl"].state == "loaded"
    assert models["dreamshaper"].state == "ready"
    assert probe.loaded_model == "juggernaut-xl"


# What goes with a model


@pytest.mark.parametrize(
    ("records", "missing"),
    [
        ([FLUX, CLIP, VAE], "a T5 encoder"),
        ([FLUX, T5, CLIP | {"variant": "gigantic"}, VAE], "the CLIP-L text encoder"),
        ([FLUX], "a T5 encoder and the CLIP-L text encoder and the VAE of FLUX"),
        ([Z_IMAGE, VAE, Q3_8B], "the Qwen3 4B text encoder"),
        ([KLEIN | {"format": "checkpoint"}, QWEN3], "the VAE of FLUX.2"),
    ],
)
async def test_a_model_without_its_parts_is_missing_and_says_which(
    records: list[dict[str, Any]], missing: str
) -> None:
    async with provider(server := FakeInvokeAI(records=records)) as invoke:
        model = (await listed(invoke))[records[0]["name"]]
        with pytest.raises(ModelMissing, match=missing):
            await invoke.submit(request(), model, Run(key="k", progress=ignore))

    assert model.state == "missing"
    assert model.fix == f"install {missing} in InvokeAI's model manager"
    assert server.batches == []


async def test_a_quantized_folder_brings_its_parts_if_it_has_all_of_them() -> None:
    parts = dict.fromkeys(("transformer", "vae", "text_encoder", "tokenizer"), "of the folder")
    second = dict.fromkeys(("text_encoder_2", "tokenizer_2"), "of the folder")
    folder = FLUX | {"format": "sdnq_quantized"}

    whole = await models_of(folder | {"submodels": parts | second})
    half = await models_of(folder | {"submodels": parts})

    assert whole["flux-dev"].state == "ready"
    assert half["flux-dev"].state == "missing"


async def test_a_whole_model_of_the_same_kind_lends_its_parts() -> None:
    lender = KLEIN | {"name": "klein-diffusers", "key": "lender"}
    file = KLEIN | {"format": "checkpoint"}
    async with provider(server := FakeInvokeAI(records=[file, lender])) as invoke:
        model = (await listed(invoke))["klein-4b"]
        await invoke.submit(request(), model, Run(key="k", progress=ignore))

    loader = server.batches[0]["graph"]["nodes"]["model"]
    assert loader["qwen3_source_model"]["key"] == "lender"
    assert "vae_model" not in loader


# What is not run


async def test_a_vendors_model_is_never_free_and_never_run(tmp_path: Path) -> None:
    async with provider(server := FakeInvokeAI(records=[SD1, GPT])) as invoke:
        model = (await listed(invoke))["GPT Image 2"]
        with pytest.raises(ModelUnusable, match="hands it to openai, for money"):
            await invoke.submit(request(), model, Run(key="k", progress=ignore))
        async with client(service(tmp_path, invoke)) as mcp:
            result = await mcp.call_tool(
                "generate_image", {"prompt": "a fox", "model": "GPT Image 2", "allow_paid": True}
            )

    assert model.where == "vendor"
    assert model.prices == PriceBook(rates=())
    assert estimate(request(), model) is None
    assert result.is_error
    assert "use that vendor's own provider" in said(result)
    assert server.batches == []


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (record("refiner", "sdxl-refiner"), "no graphs for models of the base sdxl-refiner"),
        (record("fill", "flux", variant="dev_fill"), "FLUX Fill wants a graph of its own"),
        (record("flux2-dev", "flux2", variant="dev"), r"no graph for FLUX.2 \[dev\]"),
        (record("edit", "qwen-image", variant="edit"), "no graph for Qwen-Image-Edit"),
        (record("wan", "wan", variant="t2v_a14b"), "no graphs for models of the base wan"),
    ],
)
async def test_what_has_no_graph_here_is_unusable_and_says_so(
    record: dict[str, Any], why: str
) -> None:
    async with provider(FakeInvokeAI(records=[record])) as invoke:
        model = (await listed(invoke))[record["name"]]
        with pytest.raises(ModelUnusable, match=why):
            await invoke.submit(request(), model, Run(key="k", progress=ignore))

    assert model.state == "unusable"
    assert model.tasks == {}


async def test_an_inpainting_checkpoint_is_offered_for_masks_alone() -> None:
    models = await models_of(SD1 | {"variant": "inpaint"})

    assert set(models["dreamshaper"].tasks) == {"inpaint"}


async def test_two_models_of_one_name_are_told_apart() -> None:
    twin = SDXL | {"name": "dreamshaper"}
    third = twin | {"key": "third"}

    assert set(await models_of(SD1, twin)) >= {"dreamshaper (sd-1 main)", "dreamshaper (sdxl main)"}
    assert {f"dreamshaper ({SDXL['key']})", "dreamshaper (third)"} <= set(
        await models_of(SD1, twin, third)
    )


async def test_an_empty_server_says_where_models_come_from() -> None:
    async with provider(FakeInvokeAI(records=[LORA, CANNY])) as invoke:
        with pytest.raises(ModelMissing, match="has no model; install one in its model manager"):
            await invoke.list_models()
