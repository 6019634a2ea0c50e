"""Whether the graphs of all families are such as ComfyUI takes, by what it tells of its nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.fake_comfyui import NODES
from ziggie_image_mcp.provider import ProviderRequest, Task
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_providers.comfyui.compose import (
    BATCH_SCALE,
    ControlFile,
    GraphJob,
    LoraFile,
    base_size,
    batches,
    compose,
    compose_upscale,
)
from ziggie_image_providers.comfyui.graph import Nodes
from ziggie_image_providers.comfyui.kinds import Kind, data, kind

CASES = [
    (family, variant)
    for family, row in data().families.items()
    for variant in ("", *row.get("variants", {}))
]
NEWER = {"TextEncodeQwenImage21", "QwenImage21Cache"}
"""Of ComfyUI 0.37: what its official templates show of them is all that is known here."""
PACKS = {*data().packs, "UnetLoaderGGUF"}
TASKS: tuple[Task, ...] = ("text_to_image", "image_to_image", "inpaint")


def job(how: Kind, task: Task = "text_to_image", **changes: Any) -> GraphJob:
    parts: dict[str, str] = {}
    if how.parts is not None:
        parts = {f"clip_{i}": f"{c}.safetensors" for i, c in enumerate(how.parts.clip, 1)}
        parts["vae"] = "vae.safetensors"
    request = ProviderRequest(task=task, prompt="a fox", width=how.side, height=how.side)
    own: dict[str, Any] = {
        "request": request,
        "kind": how,
        "file": "model.safetensors",
        "whole": how.parts is None,
        "checkpoint": how.parts is None,
        "parts": parts,
        "picture": "" if task == "text_to_image" else "a.png",
        "mask": "m.png" if task == "inpaint" else "",
    }
    return GraphJob(**(own | changes))


def problems(nodes: Nodes) -> list[str]:
    """What ComfyUI's validator would say of a graph, but for values in lists of files."""
    found: list[str] = []
    for id, node in nodes.items():
        name, inputs = node["class_type"], node["inputs"]
        for value in inputs.values():
            if isinstance(value, list) and value[0] not in nodes:
                found.append(f"{id}: a link to {value[0]}, which is not there")
            if isinstance(value, str) and value.startswith("$"):
                found.append(f"{id}: {value} was not filled in")
        if name in NEWER | PACKS:
            continue
        if name not in NODES:
            found.append(f"{id}: no class {name}")
            continue
        told = NODES[name]["input"]
        known = told.get("required", {}) | told.get("optional", {})
        found += [f"{id}: {name} has no input {i}" for i in inputs if i not in known]
        lacking = [i for i in told.get("required", {}) if i not in inputs]
        found += [f"{id}: {name} needs {i}" for i in lacking]
    outputs = [n for n in nodes.values() if n["class_type"] == "SaveImage"]
    if len(outputs) != 1:
        found.append(f"{len(outputs)} outputs")
    return found


def classes(nodes: Nodes) -> list[str]:
    return [node["class_type"] for node in nodes.values()]


def of(nodes: Nodes, name: str) -> list[dict[str, Any]]:
    return [node["inputs"] for node in nodes.values() if node["class_type"] == name]


@pytest.mark.parametrize(("family", "variant"), CASES)
def test_every_kind_makes_a_graph_of_every_task(family: str, variant: str) -> None:
    how = kind(family, variant)
    assert how

    for task in how.tasks:
        assert problems(compose(job(how, task))) == [], task


@pytest.mark.parametrize("family", list(data().families))
def test_every_family_takes_all_that_may_be_laid_over_it(family: str) -> None:
    how = kind(family)
    assert how
    loras = [LoraFile(file="a.safetensors", weight=0.8), LoraFile(file="b.safetensors", weight=-1)]
    control = [
        ControlFile(picture="c.png", net="n.safetensors", weight=0.7, patch=how.control == "patch"),
        ControlFile(picture="d.png", net="u.safetensors", weight=1, union_type="depth"),
    ]

    nodes = compose(
        job(how, loras=loras, control=control[: 1 if how.control == "patch" else 2], tiled=True)
    )

    assert problems(nodes) == []
    loader = "LoraLoader" if how.clip_lora else "LoraLoaderModelOnly"
    assert [lora["lora_name"] for lora in of(nodes, loader)] == ["a.safetensors", "b.safetensors"]
    assert of(nodes, loader)[1]["model"] == ["lora", 0]
    assert "VAEDecodeTiled" in classes(nodes)


@pytest.mark.parametrize(
    ("family", "variant"), [c for c in CASES if (k := kind(*c)) and (k.references or k.ip_adapter)]
)
def test_references_reach_the_model(family: str, variant: str) -> None:
    how = kind(family, variant)
    assert how

    nodes = compose(job(how, references=["one.png", "two.png"]))

    assert problems(nodes) == []
    assert [picture["image"] for picture in of(nodes, "LoadImage")] == ["one.png", "two.png"]


