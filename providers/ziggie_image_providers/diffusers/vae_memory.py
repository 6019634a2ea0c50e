"""Tell a pipeline's VAE how much it may decode at once. Only the worker process uses this."""

from __future__ import annotations

from typing import Any


def slice_vae(pipe: Any, sliced: bool) -> None:
    """Let the VAE decode one picture after another, for that sets the peak of memory."""
    vae: Any = getattr(pipe, "vae", None)
    if vae is not None and hasattr(vae, "enable_slicing"):
        vae.enable_slicing() if sliced else vae.disable_slicing()


def tile_vae(pipe: Any, tiled: bool) -> None:
    """Let it decode a picture in tiles."""
    vae: Any = getattr(pipe, "vae", None)
    if vae is not None and hasattr(vae, "enable_tiling"):
        vae.enable_tiling() if tiled else vae.disable_tiling()
