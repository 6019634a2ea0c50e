"""Tell what the UNet of a single file predicts, which it is run wrongly without: noise or velocity.

Both have the same tensors. Sources: github.com/Stability-AI/ModelSpec (`prediction_type`, the names
of architectures), ComfyUI's supported_models.py (the markers, the spread of a bias), diffusers'
single_file_utils.py (the steps of SD 2's base).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ziggie_image_providers.diffusers.file_header import metadata, numbers
from ziggie_image_providers.diffusers.weights import Tensors

Kind = Literal["epsilon", "v_prediction"]
"""As diffusers' schedulers have it."""

_PREFIX = "model.diffusion_model."

_NAMED: Mapping[str, Kind] = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "v-prediction": "v_prediction",
    "velocity": "v_prediction",
}
"""As programs write it into a file."""

_ARCHITECTURES: Mapping[str, Kind] = {
    "stable-diffusion-v2-512": "epsilon",
    "stable-diffusion-v2-768-v": "v_prediction",
    "v2-inpainting": "epsilon",
}

_VELOCITY_MARKER, _ZERO_SNR_MARKER = "v_pred", "ztsnr"
_STEPS, _STEPS_OF_BASE = "global_step", 875_000
_TOLD_BY_SPREAD = f"{_PREFIX}output_blocks.11.1.transformer_blocks.0.norm1.bias"
_SPREAD_OF_VELOCITY = 0.09


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a UNet predicts."""

    kind: Kind | None
    """None where the file does not tell."""
    zero_snr: bool = False
    """Its last step of training was noise alone."""
    by_weights: bool = False
    """It was guessed by weights, for want of anything that says it."""


def find_prediction(path: Path, tensors: Tensors, family: str, *, inpaints: bool) -> Prediction:
    """Look for what tells it in a file of SD 1, SD 2 or SDXL.

    Args:
        path: The file.
        tensors: Its own.
        family: Which of the three.
        inpaints: The UNet repaints: none of these families' does so by velocity.
    """
    about = {name: value.strip().lower() for name, value in metadata(path).items()}
    named = _NAMED.get(about.get("modelspec.prediction_type", "")) or _NAMED.get(
        about.get("modelspec.predict_key", "")
    )
    zero_snr = _ZERO_SNR_MARKER in tensors
    if named is not None:
        return Prediction(kind=named, zero_snr=zero_snr and named == "v_prediction")
    if _VELOCITY_MARKER in tensors:
        return Prediction(kind="v_prediction", zero_snr=zero_snr)
    if family != "sd2" or inpaints:
        return Prediction(kind="epsilon")
    architecture = about.get("modelspec.architecture", "").partition("/")[0]
    if architecture in _ARCHITECTURES:
        return Prediction(kind=_ARCHITECTURES[architecture])
    if numbers(path, _STEPS) == (_STEPS_OF_BASE,):
        return Prediction(kind="epsilon")
    bias = numbers(path, _TOLD_BY_SPREAD)
    if not any(bias):  # it is not there, or holds nothing
        return Prediction(kind=None)
    wide = statistics.pstdev(bias) > _SPREAD_OF_VELOCITY
    return Prediction(kind="v_prediction" if wide else "epsilon", by_weights=True)
