"""Which real model is recommended to which machine, and whether its commands bring it."""

from __future__ import annotations

import fnmatch
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from ziggie_image_mcp.inventory.recommend import (
    Setup,
    advice,
    advice_lines,
    current_setup,
    recommend,
)
from ziggie_image_mcp.inventory.types import Gpu, Hardware
from ziggie_image_providers.diffusers.scan import find

GIB = 2**30
BARE = Setup(python="/venv/bin/python")


def machine(ram_gib: float, *gpus: Gpu, os: str = "Linux", disk_gb: float = 500) -> Hardware:
    return Hardware(
        os=os,
        machine="x86_64",
        ram_total=int(ram_gib * GIB),
        disk_free=int(disk_gb * 1e9),
        gpus=gpus,
    )


def nvidia(gib: int) -> Gpu:
    return Gpu(name=f"RTX with {gib} GB", vendor="nvidia", vram_total=gib * GIB)


APPLE = Gpu(name="Apple M3", vendor="apple", unified_memory=True)
AMD = Gpu(name="RX 7900", vendor="amd", vram_total=24 * GIB)


@pytest.mark.parametrize(
    ("hardware", "title"),
    [
        (machine(32, nvidia(24)), "Z-Image-Turbo"),
        (machine(32, nvidia(16)), "Z-Image-Turbo"),
        (machine(16, nvidia(24)), "Stable Diffusion XL"),  # the weights pass through memory
        (machine(32, nvidia(12)), "FLUX.2 [klein] 4B"),
        (machine(12, nvidia(12)), "Stable Diffusion XL"),
        (machine(16, nvidia(8)), "Stable Diffusion XL"),
        (machine(16, nvidia(6)), "Stable Diffusion 1.5"),
        (machine(16, nvidia(4)), "Stable Diffusion 1.5"),
        (machine(64, APPLE, os="Darwin"), "Z-Image-Turbo"),
        (machine(32, APPLE, os="Darwin"), "FLUX.2 [klein] 4B"),
        (machine(16, APPLE, os="Darwin"), "Stable Diffusion 1.5"),
        (machine(16), "Stable Diffusion 1.5"),
        (machine(32, AMD), "Stable Diffusion 1.5"),  # nobody has run it on one
        (machine(4), None),
        (machine(2, nvidia(2)), None),
        (machine(32, nvidia(24), disk_gb=30), "FLUX.2 [klein] 4B"),
        (machine(32, nvidia(24), disk_gb=12), "Stable Diffusion 1.5"),
        (machine(32, nvidia(24), disk_gb=5), None),
        (replace(machine(16), ram_total=None), None),
        (replace(machine(16), disk_free=None), "Stable Diffusion 1.5"),
    ],
)
def test_the_best_that_fits_is_recommended(hardware: Hardware, title: str | None) -> None:
    best = recommend(hardware, BARE)

    assert (best and best.title) == title


@pytest.mark.parametrize(
    ("hardware", "installs"),
    [
        (machine(32, nvidia(12)), ["whl/cu130", "ziggie-image-mcp[local]"]),
        (machine(16), ["whl/cpu", "ziggie-image-mcp[local]"]),
        (machine(32, AMD), ["whl/cpu", "ziggie-image-mcp[local]"]),
        (machine(16, os="Windows"), ["ziggie-image-mcp[local]"]),
        (machine(32, APPLE, os="Darwin"), ["ziggie-image-mcp[local]"]),
    ],
)
def test_the_commands_install_the_right_torch_and_fetch_the_model(
    hardware: Hardware, installs: list[str]
) -> None:
    best = recommend(hardware, BARE)
    ready = recommend(hardware, replace(BARE, packages=True))

    assert best is not None
    assert ready is not None
    *pip, fetch = best.commands
    assert len(pip) == len(installs)
    for command, part in zip(pip, installs, strict=True):
        assert command.startswith('"/venv/bin/python" -m pip install ')
        assert part in command
    assert fetch.startswith(f"hf download {best.repo} --include ")
    assert ready.commands == (fetch,)


def test_the_text_has_licence_size_and_seconds_with_their_source() -> None:
    text = advice(machine(16), BARE)
    lines = advice_lines(machine(16), BARE)

    assert "Stable Diffusion 1.5 (CreativeML OpenRAIL-M, 2.8 GB on disk, from 5 min to 15" in text
    assert "Local Image Generation Research Report, 2025-11-11, unverified)" in text
    assert all(line in text for line in lines[1:])
    assert len(lines) == 4


def test_where_none_fits_the_way_is_elsewhere() -> None:
    small, full = machine(4), machine(32, nvidia(24), disk_gb=5)

    assert "No local model fits this machine (4.3 GB of memory, no GPU" in advice(small, BARE)
    assert "providers.comfyui.baseUrl" in advice(small, BARE)
    assert "keys set openai" in advice(small, BARE)
    assert "keys set" not in advice(small, replace(BARE, vendors=False))
    assert "needs 39.8 GB of disk, and 5.0 GB are free: make room, or" in advice(full, BARE)


