"""Make what a model draws go round at its edges. Imports torch."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ziggie_image_providers.diffusers.loading import torch


@contextmanager
def circular(pipe: Any, wanted: bool) -> Generator[None]:
    """Let every convolution of a pipeline see the opposite edge beyond its own.

    The usual way for models that are made of convolutions (UNet, ControlNet, VAE). The VAE must
    not decode in tiles then, whose edges are not the picture's.
    """
    parts = [getattr(pipe, name, None) for name in ("unet", "vae", "controlnet")]
    layers = [
        layer
        for part in parts
        if wanted and part is not None
        for layer in part.modules()
        if isinstance(layer, torch.nn.Conv2d)
    ]
    before = [layer.padding_mode for layer in layers]
    for layer in layers:
        layer.padding_mode = "circular"
    try:
        yield
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.padding_mode = mode
