"""What a model file is taken for: by tables of names that others collected, and by what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ziggie_image_providers.comfyui.headers import Tensors, read_tensors
from ziggie_image_providers.comfyui.kinds import data, kind
from ziggie_image_providers.comfyui.recognition import FileFacts, Folder, Verdict, recognise

HERE = Path(__file__).parent
FIRST = "comfyui_file_names.json"
"""Collected from model lists, issues and templates before there were rules."""
SECOND = "comfyui_file_names_second.json"
"""Collected from users' own lists by a reader who had not seen the rules."""

MISSED = {
    # Said by its author alone: RealVisXL wants 5 steps.
    "RealVisXL_V5.0_Lightning_fp16.safetensors",
    # No word of the family is in the name.
    "svdq-int4_r32-pixelwave-schnell-04.safetensors",
    "1pt5\\animatrix_v20.safetensors",
    # Two families are named.
    "fenrisxl_fenrisFluxV1.safetensors",
    # Distilled, and does not say so.
    "Z-Image\\swiftFastAndDetailed_neo.gguf",
    "ZIT\\gonzalomoZpop_v30AIO.safetensors",
}
"""Of those names that tell: what is not read right. At first sight of the second table these were
eight of its 122, three of them files in NF4 that were taken for usable."""

MISLEADING = {
    "AnythingXL_inkBase.safetensors",
    "sdxl\\anything_inkBase.safetensors",
    "sdxl\\anythingelseV4_v45.safetensors",
    "sdxl\\sweetMix_v22Flat.safetensors",
}
"""SD 1.5 under a name or in a folder of SDXL: only size or tensors show it."""


def rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((HERE / name).read_text(encoding="utf-8"))
    return rows


def verdict(row: dict[str, Any]) -> Verdict:
    return recognise(FileFacts(file=row["file"], folder=row["folder"], size=row["bytes"]), {})


def is_right(row: dict[str, Any]) -> bool:
    found = verdict(row)
    if found.family != row["family"] or found.format != row["format"]:
        return False
    how = kind(found.family, found.variant, found.steps)
    if how is None:
        return True
    runs_fewer = row["variant"] in (
        "turbo",
        "lightning",
        "hyper",
        "lcm",
        "dmd",
        "few-step",
        "schnell",
    )
    special = row["variant"] in ("fill", "kontext", "edit", "inpaint", "canny", "depth", "instruct")
    if special and found.variant.removesuffix("-lightning") != row["variant"]:
        return False
    distilled = how.distilled or found.variant == "2.1"
    if not special and runs_fewer and not distilled:
        return False
    return row["steps"] is None or row["steps"] in (how.steps, found.steps)


def test_the_tables_are_as_large_as_they_should_be() -> None:
    first, second = rows(FIRST), rows(SECOND)

    assert len(first) >= 150
    assert len(second) >= 50
    assert all(row["source"] for row in first + second)
    assert {row["family"] for row in first} >= data().families.keys()


@pytest.mark.parametrize("table", [FIRST, SECOND])
def test_a_name_that_tells_its_family_is_read_right(table: str) -> None:
    telling = [row for row in rows(table) if row["tells"]]

    missed = {row["file"] for row in telling if not is_right(row)}

    assert missed - MISSED == set()


@pytest.mark.parametrize("table", [FIRST, SECOND])
def test_a_name_that_does_not_tell_is_left_open_rather_than_taken_for_another(table: str) -> None:
    silent = [row for row in rows(table) if not row["tells"]]

    wrong = {row["file"] for row in silent if verdict(row).family not in ("", row["family"])}

    assert wrong - MISLEADING == set()


@pytest.mark.parametrize(
    ("file", "folder", "size", "family"),
    [
        ("AnythingXL_inkBase.safetensors", "checkpoints", 2_132_625_894, "sd1"),
        ("mystery.safetensors", "checkpoints", 3_850_000_000, "sd1"),
        ("mystery.safetensors", "checkpoints", 5_580_000_000, "sd1"),
        ("mystery.safetensors", "checkpoints", 2_580_000_000, "sd1"),
        ("mystery.safetensors", "checkpoints", 6_938_078_334, "sdxl"),
        ("mystery.safetensors", "checkpoints", 5_214_561_328, "sd2"),
        ("mystery.safetensors", "checkpoints", 17_246_524_772, "flux1"),
        ("mystery.safetensors", "diffusion_models", 23_802_932_552, "flux1"),
        ("mystery.safetensors", "diffusion_models", 6_938_078_334, ""),
        ("mystery.safetensors", "checkpoints", 4_900_000_000, ""),
        ("SD15\\mystery.safetensors", "checkpoints", None, "sd1"),
        ("sdxl/mystery.safetensors", "checkpoints", None, "sdxl"),
        ("Pony/mystery.safetensors", "checkpoints", None, "sdxl"),
    ],
)
def test_folder_and_size_speak_where_the_name_is_silent(
    file: str, folder: Folder, size: int | None, family: str
) -> None:
    assert recognise(FileFacts(file=file, folder=folder, size=size), {}).family == family


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("stable-diffusion-v1", "sd1"),
        ("stable-diffusion-xl-v1-base", "sdxl"),
        ("stable-diffusion-xl-v1-refiner", "sdxl-refiner"),
        ("stable-diffusion-xl-v1-base/lora", "other"),
        ("Flux.1-dev", "flux1"),
        ("flux.2-dev", "flux2"),
        ("qwen-image", "qwen-image"),
        ("brand-new", ""),
    ],
)
def test_metadata_say_the_family(architecture: str, family: str) -> None:
    facts = FileFacts(
        file="x.safetensors",
        folder="checkpoints",
        metadata={"modelspec.architecture": architecture},
    )

    assert recognise(facts, {}).family == family


