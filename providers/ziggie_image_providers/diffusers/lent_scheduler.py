"""Fit the scheduler of the folder that lends settings to what a single file predicts."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from ziggie_image_providers.diffusers.families import PIPELINES, VELOCITY_NATIVE
from ziggie_image_providers.diffusers.model_folder import CONFIG, read_json
from ziggie_image_providers.diffusers.noise_prediction import Kind
from ziggie_image_providers.diffusers.single_file import Checkpoint

VELOCITY = "v_prediction"
"""As diffusers' schedulers have it."""

_KINDS = get_args(Kind)

_LATENT_SIDE = 8
"""Pixels of a picture along one number of its latents, of the families with a UNet."""


def folder_prediction(donor: Path) -> str:
    """What the models predict that a folder's scheduler is for."""
    config = read_json(donor / "scheduler" / "scheduler_config.json")
    if str(config.get("_class_name", "")).startswith("EDM"):
        return "edm"  # Playground v2.5, whose noise is another
    return str(config.get("prediction_type", "epsilon"))


def can_lend(donor: Path, checkpoint: Checkpoint) -> bool:
    """Whether a folder's settings will do for what a file predicts, with the scheduler's changes.

    Those of SD 2 differ in more than the scheduler: in the size, and in where single precision is
    needed. Where its file does not tell, all that a folder says must be for one thing.
    """
    kind, prediction = folder_prediction(donor), checkpoint.prediction
    if prediction is None:
        return True
    if kind not in _KINDS or (checkpoint.inpaints and kind == VELOCITY):
        return False
    if checkpoint.family not in VELOCITY_NATIVE:
        return True
    if prediction.kind is not None:
        return kind == prediction.kind
    side = read_json(donor / checkpoint.denoiser / CONFIG).get("sample_size")
    native = VELOCITY_NATIVE[checkpoint.family]
    wanted = native if kind == VELOCITY else PIPELINES[checkpoint.pipeline].native
    return side == wanted // _LATENT_SIDE


def prediction_of(checkpoint: Checkpoint, donor: Path | None) -> str:
    """What a file predicts: as it tells, else as the folder has it that lends."""
    if checkpoint.prediction is None:
        return ""
    return checkpoint.prediction.kind or ("" if donor is None else folder_prediction(donor))


def scheduler_changes(checkpoint: Checkpoint, donor: Path | None) -> dict[str, str | bool]:
    """What the scheduler of the folder that lends must be told of the file."""
    prediction = checkpoint.prediction
    if donor is None or prediction is None or prediction.kind is None:
        return {}
    changes: dict[str, str | bool] = {}
    if prediction.kind != folder_prediction(donor):
        changes["prediction_type"] = prediction.kind
    if prediction.zero_snr:
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return changes


def assumed(checkpoint: Checkpoint, donor: str) -> str:
    """What was taken for granted of a file's prediction, a sentence; empty where it tells.

    Args:
        checkpoint: The file.
        donor: The name of the folder that lends.
    """
    prediction = checkpoint.prediction
    if prediction is None or (prediction.kind is not None and not prediction.by_weights):
        return ""
    what = "the file does not tell what it predicts"
    if prediction.kind is not None:
        return f"{what}: {prediction.kind} was taken, by its weights"
    return f"{what}: that was taken which {donor} predicts, whose settings it borrows"
