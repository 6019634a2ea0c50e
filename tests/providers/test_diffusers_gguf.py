"""What is told of transformers in GGUF before one is used, and which folder lends the rest."""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_folders import (
    Tensors,
    cached,
    flux,
    flux_tensors,
    pipeline,
    write_gguf,
)
from ziggie_image_mcp.provider import Model, ModelMissing, ProviderContext, ProviderRequest, Run
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.gguf_file import read
from ziggie_image_providers.diffusers.listing import describe
from ziggie_image_providers.diffusers.scan import find, locate, scan
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.weights import Damaged

DEV, SCHNELL = flux_tensors(), flux_tensors(guided=False)


def flux2_names() -> Iterator[str]:
    """Of FLUX.2 with two blocks of each kind, by the names that it was published with."""
    yield from ("img_in", "txt_in", "time_in.in_layer", "time_in.out_layer")
    yield from ("double_stream_modulation_img.lin", "double_stream_modulation_txt.lin")
    yield from ("single_stream_modulation.lin", "final_layer.adaLN_modulation.1")
    yield "final_layer.linear"
    for number in range(2):
        for stream in ("img", "txt"):
            for part in ("attn.qkv", "attn.proj", "mlp.0", "mlp.2"):
                yield f"double_blocks.{number}.{stream}_{part}"
        yield from (f"single_blocks.{number}.linear{which}" for which in (1, 2))


def hidream_names() -> Iterator[str]:
    """Of HiDream with a block of each kind."""
    yield from ("x_embedder.proj", "final_layer.linear", "final_layer.adaLN_modulation.1")
    yield from (f"t_embedder.timestep_embedder.linear_{which}" for which in (1, 2))
    yield from (f"p_embedder.pooled_embedder.linear_{which}" for which in (1, 2))
    yield from (f"caption_projection.{number}.linear" for number in range(49))
    for blocks, streams in (("double", ("", "_t")), ("single", ("",))):
        block = f"{blocks}_stream_blocks.0.block"
        yield from (f"{block}.adaLN_modulation.1", f"{block}.ff_i.gate")
        for stream in streams:
            yield from (f"{block}.attn1.to_{one}{stream}" for one in ("q", "k", "v", "out"))
        for which in (1, 2, 3):
            yield f"{block}.ff_i.shared_experts.w{which}"
            yield from (f"{block}.ff_i.experts.{number}.w{which}" for number in range(4))
            if len(streams) > 1:
                yield f"{block}.ff_t.w{which}"


def lumina_names() -> Iterator[str]:
    """Of Lumina 2 with two layers and a refiner of each kind."""
    yield from ("x_embedder", "cap_embedder.0", "cap_embedder.1", "t_embedder.mlp.0")
    yield from ("t_embedder.mlp.2", "final_layer.linear", "final_layer.adaLN_modulation.1")
    for block in ("layers.0", "layers.1", "noise_refiner.0", "context_refiner.0"):
        yield from (f"{block}.attention.qkv", f"{block}.attention.out")
        yield from (f"{block}.feed_forward.w{which}" for which in (1, 2, 3))
        if not block.startswith("context"):
            yield f"{block}.adaLN_modulation.1"


@pytest.fixture(autouse=True)
def _package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package gguf is here, whatever is installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: object() if name == "gguf" else find_spec(name),  # pyright: ignore
    )


def listed(folder: Path, id: str, hub: Path | None = None, **bases: str) -> Model:
    on_disk = find([folder], hub, {f"{name}.gguf": base for name, base in bases.items()})[id]
    return describe(on_disk, provider="diffusers", missing=(), frugal=True, loaded=False)


