"""Which files of a repository are pulled, by tables of real repositories' layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ziggie_image_mcp.inventory.pipeline_files import RepoFile, select, without_weights

SD: Mapping[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.6.0",
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "requires_safety_checker": False,
}
SD_SETTINGS = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "unet/config.json",
)
UNET = "unet/diffusion_pytorch_model"
TEXT = "text_encoder/model"


def chosen(index: Mapping[str, Any], paths: Sequence[str]) -> set[str]:
    selection = select(index, [RepoFile(path=path, size=1) for path in paths])
    return {file.path for file in selection.files}


@pytest.mark.parametrize(
    ("weights", "taken"),
    [
        pytest.param(
            [f"{UNET}.safetensors", f"{TEXT}.safetensors"],
            [f"{UNET}.safetensors", f"{TEXT}.safetensors"],
            id="plain",
        ),
        pytest.param(
            [
                *(f"{UNET}{v}.safetensors" for v in ("", ".fp16", ".non_ema", ".bf16")),
                *(f"{TEXT}{v}.safetensors" for v in ("", ".fp16")),
                *(f"{UNET}{v}.bin" for v in ("", ".fp16")),
                "text_encoder/pytorch_model.bin",
            ],
            [f"{UNET}.fp16.safetensors", f"{TEXT}.fp16.safetensors"],
            id="fp16 beside all else",
        ),
        pytest.param(
            [f"{UNET}.fp16.safetensors", f"{UNET}.safetensors", f"{TEXT}.safetensors"],
            [f"{UNET}.fp16.safetensors", f"{TEXT}.safetensors"],
            id="one component without the variant",
        ),
        pytest.param(
            [
                *(f"{UNET}.bf16.safetensors", f"{UNET}.fp16.safetensors"),
                *(f"{TEXT}.bf16.safetensors", f"{TEXT}.safetensors"),
            ],
            [f"{UNET}.fp16.safetensors", f"{TEXT}.safetensors"],
            id="one variant for all: a pipeline is loaded with one",
        ),
        pytest.param(
            [f"{UNET}.bf16.safetensors", f"{UNET}.fp32.safetensors", f"{TEXT}.safetensors"],
            [f"{UNET}.bf16.safetensors", f"{TEXT}.safetensors"],
            id="bf16, never fp32",
        ),
        pytest.param(
            [
                f"{UNET}-00001-of-00002.safetensors",
                f"{UNET}-00002-of-00002.safetensors",
                f"{UNET}.safetensors.index.json",
                f"{UNET}.bin.index.json",
                f"{TEXT}.fp16-00001-of-00002.safetensors",
                f"{TEXT}.fp16-00002-of-00002.safetensors",
                f"{TEXT}.safetensors.index.fp16.json",
                f"{TEXT}-00001-of-00001.safetensors",
                f"{TEXT}.safetensors.index.json",
            ],
            [
                f"{UNET}-00001-of-00002.safetensors",
                f"{UNET}-00002-of-00002.safetensors",
                f"{UNET}.safetensors.index.json",
                f"{TEXT}.fp16-00001-of-00002.safetensors",
                f"{TEXT}.fp16-00002-of-00002.safetensors",
                f"{TEXT}.safetensors.index.fp16.json",
            ],
            id="shards with their own index",
        ),
        pytest.param(
            [
                f"{UNET}.fp16-00001-of-00002.safetensors",
                f"{UNET}.safetensors",
                f"{TEXT}.safetensors",
            ],
            [f"{UNET}.safetensors", f"{TEXT}.safetensors"],
            id="a shard is missing from the variant",
        ),
    ],
)
def test_one_format_and_one_precision_are_taken(weights: list[str], taken: list[str]) -> None:
    others = [
        *("README.md", ".gitattributes", "v1-5-pruned.ckpt", "v1-5-pruned.safetensors"),
        *("unet/diffusion_pytorch_model.onnx", "unet/flax_model.msgpack", "unet/model.py"),
        *("safety_checker/model.safetensors", "safety_checker/config.json"),
        *("vae_1_0/config.json", "vae_1_0/diffusion_pytorch_model.safetensors"),
        *("vae_decoder/model.onnx", "text_encoder/openvino_model.xml", "unet/deep/model.json"),
    ]

    assert chosen(SD, [*SD_SETTINGS, *weights, *others]) == {*SD_SETTINGS, *taken}


def test_a_component_without_safetensors_is_named() -> None:
    files = [*SD_SETTINGS, f"{UNET}.bin", f"{TEXT}.safetensors"]

    selection = select(SD, [RepoFile(path=path, size=2) for path in files])

    assert selection.incomplete == ("unet",)
    assert selection.variant is None


def test_bytes_are_those_of_the_files_that_are_taken() -> None:
    sizes = {f"{UNET}.fp16.safetensors": 500, f"{UNET}.safetensors": 1000, f"{TEXT}.safetensors": 7}
    files = [RepoFile(path=path, size=size) for path, size in sizes.items()]

    selection = select(SD, files)

    assert selection.size == 507
    assert selection.variant == "fp16"


def test_a_component_is_left_out_with_its_shards_and_their_index_but_not_its_settings() -> None:
    shards = [f"{UNET}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    paths = [*SD_SETTINGS, *shards, f"{UNET}.safetensors.index.json", f"{TEXT}.safetensors"]
    whole = select(SD, [RepoFile(path=path, size=1) for path in paths])

    left = without_weights(whole, "unet")

    assert {file.path for file in whole.files} == set(paths)
    assert {file.path for file in left.files} == {*SD_SETTINGS, f"{TEXT}.safetensors"}
    assert without_weights(whole, "prior") == whole
