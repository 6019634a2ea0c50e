"""An engine that draws what assets are made of, and does to it what engines do."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ziggie_image_mcp.provider import (
    FreeSize,
    GeneratedImage,
    Generation,
    Model,
    ProviderRequest,
    Run,
    Submission,
)
from ziggie_image_mcp.provider.testing import OPTIONS, StubProvider, model

HABITS = (
    "clean",
    "wrong_size",
    "jpeg",
    "opaque",
    "off_grid",
    "many_colours",
    "empty",
    "no_tile",
    "half_alpha",
)
"""What it does to a picture."""


class HostileEngine(StubProvider):
    """Honours nothing that its habit speaks against, and says that it does."""

    name = "hostile"

    def __init__(self, *, price: int = 0) -> None:
        self.habit = "clean"
        self._facts: dict[str, Any] = {"price": price} | ({"where": "vendor"} if price else {})

    async def list_models(self) -> Sequence[Model]:
        options = frozenset((*OPTIONS, "transparent", "seamless"))
        sizes = FreeSize(native_width=256, native_height=256, min_side=64, exact=False)
        return [model(self.name, "hostile", options=options, sizes=sizes, **self._facts)]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        made = [
            GeneratedImage(data=drawn(request, request.seed + i, self.habit), seed=request.seed + i)
            for i in range(request.num_images)
        ]
        return Generation(images=tuple(made))


def drawn(request: ProviderRequest, seed: int, habit: str) -> bytes:
    """A subject on transparent ground, a sheet of them, a tile, or a picture: PNG or JPEG."""
    draw = random.Random(f"{seed} {habit}")
    size = request.width, request.height
    if habit == "wrong_size":
        factor = draw.choice((0.5, 0.75, 1.5))
        size = max(8, round(size[0] * factor)), max(8, round(size[1] * factor))
    sheet = re.search(r"in (\d+) columns and (\d+) rows", request.prompt)
    if request.transparent:
        columns, rows = (int(sheet[1]), int(sheet[2])) if sheet else (1, 1)
        image = _subjects(draw, size, columns, rows, empty=habit == "empty")
    else:
        image = _ground(draw, size, tiles=request.seamless and habit != "no_tile")
    if habit == "many_colours":
        image = _noisy(image, seed, 40)
    if habit == "off_grid":
        small = image.resize((max(1, size[0] // 7), max(1, size[1] // 7)), Image.Resampling.NEAREST)
        image = small.resize(size, Image.Resampling.BICUBIC).rotate(1.5)
    if habit == "half_alpha":
        image.putalpha(
            image.convert("RGBA").getchannel("A").point([a * 2 // 3 for a in range(256)])
        )
    out = io.BytesIO()
    if habit in ("jpeg", "opaque"):
        ground = Image.new("RGBA", image.size, "white")
        flat = Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")
        flat.save(out, "JPEG" if habit == "jpeg" else "PNG")
    else:
        image.save(out, "PNG")
    return out.getvalue()


def _subjects(
    draw: random.Random, size: tuple[int, int], columns: int, rows: int, *, empty: bool
) -> Image.Image:
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    width, height = size[0] / columns, size[1] / rows
    left_out = draw.randrange(columns * rows) if empty else -1
    for i in range(columns * rows):
        x, y = i % columns * width, i // columns * height
        colour = tuple(draw.randrange(256) for _ in range(3))
        inset = draw.uniform(0.1, 0.3)
        box = (x + inset * width, y + inset * height, x + 0.9 * width, y + 0.85 * height)
        if i != left_out:
            pen.ellipse(box, fill=(*colour, 255), outline=(20, 20, 30, 255), width=3)
            middle = (x + width / 2, y + height / 2)
            pen.rectangle((*middle, middle[0] + width / 8, middle[1] + height / 8), fill="white")
    return image.filter(ImageFilter.GaussianBlur(0.7))


def _ground(draw: random.Random, size: tuple[int, int], *, tiles: bool) -> Image.Image:
    """Smooth blobs that tile, or a slope that does not."""
    noise = np.random.default_rng(draw.randrange(2**31))
    if not tiles:
        slope = np.linspace(0, 255, size[0])[None, :, None] * np.ones((size[1], 1, 3))
        return Image.fromarray(slope.astype(np.uint8))
    waves = np.zeros((size[1], size[0], 3))
    y = np.arange(size[1])[:, None] / size[1]
    x = np.arange(size[0])[None, :] / size[0]
    for _ in range(6):
        across, down = noise.integers(0, 5, 2)
        phase = noise.random() * 6
        wave = np.sin(2 * np.pi * (across * x + down * y) + phase)
        waves += wave[..., None] * noise.random(3)
    scaled = (waves - waves.min()) / max(1e-6, waves.max() - waves.min())
    return Image.fromarray((scaled * 255).astype(np.uint8))


def _noisy(image: Image.Image, seed: int, deviation: float) -> Image.Image:
    pixels = np.array(image).astype(int)
    noise = np.random.default_rng(seed).normal(0, deviation, (*pixels.shape[:2], 3))
    pixels[..., :3] = np.clip(pixels[..., :3] + noise, 0, 255)
    return Image.fromarray(pixels.astype(np.uint8))
