"""What the built-in engine can do, in the server's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ziggie_image_mcp.provider import (
    FREE,
    Bucket,
    Buckets,
    Defaults,
    FreeSize,
    Memory,
    Model,
    Option,
    PromptLimit,
    SameAsInput,
    TaskCapability,
)

FOLDER = Path(__file__).parent
"""A StableDiffusionPipeline directory, with graphs beside it: the tiny model's weights."""

Factor = Literal[2, 4]

TINY = "tiny"
SIZES: Mapping[int, Factor | None] = {256: 4, 128: 2, 64: None}
"""Sides of its pictures, and by which factor they are enlarged from the 64 that it paints."""

UPSCALERS: Mapping[str, Factor] = {"realesrgan-x4": 4, "realesrgan-x2": 2}
"""Compact Real-ESRGAN models, and how many times the sides grow."""

OPTIONS: frozenset[Option] = frozenset(
    {"seed", "steps", "guidance_scale", "negative_prompt", "seamless"}
)

MAX_IMAGES = 16
TOKENS = 30
"""Of 32, of which two are the beginning and the end."""

STEPS = 16
"""Judged as good as 20, which take a quarter more of the processor: docs/tiny-model.md."""

TINY_BYTES = 130_000_000
"""Memory of its weights and graphs: measured as the growth of a process, 2026-11."""
UPSCALER_BYTES = 270_000_000
"""Of a process that enlarges 1024 to 2048 pixels: benchmarks/upscale.py."""

TINY_SECONDS = 0.5
"""STEPS and the upscaling, weights in memory: benchmarks/builtin.py, two shared cores."""
TINY_LOAD_SECONDS = 0.5
"""Imports and graphs: the same."""
MOST_PIXELS = 50_000_000
"""Of an enlarged picture: 12 million pixels twice as wide. It takes a gigabyte and more on its way
to the file."""
UPSCALE_SECONDS = 0.9
"""256 to 1024 pixels: benchmarks/upscale.py, two shared cores."""
UPSCALER_LOAD_SECONDS = 0.2
"""The same."""


def describe_tiny(provider: str, *, loaded: bool) -> Model:
    """The demo model: it always runs on the CPU."""
    painting = TaskCapability(
        sizes=Buckets(sizes=tuple(Bucket(width=side, height=side) for side in SIZES)),
        options=OPTIONS,
        max_images=MAX_IMAGES,
        max_prompt=PromptLimit(count=TOKENS, unit="tokens", beyond="cut"),
    )
    changing = replace(painting, options=OPTIONS | {"strength"})
    masked = replace(changing, mask="white")
    return Model(
        id=TINY,
        provider=provider,
        where="this_machine",
        tasks={"text_to_image": painting, "image_to_image": changing, "inpaint": masked},
        prices=FREE,
        family="tiny",
        title="Built-in tiny demo model",
        aliases=(f"diffusers/{TINY}",),
        license="MIT",
        commercial_use=True,
        state="loaded" if loaded else "ready",
        device="cpu",
        memory=Memory(vram_bytes=0, ram_bytes=TINY_BYTES),
        defaults=Defaults(steps=STEPS, guidance_scale=4.0),
        demo=True,
        seconds=TINY_SECONDS,
        load_seconds=TINY_LOAD_SECONDS,
        quality=1.0,
    )


def describe_upscaler(provider: str, name: str, *, loaded: bool) -> Model:
    """A compact Real-ESRGAN: any picture, with its alpha."""
    factor = UPSCALERS[name]
    accepts = FreeSize(
        native_width=256,
        native_height=256,
        min_side=1,
        max_side=16_384,
        multiple_of=1,
        max_pixels=MOST_PIXELS // factor**2,
    )
    return Model(
        id=name,
        provider=provider,
        where="this_machine",
        tasks={"upscale": TaskCapability(sizes=SameAsInput(accepts=accepts), factors=(factor,))},
        prices=FREE,
        family="realesrgan",
        title=f"Real-ESRGAN compact, {factor} times",
        license="BSD-3-Clause",
        commercial_use=True,
        state="loaded" if loaded else "ready",
        device="cpu",
        memory=Memory(vram_bytes=0, ram_bytes=UPSCALER_BYTES),
        seconds=UPSCALE_SECONDS,
        load_seconds=UPSCALER_LOAD_SECONDS,
    )
