"""Checkpoints with a UNet: Stable Diffusion 1.x, 2.x, SDXL and its refiner."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.ldm.modules.diffusionmodules.openaimodel
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.text_encoders.sd2_clip
import torch
import vaes
from weights import Tensors, random_tensors, save


@dataclass(frozen=True, kw_only=True)
class UNet:
    """The sizes of a UNet that ComfyUI's detection reads, and the smallest that do for the rest."""

    channels: int = 320
    context: int
    depth: list[int]
    levels: int
    linear: bool = True
    vector: int | None = None
    heads: dict[str, int] | None = None

    def config(self, in_channels: int = 4) -> dict[str, Any]:
        blocks = len(self.depth) // self.levels
        return {
            "image_size": 32,
            "in_channels": in_channels,
            "out_channels": 4,
            "model_channels": self.channels,
            "num_res_blocks": [blocks] * self.levels,
            "channel_mult": [1] * self.levels,
            "transformer_depth": list(self.depth),
            "transformer_depth_output": [0] * (self.levels * (blocks + 1)),
            "transformer_depth_middle": 1 if self.levels < 3 else -1,
            "use_spatial_transformer": True,
            "use_linear_in_transformer": self.linear,
            "context_dim": self.context,
            "num_classes": "sequential" if self.vector else None,
            "adm_in_channels": self.vector,
            "legacy": False,
            **(self.heads or {"num_heads": -1, "num_head_channels": 64}),
        }


SD1 = UNet(
    context=768,
    depth=[1, 1],
    levels=2,
    linear=False,
    heads={"num_heads": 8, "num_head_channels": -1},
)
SD2 = UNet(context=1024, depth=[1, 1], levels=2)
SDXL = UNet(context=2048, depth=[0, 0, 1, 1, 2, 2], levels=3, vector=2816)
REFINER = UNet(channels=384, context=1280, depth=[0, 0, 4, 4, 4, 4, 0, 0], levels=4, vector=2560)


def unet(sizes: UNet, name: str, in_channels: int = 4) -> Tensors:
    """The diffusion model of a checkpoint."""
    openaimodel = comfy.ldm.modules.diffusionmodules.openaimodel
    return random_tensors(
        openaimodel.UNetModel(**sizes.config(in_channels)), name, "model.diffusion_model."
    )


def clip_l(name: str, prefix: str) -> Tensors:
    return random_tensors(comfy.sd1_clip.SDClipModel(), name, prefix)


def clip_g(name: str, prefix: str) -> Tensors:
    return random_tensors(comfy.sdxl_clip.SDXLClipG(), name, prefix)


def clip_h(name: str, prefix: str) -> Tensors:
    return random_tensors(comfy.text_encoders.sd2_clip.SD2ClipHModel(), name, prefix)


def sd1(path: Path, in_channels: int = 4) -> None:
    name = path.stem
    tensors = (
        unet(SD1, name, in_channels)
        | clip_l(name, "cond_stage_model.")
        | vaes.taesd(name, vaes.SD1, "first_stage_model.")
    )
    save(tensors, path)


def sd2(path: Path) -> None:
    name = path.stem
    save(
        unet(SD2, name)
        | clip_h(name, "cond_stage_model.model.")
        | vaes.taesd(name, vaes.SD1, "first_stage_model."),
        path,
    )


def sdxl(path: Path, extra: Tensors | None = None) -> None:
    name = path.stem
    tensors = unet(SDXL, name) | vaes.taesd(name, vaes.SDXL, "first_stage_model.") | (extra or {})
    tensors |= clip_l(name, "conditioner.embedders.0.") | clip_g(
        name, "conditioner.embedders.1.model."
    )
    save(tensors, path)


def refiner(path: Path) -> None:
    name = path.stem
    tensors = unet(REFINER, name) | vaes.taesd(name, vaes.SDXL, "first_stage_model.")
    save(tensors | clip_g(name, "conditioner.embedders.0.model."), path)


def playground(path: Path) -> None:
    """Playground 2.5 is an SDXL that is known by the mean and deviation of its latents."""
    sdxl(path, {"edm_mean": torch.zeros(1, 4, 1, 1), "edm_std": torch.ones(1, 4, 1, 1)})
