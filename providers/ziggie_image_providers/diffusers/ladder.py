"""The ways of holding a pipeline on a GPU, the fastest first, with what each takes."""

from __future__ import annotations

from ziggie_image_mcp.provider import Rung
from ziggie_image_providers.diffusers.weights import Need

FULL, MODEL_OFFLOAD = "full", "model offload"


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
    parked = Rung(name=MODEL_OFFLOAD, vram_bytes=need.vram_offload, ram_bytes=need.weights)
    return full, parked
