"""Decide when SDXL's refiner draws the last steps, and find it on disk.

Base and refiner are an ensemble of experts: the base takes the steps of much noise, the refiner the
others, on the same latents (https://huggingface.co/docs/diffusers/using-diffusers/sdxl).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ziggie_image_mcp.provider import ModelMissing, ModelUnusable
from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.disk_model import DiskModel
from ziggie_image_providers.diffusers.families import REFINER
from ziggie_image_providers.diffusers.listing import variant_of
from ziggie_image_providers.diffusers.scan import locate

BASE_SHARE = 0.8
"""Of the noise levels, from the highest: those that the refiner was not trained on."""

LEAST_STEPS = 5
"""With fewer the refiner's share of them is none."""


def find_refiner(
    name: str, provider: str, model_dirs: Sequence[Path], hub_cache: Path | None
) -> DiskModel:
    """The refiner of this id, or of this absolute path.

    Raises:
        ModelMissing: There is none of this name, or parts of it are missing.
        ModelUnusable: It is another model, or damaged.
    """
    setting = f"providers.{provider}.refiner"
    refiner = locate(name, model_dirs, hub_cache)
    if refiner is None:
        text = f"{setting} is {name!r}, and no such model is in modelDirs or the Hub cache"
        raise ModelMissing(provider, f'{text}: name one that list_models shows, or set it to "".')
    if refiner.trouble is not None:
        kind = ModelMissing if refiner.trouble.kind == "missing" else ModelUnusable
        raise kind(provider, f"{setting} is {name!r}: {refiner.trouble.text}")
    if refiner.family != REFINER:
        text = f"{setting} is {name!r}, which is no refiner of SDXL in a folder of diffusers"
        raise ModelUnusable(provider, f'{text}: name one, or set it to "".')
    return refiner


def refines(on_disk: DiskModel, task: str) -> bool:
    """Whether a refiner goes on with what this model begins."""
    known = on_disk.known
    return task == "text_to_image" and known is not None and known.name == "sdxl" and known.text


def why_left_out(on_disk: DiskModel, steps: int | None) -> str:
    """Why a model that a refiner could go on with draws all of this picture; empty where not."""
    if variant_of(on_disk) is not None:
        return f"{on_disk.id} is made to run by itself, with settings of its own"
    if steps is None or steps < LEAST_STEPS:
        return f"it takes at least {LEAST_STEPS} steps"
    return ""


def in_worker_words(refiner: DiskModel) -> wire.Refiner:
    """Name it to the worker."""
    return wire.Refiner(path=str(refiner.path), variant=refiner.variant)


def weight_bytes(refiner: DiskModel) -> int:
    """What it adds to a base model's weights in memory, which lends it all but the UNet."""
    return refiner.parts["unet"].bytes


def note(refiner: DiskModel) -> str:
    """Say it to the caller."""
    return f"the last {1 - BASE_SHARE:.0%} was drawn by the refiner {refiner.id}"
