"""Which real model is recommended to which machine, and whether its commands bring it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.inventory.pipeline_files import RepoFile, select
from ziggie_image_mcp.inventory.recommend import (
    Setup,
    advice,
    advice_lines,
    current_setup,
    hub_install,
    license_facts,
    pull_command,
    recommend,
    repository_of,
    suitable,
    unsuitable,
)
from ziggie_image_mcp.inventory.types import Gpu, Hardware
from ziggie_image_mcp.provider.installing import PythonEnvironment
from ziggie_image_providers.diffusers.scan import find

GIB = 2**30
BARE = Setup(environment=PythonEnvironment(kind="pip", python="/venv/bin/python"))


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
        assert command.startswith("/venv/bin/python -m pip install ")
        assert part in command
    assert fetch == f"ziggie-image-mcp models pull {best.name}"
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
        figures = {k for k, v in model.items() if k.endswith(("_gb", "_seconds")) and v is not None}
        figures.add("license")
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


@pytest.mark.parametrize(
    "hardware",
    [machine(16), machine(16, nvidia(8)), machine(32, nvidia(12)), machine(32, nvidia(24))],
)
def test_what_a_pull_selects_is_listed_as_a_model_that_can_run(
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

    selection = select(index, [RepoFile(path=p, size=len(c)) for p, c in content.items()])
    kept = [file.path for file in selection.files]
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
    by_uv = Setup(environment=PythonEnvironment(kind="uv", python="/uv/bin/python"))
    best = recommend(machine(16), by_uv)

    assert best is not None
    *installs, _ = best.commands
    assert installs
    assert all(c.startswith("uv pip install -p /uv/bin/python ") for c in installs)
    assert hub_install(by_uv) == 'uv pip install -p /uv/bin/python "ziggie-image-mcp[hub]"'
    assert current_setup(vendors=True).environment.kind == "pip"


def test_for_one_run_by_uvx_all_is_installed_for_good_at_once() -> None:
    best = recommend(machine(32, nvidia(12)), Setup(environment=BY_UVX))

    assert best is not None
    index = "https://download.pytorch.org/whl/cu130"
    assert best.commands[0] == f'uv tool install --index {index} "ziggie-image-mcp[local]"'
    assert best.commands[1:] == (f"ziggie-image-mcp models pull {best.name}",)


BY_UVX = PythonEnvironment(kind="uvx", python="/cache/archive-v0/x/bin/python")
RTX_4070 = machine(64, nvidia(12))


def test_what_suits_is_listed_best_first_with_the_reason() -> None:
    rows = suitable(RTX_4070, BARE, "commercial")

    assert [row.name for row in rows] == [
        *("flux2-klein-4b", "sd35-medium", "sdxl-base", "lumina2", "sd15")
    ]
    klein, medium, *_, sd15 = rows
    assert klein.why == "fits RTX with 12 GB with its parts moved in turn: 10.7 of 12.9 GB"
    assert sd15.why == "fits whole on RTX with 12 GB: 4.0 of 12.9 GB"
    assert sd15.seconds == (0.9, 2)
    assert medium.gated
    assert medium.condition.startswith("free for those whose revenue is below USD 1 million")
    assert medium.seconds is None
    assert medium.pace == "seconds a picture not known"


def test_a_licence_wish_of_any_adds_what_is_not_for_commercial_use() -> None:
    more = {row.name for row in suitable(machine(64, nvidia(48)), BARE, "any")}
    fewer = {row.name for row in suitable(machine(64, nvidia(48)), BARE, "commercial")}

    assert more - fewer == {"deepfloyd-if", "flux1-dev", "flux2-klein-9b", "sdxl-turbo"}


def test_a_model_in_stages_is_got_by_a_command_for_each() -> None:
    rows = suitable(machine(64, nvidia(48)), BARE, "any")

    commands = next(row.commands for row in rows if row.name == "deepfloyd-if")

    assert [line.removeprefix("ziggie-image-mcp models pull ") for line in commands[-3:]] == [
        "deepfloyd-if",
        "DeepFloyd/IF-II-L-v1.0 --without text_encoder",
        "stabilityai/stable-diffusion-x4-upscaler",
    ]
    assert pull_command("deepfloyd") == " && ".join(commands[-3:])


@pytest.mark.parametrize(
    ("hardware", "name", "why_not"),
    [
        (RTX_4070, "z-image-turbo", "needs 15.9 GB on the GPU even in parts, and RTX with 12 GB"),
        (machine(12, nvidia(12)), "flux2-klein-4b", "needs 20 GB of memory while it is loaded"),
        (machine(4), "sd15", "needs 7 GB of memory; here: 4.3 GB of memory, no GPU"),
        (machine(16), "sdxl-base", "needs a GPU; here: 17.2 GB of memory"),
        (machine(16, APPLE, os="Darwin"), "sdxl-base", "needs 13.0 GB, and 12.0 GB of memory are"),
        (machine(64, nvidia(12), disk_gb=12), "flux2-klein-4b", "needs 23.0 GB of disk, and 12.0"),
        (RTX_4070, "sdxl-turbo", "not for commercial use (Stability AI Non-Commercial"),
    ],
)
def test_each_model_that_is_left_out_has_its_reason(
    hardware: Hardware, name: str, why_not: str
) -> None:
    rows = unsuitable(hardware, BARE, "commercial")

    assert next(row.why_not for row in rows if row.name == name).startswith(why_not)
    left = len(suitable(hardware, BARE, "commercial")) + len(rows)
    assert left == len(suitable(hardware, BARE, "any")) + len(unsuitable(hardware, BARE, "any"))


def test_what_needs_an_account_or_a_licence_is_never_the_advice() -> None:
    gated = {row.name for row in suitable(machine(64, nvidia(48)), BARE, "any") if row.gated}

    best = recommend(machine(64, nvidia(48), disk_gb=45), BARE)

    assert "flux1-dev" in gated
    assert best is not None
    assert best.name not in gated


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        ("sd15", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
        ("Z-Image-Turbo", "Tongyi-MAI/Z-Image-Turbo"),
        ("SDXL_base@abc", "stabilityai/stable-diffusion-xl-base-1.0@abc"),
        ("some/body@v1", "some/body@v1"),
    ],
)
def test_a_name_stands_for_its_repository(name: str, repo: str) -> None:
    assert repository_of(name) == repo


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match="Did you mean 'sdxl-base'"):
        repository_of("sdxl-bse")


def test_the_licence_of_a_repository_is_told_with_its_condition_and_source() -> None:
    facts = license_facts("stabilityai/Stable-Diffusion-3.5-medium")

    assert facts.startswith("Stability AI Community License; commercial use allowed; free for")
    assert "2026-11-23" in facts
    assert license_facts("somebody/else") == ""
