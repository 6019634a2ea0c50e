"""The ways of holding a pipeline on a GPU, the fastest first, with what each takes."""

from __future__ import annotations

from ziggie_image_mcp.provider import Rung
from ziggie_image_providers.diffusers.weights import Need

FULL, MODEL_OFFLOAD, GROUP_OFFLOAD = "full", "model offload", "group offload"

OFFLOAD_SLOWDOWN, GROUP_SLOWDOWN = 1.3, 4.0
"""Assumptions, not measured here: each part crosses the bus once for a picture, or at each step
(24 GB of FLUX at 12 GB/s: 2 s, where a step takes 0.5 s)."""


def rungs(need: Need, *, frugal: bool) -> tuple[Rung, ...]:
    """List them for one model.

    Args:
        need: Its memory.
        frugal: Parts that do not run now may wait in main memory (`vramOptimization`).
    """
    full = Rung(name=FULL, vram_bytes=need.vram_full)
    if not frugal:
        return (full,)
    # All of them wait there at first, and a part that is on the GPU leaves its place free.
    by_part = Rung(
        name=MODEL_OFFLOAD,
        vram_bytes=need.vram_offload,
        ram_bytes=need.weights,
        slowdown=OFFLOAD_SLOWDOWN,
    )
    by_layer = Rung(
        name=GROUP_OFFLOAD,
        vram_bytes=need.vram_group,
        ram_bytes=need.weights,
        slowdown=GROUP_SLOWDOWN,
    )
    return full, by_part, by_layer
