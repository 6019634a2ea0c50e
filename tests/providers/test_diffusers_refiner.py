"""When SDXL's refiner is used, and what is said where it cannot be. No torch is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.model_folders import pipeline
from ziggie_image_mcp.provider import (
    Model,
    ModelMissing,
    ModelUnusable,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    Run,
)
from ziggie_image_providers.diffusers import Diffusers, refiner
from ziggie_image_providers.diffusers.listing import describe, missing_packages
from ziggie_image_providers.diffusers.scan import DiskModel, folder
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.worker_request import refiner_notes, worker_request

REFINER = "StableDiffusionXLImg2ImgPipeline"
BASE = {"unet": 2000, "text_encoder": 100, "text_encoder_2": 500, "vae": 100}
REFINES = {"unet": 1500, "text_encoder_2": 500, "vae": 100}


def sdxl(base: Path, name: str = "sdxl", kind: str = "StableDiffusionXLPipeline") -> DiskModel:
    model = folder(pipeline(base / name, kind, parts=BASE), name)
    assert model is not None
    return model


def refines(base: Path, name: str = "refiner", **index: Any) -> DiskModel:
    index = {"requires_aesthetics_score": True, **index}
    model = folder(pipeline(base / name, REFINER, parts=REFINES, **index), name)
    assert model is not None
    return model


def listed(on_disk: DiskModel) -> Model:
    return describe(on_disk, provider="diffusers", missing=(), frugal=True, loaded=False)


def asked(base: Path, on_disk: DiskModel, steps: int | None, *, refined: bool) -> tuple[Any, ...]:
    """The worker's request, and what is said of the refiner."""
    with_refiner = refines(base) if refined else None
    message = worker_request(
        ProviderRequest(prompt="a fox", width=1024, height=1024, steps=steps),
        listed(on_disk),
        on_disk,
        settings=Settings(),
        context=ProviderContext(data_dir=base),
        with_refiner=with_refiner,
    )
    return message, refiner_notes(with_refiner, on_disk, message)


def test_the_refiner_adds_its_unet_to_the_memory_and_a_note(tmp_path: Path) -> None:
    bare, silence = asked(tmp_path, sdxl(tmp_path), 30, refined=False)
    message, notes = asked(tmp_path, sdxl(tmp_path), 30, refined=True)

    assert bare.refiner is None
    assert silence == []
    assert message.refiner.path == str(tmp_path / "refiner")
    assert message.weight_bytes - bare.weight_bytes == 2 * REFINES["unet"]
    assert message.vram_bytes - bare.vram_bytes == 2 * REFINES["unet"]
    assert notes == ["the last 20% was drawn by the refiner refiner"]


@pytest.mark.parametrize(
    ("name", "steps", "why"),
    [
        ("sdxl", 4, "it takes at least 5 steps"),
        ("sdxl-turbo", 30, "settings of its own"),
        ("juggernaut-xl-lightning", None, "settings of its own"),
        ("playground-v2.5", 50, "settings of its own"),
    ],
)
def test_what_it_cannot_go_on_with_is_drawn_without_it_and_that_is_said(
    tmp_path: Path, name: str, steps: int | None, why: str
) -> None:
    bare, _ = asked(tmp_path, sdxl(tmp_path, name), steps, refined=False)
    message, (note,) = asked(tmp_path, sdxl(tmp_path, name), steps, refined=True)

    assert message == bare
    assert note.startswith("the refiner refiner was left out: ")
    assert why in note


@pytest.mark.parametrize(
    ("kind", "task", "able"),
    [
        ("StableDiffusionXLPipeline", "text_to_image", True),
        ("StableDiffusionXLPipeline", "image_to_image", False),
        ("StableDiffusionXLPipeline", "inpaint", False),
        ("StableDiffusionXLInpaintPipeline", "text_to_image", False),
        ("StableDiffusionPipeline", "text_to_image", False),
        ("FluxPipeline", "text_to_image", False),
    ],
)
def test_it_goes_on_with_what_sdxl_makes_from_a_text(
    tmp_path: Path, kind: str, task: str, able: bool
) -> None:
    on_disk = folder(pipeline(tmp_path / "model", kind), "model")
    assert on_disk is not None

    assert refiner.refines(on_disk, task) == able


def test_a_folder_of_its_class_is_a_refiner_by_its_aesthetics_score(tmp_path: Path) -> None:
    assert refines(tmp_path).family == "sdxl-refiner"
    assert refines(tmp_path, "saved", requires_aesthetics_score=False).family == "sdxl"
    assert list(listed(refines(tmp_path)).tasks) == ["image_to_image"]


@pytest.mark.skipif(
    bool(missing_packages()),
    reason='needs pip install "ziggie-image-mcp[local]"',
)
@pytest.mark.parametrize(
    ("name", "error", "word"),
    [
        ("nowhere", ModelMissing, "no such model is in modelDirs"),
        ("sdxl", ModelUnusable, "no refiner of SDXL"),
        ("half", ModelMissing, "lacks complete weights for unet"),
    ],
)
async def test_a_wrong_refiner_is_a_typed_error_before_anything_is_loaded(
    tmp_path: Path, name: str, error: type[ProviderError], word: str
) -> None:
    on_disk = sdxl(tmp_path)
    (refines(tmp_path, "half").path / "unet" / "model.safetensors").unlink()
    provider = Diffusers(
        "diffusers",
        Settings.model_validate(
            {"modelDirs": [str(tmp_path)], "useHubCache": False, "refiner": name}
        ),
        ProviderContext(data_dir=tmp_path / "data"),
    )
    request = ProviderRequest(prompt="a fox", width=1024, height=1024)

    with pytest.raises(error, match=word) as caught:
        await provider.submit(request, listed(on_disk), Run(key="k", progress=silence))

    assert f"providers.diffusers.refiner is '{name}'" in str(caught.value)
    assert not (await provider.probe()).loaded_model


async def silence(share: float, text: str) -> None:
    """Take progress and do nothing."""