U = "model.diffusion_model."


def unet(width: int, channels: int = 4, *more: str) -> Tensors:
    return {
        f"{U}input_blocks.0.0.weight": [320, channels, 3, 3],
        f"{U}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": [320, width],
        "cond_stage_model.transformer.x": [1],
    } | {name: [1] for name in more}


@pytest.mark.parametrize(
    ("tensors", "family", "variant"),
    [
        (unet(768), "sd1", ""),
        (unet(768, 9), "sd1", "inpaint"),
        (unet(768, 8), "sd1", "instruct"),
        (unet(1024), "sd2", ""),
        (unet(2048, 4, f"{U}label_emb.0.0.weight"), "sdxl", ""),
        (unet(2048, 4, f"{U}label_emb.0.0.weight", "edm_mean"), "playground", ""),
        (
            {f"{U}input_blocks.0.0.weight": [384, 4, 3, 3], f"{U}label_emb.0.0.weight": [1]},
            "sdxl-refiner",
            "",
        ),
        ({"joint_blocks.0.context_block.attn.qkv.weight": [1]}, "sd3", ""),
        (
            {
                "double_blocks.0.img_attn.norm.key_norm.scale": [128],
                "img_in.weight": [3072, 64],
                "guidance_in.in_layer.weight": [1],
            },
            "flux1",
            "",
        ),
        (
            {"double_blocks.0.img_attn.norm.key_norm.scale": [128], "img_in.weight": [3072, 64]},
            "flux1",
            "schnell",
        ),
        (
            {"double_blocks.0.img_attn.norm.key_norm.scale": [128], "img_in.weight": [3072, 384]},
            "flux1",
            "fill",
        ),
        (
            {
                "double_blocks.0.img_attn.norm.key_norm.scale": [128],
                "distilled_guidance_layer.in_proj.weight": [1],
            },
            "chroma",
            "",
        ),
        (
            {"double_stream_modulation_img.lin.weight": [1], "txt_in.weight": [6144, 15360]},
            "flux2",
            "",
        ),
        (
            {"double_stream_modulation_img.lin.weight": [1], "txt_in.weight": [3072, 7680]},
            "flux2-klein",
            "",
        ),
        ({"cap_embedder.1.weight": [3840, 2560]}, "z-image", ""),
        ({"cap_embedder.1.weight": [2304, 2304]}, "lumina", ""),
        ({"txt_norm.weight": [3584]}, "qwen-image", ""),
        ({"caption_projection.0.linear.weight": [1]}, "hidream", ""),
        ({"t_block.1.weight": [1]}, "pixart", ""),
    ],
)
def test_tensors_say_more_than_a_name_that_says_another(
    tensors: Tensors, family: str, variant: str
) -> None:
    facts = FileFacts(file="sd_xl_thing.safetensors", folder="checkpoints", tensors=tensors)

    found = recognise(facts, {})

    assert found.family == family
    assert found.variant == variant


def test_the_users_word_wins_over_tensors() -> None:
    facts = FileFacts(file="SUB/Mystery.ckpt", folder="checkpoints", tensors=unet(768))

    assert recognise(facts, {"mystery*": "sdxl"}).family == "sdxl"


def test_tensors_are_read_from_the_head_of_a_file_and_nothing_from_a_damaged_one(
    tmp_path: Path,
) -> None:
    head = json.dumps({"__metadata__": {"a": "b"}, "x": {"dtype": "F16", "shape": [2, 3]}}).encode()
    sound, short, long = (tmp_path / n for n in ("sound", "short", "long"))
    sound.write_bytes(len(head).to_bytes(8, "little") + head + b"tensors")
    short.write_bytes(len(head).to_bytes(8, "little") + head[:10])
    long.write_bytes((2**40).to_bytes(8, "little") + head)

    assert read_tensors(sound) == {"x": [2, 3]}
    assert read_tensors(short) is None
    assert read_tensors(long) is None
    assert read_tensors(tmp_path / "absent") is None


@pytest.mark.parametrize("family", list(data().families))
def test_every_family_and_variant_is_a_kind_that_can_be_composed(family: str) -> None:
    variants = data().families[family].get("variants", {})

    for variant in ("", *variants):
        how = kind(family, variant)
        assert how is not None
        assert how.tasks or how.why_not
        for role in (*how.parts.clip, how.parts.vae) if how.parts else ():
            assert role in data().files
