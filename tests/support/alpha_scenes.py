"""Scenes of the tiny model's world whose exact alpha is known, on the grounds that keying asks for.

The figures are those of `tools/tiny_model`, drawn large; the ground is damaged as engines do it.
"""

from __future__ import annotations

import importlib
import io
import random
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ziggie_image_mcp.assets.ground_colour import Ground, choose_ground

SIDE = 256
"""Of a scene, pixels."""

OVER = 4
"""Supersampling."""

BAND = 3
"""Pixels to each side of the true edge."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AlphaScene:
    """A subject on the ground that keying asks for, and what is true of it."""

    prompt: str
    ground: Ground
    image: Image.Image
    """As an engine would give it."""
    alpha: Floats
    """0 to 1."""
    colours: Floats
    """Of the subject alone, 0 to 255; of no meaning where alpha is 0."""


@dataclass(frozen=True)
class AlphaError:
    """How far a cut-out is from the truth."""

    whole: float
    """Mean absolute error of alpha, 0 to 1."""
    band: float
    """The same within `BAND` pixels of the true edge."""
    colour: float
    """CIE76 of the edge's colour, averaged over the edge as it is seen: by the share of alpha."""


@cache
def _world() -> tuple[Any, Any]:
    folder = str(Path(__file__).parents[2] / "tools" / "tiny_model")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("world"), importlib.import_module("figures")
    finally:
        sys.path.remove(folder)


def draw_scene(seed: int, side: int = SIDE, *, shadow: bool = False) -> AlphaScene:
    """The scene of this number: one figure, a pair, or a row."""
    world, figures = _world()
    rng = random.Random(seed)
    topic = rng.choice(("isolated", "figure", "pair", "row"))
    _, _, facts = world.draw_figures(rng, topic)
    words = [f"{thing.colour} {thing.kind}" for thing in facts.things]
    prompt = " and ".join(dict.fromkeys(words))
    ground = choose_ground(prompt)
    large = side * OVER
    shades = {t.colour: figures.jitter(rng, figures.COLOURS[t.colour]) for t in facts.things}

    def drawn(paper: tuple[int, int, int]) -> Floats:
        canvas = Image.new("RGB", (large, large), paper)
        pen = ImageDraw.Draw(canvas)
        for thing in facts.things:
            place = thing.x * large, thing.y * large, thing.radius * large
            figures.FIGURES[thing.kind](pen, *place, shades[thing.colour])
        return np.asarray(canvas, np.float64)

    white, black = drawn((255, 255, 255)), drawn((0, 0, 0))
    solid = (white == black).all(axis=2, keepdims=True).astype(np.float64)
    alpha = _mean(solid, side)
    colours = _mean(white * solid, side) / np.maximum(alpha, 1e-6)
    picture = _damaged(alpha, colours, ground, seed, shadow=shadow)
    return AlphaScene(prompt, ground, picture, alpha[..., 0], colours)


def _mean(pixels: Floats, side: int) -> Floats:
    result: Floats = pixels.reshape(side, OVER, side, OVER, -1).mean(axis=(1, 3))
    return result


def _damaged(
    alpha: Floats, colours: Floats, ground: Ground, seed: int, *, shadow: bool
) -> Image.Image:
    """On a ground that changes by 15 from side to side, with noise of 6, as JPEG 85."""
    side, draws = len(alpha), np.random.default_rng(seed)
    turn = draws.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:side, :side] / (side - 1) - 0.5
    ramp = x * np.cos(turn) + y * np.sin(turn)
    ramp = 15 * ramp / np.ptp(ramp)
    paper: Floats = np.clip(np.array(ground.colour, np.float64) + ramp[..., None], 0, 255)
    if shadow:
        mask = Image.fromarray((alpha[..., 0] * 255).astype(np.uint8))
        soft = mask.filter(ImageFilter.GaussianBlur(side / 40))
        shift = side // 30
        cast = np.roll(np.asarray(soft, np.float64) / 255, (shift, shift), (0, 1))
        paper = paper * (1 - 0.4 * cast[..., None])
    picture = alpha * colours + (1 - alpha) * paper
    picture = picture + draws.uniform(-6, 6, picture.shape)
    out = io.BytesIO()
    Image.fromarray(np.rint(np.clip(picture, 0, 255)).astype(np.uint8)).save(
        out, "JPEG", quality=85
    )
    return Image.open(out).convert("RGB")


def edge_band(alpha: Floats, width: int = BAND) -> NDArray[np.bool_]:
    """The pixels within so many of the true edge."""
    inside = Image.fromarray((alpha >= 0.5).astype(np.uint8) * 255)
    size = 2 * width + 1
    grown = np.asarray(inside.filter(ImageFilter.MaxFilter(size)))
    shrunk = np.asarray(inside.filter(ImageFilter.MinFilter(size)))
    return np.asarray(grown != shrunk)


def measure(result: Image.Image, scene: AlphaScene) -> AlphaError:
    """Compare a cut-out with the truth."""
    pixels = np.asarray(result.convert("RGBA"), np.float64)
    error = np.abs(pixels[..., 3] / 255 - scene.alpha)
    band = edge_band(scene.alpha)
    seen = np.minimum(pixels[..., 3] / 255, scene.alpha) * band
    far = np.sqrt(((_lab(pixels[..., :3]) - _lab(scene.colours)) ** 2).sum(axis=2))
    colour = float((far * seen).sum() / max(seen.sum(), 1e-6))
    return AlphaError(float(error.mean()), float(error[band].mean()), colour)


def threshold_key(scene: AlphaScene) -> Image.Image:
    """A plain key, which the proof must tell from a good one: near the ground's colour is it."""
    pixels = np.asarray(scene.image, np.int16)
    far = np.abs(pixels - np.array(scene.ground.colour)).max(axis=2) > 48
    return Image.fromarray(np.dstack([pixels, far * 255]).astype(np.uint8))


def _lab(rgb: Floats) -> Floats:
    """CIE L*a*b*, D65, of sRGB."""
    share = np.clip(rgb / 255, 0, 1)
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )
