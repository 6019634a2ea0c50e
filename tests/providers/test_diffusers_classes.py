"""Each class of diffusers that edits with one of our families is offered, or has a reason."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.diffusers_calls import plain, size_of
from tests.support.model_folders import pipeline
from ziggie_image_mcp.provider import (
    Model,
    ProviderContext,
    ProviderRequest,
    RequestRejected,
    Run,
)
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.additions import Addition
from ziggie_image_providers.diffusers.families import PIPELINES
from ziggie_image_providers.diffusers.listing import describe, missing_packages
from ziggie_image_providers.diffusers.reference_limits import fit_pictures
from ziggie_image_providers.diffusers.scan import folder
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.unoffered import REASONS
from ziggie_image_providers.diffusers.worker_request import differences, worker_request

VERSION = "0.42.1"
"""What the table is of."""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("diffusers") is None,
    reason='needs pip install "ziggie-image-mcp[local]"',
)

FAMILIES = re.compile(
    "(StableDiffusion(XL|3)?|LatentConsistencyModel|Flux(2(Klein)?)?|ZImage|QwenImage(21)?"
    "|IF(?=I)|PixArt(Alpha|Sigma)|HiDreamImage|Chroma|Sana(Sprint)?|Kolors|Lumina2?)(?=[A-Z])"
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


def source() -> Path:
    """The folder of diffusers, which is not imported."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def classes() -> set[str]:
    """The pipelines that diffusers exports, read without importing it."""
    text = (source() / "__init__.py").read_text(encoding="utf-8")
    names = re.findall(r'"(\w+Pipeline)"', text)
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


def test_the_classes_that_check_their_references_have_the_limits_of_the_check() -> None:
    pipelines = source() / "pipelines"
    texts = {path: path.read_text(encoding="utf-8") for path in pipelines.glob("*/*.py")}
    check = texts[pipelines / "flux2" / "image_processor.py"]
    aspect = re.search(r"max_aspect_ratio: int = (\d+)", check)
    side = re.search(r"min_side_length: int = (\d+)", check)
    checked = {
        name
        for text in texts.values()
        if "image_processor.check_image_input(" in text
        for name in re.findall(r"class (\w+Pipeline)\(", text)
    } & offered()

    assert aspect is not None
    assert side is not None
    assert checked == {"Flux2Pipeline", "Flux2KleinPipeline"}
    for name in checked:
        family = PIPELINES[name]
        assert (family.reference_side, family.reference_aspect) == (int(side[1]), int(aspect[1]))


