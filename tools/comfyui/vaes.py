"""VAEs. Most keep colours: a picture encoded and decoded comes back as a soft mosaic."""

from dataclasses import dataclass
from pathlib import Path

import comfy.taesd.taesd
import torch
from weights import Tensors, draw, save

FEATURES = 64
CONTRAST = 4.0  # Latents run from -2 to 2 where colours run from 0 to 1.


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How a family's latents are scaled and shifted before its model sees them."""

    factor: float
    shift: float = 0.0
    channels: int = 4


SD1 = Scale(factor=0.18215)
SDXL = Scale(factor=0.13025)
SD3 = Scale(factor=1.5305, shift=0.0609, channels=16)
FLUX1 = Scale(factor=0.3611, shift=0.1159, channels=16)


def taesd(name: str, scale: Scale, prefix: str = "") -> Tensors:
    """Weights for ComfyUI's small autoencoder.

    The means of 8 x 8 pixels are the first three channels; the others tint a little.
    """
    module = comfy.taesd.taesd.TAESD(latent_channels=scale.channels)
    tensors = {key: torch.zeros(value.shape) for key, value in module.state_dict().items()}
    encoder = _convolutions(tensors, "taesd_encoder.")
    decoder = _convolutions(tensors, "taesd_decoder.")

    for colour in range(3):
        tensors[encoder[0]][colour, colour, 1, 1] = 1
        tensors[encoder[-1]][colour, colour, 1, 1] = CONTRAST
        tensors[_bias(encoder[-1])][colour] = -CONTRAST / 2
    for key in encoder[1:-1]:
        for feature in range(FEATURES):
            tensors[key][feature, feature, 1:, 1:] = 0.25

    tint = draw({"tint": (3, scale.channels)}, name)["tint"].float() * 0.1
    tint[:, :3] += torch.eye(3) / CONTRAST
    for channel in range(
        scale.channels
    ):  # Nothing below zero passes a ReLU, so each channel goes in with either sign.
        tensors[decoder[0]][2 * channel, channel, 1, 1] = 1
        tensors[decoder[0]][2 * channel + 1, channel, 1, 1] = -1
        tensors[decoder[-1]][:, 2 * channel, 1, 1] = tint[:, channel]
        tensors[decoder[-1]][:, 2 * channel + 1, 1, 1] = -tint[:, channel]
    tensors[_bias(decoder[-1])] += 0.5
    soft = torch.tensor([0.25, 0.5, 0.25])
    for key in decoder[1:-1]:
        for feature in range(FEATURES):
            tensors[key][feature, feature] = soft[:, None] * soft[None, :]

    tensors |= {"vae_scale": torch.tensor(scale.factor), "vae_shift": torch.tensor(scale.shift)}
    return {prefix + key: value.half() if value.ndim else value for key, value in tensors.items()}


def _convolutions(tensors: Tensors, part: str) -> list[str]:
    """The convolutions of a half that stand outside its blocks, in their order."""
    keys = [
        key
        for key in tensors
        if key.startswith(part) and key.endswith(".weight") and key.count(".") == 2
    ]
    return sorted(keys, key=lambda key: int(key.split(".")[1]))


def _bias(key: str) -> str:
    return key.removesuffix("weight") + "bias"


def small(path: Path, scale: Scale) -> None:
    save(taesd(path.stem, scale), path)
