"""Editing, LoRAs and ControlNets of the diffusers provider, on models with random weights."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import io
import json
import math
import re
import shutil
import struct
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from mcp import Client
from mcp.types import TextContent
from PIL import Image, ImageChops, ImageStat

from tests.support.diffusers_calls import (
    build_models,
    generation,
    model_named,
    picture,
    plain,
    replaced_file,
    size_of,
    worker_for,
)
from tests.support.factory import opener
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.hardware_probe import NEED_MARGIN
from ziggie_image_mcp.inventory.types import Gpu, Hardware, Survey
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import (
    Control,
    FreeSize,
    InvalidOutput,
    Lora,
    Model,
    ModelMissing,
    ModelUnusable,
    ProviderContext,
    ProviderRequest,
    RequestRejected,
    Task,
    options_of,
    peak_bytes,
)
from ziggie_image_mcp.provider.seams import seam
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import ControlImage, ImageRequest
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.types import InputImage
from ziggie_image_providers import builtin
from ziggie_image_providers.diffusers import Diffusers
from ziggie_image_providers.diffusers.additions import find_additions
from ziggie_image_providers.diffusers.families import PIPELINES
from ziggie_image_providers.diffusers.scan import find, locate
from ziggie_image_providers.diffusers.settings import Settings
from ziggie_image_providers.diffusers.worker_request import worker_request

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers", "peft")),
        reason='needs pip install "ziggie-image-mcp[local]"',
    ),
]

needs_gguf = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None, reason='needs pip install "ziggie-image-mcp[local]"'
)

LEFT = plain("white", "L", (0, 0, 32, 64))
RIGHT = plain("white", "L", (32, 0, 64, 64))
FAMILIES = {
    "StableDiffusionPipeline": "sd1",
    "StableDiffusionInpaintPipeline": "sd1-inpaint",
    "LatentConsistencyModelPipeline": "lcm",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLImg2ImgPipeline": "refiner",
    "StableDiffusionXLInpaintPipeline": "sdxl-inpaint",
    "StableDiffusion3Pipeline": "sd3",
    "FluxPipeline": "flux",
    "FluxKontextPipeline": "kontext",
    "FluxFillPipeline": "fill",
    "Flux2Pipeline": "flux2",
    "Flux2KleinPipeline": "klein",
    "ZImagePipeline": "z-image",
    "QwenImagePipeline": "qwen-image",
    "QwenImageEditPipeline": "qwen-edit",
    "QwenImageEditPlusPipeline": "qwen-edit-plus",
    "QwenImage21Pipeline": "qwen-image-2.1",
    "PixArtSigmaPipeline": "pixart",
    "ChromaPipeline": "chroma",
    "SanaPipeline": "sana",
    "SanaSprintPipeline": "sprint",
    "KolorsPipeline": "kolors",
}
"""The small model of each class."""

SLOW = ("qwen-edit", "qwen-edit-plus", "qwen-image-2.1", "sana")
"""Their classes make a megapixel of each picture: 2 to 20 s for each."""

NEEDS_SENTENCEPIECE = pytest.mark.skipif(
    importlib.util.find_spec("sentencepiece") is None, reason="needs pip install sentencepiece"
)
TRIED = [
    pytest.param(
        id,
        marks=[
            *([pytest.mark.soak] if id in SLOW else []),
            *([NEEDS_SENTENCEPIECE] if id == "kolors" else []),
        ],
    )
    for id in FAMILIES.values()
]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("families") / "not" / "there"
    build_models("tests.support.random_families", folder)
    shutil.copytree(Path(builtin.__file__).parent, folder / "trained")
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider(zoo: Path) -> AsyncGenerator[Diffusers]:
    async with worker_for(zoo, refiner="refiner") as one:
        yield one


def edited(colour: str = "red", **changes: Any) -> dict[str, Any]:
    return {"task": "image_to_image", "image_id": "i", "image": plain(colour), **changes}


def masked(mask: bytes, **changes: Any) -> dict[str, Any]:
    more = {"task": "inpaint", "mask_id": "m", "mask": mask, "strength": 1.0}
    return edited() | more | changes


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


def guided(kind: str, colour: str = "white", weight: float = 1.0) -> Control:
    box = (16, 16, 48, 48)
    return Control(kind=kind, image_id="c", image=plain(colour, box=box), weight=weight)


def inexact(model: Model) -> list[tuple[int, int]]:
    """The size that comes of 64x64 where the class keeps the shape alone."""
    rules = [capability.sizes for capability in model.tasks.values()]
    return [(1024, 1024) for rule in rules if isinstance(rule, FreeSize) and not rule.exact]


@contextmanager
def replaced_weights(
    folder: Path, part: str = "unet", layer: str = "conv_out.weight", factor: float = 9.0
) -> Generator[None]:
    """Another refiner, or another stage, under the same name: one with a layer multiplied."""
    file = folder / part / "diffusion_pytorch_model.safetensors"
    numpy = importlib.import_module("safetensors.numpy")
    tensors = numpy.load(file.read_bytes())
    changed = {k: v * v.dtype.type(factor) for k, v in tensors.items() if k.startswith(layer)}
    assert changed
    with replaced_file(file, numpy.save({**tensors, **changed})):
        yield


async def test_every_class_that_edits_has_a_small_model_here() -> None:
    edits = {name for name, family in PIPELINES.items() if family.edits}

    assert edits - FAMILIES.keys() == set()


@pytest.mark.parametrize("id", TRIED)
async def test_each_family_does_each_task_that_it_declares_and_looks_at_its_pictures(
    provider: Diffusers, id: str
) -> None:
    model = await model_named(provider, id)
    steps = {"steps": model.defaults.steps and min(model.defaults.steps, 2)}
    ways: dict[Task, list[dict[str, Any]]] = {
        "text_to_image": [{}],
        "image_to_image": [edited("red"), edited("blue")],
        "inpaint": [masked(LEFT), masked(RIGHT)],
    }
    drawn = [
        await picture(provider, id, **steps, **way) for task in model.tasks for way in ways[task]
    ]

    assert {size_of(png) for png in drawn} <= {(64, 64), *inexact(model)}
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize(("id", "strength", "steps"), [("chroma", 0.75, 4), ("sd1", 0.2, 5)])
async def test_a_strength_is_felt_and_steps_that_this_takes_are_said(
    provider: Diffusers, id: str, strength: float, steps: int
) -> None:
    few = await generation(provider, id, **edited(strength=strength, steps=2))
    enough = await generation(provider, id, **edited(strength=strength, steps=steps))

    assert few.images == enough.images
    assert [note for note in few.notes if f"made with {steps} steps: 2 are" in note]
    assert enough.notes == ()


def references(*colours: str) -> dict[str, Any]:
    return {"reference_ids": colours, "references": tuple(plain(colour) for colour in colours)}


@pytest.mark.parametrize(
    ("id", "most"),
    [
        ("klein", 4),
        ("flux2", 6),
        pytest.param("qwen-image-2.1", 10, marks=pytest.mark.soak),
    ],
)
async def test_references_are_looked_at(provider: Diffusers, id: str, most: int) -> None:
    model = await model_named(provider, id)
    assert model.tasks["text_to_image"].max_references == most
    assert model.tasks["image_to_image"].max_references == most - 1
    assert "strength" not in options_of(model, "image_to_image")

    nothing = await picture(provider, id)
    red = await picture(provider, id, **references("red"))
    both = await picture(provider, id, **references("red", "blue"))
    edit = await picture(provider, id, **edited("red"), **references("blue"))

    assert len({nothing, red, both}) == 3
    assert edit == both, "the picture to change is the first of the references"


async def test_klein_looks_at_a_reference_beside_a_mask(provider: Diffusers) -> None:
    model = await model_named(provider, "klein")
    assert model.tasks["inpaint"].max_references == 1

    bare = await picture(provider, "klein", **masked(LEFT))
    red = await picture(provider, "klein", **masked(LEFT), **references("red"))
    blue = await picture(provider, "klein", **masked(LEFT), **references("blue"))

    assert len({bare, red, blue}) == 3


@pytest.mark.parametrize(
    ("id", "size", "changes"),
    [
        ("klein", (32, 40), {}),
        ("klein", (1, 1), masked(LEFT)),
        ("flux2", (32, 40), {}),
        ("kontext", (300, 10), {}),
    ],
)
async def test_a_reference_that_is_too_small_for_its_class_is_enlarged_and_that_is_said(
    provider: Diffusers, id: str, size: tuple[int, int], changes: dict[str, Any]
) -> None:
    small = {"references": (plain("red", size=size),), "reference_ids": ("img_1",)}

    seen = await generation(provider, id, **changes, **small)

    assert size_of(seen.images[0].data) == (64, 64)
    (note,) = seen.notes
    assert f"reference 1 (img_1) was enlarged from {size[0]}x{size[1]} to " in note


@pytest.mark.soak
async def test_qwen_image_edit_plus_looks_at_further_pictures(provider: Diffusers) -> None:
    model = await model_named(provider, "qwen-edit-plus")
    assert {task: c.max_references for task, c in model.tasks.items()} == {"image_to_image": 2}

    one = await picture(provider, "qwen-edit-plus", **edited("red"))
    two = await picture(provider, "qwen-edit-plus", **edited("red"), **references("blue"))

    assert size_of(two) == (64, 64)
    assert one != two


@pytest.mark.parametrize("id", ["qwen-edit", "qwen-edit-plus"])
async def test_what_only_edits_is_listed_so(provider: Diffusers, id: str) -> None:
    model = await model_named(provider, id)

    assert (model.state, model.family) == ("ready", "qwen-image")
    assert "text_to_image" not in model.tasks
    assert "strength" not in options_of(model, "image_to_image")


async def test_an_alpha_channel_is_made_and_looked_at(provider: Diffusers) -> None:
    id = "qwen-image-2.1"
    model = await model_named(provider, id)
    assert "transparent" in options_of(model, "text_to_image")
    clear = plain("#ff000000", "RGBA")
    solid = plain("#ff0000ff", "RGBA")

    bare = await picture(provider, id)
    cut_out = await picture(provider, id, transparent=True)
    said = await picture(
        provider,
        id,
        prompt="This is an RGBA image with transparency. a red fox. The image has alpha channel "
        "and the background is transparent.",
    )
    edits = [await generation(provider, id, **edited() | {"image": one}) for one in (clear, solid)]

    assert opened(bare).mode == opened(cut_out).mode == "RGBA"
    assert cut_out == said != bare
    assert edits[0].images != edits[1].images
    assert [edit.notes for edit in edits] == [(), ()], "nothing was laid on white"


async def test_steps_are_made_as_many_as_are_asked_for_whatever_the_model_sets_down(
    provider: Diffusers,
) -> None:
    model = await model_named(provider, "qwen-image-2.1")

    drawn = [await picture(provider, "qwen-image-2.1", steps=steps) for steps in (2, 3, 4)]

    assert model.defaults.steps == 3, "as its own schedule has"
    assert len(set(drawn)) == 3


@pytest.mark.soak  # its class makes a megapixel of each reference
async def test_kontext_looks_at_one_reference_or_none(provider: Diffusers) -> None:
    model = await model_named(provider, "kontext")
    assert model.tasks["text_to_image"].max_references == 1
    assert model.tasks["image_to_image"].max_references == 0

    nothing = await picture(provider, "kontext")
    red = await picture(provider, "kontext", **references("red"))

    assert size_of(red) == (64, 64), "and not the megapixel that its class makes of every size"
    assert red != nothing


async def test_an_ip_adapter_looks_at_references_in_every_task_and_leaves_no_trace(
    zoo: Path, provider: Diffusers
) -> None:
    model = await model_named(provider, "sd1")
    assert {task: c.max_references for task, c in model.tasks.items()} == {
        "text_to_image": 4,
        "image_to_image": 4,
        "inpaint": 4,
    }
    both = {"reference_ids": ("a", "b"), "references": (plain("red"), plain("blue"))}
    one = {"reference_ids": ("a",), "references": (plain("red"),)}
    tasks: list[dict[str, Any]] = [{}, edited(strength=0.9), {"control": (guided("canny"),)}]
    for changes in tasks:
        bare = await picture(provider, "sd1", **changes)
        seen = await picture(provider, "sd1", **one, **changes)
        seen_both = await picture(provider, "sd1", **both, **changes)

        assert len({bare, seen, seen_both}) == 3
        assert await picture(provider, "sd1", **changes) == bare
    with pytest.raises(ModelMissing, match="no IP-Adapter"):
        await picture(provider, "sdxl", **one)


async def test_a_refiner_draws_the_last_fifth_and_leaves_no_trace(
    zoo: Path, provider: Diffusers
) -> None:
    note = "the last 20% was drawn by the refiner refiner"
    bare = await generation(provider, "sdxl")
    refined = await generation(provider, "sdxl", steps=5)
    again = await generation(provider, "sdxl", steps=5)
    with replaced_weights(zoo / "refiner"):
        other = await picture(provider, "sdxl", steps=5)
    twice = await generation(provider, "sdxl", steps=5, width=128, height=128)
    guided_by = await generation(provider, "sdxl", steps=5, control=(guided("depth"),))
    edit = await generation(provider, "sdxl", **edited(steps=8))
    after = await generation(provider, "sdxl")

    assert size_of(refined.images[0].data) == (64, 64)
    assert [refined.notes, guided_by.notes, edit.notes] == [(note,), (note,), ()]
    assert note in twice.notes
    assert bare.notes == ("the refiner refiner was left out: it takes at least 5 steps",)
    assert refined.images == again.images
    assert other != refined.images[0].data
    assert guided_by.images != refined.images
    assert after.images == bare.images
    assert [refined.load_seconds, after.load_seconds] == [0.0, 0.0], "the base stays in memory"


async def test_a_refiner_alone_works_over_pictures_only(provider: Diffusers) -> None:
    model = await model_named(provider, "refiner")

    assert (model.family, list(model.tasks)) == ("sdxl-refiner", ["image_to_image"])


async def test_three_stages_draw_one_picture_and_a_seed_is_that_of_all(
    zoo: Path, provider: Diffusers
) -> None:
    asked: dict[str, Any] = {"width": 256, "height": 128, "steps": 4}
    shares: list[float] = []

    async def told(share: float, text: str) -> None:
        if text.startswith("step"):
            shares.append(share)
            assert text.endswith(" of 9")

    drawn = await generation(provider, "if-1", **asked, progress=told)
    again = await picture(provider, "if-1", **asked)
    others = [
        await picture(provider, "if-1", **asked | {name: value})
        for name, value in (("seed", 8), ("prompt", "a blue fox"), ("negative_prompt", "dark"))
    ]
    alike: list[bytes] = []
    for stage in ("if-2", "if-3"):
        with replaced_weights(zoo / stage):
            alike.append(await picture(provider, "if-1", **asked))

    stages = "16x8 in 4 steps, 64x32 in 2 steps, 256x128 in 3 steps"
    assert size_of(drawn.images[0].data) == (256, 128)
    assert drawn.notes == (
        f"drawn in stages, each from the one before: {stages}",
        "the model lays a watermark over the lower right corner",
    )
    assert drawn.images[0].data == again
    assert len({again, *others, *alike}) == 6
    assert await picture(provider, "if-1", **asked) == again
    assert shares == sorted(shares)
    with opened(again) as image:
        assert image.convert("RGB").getpixel((256 - 8, 128 - 8)) == (255, 255, 255)


async def test_a_last_stage_that_cannot_be_read_is_told_before_the_first_draws(
    zoo: Path, provider: Diffusers
) -> None:
    config, heard = zoo / "if-3" / "unet" / "config.json", list[str]()
    narrow = json.dumps({**json.loads(config.read_text("utf-8")), "in_channels": 4})

    async def told(share: float, text: str) -> None:
        heard.append(text)

    with (
        replaced_file(config, narrow.encode()),
        pytest.raises(ModelUnusable, match="if-3, a later stage of if-1, cannot be read"),
    ):
        await generation(provider, "if-1", width=256, height=128, progress=told)

    assert set(heard) <= {"loading the model"}


async def test_a_picture_of_one_colour_is_told_below_its_watermark(
    zoo: Path, provider: Diffusers
) -> None:
    with (
        replaced_weights(zoo / "if-3", "vae", "decoder.conv_out.", 0.0),
        pytest.raises(InvalidOutput, match="of one colour"),
    ):
        await generation(provider, "if-1", width=256, height=128)


async def test_a_stage_whose_folder_goes_while_the_first_draws_is_in_memory(
    zoo: Path, provider: Diffusers
) -> None:
    away = zoo / "if-3-elsewhere"

    async def told(share: float, text: str) -> None:
        if text.startswith("step 1 "):
            (zoo / "if-3").rename(away)

    try:
        drawn = await picture(provider, "if-1", width=256, height=128, progress=told)
    finally:
        away.rename(zoo / "if-3")

    assert size_of(drawn) == (256, 128)


async def test_a_cancel_ends_the_second_stage_and_the_next_picture_is_as_before(
    provider: Diffusers,
) -> None:
    asked: dict[str, Any] = {"width": 256, "height": 128}
    before = await picture(provider, "if-1", **asked)
    second = asyncio.Event()

    async def told(share: float, text: str) -> None:
        step = re.search(r"step (\d+) of 225$", text)
        if step is not None and 100 < int(step[1]) < 140:
            second.set()

    task = asyncio.create_task(
        generation(provider, "if-1", **asked, steps=100, progress=told, num_images=16)
    )
    await second.wait()
    clock = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - clock < 2
    assert await picture(provider, "if-1", **asked) == before


async def test_inpainting_checkpoints_make_nothing_from_text(provider: Diffusers) -> None:
    for id in ("sd1-inpaint", "sdxl-inpaint", "fill", "nine.safetensors"):
        assert list((await model_named(provider, id)).tasks) == ["inpaint"]


async def test_an_inpainting_checkpoint_in_one_file_repaints_as_its_folder_does(
    provider: Diffusers,
) -> None:
    left = await picture(provider, "nine.safetensors", **masked(LEFT))
    right = await picture(provider, "nine.safetensors", **masked(RIGHT))

    assert left == await picture(provider, "sd1-inpaint", **masked(LEFT))
    assert right != left


async def test_loras_are_listed_with_the_family_that_their_tensors_tell(
    provider: Diffusers,
) -> None:
    loras = {m.id: m.family for m in await provider.list_models() if m.role == "lora"}

    assert loras == {
        "additions/one.safetensors": "sd1",
        "additions/two.safetensors": "sd1",
        "additions/elsewhere.safetensors": "sd1",
        "additions/too-wide.safetensors": "sd1",
        "additions/for-flux.safetensors": "flux1",
        "additions/for-qwen.safetensors": None,
    }


async def test_loras_are_swapped_between_requests_and_leave_no_trace(provider: Diffusers) -> None:
    one, two = Lora(id="one"), Lora(id="two.safetensors", weight=0.5)
    bare = await generation(provider, "sd1")
    with_one = await generation(provider, "sd1", loras=(one,))
    weak = await picture(provider, "sd1", loras=(Lora(id="one", weight=0.3),))
    none = await picture(provider, "sd1", loras=(Lora(id="one", weight=0.0),))
    both = await picture(provider, "sd1", loras=(one, two))
    other = await picture(provider, "sd1", loras=(two,))
    edit = await picture(provider, "sd1", loras=(one,), **edited(strength=0.9))
    plain_edit = await picture(provider, "sd1", **edited(strength=0.9))
    again = await picture(provider, "sd1", loras=(one,))
    after = await generation(provider, "sd1")

    (bare_png,), (one_png,) = (g.images for g in (bare, with_one))
    assert len({bare_png.data, one_png.data, weak, both, other}) == 5
    assert edit != plain_edit
    assert again == one_png.data
    assert none == bare_png.data
    assert after.images == bare.images
    assert [with_one.load_seconds, after.load_seconds] == [0.0, 0.0], "the model stays in memory"


async def test_a_lora_is_laid_over_a_transformer(provider: Diffusers) -> None:
    bare = await picture(provider, "flux")
    laid = await picture(provider, "flux", loras=(Lora(id="for-flux"),))

    assert laid != bare
    assert await picture(provider, "flux") == bare


@pytest.mark.parametrize(
    ("id", "lora", "error", "word"),
    [
        ("sd1", "nowhere", ModelMissing, "list_models"),
        ("sd1", "for-flux", RequestRejected, "for flux1"),
        ("sd1", "elsewhere", RequestRejected, "holds nothing for this model"),
        ("sd1", "too-wide", RequestRejected, "does not fit"),
        ("pixart", "one", RequestRejected, "takes no LoRAs"),
    ],
)
async def test_a_wrong_lora_is_a_typed_error_and_the_model_is_as_before(
    provider: Diffusers, id: str, lora: str, error: type[Exception], word: str
) -> None:
    good = (Lora(id="one"),)
    before = [await picture(provider, "sd1"), await picture(provider, "sd1", loras=good)]

    with pytest.raises(error, match=word):
        await picture(provider, id, loras=(Lora(id=lora),))
    after = [await picture(provider, "sd1"), await picture(provider, "sd1", loras=good)]

    assert after == before


async def test_a_wrong_lora_beside_a_right_one_leaves_the_right_one(provider: Diffusers) -> None:
    good = (Lora(id="one"),)
    before = await picture(provider, "sd1", loras=good)

    with pytest.raises(RequestRejected, match="does not fit"):
        await picture(provider, "sd1", loras=(*good, Lora(id="too-wide")))

    assert await picture(provider, "sd1", loras=good) == before


async def test_control_nets_are_listed_and_make_their_kinds_available(provider: Diffusers) -> None:
    models = {m.id: m for m in await provider.list_models()}
    nets = {m.id: (m.family, m.title) for m in models.values() if m.role == "control"}
    kinds = {
        id: {task: c.control.kinds for task, c in models[id].tasks.items() if c.control}
        for id in ("sd1", "sdxl", "flux", "sd3", "qwen-image", "z-image", "sana", "qwen-edit")
    }

    assert nets["additions/control-canny"] == ("sd1", "control: canny")
    assert nets["additions/control-scribble.safetensors"] == ("sd1", "control: scribble")
    assert nets["additions/control-union-sdxl"][0] == "sdxl"
    assert nets["additions/flux-control-depth"] == ("flux1", "control: depth")
    everywhere = ("text_to_image", "image_to_image", "inpaint")
    assert kinds["sd1"] == {task: {"canny", "depth", "scribble"} for task in everywhere}
    assert kinds["flux"] == {task: {"depth"} for task in everywhere}
    assert "normal" in kinds["sdxl"]["inpaint"]
    assert kinds["sd3"] == {"text_to_image": {"canny"}}
    assert kinds["qwen-image"] == {"text_to_image": {"canny", "softedge", "depth", "pose"}}
    assert kinds["z-image"] == {"text_to_image": {"depth"}}
    assert kinds["sana"] == {"text_to_image": {"softedge"}}
    assert kinds["qwen-edit"] == {}, "its class looks at the picture, and takes no map"


@pytest.mark.parametrize(
    ("id", "kind"),
    [
        ("sd1", "canny"),
        ("sd1", "scribble"),
        pytest.param("sdxl", "depth", marks=pytest.mark.soak),
        ("flux", "depth"),
    ],
)
async def test_a_map_guides_every_task(provider: Diffusers, id: str, kind: str) -> None:
    tasks: list[dict[str, Any]] = [{}, edited(strength=0.9), masked(LEFT)]
    for changes in tasks:
        bare = await picture(provider, id, **changes)
        white = await picture(provider, id, control=(guided(kind),), **changes)
        grey = await picture(provider, id, control=(guided(kind, "grey"),), **changes)
        weak = await picture(provider, id, control=(guided(kind, weight=0.2),), **changes)

        assert size_of(white) == (64, 64)
        assert len({bare, white, grey, weak}) == 4
        assert await picture(provider, id, **changes) == bare


@pytest.mark.parametrize(
    ("id", "kind"),
    [
        ("sd3", "canny"),
        ("qwen-image", "pose"),
        ("z-image", "depth"),
        pytest.param("sana", "softedge", marks=pytest.mark.soak),
    ],
)
async def test_a_map_guides_what_is_made_from_a_text(
    provider: Diffusers, id: str, kind: str
) -> None:
    bare = await picture(provider, id)
    white = await picture(provider, id, control=(guided(kind),))
    grey = await picture(provider, id, control=(guided(kind, "grey"),))
    weak = await picture(provider, id, control=(guided(kind, weight=0.2),))

    assert size_of(white) == (64, 64)
    assert len({bare, white, grey, weak}) == 4
    assert await picture(provider, id) == bare
    with pytest.raises(RequestRejected, match="only where it makes a picture from a text"):
        await picture(provider, id, control=(guided(kind),), **edited())


@pytest.mark.parametrize(("id", "kinds"), [("sd1", ("canny", "depth")), ("sd3", ("canny",) * 2)])
async def test_two_maps_guide_one_picture(
    provider: Diffusers, id: str, kinds: tuple[str, str]
) -> None:
    first, second = guided(kinds[0]), guided(kinds[1], "grey")

    one = await picture(provider, id, control=(first,))
    both = await picture(provider, id, control=(first, second))

    assert one != both


async def test_nets_that_work_alone_say_so(provider: Diffusers) -> None:
    control = {
        id: (await model_named(provider, id)).tasks["text_to_image"].control
        for id in ("sd3", "z-image")
    }

    with pytest.raises(ModelMissing, match="depth and depth together"):
        await picture(provider, "z-image", control=(guided("depth"), guided("depth")))

    assert {id: one and one.max_count for id, one in control.items()} == {"sd3": 2, "z-image": 1}


async def test_what_cannot_be_drawn_over_by_its_map_is_drawn_once(
    zoo: Path, provider: Diffusers
) -> None:
    model, on_disk = await model_named(provider, "sd3"), locate("sd3", (zoo,), None)
    assert on_disk is not None

    def first(**changes: Any) -> object:
        request = ProviderRequest(prompt="a fox", width=2048, height=2048, **changes)
        return worker_request(
            request,
            model,
            on_disk,
            settings=Settings(),
            context=ProviderContext(data_dir=zoo),
            additions=find_additions([zoo], None),
        ).first

    assert first() is not None
    assert first(control=(guided("canny"),)) is None


@pytest.mark.parametrize(
    ("id", "kind", "error"),
    [("sd1", "pose", ModelMissing), ("klein", "canny", ModelMissing)],
)
async def test_a_kind_without_a_net_is_a_typed_error(
    provider: Diffusers, id: str, kind: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=kind):
        await picture(provider, id, control=(guided(kind),))


async def test_a_damaged_net_is_a_typed_error_and_harms_nothing(
    zoo: Path, provider: Diffusers
) -> None:
    before = await picture(provider, "sd1")
    config = zoo / "additions" / "control-depth" / "config.json"
    good = config.read_text(encoding="utf-8")
    config.write_text(good.replace('"layers_per_block": 1', '"layers_per_block": 2'), "utf-8")
    try:
        with pytest.raises(ModelUnusable, match="control-depth"):
            await picture(provider, "sd1", control=(guided("depth"),))
    finally:
        config.write_text(good, encoding="utf-8")

    assert await picture(provider, "sd1") == before


async def test_a_seamless_picture_tiles_and_the_next_one_is_as_before(
    zoo: Path, provider: Diffusers
) -> None:
    field = {"prompt": "a green field during the day", "steps": 12, "width": 64, "height": 64}
    before = await picture(provider, "trained", **field)
    tile = await picture(provider, "trained", seamless=True, **field)
    after = await picture(provider, "trained", **field)

    assert not seam(opened(before)).tiles
    assert seam(opened(tile)).tiles
    assert after == before


async def test_only_models_of_convolutions_say_that_they_tile(provider: Diffusers) -> None:
    able = {
        model.id
        for model in await provider.list_models()
        if any("seamless" in options_of(model, task) for task in model.tasks)
    }

    assert able == {"sd1", "sdxl", "trained", "sd1-inpaint", "sdxl-inpaint", "nine.safetensors"}


async def test_what_is_well_above_native_size_is_drawn_small_first_and_that_is_said(
    provider: Diffusers,
) -> None:
    shares: list[float] = []

    async def progress(share: float, text: str) -> None:
        shares.append(share)

    large = {"width": 128, "height": 96}
    twice = await generation(provider, "sd1", progress=progress, **large)
    small = await generation(provider, "sd1")

    assert size_of(twice.images[0].data) == (128, 96)
    assert twice.notes == ("drawn at 72x56 first, and then over at full size (hires pass)",)
    assert small.notes == ()
    assert shares == sorted(shares)


async def test_two_loras_a_map_and_a_second_pass_go_together(provider: Diffusers) -> None:
    large: dict[str, Any] = {"width": 128, "height": 128}
    loras, control = (Lora(id="one"), Lora(id="two", weight=0.4)), (guided("canny"),)

    bare = await picture(provider, "sd1", **large)
    laid = await picture(provider, "sd1", loras=loras, **large)
    all_of_it = await generation(provider, "sd1", loras=loras, control=control, **large)
    again = await generation(provider, "sd1", loras=loras, control=control, **large)

    assert size_of(all_of_it.images[0].data) == (128, 128)
    assert len({bare, laid, all_of_it.images[0].data}) == 3
    assert all_of_it == again
    assert [note for note in all_of_it.notes if "hires pass" in note]
    assert await picture(provider, "sd1", **large) == bare


def difference(one: bytes, other: bytes) -> tuple[float, int]:
    """Mean and largest difference of two pictures, of 255."""
    apart = ImageChops.difference(opened(one).convert("RGB"), opened(other).convert("RGB"))
    return sum(ImageStat.Stat(apart).mean) / 3, max(
        high for _, high in ImageStat.Stat(apart).extrema
    )


@needs_gguf
@pytest.mark.parametrize(
    ("id", "base"),
    [
        ("gguf/qwen-Q8_0.gguf", "qwen-image"),
        ("gguf/qwen-BF16.gguf", "qwen-image"),
        ("gguf/zed-F16.gguf", "z-image"),
    ],
)
async def test_a_transformer_in_gguf_makes_the_picture_of_the_folder_that_it_was_written_from(
    provider: Diffusers, id: str, base: str
) -> None:
    mean, most = difference(await picture(provider, id), await picture(provider, base))

    assert mean < 0.5
    assert most <= 3


@needs_gguf
async def test_the_weights_in_gguf_are_those_that_draw(provider: Diffusers) -> None:
    other, base = "gguf/qwen-other.gguf", "qwen-image"

    mean, _ = difference(await picture(provider, other), await picture(provider, base))
    drawn = [
        await picture(provider, other),
        await picture(provider, other, **edited("red")),
        await picture(provider, other, **masked(LEFT)),
        await picture(provider, other, **masked(RIGHT)),
    ]

    assert mean > 0.5  # more than rounding
    assert len(set(drawn)) == 4
    assert {size_of(png) for png in drawn} == {(64, 64)}


@needs_gguf
async def test_a_lora_is_laid_over_a_transformer_in_gguf(provider: Diffusers) -> None:
    id, laid = "gguf/qwen-Q8_0.gguf", (Lora(id="for-qwen"),)
    before = await picture(provider, id)
    with_lora = await picture(provider, id, loras=laid)

    assert await picture(provider, id) == before
    mean, most = difference(with_lora, await picture(provider, "qwen-image", loras=laid))
    assert difference(with_lora, before)[0] > 3 * mean
    assert most <= 3


@needs_gguf
async def test_a_transformer_in_gguf_without_a_tensor_is_a_typed_error(
    provider: Diffusers,
) -> None:
    with pytest.raises(
        ModelUnusable, match=r"less\.gguf lacks tensors of QwenImageTransformer2DModel"
    ):
        await picture(provider, "gguf/qwen-less.gguf")


@needs_gguf
async def test_what_a_transformer_in_gguf_takes_is_foretold(zoo: Path) -> None:
    actual = json.loads((zoo / "gguf" / "bytes.json").read_text("utf-8"))

    models = find([zoo], None)

    foretold = {id: models[id].parts["transformer"].bytes for id in actual}
    assert foretold == pytest.approx(actual, rel=0.02)


def tensor_bytes(file: Path) -> int:
    """Of a .safetensors file in half precision, by its head."""
    with file.open("rb") as stream:
        head = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
    shapes = [entry["shape"] for name, entry in head.items() if name != "__metadata__"]
    return sum(2 * math.prod(shape) for shape in shapes)


async def test_the_decision_counts_what_the_worker_is_told_and_the_files_hold(
    zoo: Path, provider: Diffusers
) -> None:
    size: dict[str, Any] = {"width": 128, "height": 128}
    laid: dict[str, Any] = {"loras": (Lora(id="one"), Lora(id="two"))}
    listed = await provider.list_models()
    sd1 = next(replace(one, device="gpu") for one in listed if one.id == "sd1")
    survey = Survey(models=(sd1,), additions=tuple(m for m in listed if m.role != "model"))
    full = sd1.memory.rungs[0]
    alone = math.ceil(peak_bytes(full.peaks, 128 * 128) * NEED_MARGIN)

    def decide(free: int, **changes: Any) -> Model:
        gpu = Gpu(name="c", vendor="nvidia", index=0, vram_total=10**11, vram_free=free)
        request = ImageRequest(prompt="a red fox", model="sd1", **size, **changes)
        ctx = RoutingContext(
            request=request,
            survey=survey,
            hardware=Hardware(os="Linux", machine="x86_64", ram_available=10**11, gpus=(gpu,)),
            tier="recommended",
            gpu_memory=free,
            config=Config(),
        )
        return planner.plan(ctx).candidates[0].model

    photo = InputImage(id="img_1", width=128, height=128)
    chosen = decide(10**11, **laid, control=(ControlImage(kind="canny", image=photo),))
    on_disk = locate(sd1.id, (zoo,), None)
    assert on_disk is not None
    message = worker_request(
        ProviderRequest(prompt="a red fox", **size, **laid, control=(guided("canny"),)),
        replace(sd1, device="cuda:0", rung="full"),
        on_disk,
        settings=Settings(),
        context=ProviderContext(data_dir=zoo),
        additions=find_additions([zoo], None),
    )
    more = zoo / "additions"
    files = [more / "one.safetensors", more / "two.safetensors"]
    files += (more / "control-canny").glob("*.safetensors")
    actual = sum(map(tensor_bytes, files))

    assert message.first is not None  # two passes, of the same parts
    assert peak_bytes(chosen.memory.rungs[0].peaks, 128 * 128) == message.need_bytes
    assert message.extras_bytes == pytest.approx(actual, rel=0.02)
    assert len(files) == 3
    assert decide(alone).rung == "full"
    assert decide(alone, **laid).rung == "model offload"


async def test_through_the_mcp_client_loras_and_maps_are_used_and_told(
    zoo: Path, provider: Diffusers, tmp_path: Path
) -> None:
    pictures = ArtifactStore(tmp_path / "pictures")
    made = build_service(
        Config(), tmp_path, role=Role.ALONE, artifacts=pictures, providers=[provider]
    )
    small = {"model": "sd1", "width": 64, "height": 64, "steps": 2, "seed": 7, "wait_seconds": 200}
    async with (
        aclosing(made),
        Client(make_server(opener(made)), raise_exceptions=True) as client,
    ):

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(
                tool, {"prompt": "a red fox", **small, **arguments, "wait_seconds": 200}
            )
            assert isinstance(result.content[0], TextContent)
            assert not result.is_error, result.content[0].text
            answer: dict[str, Any] = json.loads(result.content[0].text)
            return answer

        first = await call("generate_image")
        id = first["images"][0]["id"]
        guided_by = await call(
            "generate_image", loras="one:0.8, two:0.3", control=f"canny:{id}:0.7"
        )
        edit = await call("edit_image", image=id, model="klein")
        large = {"model": "qwen-image-2.1", "width": 512, "height": 512}
        cut_out = await call("generate_image", transparent=True, **large)
        large = {"model": "if-1", "width": 256, "height": 128}
        staged = (await call("generate_image", **large))["images"][0]
        square = {"model": "gguf/zed-F16.gguf", "width": 256, "height": 256}
        packed = (await call("generate_image", **square))["images"][0]
        wrong = await client.call_tool(
            "generate_image", {"prompt": "a red fox", **small, "loras": "for-flux"}
        )

    def pixels(answer: dict[str, Any]) -> bytes:
        with Image.open(answer["images"][0]["path"]) as image:
            assert image.size == (64, 64)
            return image.convert("RGB").tobytes()

    assert len({pixels(first), pixels(guided_by), pixels(edit)}) == 3
    with Image.open(cut_out["images"][0]["path"]) as image:
        assert image.mode == "RGBA"
    with Image.open(staged["path"]) as image:
        assert image.size == (256, 128)
    with Image.open(packed["path"]) as image:
        assert image.size == (256, 256)
    assert wrong.is_error
    assert isinstance(wrong.content[0], TextContent)
    assert "flux1" in wrong.content[0].text
