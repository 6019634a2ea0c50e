"""LoRAs, ControlNets and IP-Adapters on disk, told by their heads; no torch is needed."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.diffusers_calls import plain
from tests.support.model_folders import pipeline, write
from ziggie_image_mcp.provider import (
    Control,
    DependencyMissing,
    FreeSize,
    Lora,
    Model,
    ModelMissing,
    ProviderContext,
    ProviderRequest,
    RequestRejected,
    Run,
    Task,
    TaskCapability,
)
from ziggie_image_providers.diffusers import Diffusers, hires, wire
from ziggie_image_providers.diffusers.additions import (
    Addition,
    as_models,
    extras_bytes,
    find_additions,
    net_for,
)
from ziggie_image_providers.diffusers.families import HIDREAM_SIZES, PIPELINES
from ziggie_image_providers.diffusers.listing import describe, missing_packages
from ziggie_image_providers.diffusers.scan import DiskModel, folder
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.worker_request import worker_request

TO_K = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
KOHYA = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"


def lora(path: Path, width: int = 768, **about: str) -> Path:
    key = f"{TO_K}.lora_A.weight"
    return write(path, {key: [8, width], f"{TO_K}.lora_B.weight": [320, 8]}, about=about)


def net(path: Path, name: str = "ControlNetModel", **config: Any) -> Path:
    write(path / "diffusion_pytorch_model.safetensors", {"weight": [1000]})
    text = json.dumps({"_class_name": name, **config})
    (path / "config.json").write_text(text, encoding="utf-8")
    return path


def found(base: Path) -> dict[str, Addition]:
    return {addition.id: addition for addition in find_additions([base], None)}


@pytest.mark.parametrize(
    ("tensors", "about", "family"),
    [
        ({f"{TO_K}.lora_A.weight": [8, 768]}, {}, "sd1"),
        ({f"{TO_K}.lora_A.weight": [8, 1024]}, {}, "sd2"),
        ({f"{KOHYA}.lora_down.weight": [8, 2048]}, {}, "sdxl"),
        ({f"{TO_K}.lora_A.weight": [8, 32]}, {}, None),
        ({"lora_unet_double_blocks_0_img_attn_proj.lora_down.weight": [8, 3072]}, {}, "flux1"),
        (
            {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": [8, 3072]},
            {},
            "flux1",
        ),
        ({"diffusion_model.layers.0.attention.to_q.lora_A.weight": [8, 3840]}, {}, "z-image"),
        ({"transformer.transformer_blocks.0.img_mod.1.lora_A.weight": [8, 9]}, {}, "qwen-image"),
        ({"text_model.whatever.lora_down.weight": [8, 8]}, {}, None),
        (
            {"text_model.whatever.lora_down.weight": [8, 8]},
            {"ss_base_model_version": "sdxl_base_v1-0"},
            "sdxl",
        ),
        (
            {"x.lora_A.weight": [8, 8]},
            {"modelspec.architecture": "stable-diffusion-v1/lora"},
            "sd1",
        ),
        (
            {"x.lora_A.weight": [8, 8]},
            {"modelspec.architecture": "Qwen-Image-2.1/lora"},
            "qwen-image-2.1",
        ),
    ],
)
def test_a_lora_tells_its_family(
    tmp_path: Path, tensors: Mapping[str, list[int]], about: dict[str, str], family: str | None
) -> None:
    write(tmp_path / "style" / "x.safetensors", tensors, about=about)

    (addition,) = found(tmp_path).values()

    assert (addition.id, addition.role, addition.family) == ("style/x.safetensors", "lora", family)


def test_models_and_what_is_damaged_are_no_additions(tmp_path: Path) -> None:
    pipeline(tmp_path / "model")
    write(tmp_path / "vae.safetensors", {"encoder.conv_in.weight": [8, 3, 3, 3]})
    write(tmp_path / "cut.safetensors", {f"{TO_K}.lora_A.weight": [8, 768]}, missing=10)
    (tmp_path / "notes.safetensors").write_text("not a model", encoding="utf-8")

    assert found(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "config", "family", "kinds"),
    [
        ("ControlNetModel", {"cross_attention_dim": 768}, "sd1", {"canny"}),
        ("ControlNetModel", {"cross_attention_dim": 2048}, "sdxl", {"canny"}),
        ("FluxControlNetModel", {}, "flux1", {"canny"}),
        ("FluxControlNetModel", {"num_mode": 3}, "flux1", {"canny", "tile", "depth"}),
        (
            "ControlNetUnionModel",
            {"num_control_type": 3},
            "sdxl",
            {"pose", "depth", "softedge", "scribble"},
        ),
    ],
)
def test_a_control_net_tells_its_family_and_kinds(
    tmp_path: Path, name: str, config: dict[str, Any], family: str, kinds: set[str]
) -> None:
    net(tmp_path / "my-canny", name, **config)

    addition = found(tmp_path)["my-canny"]

    assert (addition.role, addition.family) == ("control", family)
    assert set(addition.kinds) == kinds


def test_a_net_for_one_kind_comes_before_one_for_many(tmp_path: Path) -> None:
    net(tmp_path / "a-union", "ControlNetUnionModel", num_control_type=6)
    net(tmp_path / "z-canny", cross_attention_dim=2048)
    additions = find_additions([tmp_path], None)

    canny, depth = (net_for(kind, "sdxl", additions) for kind in ("canny", "depth"))

    assert canny is not None
    assert depth is not None
    assert (canny.id, depth.id) == ("z-canny", "a-union")


def test_the_hub_cache_is_looked_at_too_and_a_name_twice_makes_one_go_by_its_path(
    tmp_path: Path,
) -> None:
    snapshot = tmp_path / "hub" / "models--somebody--pixels" / "snapshots" / "abc"
    lora(snapshot / "pytorch_lora_weights.safetensors")
    one, other = tmp_path / "a", tmp_path / "b"
    lora(one / "x.safetensors")
    lora(other / "x.safetensors")

    ids = [a.id for a in find_additions([one, other, one], tmp_path / "hub")]

    assert ids == [
        "x.safetensors",
        str(other / "x.safetensors"),
        "somebody/pixels/pytorch_lora_weights.safetensors",
    ]


def test_without_peft_a_lora_is_listed_with_what_is_missing_and_no_model_takes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lora(tmp_path / "x.safetensors")
    additions = find_additions([tmp_path], None)
    assert described(tmp_path, additions).loras is not None

    monkeypatch.setitem(sys.modules, "peft", None)

    (model,) = as_models(additions, "diffusers")
    assert (model.state, "peft" in model.fix) == ("missing", True)
    assert described(tmp_path, additions).loras is None


def described(base: Path, additions: tuple[Addition, ...]) -> TaskCapability:
    return listed(base, additions).tasks["text_to_image"]


def listed(base: Path, additions: tuple[Addition, ...]) -> Model:
    return describe(
        disk_model(base),
        provider="diffusers",
        missing=(),
        frugal=True,
        loaded=False,
        additions=additions,
    )


def disk_model(base: Path) -> DiskModel:
    path = pipeline(base / "model", parts={"unet": 10**6, "text_encoder": 10**6, "vae": 10**6})
    on_disk = folder(path, "model")
    assert on_disk is not None
    return on_disk


def test_the_bytes_of_all_that_is_laid_over_a_model_are_added_to_its_need(tmp_path: Path) -> None:
    lora(tmp_path / "one.safetensors")
    lora(tmp_path / "two.safetensors")
    net(tmp_path / "canny", cross_attention_dim=768)
    additions = find_additions([tmp_path], None)
    each = 2 * (8 * 768 + 320 * 8)

    def message(**changes: Any) -> wire.WorkerRequest:
        request = ProviderRequest(prompt="a fox", width=512, height=512, steps=9, **changes)
        return worker_request(
            request,
            listed(tmp_path, additions),
            disk_model(tmp_path),
            settings=Settings(),
            context=ProviderContext(data_dir=tmp_path),
            additions=additions,
        )

    bare = message()
    laid = message(
        loras=(Lora(id="one"), Lora(id="two")),
        control=(Control(kind="canny", image_id="i", image=b"map"),),
    )

    assert extras_bytes(additions) == 2 * each + 2000
    assert bare.weight_bytes is not None
    assert bare.vram_bytes is not None
    assert laid.weight_bytes == bare.weight_bytes + 2 * each + 2000
    assert laid.vram_bytes == bare.vram_bytes + 2 * each + 2000
    assert [Path(file.path).name for file in laid.loras] == ["one.safetensors", "two.safetensors"]
    assert (laid.run_as, laid.nets[0].image_bytes) == ("StableDiffusionControlNetPipeline", 3)


@pytest.mark.parametrize("task", ["image_to_image", "inpaint"])
def test_a_net_that_only_guides_pictures_from_a_text_says_so_to_an_edit(
    tmp_path: Path, task: Task
) -> None:
    net(tmp_path / "qwen-canny", "QwenImageControlNetModel")
    on_disk = folder(pipeline(tmp_path / "model", "QwenImagePipeline"), "model")
    assert on_disk is not None

    def ask(kind: str) -> None:
        worker_request(
            ProviderRequest(
                task=task,
                prompt="a fox",
                width=512,
                height=512,
                image=plain("red"),
                mask=plain("white", "L") if task == "inpaint" else None,
                control=(Control(kind=kind, image_id="i", image=b"map"),),
            ),
            describe(on_disk, provider="d", missing=(), frugal=True, loaded=False),
            on_disk,
            settings=Settings(),
            context=ProviderContext(data_dir=tmp_path),
            additions=find_additions([tmp_path], None),
        )

    with pytest.raises(RequestRejected, match=r"qwen-canny can guide model only where .* text"):
        ask("canny")
    with pytest.raises(ModelMissing, match="No ControlNets for depth"):
        ask("depth")


@pytest.mark.parametrize(
    ("name", "native", "size", "first"),
    [
        ("StableDiffusionPipeline", 512, (512, 512), None),
        ("StableDiffusionPipeline", 512, (512, 768), None),
        ("StableDiffusionPipeline", 512, (1024, 1024), (512, 512)),
        ("StableDiffusionPipeline", 512, (1024, 576), (680, 384)),
        ("FluxPipeline", 1024, (2048, 1024), (1456, 720)),
        ("Flux2KleinPipeline", 1024, (2048, 2048), None),
        ("PixArtSigmaPipeline", 1024, (2048, 2048), None),
    ],
)
def test_the_first_of_two_passes_has_native_area_and_the_shape_asked_for(
    name: str, native: int, size: tuple[int, int], first: tuple[int, int] | None
) -> None:
    small = hires.first_size(PIPELINES[name], native, *size)

    assert (small and (small.width, small.height)) == first


@pytest.mark.parametrize(("setting", "twice"), [("auto", True), ("never", False)])
def test_the_second_pass_can_be_turned_off(tmp_path: Path, setting: str, twice: bool) -> None:
    message = worker_request(
        ProviderRequest(prompt="a fox", width=1024, height=1024),
        listed(tmp_path, ()),
        disk_model(tmp_path),
        settings=Settings.model_validate({"hires": setting}),
        context=ProviderContext(data_dir=tmp_path),
    )

    assert (message.first is not None) == twice
    assert message.second_as == ("StableDiffusionImg2ImgPipeline" if twice else "")


def test_hidream_is_asked_for_sizes_that_its_class_leaves_as_they_are(tmp_path: Path) -> None:
    path = pipeline(tmp_path / "HiDream-I1-Fast", "HiDreamImagePipeline")
    on_disk = folder(path, "HiDream-I1-Fast")
    assert on_disk is not None

    model = describe(on_disk, provider="d", missing=(), frugal=True, loaded=False)

    assert not isinstance(model.tasks["text_to_image"].sizes, FreeSize)
    assert (model.defaults.steps, model.defaults.guidance_scale) == (16, 0.0)
    for width, height in HIDREAM_SIZES:  # as HiDreamImagePipeline.__call__ rounds
        scale = math.sqrt(1024 * 1024 / (width * height))
        assert [int(side * scale // 16 * 16) for side in (width, height)] == [width, height]


@pytest.mark.parametrize(
    ("id", "class_name", "steps", "guidance", "native", "sampler"),
    [
        ("sdxl-lightning-8step", "StableDiffusionXLPipeline", 8, 0.0, 1024, "euler"),
        ("DreamShaperXL_Lightning", "StableDiffusionXLPipeline", 4, 0.0, 1024, "euler"),
        ("lcm_photo", "StableDiffusionPipeline", 6, 1.5, 512, "lcm"),
        ("realism", "StableDiffusionPipeline", 30, 7.5, 512, None),
        ("hyperrealism", "StableDiffusionPipeline", 30, 7.5, 512, None),
        ("LCM_Dreamshaper_v7", "LatentConsistencyModelPipeline", 4, 8.5, 768, None),
        ("Sana_1600M_512px_diffusers", "SanaPipeline", 20, 4.5, 512, None),
        ("PixArt-Sigma-XL-2-2K-MS", "PixArtSigmaPipeline", 20, 4.5, 2048, None),
    ],
)
def test_a_name_tells_how_a_model_is_run(
    tmp_path: Path,
    id: str,
    class_name: str,
    steps: int,
    guidance: float,
    native: int,
    sampler: str | None,
) -> None:
    on_disk = folder(pipeline(tmp_path / id, class_name), id)
    assert on_disk is not None
    model = describe(on_disk, provider="d", missing=(), frugal=True, loaded=False)
    sizes = model.tasks["text_to_image"].sizes
    message = worker_request(
        ProviderRequest(prompt="a fox", width=512, height=512),
        model,
        on_disk,
        settings=Settings(),
        context=ProviderContext(data_dir=tmp_path),
    )

    assert (model.defaults.steps, model.defaults.guidance_scale) == (steps, guidance)
    assert isinstance(sizes, FreeSize)
    assert sizes.native_width == native
    assert message.sampler == sampler


@pytest.mark.skipif(
    bool(missing_packages()),
    reason='needs pip install "ziggie-image-mcp[local]"',
)
async def test_a_package_that_one_class_needs_is_named_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(tmp_path / "kolors", "KolorsPipeline")
    provider = Diffusers(
        "diffusers",
        Settings.model_validate({"modelDirs": [str(tmp_path)], "useHubCache": False}),
        ProviderContext(data_dir=tmp_path),
    )
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    (model,) = await provider.list_models()

    with pytest.raises(DependencyMissing, match="install sentencepiece"):
        await provider.submit(
            ProviderRequest(prompt="a fox", width=64, height=64),
            model,
            Run(key="k", progress=quiet),
        )

    assert model.state == "missing"


async def quiet(share: float, text: str) -> None:
    """Take progress and do nothing."""
