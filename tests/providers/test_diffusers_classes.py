"""Each class of diffusers that edits with one of our families is offered, or has a reason."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest

from tests.support.model_folders import pipeline
from ziggie_image_providers.diffusers.families import PIPELINES
from ziggie_image_providers.diffusers.scan import folder
from ziggie_image_providers.diffusers.unoffered import REASONS

VERSION = "0.42.1"
"""What the table is of."""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None,
    reason='needs pip install "ziggie-image-mcp[local]"',
)

FAMILIES = re.compile(
    "(StableDiffusion(XL|3)?|LatentConsistencyModel|Flux(2(Klein)?)?|ZImage|QwenImage(21)?"
    "|PixArt(Alpha|Sigma)|HiDreamImage|Chroma|Sana(Sprint)?|Kolors|Lumina2?)(?=[A-Z])"
)
EDITS = re.compile(
    "Img2Img|Inpaint|Edit|Kontext|Fill|Control|Layered|Omni|KV|Redux|Pix2Pix|Adapter"
)
WITHOUT: dict[str, tuple[str, ...]] = {
    "Flux2": ("Img2Img", "Inpaint"),
    "HiDreamImage": ("Img2Img", "Inpaint", "ControlNet"),
    "Kolors": ("Inpaint", "ControlNet"),
    "LatentConsistencyModel": ("Inpaint", "ControlNet"),
    "Lumina2": ("Img2Img", "Inpaint", "ControlNet"),
    "PixArtSigma": ("Img2Img", "Inpaint", "ControlNet"),
    "QwenImage21": ("Img2Img", "Inpaint", "ControlNet"),
    "QwenImageEditPlus": ("Inpaint", "ControlNet"),
    "Sana": ("Img2Img", "Inpaint"),
    "SanaSprint": ("Inpaint", "ControlNet"),
}
"""What diffusers has no class for: nothing can be offered there."""


def classes() -> set[str]:
    """The pipelines that diffusers exports, read without importing it."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None
    assert spec.origin is not None
    names = re.findall(r'"(\w+Pipeline)"', Path(spec.origin).read_text(encoding="utf-8"))
    return {name for name in names if "Modular" not in name}


def offered() -> set[str]:
    names = set(PIPELINES)
    for family in PIPELINES.values():
        names |= {family.image_to_image, family.inpaint}
        for nets in (family.controls, family.image_to_image_controls, family.inpaint_controls):
            names |= set(nets.values())
    return names - {""}


def test_each_class_that_edits_is_offered_or_has_a_reason() -> None:
    edits = {name for name in classes() if FAMILIES.match(name) and EDITS.search(name)}

    assert importlib.metadata.version("diffusers") == VERSION, "look at the new classes"
    assert edits - offered() == set(REASONS)
    assert offered() <= classes()


def test_what_is_said_to_be_without_a_class_has_none() -> None:
    there = {f"{name}{edit}Pipeline" for name, edits in WITHOUT.items() for edit in edits}

    assert there & classes() == set()


def test_a_folder_of_a_class_that_is_not_offered_says_why(tmp_path: Path) -> None:
    model = folder(pipeline(tmp_path, "QwenImageLayeredPipeline"), "x", always=True)

    assert model is not None
    assert model.trouble is not None
    assert model.trouble.kind == "unusable"
    assert "takes a picture apart into layers" in model.trouble.text