def test_every_figure_has_a_source_with_a_date() -> None:
    text = resources.files("ziggie_image_mcp.inventory") / "recommended_models.json"
    data = json.loads(text.read_text(encoding="utf-8"))

    for model in data["models"]:
        told = set(model["from"])
        figures = {k for k in model if k.endswith(("_gb", "_seconds")) or k == "license"}
        covered = {k for k in figures if k in told or (k.startswith("vram") and "vram" in told)}
        assert covered == figures
        assert {data["sources"][s]["date"] for s in model["from"].values()}


REPOS = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": (
        "StableDiffusionPipeline",
        {
            "text_encoder": ["model", "transformers", "CLIPTextModel"],
            "unet": ["diffusion_pytorch_model", "diffusers", "UNet2DConditionModel"],
            "vae": ["diffusion_pytorch_model", "diffusers", "AutoencoderKL"],
            "safety_checker": ["model", "stable_diffusion", "StableDiffusionSafetyChecker"],
        },
        ("", ".fp16", ".non_ema"),
    ),
    "stabilityai/stable-diffusion-xl-base-1.0": (
        "StableDiffusionXLPipeline",
        {
            "text_encoder": ["model", "transformers", "CLIPTextModel"],
            "text_encoder_2": ["model", "transformers", "CLIPTextModelWithProjection"],
            "unet": ["diffusion_pytorch_model", "diffusers", "UNet2DConditionModel"],
            "vae": ["diffusion_pytorch_model", "diffusers", "AutoencoderKL"],
        },
        ("", ".fp16"),
    ),
    "black-forest-labs/FLUX.2-klein-4B": (
        "Flux2KleinPipeline",
        {
            "text_encoder": ["model", "transformers", "Qwen3ForCausalLM"],
            "transformer": ["diffusion_pytorch_model", "diffusers", "Flux2Transformer2DModel"],
            "vae": ["diffusion_pytorch_model", "diffusers", "AutoencoderKLFlux2"],
        },
        ("",),
    ),
    "Tongyi-MAI/Z-Image-Turbo": (
        "ZImagePipeline",
        {
            "text_encoder": ["model", "transformers", "Qwen3Model"],
            "transformer": ["diffusion_pytorch_model", "diffusers", "ZImageTransformer2DModel"],
            "vae": ["diffusion_pytorch_model", "diffusers", "AutoencoderKL"],
        },
        ("",),
    ),
}
"""What the repositories hold: class, parts with the stem of their weights, and variants."""


def fetched(command: str, files: Sequence[str]) -> list[str]:
    """What `hf download` fetches of a repository, by the rules of huggingface_hub."""
    words = shlex.split(command)
    include = [words[i + 1] for i, word in enumerate(words) if word == "--include"]
    exclude = [words[i + 1] for i, word in enumerate(words) if word == "--exclude"]
    assert len(words) == 3 + 2 * len(include) + 2 * len(exclude)  # else a pattern is a file's name
    return [
        file
        for file in files
        if any(fnmatch.fnmatch(file, p) for p in include)
        and not any(fnmatch.fnmatch(file, p) for p in exclude)
    ]


@pytest.mark.parametrize(
    "hardware",
    [machine(16), machine(16, nvidia(8)), machine(32, nvidia(12)), machine(32, nvidia(24))],
)
def test_what_the_command_fetches_is_listed_as_a_model_that_can_run(
    tmp_path: Path, hardware: Hardware
) -> None:
    best = recommend(hardware, BARE)
    assert best is not None
    pipeline, parts, variants = REPOS[best.repo]
    index = {"_class_name": pipeline} | {n: [lib, kind] for n, (_, lib, kind) in parts.items()}
    empty = (8).to_bytes(8, "little") + b"{}      "
    content = {"model_index.json": json.dumps(index).encode(), "whole.safetensors": empty}
    for name, (stem, _, _) in parts.items():
        content[f"{name}/config.json"] = b"{}"
        content |= {f"{name}/{stem}{variant}.safetensors": empty for variant in variants}
    snapshot = tmp_path / f"models--{best.repo.replace('/', '--')}" / "snapshots" / "abc"

    kept = fetched(best.commands[-1], list(content))
    for file in kept:
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).write_bytes(content[file])
    (model,) = find((), tmp_path).values()

    assert "whole.safetensors" not in kept
    assert model.id == best.repo
    assert model.trouble is None
    assert model.parts.keys() == parts.keys()
    weights = [file for file in kept if file.endswith(".safetensors")]
    assert len(weights) == len(parts)  # none in a second precision


def test_the_commands_are_those_of_this_environment() -> None:
    by_uv = Setup(python="/uv/bin/python", pip=False, hf='"/uv/bin/hf"')
    best = recommend(machine(16), by_uv)

    assert best is not None
    *installs, download = best.commands
    assert installs
    assert all(c.startswith('uv pip install -p "/uv/bin/python" ') for c in installs)
    assert download.startswith('"/uv/bin/hf" download ')
    here = current_setup(vendors=True)
    assert here.pip
    assert here.hf == "hf" or Path(here.hf.strip('"')).parent == Path(sys.executable).parent