def request(**changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {"prompt": "a fox", "width": 64, "height": 64, **changes}
    return ProviderRequest(**values)


def model_of(base: Path, kind: str) -> Model:
    on_disk = folder(pipeline(base / kind, kind), kind)
    assert on_disk is not None
    return describe(on_disk, provider="diffusers", missing=(), frugal=True, loaded=False)


@pytest.mark.parametrize(
    ("kind", "size", "masked", "fitted"),
    [
        ("Flux2Pipeline", (32, 32), False, (64, 64)),
        ("Flux2KleinPipeline", (20, 160), False, (64, 512)),
        ("Flux2KleinPipeline", (64, 512), False, (64, 512)),
        ("Flux2KleinPipeline", (32, 32), True, (32, 32)),
        ("Flux2KleinPipeline", (300, 10), True, (480, 16)),
        ("FluxKontextPipeline", (8, 16), False, (16, 32)),
        ("QwenImage21Pipeline", (1, 1), False, (1, 1)),
        ("QwenImageEditPlusPipeline", (200, 2), False, (200, 2)),
        ("StableDiffusionPipeline", (2000, 3), False, (2000, 3)),
    ],
)
def test_a_reference_below_the_least_side_of_its_class_is_enlarged_in_its_shape(
    tmp_path: Path, kind: str, size: tuple[int, int], masked: bool, fitted: tuple[int, int]
) -> None:
    white, mask = plain("white"), plain("white", "L") if masked else None
    asked = request(image=white, mask=mask, references=(white, plain("red", size=size)))

    result, notes = fit_pictures(asked, model_of(tmp_path, kind), PIPELINES[kind])

    assert [size_of(png) for png in result.references] == [(64, 64), fitted]
    assert result.image == white
    was = f"reference 2 was enlarged from {size[0]}x{size[1]} to {fitted[0]}x{fitted[1]}: "
    assert [note.startswith(was) for note in notes] == ([] if fitted == size else [True])


@pytest.mark.parametrize("kind", ["Flux2Pipeline", "Flux2KleinPipeline"])
def test_the_picture_to_change_is_enlarged_where_it_is_looked_at(tmp_path: Path, kind: str) -> None:
    asked = request(width=96, height=32, image=plain("red", size=(96, 32)))

    result, (note,) = fit_pictures(asked, model_of(tmp_path, kind), PIPELINES[kind])

    assert size_of(result.image or b"") == (192, 64)
    assert (result.width, result.height) == (96, 32)
    assert note.startswith("the picture to change was enlarged from 96x32 to 192x64: ")


@pytest.mark.parametrize(
    ("kind", "keeps_alpha"),
    [
        ("StableDiffusionPipeline", False),
        ("Flux2KleinPipeline", False),
        ("QwenImage21Pipeline", True),
    ],
)
def test_transparent_references_are_laid_on_white_and_that_is_said_unless_alpha_is_kept(
    tmp_path: Path, kind: str, keeps_alpha: bool
) -> None:
    adapter = Addition(
        id="a", path=tmp_path, role="ip_adapter", family="sd1", bytes=1, encoder=tmp_path
    )
    on_disk = folder(pipeline(tmp_path / "model", kind), "model")
    assert on_disk is not None
    asked = request(
        references=(plain("red"), plain("#ff000000", "RGBA"), plain("#ff0000ff", "RGBA")),
    )
    message = worker_request(
        asked,
        describe(on_disk, provider="d", missing=(), frugal=True, loaded=False),
        on_disk,
        settings=Settings(),
        context=ProviderContext(data_dir=tmp_path),
        additions=[adapter],
    )

    notes = differences(asked, message)

    note = "the transparent parts of reference 2 were laid on white: "
    note += "this model knows no transparency"
    assert notes == ([] if keeps_alpha else [note])


@pytest.mark.skipif(
    bool(missing_packages()),
    reason='needs pip install "ziggie-image-mcp[local]"',
)
@pytest.mark.parametrize(
    ("kind", "size", "most"),
    [
        ("Flux2Pipeline", (300, 20), "8:1"),
        ("Flux2KleinPipeline", (64, 513), "8:1"),
        ("FluxKontextPipeline", (2000, 3), "100:1"),
        ("QwenImage21Pipeline", (2000, 11), "100:1"),
    ],
)
async def test_a_reference_that_is_too_narrow_for_its_class_is_refused_before_a_worker_starts(
    tmp_path: Path, kind: str, size: tuple[int, int], most: str
) -> None:
    narrow = request(
        references=(plain("red"), plain("red", size=size)), reference_ids=("one", "two")
    )
    model = model_of(tmp_path, kind)
    provider = Diffusers(
        "diffusers",
        Settings.model_validate({"modelDirs": [str(tmp_path)], "useHubCache": False}),
        ProviderContext(data_dir=tmp_path / "data"),
    )

    with pytest.raises(RequestRejected, match=r"^reference 2 \(two\) is .* crop it") as caught:
        await provider.submit(narrow, model, Run(key="k", progress=silence))

    assert f"{size[0]}x{size[1]}" in str(caught.value)
    assert f"longer than {most}" in str(caught.value)
    assert not (await provider.probe()).loaded_model


async def silence(share: float, text: str) -> None:
    """Take progress and do nothing."""