def test_the_only_folder_of_its_architecture_lends_what_a_file_lacks(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", DEV, "flux")
    flux(tmp_path / "dev", whole=False)
    flux(tmp_path / "short", layers=8)
    pipeline(tmp_path / "sd")

    on_disk = find([tmp_path], None)["a.gguf"]
    model = listed(tmp_path, "a.gguf")

    assert (on_disk.config_folder, on_disk.pipeline) == (tmp_path / "dev", "FluxPipeline")
    assert (model.state, model.family, model.distilled) == ("ready", "flux1", False)
    assert set(model.tasks) == {"text_to_image", "image_to_image", "inpaint"}
    assert locate(str(tmp_path / "a.gguf"), [tmp_path], None) is not None
    assert scan(tmp_path, None)["a.gguf"].config_folder == tmp_path / "dev"


def test_schnell_and_dev_are_told_apart_by_the_guidance(tmp_path: Path) -> None:
    write_gguf(tmp_path / "one.gguf", DEV)
    write_gguf(tmp_path / "two.gguf", SCHNELL)
    write_gguf(tmp_path / "three.gguf", {f"model.diffusion_model.{k}": v for k, v in DEV.items()})
    flux(tmp_path / "d")
    flux(tmp_path / "s", guidance_embeds=False)
    flux(tmp_path / "f", "FluxFillPipeline", in_channels=384)
    write_gguf(tmp_path / "fill.gguf", flux_tensors(width=384))

    models = find([tmp_path], None)

    assert {id: m.config_folder and m.config_folder.name for id, m in models.items()} == {
        **dict.fromkeys(("d", "s", "f")),
        "one.gguf": "d",
        "two.gguf": "s",
        "three.gguf": "d",
        "fill.gguf": "f",
    }
    assert listed(tmp_path, "two.gguf").defaults.steps == 4
    assert list(listed(tmp_path, "fill.gguf").tasks) == ["inpaint"]


def test_of_several_folders_the_one_that_the_file_is_named_after_or_that_is_set(
    tmp_path: Path,
) -> None:
    hub = tmp_path / "hub"
    for repo, name in (
        ("FLUX.1-dev", "FluxPipeline"),
        ("FLUX.1-Kontext-dev", "FluxKontextPipeline"),
    ):
        flux(cached(hub, f"black-forest-labs/{repo}"), name)
    models = tmp_path / "models"
    flux(models / "mine")
    for name in ("flux1-dev-Q4_0", "flux1-kontext-dev-Q8_0", "other"):
        write_gguf(models / f"{name}.gguf", DEV)

    by_name = find([models], hub)
    undecided = listed(models, "other.gguf", hub)
    chosen = listed(models, "other.gguf", hub, other="mine")
    wrong = listed(models, "other.gguf", hub, other="gone")
    called_otherwise = {"other.gguf": "black-forest-labs/FLUX.1-Kontext-dev"}

    assert by_name["flux1-dev-Q4_0.gguf"].pipeline == "FluxPipeline"
    assert by_name["flux1-kontext-dev-Q8_0.gguf"].pipeline == "FluxKontextPipeline"
    assert undecided.state == "missing"
    assert "mine and black-forest-labs/FLUX.1-dev could lend it" in undecided.fix
    assert 'set providers.diffusers.ggufBases {"other.gguf": "mine"}' in undecided.fix
    assert chosen.state == "ready"
    by_setting = find([models], hub, called_otherwise)["other.gguf"]
    assert (by_setting.pipeline, by_setting.trouble) == ("FluxKontextPipeline", None)
    assert "gone, which ggufBases names, does not fit it; what fits: mine or black-" in wrong.fix


QWEN = {
    f"{name}.weight": [64, 64]
    for name in (
        *("img_in", "txt_in", "proj_out"),
        *("transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_v"),
        *("transformer_blocks.0.attn.add_q_proj", "transformer_blocks.0.img_mod.1"),
        "transformer_blocks.0.img_mlp.net.2",
    )
}
SD3 = {
    f"{name}.weight": [64, 64]
    for name in (
        *("x_embedder.proj", "context_embedder", "final_layer.linear"),
        *("joint_blocks.0.x_block.attn.qkv", "joint_blocks.0.x_block.attn.proj"),
        *("joint_blocks.0.x_block.mlp.fc1", "joint_blocks.0.x_block.mlp.fc2"),
        "joint_blocks.0.context_block.attn.qkv",
    )
}

FLUX2 = {
    **{f"{name}.weight": [64, 64] for name in flux2_names()},
    "img_in.weight": [3072, 128],
}
HIDREAM = {f"{name}.weight": [64, 64] for name in hidream_names()}
LUMINA = {f"{name}.weight": [64, 64] for name in lumina_names()}
LUMINA["cap_embedder.1.weight"] = [2304, 64]


@pytest.mark.parametrize(
    ("name", "tensors", "command"),
    [
        ("Qwen-Image-Edit-2509-Q8_0", QWEN, "models pull Qwen/Qwen-Image-Edit-2509"),
        ("QwenImageEdit", QWEN, "models pull Qwen/Qwen-Image-Edit"),
        ("qwen-image-special-edition", QWEN, "models pull Qwen/Qwen-Image"),
        ("x", SD3, "models pull stabilityai/stable-diffusion-3-medium-diffusers"),
        ("x", DEV, "models pull black-forest-labs/FLUX.1-dev"),
        ("x", SCHNELL, "models pull black-forest-labs/FLUX.1-schnell"),
        ("x", flux_tensors(width=384), "models pull black-forest-labs/FLUX.1-Fill-dev"),
        ("flux1-Kontext", DEV, "models pull black-forest-labs/FLUX.1-Kontext-dev"),
        ("x", {**DEV, "distilled_guidance_layer.in_proj.weight": [1, 1]}, "lodestones/Chroma1-HD"),
        ("x", FLUX2, "black-forest-labs/FLUX.2-klein-4B"),
        ("x", HIDREAM, "HiDream-ai/HiDream-I1-Fast"),
        ("x", LUMINA, "Alpha-VLLM/Lumina-Image-2.0"),
    ],
)
def test_where_no_folder_lends_it_the_command_that_gets_one_is_told(
    tmp_path: Path, name: str, tensors: Tensors, command: str
) -> None:
    write_gguf(tmp_path / f"{name}.gguf", tensors)
    pipeline(tmp_path / "sd")

    model = listed(tmp_path, f"{name}.gguf")

    assert (model.state, model.tasks) == ("missing", {})
    assert "none of its architecture is here" in model.fix
    assert f"{command} --without transformer" in model.fix


@pytest.mark.parametrize(
    ("tensors", "sign", "family"),
    [
        (FLUX2, "double_stream_modulation_img.lin.weight", "flux2"),
        (HIDREAM, "double_stream_blocks.0.block.attn1.to_q.weight", "hidream"),
        (LUMINA, "noise_refiner.0.attention.out.weight", "lumina"),
        (QWEN, "transformer_blocks.0.img_mod.1.weight", "qwen-image"),
        (SD3, "joint_blocks.0.context_block.attn.qkv.weight", "sd3"),
    ],
)
def test_a_file_that_lacks_tensors_of_its_family_is_no_whole_transformer(
    tmp_path: Path, tensors: Tensors, sign: str, family: str
) -> None:
    kept = {sign, "cap_embedder.1.weight", "img_in.weight"}
    lost = [name for name in tensors if name not in kept][::2]
    write_gguf(tmp_path / "two.gguf", {k: v for k, v in tensors.items() if k in kept})
    write_gguf(tmp_path / "half.gguf", {k: v for k, v in tensors.items() if k not in lost})

    models = [listed(tmp_path, name) for name in ("two.gguf", "half.gguf")]

    for model in models:
        assert model.state == "unusable"
        assert f"is no whole {family} transformer (it holds " in model.fix
        assert "download it again" in model.fix


@pytest.mark.parametrize(
    ("name", "tensors"), [("Qwen_Image_Layered", QWEN), ("canny", flux_tensors(width=128))]
)
def test_of_a_kind_that_the_engine_does_not_run_no_folder_is_named(
    tmp_path: Path, name: str, tensors: Tensors
) -> None:
    write_gguf(tmp_path / f"{name}.gguf", tensors)

    model = listed(tmp_path, f"{name}.gguf")

    assert (model.state, model.tasks) == ("unusable", {})
    assert "of a kind that this engine does not run" in model.fix


def test_the_name_tells_which_of_the_folders_for_editing_lends(tmp_path: Path) -> None:
    layers = {"num_layers": 1}
    for name, kind in (
        ("image", "QwenImagePipeline"),
        ("edit", "QwenImageEditPipeline"),
        ("plus", "QwenImageEditPlusPipeline"),
    ):
        made = pipeline(
            tmp_path / name,
            kind,
            parts={"transformer": 9, "text_encoder": 7, "vae": 6},
            transformer=["diffusers", "QwenImageTransformer2DModel"],
        )
        (made / "transformer" / "config.json").write_text(json.dumps(layers), "utf-8")
    names = ("qwen-image", "qwen-image-edit", "Qwen-Image-Edit-2511", "special-edition", "credit")
    for name in names:
        write_gguf(tmp_path / f"{name}.gguf", QWEN)

    found = find([tmp_path], None)

    lent = [found[f"{name}.gguf"].config_folder for name in names]
    wanted = ("image", "edit", "plus", "image", "image")
    assert lent == [tmp_path / name for name in wanted]


def test_a_folder_that_fits_and_is_not_whole_is_named_with_what_it_lacks(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", DEV)
    (flux(tmp_path / "dev") / "tokenizer" / "vocab.json").unlink()

    assert "none is whole (dev: dev lacks the files of tokenizer" in listed(tmp_path, "x.gguf").fix


@pytest.mark.parametrize(
    ("tensors", "kind", "told"),
    [
        (DEV, 16, "with IQ2_XXS, which diffusers does not read: take one of Q2_K to Q8_0"),
        ({"input_blocks.0.0.weight": [320, 4, 3, 3]}, 1, "is a UNet in GGUF"),
        ({"blk.0.attn_q.weight": [64, 64]}, 8, "of no family (llama) that this engine takes"),
        ({k: v for k, v in DEV.items() if k != "img_in.weight"}, 8, "missing: img_in.weight"),
    ],
)
def test_what_cannot_be_used_says_why(
    tmp_path: Path, tensors: Tensors, kind: int, told: str
) -> None:
    write_gguf(tmp_path / "x.gguf", tensors, "llama", kind)
    flux(tmp_path / "dev")

    model = listed(tmp_path, "x.gguf")

    assert model.state == "unusable"
    assert told in model.fix


def test_without_the_package_the_command_that_gets_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / "x.gguf", DEV)
    flux(tmp_path / "dev")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # pyright: ignore

    model = listed(tmp_path, "x.gguf")

    assert model.state == "missing"
    assert "pip install gguf" in model.fix


def test_a_file_in_the_hubs_cache_is_listed_where_it_is_of_this_engine(tmp_path: Path) -> None:
    flux(cached(tmp_path, "org/dev"))
    for repo, tensors in (("flux", DEV), ("llama", {"blk.0.attn_q.weight": [64, 64]})):
        write_gguf(tmp_path / f"models--org--{repo}" / "snapshots" / "a" / "q.gguf", tensors)

    assert set(find([], tmp_path)) == {"org/dev", "org/flux/q.gguf"}


def test_what_is_packed_is_counted_as_it_lies_in_the_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "x.gguf", DEV)
    flux(tmp_path / "dev")

    parts = find([tmp_path], None)["x.gguf"].parts

    numbers = sum(a * b for a, b in DEV.values())
    assert parts["transformer"].bytes == numbers // 32 * 34
    assert parts["text_encoder_2"].bytes == 16
    assert len(read(path).tensors) == len(DEV)


