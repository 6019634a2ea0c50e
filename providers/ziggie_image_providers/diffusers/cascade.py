"""Find the stages of DeepFloyd IF on disk, and say what each of them does.

A text becomes a picture of 64 px by the first, of 256 px by the second, and of 1024 px by the x4
upscaler of Stable Diffusion (https://huggingface.co/docs/diffusers/api/pipelines/deepfloyd_if).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.disk_model import ENLARGED, DiskModel, Trouble
from ziggie_image_providers.diffusers.families import FIRST_STAGE, LATER_STAGES, PIPELINES
from ziggie_image_providers.diffusers.model_folder import CONFIG, read_json

SIDE = 64
"""Of what the first stage draws, where its settings do not say, pixels."""

QUALITY = (1.0, 4.0)
"""Of what one stage and two of them draw, 0 to 10: a judgement, as 64 and 256 px are no picture to
use as it is."""

PASSES = 2
"""Runs of a UNet a step, as each stage is guided."""

DENOISED = {FIRST_STAGE: 1, LATER_STAGES[0]: 1, LATER_STAGES[1]: 4}
"""Pixels of a side that one of what the UNet denoises stands for: the first two have no VAE."""

USUALLY_DENOISED = 8
"""The same of the models that others' work is counted by."""

PULLS = (
    "ziggie-image-mcp models pull DeepFloyd/IF-II-L-v1.0 --without text_encoder",
    "ziggie-image-mcp models pull stabilityai/stable-diffusion-x4-upscaler",
)
"""What gets each of the later stages."""

PUBLISHED = (50, 100, 185)
"""How many noise levels the lists smart... of `diffusers.pipelines.deepfloyd_if` have."""

FEW = 27
FEWEST = {1: "fast27", 2: "smart27"}
"""The list of so many by the stage: the documentation of diffusers gives fast27 to the first."""

NAMES = ("second stage", "third stage")

WATERMARK = "watermarker"
"""The component of IFPipeline that lays one over its pictures."""

WATERMARK_SIDE = 62
"""Of that on a picture of as many pixels as 1024x1024; it grows and shrinks with the picture."""


def join(models: Mapping[str, DiskModel]) -> dict[str, DiskModel]:
    """The same with the first stages joined to the later ones, which are nothing alone."""
    return {id: joined(model, models.values()) for id, model in models.items()}


def joined(model: DiskModel, others: Iterable[DiskModel]) -> DiskModel:
    """One of them.

    Args:
        model: Any model.
        others: What lies on this machine, as the folders alone tell it.
    """
    if model.trouble is not None:
        return model
    if model.pipeline == FIRST_STAGE:
        later = _later(model, list(others))
        native = (model.native or SIDE) * ENLARGED ** len(later)
        return replace(model, later=later, native=native)
    if model.pipeline in LATER_STAGES:
        return replace(model, trouble=Trouble(kind="unusable", text=_alone(model, list(others))))
    return model


def quality(model: DiskModel) -> float | None:
    """How good its pictures are, where stages are missing; None where nothing is known."""
    if model.pipeline != FIRST_STAGE or model.trouble is not None:
        return None
    if len(model.later) == len(LATER_STAGES):
        return None
    return QUALITY[len(model.later)]


def work(model: DiskModel) -> float | None:
    """What one picture is to all stages that are here, as `Model.work` counts; None: not known."""
    stages = (model, *model.later)
    if model.pipeline != FIRST_STAGE or any("unet" not in stage.parts for stage in stages):
        return None
    side = (model.native or SIDE) / ENLARGED ** len(model.later)
    total = 0.0
    for number, stage in enumerate(stages):
        alike = side * ENLARGED**number * USUALLY_DENOISED / DENOISED[stage.pipeline]
        runs = PIPELINES[stage.pipeline].steps * PASSES
        total += runs * stage.parts["unet"].parameters / 1e9 * (alike / 1024) ** 2
    return total


def note(model: DiskModel) -> str:
    """What is missing for larger pictures, and the commands that get it; empty where nothing is."""
    if model.pipeline != FIRST_STAGE or model.trouble is not None:
        return ""
    lacking = range(len(model.later), len(LATER_STAGES))
    if not lacking:
        return ""
    what = " and ".join(NAMES[number] for number in lacking)
    commands = " && ".join(PULLS[number] for number in lacking)
    side = model.native or SIDE
    return f"{model.id} draws {side} px without its {what}: {commands}"


