"""Seamless tiles of the tiny model's world: every pattern goes on at the opposite edge."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from figures import (
    COLOURS,
    FIGURES,
    NOUNS,
    SIDE,
    Colour,
    Facts,
    Pen,
    article,
    colour_word,
    jitter,
    other,
    plural,
    shade,
    word,
)
from PIL import Image, ImageDraw

Tile = tuple[Image.Image, str, str, tuple[str, ...]]
"""A picture, its words, its pattern and its colours."""

_UNIT = SIDE // 16
"""Four pixels of the picture: one cell of the latent."""


def _blank(colour: Colour) -> tuple[Image.Image, Pen]:
    image = Image.new("RGB", (SIDE, SIDE), colour)
    return image, ImageDraw.Draw(image)


def _box(pen: Pen, x: float, y: float, width: float, height: float, fill: Colour) -> None:
    """A rectangle that goes on at the opposite edges; the corner is x, y."""
    for dx in (-SIDE, 0, SIDE):
        for dy in (-SIDE, 0, SIDE):
            left, top = x + dx, y + dy
            pen.rectangle((left, top, left + width - 1, top + height - 1), fill=fill)


def _bricks(rng: random.Random) -> Tile:
    colour = rng.choice(("red", "red", "brown", "gray", "orange", "white"))
    mortar = (205, 200, 190) if colour not in ("white", "gray") else (80, 80, 85)
    image, pen = _blank(mortar)
    wall, high, wide = jitter(rng, COLOURS[colour]), 2 * _UNIT, 4 * _UNIT
    for row in range(8):
        for column in range(4):
            x = column * wide + row % 2 * 2 * _UNIT
            fill = shade(wall, rng.choice((0.86, 0.93, 1.0)))
            _box(pen, x, row * high, wide - _UNIT // 3, high - _UNIT // 3, fill)
    name = colour_word(rng, colour)
    text = rng.choice((f"{name} bricks", f"{name} brick wall", f"{name} brick"))
    return image, text, "bricks", (colour,)


def _stones(rng: random.Random) -> Tile:
    """Rounded cells about sixteen points, by the distance to the two nearest on the torus."""
    colour = rng.choice(("gray", "gray", "gray", "brown", "blue"))
    grid = np.arange(SIDE, dtype=np.float32) / SIDE * 4
    y, x = np.meshgrid(grid, grid, indexing="ij")
    away = list[np.ndarray]()
    shades = list[float]()
    for row in range(4):
        for column in range(4):
            px = column + 0.5 * (row % 2) + rng.uniform(-0.16, 0.16)
            py = row + rng.uniform(-0.16, 0.16)
            dx, dy = (np.abs((g - p + 2) % 4 - 2) for g, p in ((x, px), (y, py)))
            away.append(np.hypot(dx, dy))
            shades.append(rng.choice((0.82, 0.92, 1.02)))
    distance = np.stack(away)
    nearest = distance.argmin(0)
    first, second = np.sort(distance, 0)[:2]
    inside = np.clip((second - first - 0.12) / 0.06, 0, 1)[..., None]
    stone = np.array(jitter(rng, COLOURS[colour]), np.float32) * np.array(shades)[nearest, None]
    gap = np.array(shade(COLOURS[colour], 0.4), np.float32)
    image = Image.fromarray((gap + (stone - gap) * inside).clip(0, 255).astype(np.uint8))
    name = colour_word(rng, colour)
    text = rng.choice((f"{name} stone", f"{name} cobblestone", f"{name} stones"))
    if colour == "gray" and rng.random() < 0.4:
        text = text.split(" ", 1)[1]
    return image, text, "stone", (colour,)


def _grass(rng: random.Random) -> Tile:
    green = jitter(rng, (70, 165, 60))
    image, pen = _blank(green)
    for row in range(8):
        for column in range(4):
            x = (column * 4 + row % 2 * 2 + rng.choice((0, 1))) * _UNIT
            y, fill = row * 2 * _UNIT, shade(green, rng.choice((0.65, 0.75, 1.5)))
            for dx in (-SIDE, 0, SIDE):
                for dy in (-SIDE, 0, SIDE):
                    a, b = x + dx, y + dy
                    pen.line((a, b, a + _UNIT * 0.7, b + _UNIT * 1.5), fill=fill, width=5)
                    pen.line((a + _UNIT * 1.4, b, a + _UNIT * 0.7, b + _UNIT * 1.5), fill, 5)
    text = rng.choice(("grass", "green grass", "a meadow"))
    return image, text, "grass", ("green",)


def _wave(
    image: Image.Image, colour: Colour, *, pitch: int, bend: float, thick: float, shift: float
) -> Image.Image:
    """Lay wavy lines of a colour over a picture."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    bent = y + bend * np.sin(2 * math.pi * (x / SIDE * 4 + shift))
    away = np.abs((bent + pitch / 2) % pitch - pitch / 2)
    share = np.clip((thick - away) / 3 + 0.5, 0, 1)[..., None]
    ground = np.asarray(image).astype(np.float32)
    mixed = ground + (np.array(colour, np.float32) - ground) * share
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def _water(rng: random.Random) -> Tile:
    blue = jitter(rng, (35, 100, 190))
    image, _ = _blank(blue)
    image = _wave(image, (120, 185, 235), pitch=4 * _UNIT, bend=9, thick=5, shift=0)
    text = rng.choice(("water", "blue water", "waves", "water waves", "blue waves"))
    return image, text, "water", ("blue",)