def test_of_what_is_packed_no_rung_packs_it_anew(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", DEV)
    flux(tmp_path / "dev")

    on_disk = find([tmp_path], None)["x.gguf"]
    model = describe(
        on_disk,
        provider="diffusers",
        missing=(),
        frugal=True,
        loaded=False,
        quantization="auto",
    )

    assert [rung.name for rung in model.memory.rungs] == [
        "full",
        "model offload",
        "group offload",
        "group offload, tiled VAE",
    ]


@pytest.mark.parametrize("length", [0, 3, 10, 30, 60, 90, 20_000])
def test_a_file_that_is_cut_off_is_damaged(tmp_path: Path, length: int) -> None:
    whole = write_gguf(tmp_path / "x.gguf", DEV).read_bytes()
    (tmp_path / "x.gguf").write_bytes(whole[:length])

    with pytest.raises(Damaged):
        read(tmp_path / "x.gguf")
    assert "download it again" in listed(tmp_path, "x.gguf").fix


def test_a_file_of_another_version_is_not_to_be_downloaded_again(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + struct.pack("<III", 1, 0, 0))

    model = listed(tmp_path, "x.gguf")

    assert model.state == "unusable"
    assert "GGUF version 1, and only 2 and 3 are read: take another file" in model.fix
    assert "download" not in model.fix


async def test_one_that_lacks_a_folder_is_refused_before_a_worker_starts(tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", DEV)
    provider = Diffusers(
        "diffusers",
        Settings.model_validate({"modelDirs": [str(tmp_path)], "useHubCache": False}),
        ProviderContext(data_dir=tmp_path / "data"),
    )

    async def progress(share: float, text: str) -> None:
        raise AssertionError(text)

    with pytest.raises(ModelMissing, match="models pull black-forest-labs"):
        await provider.submit(
            ProviderRequest(prompt="x", width=64, height=64),
            listed(tmp_path, "x.gguf"),
            Run(key="k", progress=progress),
        )


def test_the_setting_is_read_as_it_is_documented() -> None:
    settings = Settings.model_validate(json.loads('{"ggufBases": {"a.gguf": "b"}}'))

    assert settings.gguf_bases == {"a.gguf": "b"}


def number(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


def listed_in(*kinds: int, count: int) -> bytes:
    """A pair whose value is a list: the types one after another, and how many of the last."""
    inner = b"".join(struct.pack("<IQ", kind, 1) for kind in kinds[:-1])
    return number(1) + b"k" + struct.pack("<I", 9) + inner + struct.pack("<IQ", kinds[-1], count)


def scalar(name: str) -> bytes:
    return number(len(name)) + name.encode() + struct.pack("<IIQ", 0, 0, 0)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<IQQ", 3, 0, 1) + listed_in(10, count=2**62),
        struct.pack("<IQQ", 3, 0, 1) + listed_in(*[9] * 3000, count=1),
        struct.pack("<IQQ", 3, 2, 0)
        + scalar("noise_refiner.0.attention.out.weight")
        + scalar("cap_embedder.1.weight")
        + bytes(200),
        struct.pack("<IQQ", 3, 2, 0)
        + scalar("double_stream_modulation_img.lin.weight")
        + scalar("img_in.weight")
        + bytes(200),
    ],
    ids=["huge list", "lists in lists", "no sides", "no sides of flux2"],
)
def test_an_odd_file_is_listed_with_why_and_takes_no_other_away(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "odd.gguf").write_bytes(b"GGUF" + content)
    pipeline(tmp_path / "sd")

    found = find([tmp_path], None)

    assert found["sd"].trouble is None
    assert found["odd.gguf"].trouble is not None
    assert listed(tmp_path, "odd.gguf").fix


def test_what_nobody_thought_of_takes_no_other_model_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(sys.modules[find.__module__], "inspect", fail)
    pipeline(tmp_path / "sd")
    (tmp_path / "odd.safetensors").write_bytes(b"")

    found = find([tmp_path], None)

    assert found["sd"].trouble is None
    assert "(ZeroDivisionError: by zero)" in listed(tmp_path, "odd.safetensors").fix