def test_a_picture_above_the_native_area_is_drawn_smaller_first() -> None:
    how = kind("sd1")
    assert how
    size = base_size(how, Size(1024, 768))
    assert size == Size(592, 448)

    nodes = compose(
        job(
            how,
            base=size,
            request=ProviderRequest(prompt="a fox", width=1024, height=768, steps=9, seed=0),
            seeds=(5,),
        )
    )

    first, second = of(nodes, "KSampler")
    assert problems(nodes) == []
    assert of(nodes, "EmptyLatentImage") == [{"width": 592, "height": 448, "batch_size": 1}]
    assert of(nodes, "LatentUpscale")[0]["width"] == 1024
    assert (first["denoise"], second["denoise"]) == (1.0, 0.5)
    assert first["seed"] == second["seed"] == 5
    assert second["latent_image"] == ["larger", 0]


@pytest.mark.parametrize(
    ("family", "size", "hires"),
    [
        ("sd1", Size(512, 768), False),
        ("sd1", Size(768, 768), True),
        ("sdxl", Size(1216, 832), False),
        ("sdxl", Size(1536, 1536), True),
        ("flux1", Size(1536, 1536), False),
        ("flux1", Size(2048, 2048), True),
    ],
)
def test_the_second_pass_is_taken_where_models_would_repeat_themselves(
    family: str, size: Size, hires: bool
) -> None:
    how = kind(family)
    assert how

    assert (base_size(how, size) is not None) == hires


def test_several_pictures_begin_from_noises_of_their_own() -> None:
    how = kind("sdxl")
    assert how

    nodes = compose(job(how, seeds=(7, 8, 9, 10)))

    assert problems(nodes) == []
    assert [noise["noise_seed"] for noise in of(nodes, "RandomNoise")] == [7, 8, 9, 10]
    assert of(nodes, "EmptyLatentImage")[0]["batch_size"] == 1
    assert of(nodes, "LatentMultiply")[0]["multiplier"] == BATCH_SCALE
    assert of(nodes, "LatentBatch")[-1] == {"samples1": ["batch2", 0], "samples2": ["noisy4", 0]}


@pytest.mark.parametrize(
    ("family", "sampler", "scheduler", "task", "possible"),
    [
        ("sdxl", None, None, "text_to_image", True),
        ("sd1", "euler", "normal", "text_to_image", True),
        ("sd1", "euler_ancestral", "normal", "text_to_image", False),
        ("sd1", "euler", "ddim_uniform", "text_to_image", False),
        ("sd1", "euler", "normal", "image_to_image", False),
        ("flux1", None, None, "text_to_image", False),
    ],
)
def test_pictures_are_sampled_together_only_where_each_stays_what_it_is_alone(
    family: str, sampler: str | None, scheduler: str | None, task: Task, possible: bool
) -> None:
    how = kind(family)
    assert how
    request = job(how, task).request

    assert batches(how, replace(request, sampler=sampler, scheduler=scheduler)) == possible


def test_sdxl_hands_over_to_its_refiner() -> None:
    how = kind("sdxl", "base")
    assert how

    nodes = compose(job(how, refiner="refiner.safetensors"))

    first, second = of(nodes, "KSamplerAdvanced")
    assert problems(nodes) == []
    assert (first["end_at_step"], second["start_at_step"]) == (20, 20)
    assert first["return_with_leftover_noise"] == "enable"
    assert second["latent_image"] == ["sampler", 0]


def test_a_gguf_file_and_its_encoders_are_loaded_by_their_node_pack() -> None:
    how = kind("flux1")
    assert how
    parts = {"clip_1": "clip_l.safetensors", "clip_2": "t5-Q8_0.gguf", "vae": "ae.safetensors"}

    nodes = compose(job(how, file="flux1-dev-Q4_0.gguf", gguf=True, parts=parts, whole=False))

    assert classes(nodes)[:3] == ["UnetLoaderGGUF", "DualCLIPLoaderGGUF", "VAELoader"]


def test_a_seamless_picture_pads_in_circles_in_model_and_vae() -> None:
    how = kind("sd1")
    assert how

    nodes = compose(job(how, seamless=True))

    assert problems(nodes) == []
    assert of(nodes, "KSampler")[0]["model"] == ["tile", 0]
    assert of(nodes, "VAEDecode")[0]["vae"] == ["tile_vae", 0]


def test_a_map_is_made_by_the_servers_own_node() -> None:
    how = kind("sd1")
    assert how
    control = ControlFile(picture="c.png", net="n", weight=1, preprocessor="OpenposePreprocessor")

    nodes = compose(job(how, control=[control]))

    assert problems(nodes) == []
    assert of(nodes, "ControlNetApplyAdvanced")[0]["image"] == ["preprocessor", 0]


def test_an_upscaler_ends_at_the_very_size() -> None:
    nodes = compose_upscale("4x.pth", "a.png", Size(300, 200), "p")

    assert problems(nodes) == []
    assert of(nodes, "ImageScale")[0] | {"image": 0} == {
        "image": 0,
        "upscale_method": "lanczos",
        "width": 300,
        "height": 200,
        "crop": "disabled",
    }


@pytest.mark.parametrize("task", ["image_to_image", "inpaint"])
def test_flux2_and_kontext_see_the_picture_and_paint_all_of_it(task: Task) -> None:
    for how in (kind("flux2"), kind("flux1", "kontext")):
        assert how
        nodes = compose(job(how, task))
        assert [r["latent"] for r in of(nodes, "ReferenceLatent")][:1] == [["reference_latent", 0]]
        assert "SplitSigmasDenoise" not in classes(nodes)
        assert all(sampler["denoise"] == 1.0 for sampler in of(nodes, "KSampler"))