def _sand(rng: random.Random) -> Tile:
    tan = jitter(rng, (235, 200, 115))
    image, _ = _blank(tan)
    image = _wave(image, shade(tan, 0.8), pitch=4 * _UNIT, bend=4, thick=4, shift=0.5)
    return image, rng.choice(("sand", "desert sand", "sand dunes")), "sand", ("yellow",)


def _planks(rng: random.Random) -> Tile:
    brown = jitter(rng, rng.choice(((150, 95, 50), (125, 75, 35))))
    image, pen = _blank(shade(brown, 0.45))
    for row in range(4):
        y, fill = row * 4 * _UNIT, shade(brown, rng.choice((0.88, 1.0, 1.15)))
        _box(pen, 0, y, SIDE, 4 * _UNIT - 5, fill)
        for grain in (1.2, 2.4):
            _box(pen, 0, y + grain * _UNIT, SIDE, 4, shade(fill, 0.82))
        _box(pen, (row % 2 * 8 + 2) * _UNIT, y, 6, 4 * _UNIT, shade(brown, 0.45))
    text = rng.choice(("wood", "wood planks", "wooden planks", "brown wood"))
    return image, text, "wood", ("brown",)


def _two(rng: random.Random) -> tuple[str, str, Colour, Colour]:
    one = rng.choice(list(COLOURS))
    two = other(rng, one)
    return one, two, jitter(rng, COLOURS[one]), jitter(rng, COLOURS[two])


def _checkers(rng: random.Random) -> Tile:
    one, two, first, second = _two(rng)
    image, pen = _blank(first)
    step = 2 * _UNIT
    for row in range(8):
        for column in range(row % 2, 8, 2):
            _box(pen, column * step, row * step, step, step, second)
    a, b = colour_word(rng, one), colour_word(rng, two)
    noun = rng.choice(("checkers", "checkerboard", "checkered"))
    return image, f"{a} and {b} {noun}", "checkers", (one, two)


def _stripes(rng: random.Random) -> Tile:
    one, two, first, second = _two(rng)
    image, pen = _blank(first)
    lie = rng.choice(("vertical", "horizontal", "diagonal"))
    if lie == "diagonal":
        y, x = np.mgrid[0:SIDE, 0:SIDE]
        odd = ((x + y) // (2 * _UNIT) % 2)[..., None]
        mixed = np.where(odd, np.array(second), np.array(first))
        image = Image.fromarray(mixed.astype(np.uint8))
    for i in range(1, 8, 2):
        if lie == "vertical":
            _box(pen, i * 2 * _UNIT, 0, 2 * _UNIT, SIDE, second)
        if lie == "horizontal":
            _box(pen, 0, i * 2 * _UNIT, SIDE, 2 * _UNIT, second)
    stripes = f"{colour_word(rng, one)} and {colour_word(rng, two)} {lie} stripes"
    return image, stripes, f"{lie} stripes", (one, two)


def _motif(rng: random.Random) -> Tile:
    """Dots or another figure, in rows that are set off by half."""
    ground, colour, paper, ink = _two(rng)
    kind = rng.choice(("circle", "circle", "circle", "star", "heart", "diamond", "flower"))
    image, pen = _blank(paper)
    pitch = rng.choice((4, 8)) if kind == "circle" else 8
    big = {4: 0.95, 8: 2.0}[pitch] if kind == "circle" else 2.3
    for row in range(-1, 32 // pitch + 1):
        for column in range(-1, 16 // pitch + 1):
            x = (column + row % 2 * 0.5 + 0.25) * pitch * _UNIT
            y = (row + 0.5) * pitch / 2 * _UNIT
            FIGURES[kind](pen, x, y, big * _UNIT, ink)
    noun = rng.choice(("dots", "dots", "polka dots")) if kind == "circle" else ""
    if kind == "circle" and pitch == 8:
        noun = rng.choice(("big dots", "large dots"))
    noun = noun or plural(word(rng, NOUNS, kind))
    on = rng.choice(("", " background"))
    under = colour_word(rng, ground)
    text = f"{colour_word(rng, colour)} {noun} on {article(under + on) if on else under}"
    return image, text, "dots" if kind == "circle" else f"{kind}s", (colour, ground)


PATTERNS: tuple[Callable[[random.Random], Tile], ...] = (
    _bricks,
    _stones,
    _grass,
    _water,
    _sand,
    _planks,
    _checkers,
    _stripes,
    _motif,
)


def draw_tile(rng: random.Random) -> tuple[Image.Image, str, Facts]:
    """A pattern that repeats without a seam, and words that ask for one."""
    image, text, pattern, colours = rng.choice(PATTERNS)(rng)
    noun = rng.choice(("texture", "pattern", "tile"))
    caption = rng.choice(
        (
            f"a seamless {noun} of {text}",
            f"a {noun} of {text}",
            f"{text} {noun}",
            f"{text} {noun}",
            f"{text}, seamless {noun}",
            f"seamless {text} {noun}",
            f"{text}, tileable {noun}",
        )
    )
    return image, caption, Facts(topic="tile", ground=pattern, colours=colours)