def in_worker_words(model: DiskModel, steps: int | None) -> tuple[wire.Stage, ...]:
    """Name the later stages to the worker.

    Args:
        model: The first.
        steps: Of the first; the others take as many in proportion to what their classes take.
    """
    own = PIPELINES[FIRST_STAGE].steps
    return tuple(
        wire.Stage(
            path=str(stage.path),
            pipeline=stage.pipeline,
            variant=stage.variant,
            steps=math.ceil((steps or own) * PIPELINES[stage.pipeline].steps / own),
            guidance=PIPELINES[stage.pipeline].guidance,
        )
        for stage in model.later
    )


def noise_levels(steps: int, number: int) -> str:
    """Which list of the model's authors has so many noise levels; empty where none has.

    Args:
        steps: How many.
        number: Of the stage of IF, 1 or 2.
    """
    if steps == FEW:
        return FEWEST[number]
    return f"smart{steps}" if steps in PUBLISHED else ""


def notes(model: DiskModel, message: wire.WorkerRequest) -> list[str]:
    """What to say of a picture that stages drew, a sentence each."""
    if model.pipeline != FIRST_STAGE:
        return []
    sentences: list[str] = []
    if message.stages:
        steps = [message.steps, *(stage.steps for stage in message.stages)]
        smaller = [ENLARGED**number for number in reversed(range(len(steps)))]
        drawn = ", ".join(
            f"{message.width // by}x{message.height // by} in {count} steps"
            for by, count in zip(smaller, steps, strict=True)
        )
        sentences.append(f"drawn in stages, each from the one before: {drawn}")
    if WATERMARK in model.parts and is_marked(message.width, message.height):
        sentences.append("the model lays a watermark over the lower right corner")
    return sentences


def is_marked(width: int, height: int) -> bool:
    """Whether a picture of this size, pixels, has room for a watermark of a pixel at least."""
    return int(math.sqrt(width * height) / 1024 * WATERMARK_SIDE) > 0


def _later(first: DiskModel, others: list[DiskModel]) -> tuple[DiskModel, ...]:
    """The largest model of each later stage, up to the first stage that is not here."""
    stages: list[DiskModel] = []
    for pipeline in LATER_STAGES:
        fitting = [one for one in others if one.pipeline == pipeline and _goes_on(one, first)]
        if not fitting:
            break
        stages.append(max(fitting, key=lambda one: (one.parts["unet"].bytes, one.id)))
    return tuple(stages)


def _goes_on(stage: DiskModel, first: DiskModel) -> bool:
    """Whether a stage is whole, and reads the text as the first stage's encoder gives it."""
    if stage.trouble is not None or "unet" not in stage.parts:
        return False
    return stage.pipeline != LATER_STAGES[0] or _text_width(stage) == _text_width(first)


def _text_width(stage: DiskModel) -> object:
    return read_json(stage.path / "unet" / CONFIG).get("encoder_hid_dim")


def _alone(stage: DiskModel, others: list[DiskModel]) -> str:
    """Why a later stage makes no picture by itself."""
    number = LATER_STAGES.index(stage.pipeline)
    firsts = [one for one in others if one.pipeline == FIRST_STAGE and one.trouble is None]
    users = [one.id for one in firsts if stage in _later(one, others)]
    what = f"{stage.id} is a {stage.pipeline}, the {NAMES[number]} of DeepFloyd IF"
    what += ", and draws nothing alone"
    if users:
        return f"{what}; ask for {' or '.join(users)}, which uses it."
    if firsts:
        return f"{what}; {firsts[0].id} {_instead(number, firsts[0], others)}."
    ailing = [one.trouble.text for one in others if one.pipeline == FIRST_STAGE and one.trouble]
    if ailing:
        return f"{what}. What would draw for it cannot be used: {ailing[0]}"
    first = "ziggie-image-mcp models pull DeepFloyd/IF-I-XL-v1.0"
    return f"{what}. What draws for it: {first}"


def _instead(number: int, first: DiskModel, others: list[DiskModel]) -> str:
    later = _later(first, others)
    if len(later) > number:
        return f"takes {later[number].id}"
    if len(later) < number:
        return f"needs its {NAMES[number - 1]} before: {PULLS[number - 1]}"
    return "reads its text by another encoder"
