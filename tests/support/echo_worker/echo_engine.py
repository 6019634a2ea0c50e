"""What a worker asks of `loading` and `pipeline`: each picture carries what was asked, as text."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Sequence

from PIL import Image, PngImagePlugin

from ziggie_image_providers.diffusers import wire


def load(request: wire.WorkerRequest) -> bool:
    """Have every model at hand."""
    return False


def in_use() -> wire.InUse:
    """Hold nothing."""
    return wire.InUse(device="cpu", vram_bytes=0, ram_bytes=0, rung="")


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
    """Give a picture with the request and the pictures that came with it in its texts."""
    for step in range(1, (request.steps or 1) + 1):
        threading.Event().wait(0.001)  # so that a cancel is heard
        on_step(step, request.steps or 1)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("request", request.model_dump_json())
    texts.add_text("number", str(numbers[0]))
    texts.add_text("payload", base64.b64encode(inputs).decode())
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(out, "PNG", pnginfo=texts)
    return [out.getvalue()]


def seed(request: wire.WorkerRequest, number: int) -> int:
    """Count on from the request's seed."""
    return (request.seed + number) % 2**32
