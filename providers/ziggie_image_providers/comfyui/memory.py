"""Tell whether ComfyUI can hold a model, and what it must move about for that."""

from __future__ import annotations

from dataclasses import dataclass

WORKING = 1.2e9
"""Bytes that sampling takes beside the weights at the native size of SDXL and FLUX.1: what ComfyUI
itself reserves, 0.4 to 1.2 GB by system (comfy/model_management.py), and the activations."""

SYSTEM = 3.0e9
"""Bytes of RAM that the system and ComfyUI itself need."""

MOVED_SLOWDOWN = 3.0
"""How many times longer a step takes where all weights come from RAM: PCIe 4.0 x8 carries some
13 GB/s, a step of FLUX.1 at fp8 moves 12 GB, and takes about half a second of computing."""

_MODEL_SHARE = {"sd1": 0.8, "sd2": 0.75, "sdxl": 0.75, "flux1": 0.7, "sd3": 0.5, "lumina": 0.5}
"""How much of a whole checkpoint is the model that samples; the rest is text encoder and VAE."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where a server computes. Bytes; None where it does not tell."""

    vram: int | None
    """All of its GPU's memory; None without a GPU."""
    ram: int | None


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a model runs on a device."""

    fits: bool = True
    slowdown: float = 1.0
    note: str = ""
    """The rung that is taken, where it is not the first; or why it cannot run."""
    fix: str = ""


def fit(device: Device, family: str | None, size: int, beside: int, *, whole: bool) -> Fit:
    """How a model runs.

    Args:
        device: Of the server.
        family: Of the model.
        size: Of its file, bytes.
        beside: Of the files that are loaded with it, bytes.
        whole: Whether the file holds text encoders and VAE too.
    """
    if device.vram is None or not size:
        return Fit()
    model = size * _MODEL_SHARE.get(family or "", 0.75) if whole else size
    if model + WORKING <= device.vram:
        return Fit()
    moved, everything = model + WORKING - device.vram, size + beside
    has = f"{_gb(device.vram)} of GPU memory"
    if device.ram is not None:
        has += f" and {_gb(device.ram)} of RAM"
        if everything + WORKING > device.vram + device.ram - SYSTEM:
            return Fit(
                fits=False,
                note=f"with what it needs beside it, it takes {_gb(everything)}, and ComfyUI has"
                f" {has}",
                fix="use a smaller model, or one in fp8 or GGUF",
            )
    share = min(1.0, moved / model)
    return Fit(
        slowdown=1 + MOVED_SLOWDOWN * share,
        note=f"ComfyUI keeps about {_gb(moved)} of its {_gb(model)} in RAM and moves them through"
        f" the GPU's {_gb(device.vram)} at each step (offload): slower than on a larger card",
    )


def pictures_at_once(free: int | None, width: int, height: int, most: int) -> int:
    """How many pictures are sampled together: 1, 2, 4, 8 or 16.

    `free` bytes are beside the loaded model; a megapixel takes about 2.5 GB with the attention of
    Stable Diffusion's UNets.
    """
    room = 0 if free is None else int((free - WORKING) / (2.5e9 * width * height / 2**20))
    count = 1
    while count * 2 <= min(room, most):
        count *= 2
    return count


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
