"""Pixel art as models give it: large, soft, noisy, with the marks of JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def pixel_art(cells: int, seed: int) -> Image.Image:
    """Shapes of one colour each, a pixel a cell."""
    draws = np.random.default_rng(seed)
    ground = tuple(int(v) for v in draws.integers(0, 255, 3))
    image = Image.new("RGB", (cells, cells), ground)
    drawn = ImageDraw.Draw(image)
    for _ in range(14):
        x, y = (int(v) for v in draws.integers(0, cells, 2))
        w, h = (int(v) // 2 for v in draws.integers(2, cells // 2, 2))
        shape = drawn.ellipse if draws.random() < 0.6 else drawn.rectangle
        shape((x - w, y - h, x + w, y + h), fill=tuple(int(v) for v in draws.integers(0, 255, 3)))
    return image


def enlarged(art: Image.Image, cell: float) -> Image.Image:
    """With cells of so many pixels."""
    side = round(art.width * cell)
    return art.resize((side, side), Image.Resampling.NEAREST)


def soft(large: Image.Image, cell: float) -> Image.Image:
    """Blurred by a sixth of a cell, JPEG 70."""
    return _jpeg(large.filter(ImageFilter.GaussianBlur(cell / 6)), 70)


def noisy(large: Image.Image) -> Image.Image:
    """With noise of 6, the same in all channels, JPEG 80."""
    noise = np.random.default_rng(0).normal(0, 6, (large.height, large.width, 1))
    pixels = np.clip(np.asarray(large).astype(int) + noise, 0, 255).astype(np.uint8)
    return _jpeg(Image.fromarray(pixels), 80)


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")
