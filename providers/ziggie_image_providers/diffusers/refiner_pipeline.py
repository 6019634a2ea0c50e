"""Hold SDXL's refiner beside the model in memory, whose other parts it shares. Imports torch."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.loading import diffusers, free_memory, held, read_beside
from ziggie_image_providers.diffusers.model_folder import INDEX, read_json
from ziggie_image_providers.diffusers.model_stamp import model_stamp
from ziggie_image_providers.diffusers.sharing import share

PIPELINE = "StableDiffusionXLImg2ImgPipeline"


class _Beside:
    """The refiner's UNet in memory."""

    def __init__(self) -> None:
        self.pipe: Any = None
        """The pipeline beside which it lies."""
        self.key: tuple[str, str] | None = None
        self.unet: Any = None


_beside = _Beside()


def refining(refiner: wire.Refiner, scheduler: Any) -> Any:
    """The pipeline that goes on where the base stops, with the same noise levels.

    Args:
        refiner: Which.
        scheduler: Of the base, as the request has it.

    Raises:
        Problem: The refiner cannot be read.
    """
    key = (refiner.path, model_stamp(Path(refiner.path)))
    if (_beside.pipe, _beside.key) != (held.pipe, key):
        forget()
        _beside.unet = _read(refiner)
        _beside.pipe, _beside.key = held.pipe, key
    index = read_json(Path(refiner.path) / INDEX)
    pipe = share(
        PIPELINE,
        refiner.path,
        unet=_beside.unet,
        text_encoder=None,
        tokenizer=None,
        requires_aesthetics_score=bool(index.get("requires_aesthetics_score")),
        force_zeros_for_empty_prompt=bool(index.get("force_zeros_for_empty_prompt")),
    )
    pipe.scheduler = _scheduler_like(scheduler, refiner)
    return pipe


def forget() -> None:
    """Let it go."""
    if _beside.unet is None:
        return
    key = _beside.key
    _beside.pipe = _beside.key = _beside.unet = None
    held.edits = {k: v for k, v in held.edits.items() if key is None or key[0] not in k}
    free_memory()


def _scheduler_like(scheduler: Any, refiner: wire.Refiner) -> Any:
    """A fresh one of the same noise levels; what the refiner predicts is its own affair."""
    kind: Any = scheduler.__class__
    own: dict[str, Any] = {}
    if "prediction_type" in inspect.signature(kind.__init__).parameters:
        settings = read_json(Path(refiner.path) / "scheduler" / "scheduler_config.json")
        own["prediction_type"] = settings.get("prediction_type", "epsilon")
    return kind.from_config(scheduler.config, **own)


def _read(refiner: wire.Refiner) -> Any:
    def read() -> Any:
        return diffusers.UNet2DConditionModel.from_pretrained(
            refiner.path,
            subfolder="unet",
            dtype=held.dtype,
            variant=refiner.variant,
            local_files_only=True,
        )

    return read_beside(
        read,
        f"The refiner {Path(refiner.path).name} cannot be read",
        'Get it again, or set `refiner` to "".',
    )
