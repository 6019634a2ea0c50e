"""What a diffusers worker asks of `loading` and `pipeline`, done by nobody: for its tests."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from ziggie_image_providers.diffusers import wire

STEP_SECONDS = 0.01
_held: list[str] = []
"""How the models were to be held, the latest last."""
_read = [""]
"""Their paths."""


def load(request: wire.WorkerRequest) -> bool:
    """Have every model at hand, but for the ways of holding it that the environment names.

    Where it names STAND_IN_CRASH, compiling ends the process.
    """
    if request.compile and "STAND_IN_CRASH" in os.environ:
        os.abort()
    if request.rung and request.rung in os.environ.get("STAND_IN_LIMIT", "").split(";"):
        raise MemoryError
    _held.append(request.rung)
    was_read = request.path != _read[-1]
    _read.append(request.path)
    return was_read


def in_use() -> wire.InUse:
    """Hold nothing."""
    return wire.InUse(device="cpu", vram_bytes=0, ram_bytes=0, rung=_held[-1] if _held else "")


def room() -> int | None:
    """Tell of no GPU."""
    return None


def most_at_once(request: wire.WorkerRequest) -> int:
    """Make one picture after another."""
    return 1


def free_memory() -> None:
    """Have nothing to give back."""


def inputs(request: wire.WorkerRequest, payload: bytes) -> bytes:
    """Look at no picture."""
    return payload


def prepare(request: wire.WorkerRequest) -> tuple[str, ...]:
    return ()


def notes(request: wire.WorkerRequest) -> tuple[str, ...]:
    """Read every prompt to its end, and do all that is asked."""
    return ()


def pictures(
    request: wire.WorkerRequest,
    numbers: Sequence[int],
    on_step: Callable[[int, int], None],
    inputs: bytes,
) -> list[bytes]:
    """Take all steps, and give a picture of the size."""
    from ziggie_image_mcp.provider.testing import picture as painted

    steps = request.steps or 1
    for step in range(1, steps + 1):
        time.sleep(STEP_SECONDS)
        on_step(step, steps)
    return [painted(request.width, request.height) for _ in numbers]


def seed(request: wire.WorkerRequest, number: int) -> int:
    """Count on from the request's seed."""
    return (request.seed + number) % 2**32
