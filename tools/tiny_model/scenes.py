"""Landscapes of the tiny model's world: a sky, a ground, and what stands between them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from figures import (
    BIG,
    COLOURS,
    SIDE,
    SMALL,
    Colour,
    Facts,
    Pen,
    Thing,
    around,
    article,
    circle,
    colour_word,
    jitter,
    polygon,
    shade,
)
from PIL import Image, ImageDraw

SKIES: dict[str, tuple[Colour, Colour]] = {
    "day": ((70, 150, 235), (185, 220, 250)),
    "sunset": ((120, 60, 130), (250, 140, 50)),
    "night": ((8, 10, 40), (25, 30, 80)),
    "cloudy": ((135, 142, 152), (190, 195, 202)),
}
SKY_WORDS: dict[str, Sequence[str]] = {
    "day": ("during the day", "on a sunny day", "under a blue sky", "by day"),
    "sunset": ("at sunset", "at sunset", "in the evening", "at dusk"),
    "night": ("at night", "at night", "under a starry sky", "by night"),
    "cloudy": ("under a cloudy sky", "on a cloudy day", "under a gray sky"),
}
GROUNDS: dict[str, Colour] = {
    "grass": (70, 165, 60),
    "desert": (235, 195, 95),
    "snow": (240, 244, 250),
    "sea": (30, 90, 170),
}
GROUND_WORDS: dict[str, Sequence[str]] = {
    "grass": ("on a green field", "on a meadow", "on grass", "in a field"),
    "desert": ("in the desert", "in a desert", "on the sand"),
    "snow": ("in the snow", "on a snowy field", "in winter"),
    "sea": ("on the sea", "on the ocean", "on the water"),
}
GROUND_NAMES: dict[str, Sequence[str]] = {
    "grass": ("a green field", "a meadow", "a field of grass"),
    "desert": ("a desert", "the desert", "sand dunes"),
    "snow": ("a snowy field", "a field of snow", "a winter landscape"),
    "sea": ("the sea", "the ocean", "the sea"),
}
LIGHT = {"day": 1.0, "sunset": 0.8, "night": 0.42, "cloudy": 0.85}


_STARS = [
    ((column + 0.5 * (row % 2) + 0.25) / 6, (row + 0.4) / 10)
    for row in range(4)
    for column in range(6)
]
"""Places in the sky; a night shows nine of them."""


def sky(rng: random.Random, time: str, *, stars: bool = True) -> Image.Image:
    top, bottom = (np.array(c, dtype=np.float32) for c in SKIES[time])
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None] ** 1.2
    column = top * (1 - ramp) + bottom * ramp
    pixels = np.repeat(column[:, None, :], SIDE, axis=1).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    if time == "night" and stars:
        for x, y in rng.sample(_STARS, 9):
            circle(pen, x * SIDE, y * SIDE, 2.6, (250, 250, 220))
    if time == "cloudy" and stars:
        for x in (0.15, 0.5, 0.85):
            _cloud(pen, x, rng.choice((0.1, 0.2)), (225, 228, 233))
    return image


def _cloud(pen: Pen, x: float, y: float, colour: Colour) -> None:
    for dx, dy, r in ((-0.09, 0.01, 0.05), (0.0, -0.02, 0.07), (0.09, 0.01, 0.055)):
        circle(pen, (x + dx) * SIDE, (y + dy) * SIDE, r * SIDE, colour)


def _house(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    wall, roof = shade(c, light), shade((110, 60, 45), light)
    if c == COLOURS["brown"]:
        roof = shade((170, 50, 40), light)
    pen.rectangle((x - s * 0.5, y - s * 0.7, x + s * 0.5, y), fill=wall)
    polygon(
        pen, [(x - s * 0.64, y - s * 0.68), (x + s * 0.64, y - s * 0.68), (x, y - s * 1.2)], roof
    )
    window = (255, 225, 120) if light < 0.6 else shade((190, 220, 240), light)
    pen.rectangle((x - s * 0.36, y - s * 0.5, x - s * 0.1, y - s * 0.27), fill=window)
    pen.rectangle((x + s * 0.1, y - s * 0.45, x + s * 0.36, y), fill=shade((80, 50, 30), light))


def _tree(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    pen.rectangle((x - s * 0.09, y - s * 0.5, x + s * 0.09, y), fill=shade((105, 70, 40), light))
    for dx, dy, r in ((-0.25, -0.62, 0.3), (0.25, -0.62, 0.3), (0.0, -0.88, 0.36)):
        circle(pen, x + dx * s, y + dy * s, r * s, shade(c, light))


def _pine(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    pen.rectangle((x - s * 0.07, y - s * 0.25, x + s * 0.07, y), fill=shade((95, 62, 38), light))
    for base, width in ((-0.2, 0.42), (-0.5, 0.34), (-0.8, 0.25)):
        top = (x, y + (base - 0.45) * s)
        left, right = (x - width * s, y + base * s), (x + width * s, y + base * s)
        polygon(pen, [left, right, top], shade(c, light))


def _cactus(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    w, green = s * 0.12, shade(c, light)
    pen.rounded_rectangle((x - w, y - s * 1.15, x + w, y), radius=w, fill=green)
    for side in (-1, 1):
        ax = x + side * s * 0.4
        low = y - s * (0.5 if side < 0 else 0.4)
        pen.rounded_rectangle(
            (ax - w * 0.8, low - s * 0.42, ax + w * 0.8, low + w), w * 0.8, fill=green
        )
        pen.rectangle((min(x, ax), low - w * 0.7, max(x, ax), low + w * 0.9), fill=green)


def _boat(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    hull = [(-0.6, -0.2), (0.6, -0.2), (0.4, 0.08), (-0.4, 0.08)]
    polygon(pen, [(x + a * s, y + b * s) for a, b in hull], shade((120, 70, 40), light))
    sail = [(0.03, -1.2), (0.03, -0.28), (0.55, -0.28)]
    polygon(pen, [(x + a * s, y + b * s) for a, b in sail], shade(c, max(light, 0.65)))
    jib = [(-0.05, -1.05), (-0.05, -0.28), (-0.42, -0.28)]
    polygon(pen, [(x + a * s, y + b * s) for a, b in jib], shade(c, max(light, 0.65) * 0.9))


def _mountains(rng: random.Random, pen: Pen, horizon: float, light: float) -> None:
    left, right = rng.choice(((0.30, 0.36), (0.36, 0.30)))
    for x, height in ((0.22, left), (0.78, right), (0.5, 0.46)):
        x, top = x * SIDE, horizon - height * SIDE
        half = 0.34 * SIDE
        rock = shade((110, 105, 125), light)
        polygon(pen, [(x - half, horizon), (x + half, horizon), (x, top)], rock)
        cap = 0.3
        low = top + height * SIDE * cap
        snow = shade((245, 248, 252), max(light, 0.6))
        polygon(pen, [(x - half * cap, low), (x + half * cap, low), (x, top)], snow)


def _city(rng: random.Random, pen: Pen, horizon: float, light: float) -> None:
    """Four towers with two columns of windows."""
    cell = SIDE / 16
    lit = (255, 225, 120) if light < 0.9 else (200, 225, 240)
    heights = rng.choice(((4, 6, 2, 4), (2, 4, 6, 4), (4, 2, 6, 4), (4, 6, 4, 2)))
    for i, height in enumerate(heights):
        left, top = (4 * i + 0.25) * cell, horizon - (height + 0.75) * cell
        wall = shade(((80, 85, 105), (105, 105, 120))[i % 2], max(light, 0.5))
        pen.rectangle((left, top, left + 3.5 * cell - 1, horizon), fill=wall)
        for row in range(height // 2):
            for column in range(2):
                x, y = left + (0.5 + 1.5 * column) * cell, top + (0.5 + 2 * row) * cell
                pen.rectangle((x, y, x + cell - 1, y + cell - 1), fill=lit)


def _flowers(pen: Pen, horizon: float, colour: Colour) -> None:
    """Seven heads of one colour in two rows."""
    centre = (250, 225, 90) if colour[2] > 90 or colour[1] < 150 else (150, 90, 30)
    for i in range(7):
        x, y = (i + 1) / 8 * SIDE, horizon + (0.11, 0.25)[i % 2] * SIDE
        for px, py in around(x, y, 0.045 * SIDE, 5):
            circle(pen, px, py, 0.034 * SIDE, colour)
        circle(pen, x, y, 0.026 * SIDE, centre)


STANDING: dict[str, Callable[[Pen, float, float, float, Colour, float], None]] = {
    "house": _house,
    "tree": _tree,
    "pine tree": _pine,
    "cactus": _cactus,
    "sailboat": _boat,
}
_ON: dict[str, Sequence[str]] = {
    "grass": (
        *("house", "house", "tree", "tree", "pine tree", "mountains"),
        *("city", "city", "city", "flowers", "flowers", "flowers", ""),
    ),
    "desert": ("cactus", "cactus", "house", "mountains", ""),
    "snow": ("pine tree", "pine tree", "house", "mountains", "tree", ""),
    "sea": ("sailboat", "sailboat", "sailboat", "mountains", ""),
}
OWN_COLOUR: dict[str, Colour] = {
    "tree": (45, 130, 50),
    "pine tree": (25, 100, 60),
    "cactus": (50, 140, 70),
}


_HOME = {"cactus": "desert", "sailboat": "sea"}
"""Grounds that need not be said; the others belong on grass."""


def draw_landscape(rng: random.Random) -> tuple[Image.Image, str, Facts]:
    """A sky, a ground, and perhaps something on it and something above it."""
    time = rng.choice(list(SKIES))
    ground = rng.choice(list(GROUNDS))
    if rng.random() < 0.15:
        ground = "grass"
    light = LIGHT[time]
    image = sky(rng, time)
    pen = ImageDraw.Draw(image)
    horizon = 0.625 * SIDE
    kind = rng.choice(_ON[ground])
    choices = {
        "day": ("", "sun", "rainbow", "clouds"),
        "sunset": ("", "sun"),
        "night": ("", "moon"),
        "cloudy": ("", "", "rainbow"),
    }
    above = rng.choice(choices[time])
    sky_words, side = _draw_above(rng, pen, above, time)
    if kind == "mountains":
        _mountains(rng, pen, horizon, light)
    if kind == "city":
        _city(rng, pen, horizon, light)
    pen.rectangle((0, horizon, SIDE, SIDE), fill=shade(jitter(rng, GROUNDS[ground]), light))
    if ground == "sea":
        for row in range(4):
            y = horizon + (0.0625 + row * 0.09375) * SIDE
            for column in range(4):
                x = (column * 0.25 + (row % 2) * 0.125) * SIDE
                pen.line((x, y, x + 0.1 * SIDE, y), fill=shade((110, 165, 225), light), width=3)
    words, thing = _draw_thing(rng, pen, kind, horizon, light)
    if not words:
        what = rng.choice(GROUND_NAMES[ground])
    elif _HOME.get(kind, "grass") == ground and rng.random() < (0.6 if kind == "city" else 0.25):
        what = words
    else:
        what = f"{words} {rng.choice(GROUND_WORDS[ground])}"
    parts = [what, rng.choice(SKY_WORDS[time])]
    if sky_words:
        parts.append(sky_words)
    facts = Facts(
        topic="landscape",
        ground=ground,
        things=(thing,) if thing else (),
        sky=time,
        above=above,
        side=side,
    )
    return image, " ".join(parts), facts


def _draw_above(rng: random.Random, pen: Pen, above: str, time: str) -> tuple[str, str]:
    """Draw it; say it and its side, which is the right one where it is not said."""
    if above in ("sun", "moon"):
        side = rng.choice(("left", "right", ""))
        x, y = (0.2 if side == "left" else 0.8) * SIDE, 0.18 * SIDE
        where = f" on the {side}" if side else ""
        if above == "sun":
            circle(pen, x, y, 0.1 * SIDE, (255, 235, 90) if time == "day" else (255, 205, 80))
            words = rng.choice(("with a sun", "with the sun", "with a bright sun"))
        else:
            circle(pen, x, y, 0.1 * SIDE, (240, 238, 215))
            words = rng.choice(("with a moon", "with the moon", "with a full moon"))
        return words + where, side or "right"
    if above == "rainbow":
        bands = ("red", "orange", "yellow", "green", "blue", "purple")
        for i, name in enumerate(bands):
            r = (0.46 - i * 0.028) * SIDE
            box = (SIDE / 2 - r, 0.58 * SIDE - r, SIDE / 2 + r, 0.58 * SIDE + r)
            pen.arc(box, 180, 360, fill=COLOURS[name], width=6)
        return "with a rainbow", ""
    if above == "clouds":
        for cx in (0.2, 0.5, 0.8):
            _cloud(pen, cx, rng.choice((0.12, 0.2)), (250, 250, 252))
        return rng.choice(("with clouds", "with white clouds")), ""
    return "", ""


def _draw_thing(
    rng: random.Random, pen: Pen, kind: str, horizon: float, light: float
) -> tuple[str, Thing | None]:
    if kind == "":
        return "", None
    thing = Thing(kind=kind, colour="", x=0.5, y=0.5, radius=0.5)
    if kind == "mountains":
        return rng.choice(("mountains", "a mountain range", "snowy mountains")), thing
    if kind == "city":
        return rng.choice(("a city", "a city", "a city skyline", "a town")), thing
    colour = rng.choice([c for c in COLOURS if c not in ("gray", "green", "black")])
    name = colour_word(rng, colour)
    if kind == "flowers":
        _flowers(pen, horizon, shade(COLOURS[colour], max(light, 0.7)))
        return f"{name} flowers", replace(thing, colour=colour)
    side = rng.choice(("", "", "", "left", "right"))
    x = {"": 0.5, "left": 0.25, "right": 0.75}[side]
    size = rng.choice(("", "", "big", "small"))
    scale = {"": 0.36, "big": 0.46, "small": 0.24}[size]
    base = horizon + 0.15 * SIDE
    own = OWN_COLOUR.get(kind, COLOURS[colour])
    STANDING[kind](pen, x * SIDE, base, scale * SIDE, own, light)
    words = [kind]
    if kind == "sailboat":
        words = [rng.choice(("sailboat", "sailboat", "boat", "ship"))]
    if kind not in OWN_COLOUR:
        words.insert(0, name)
    if size:
        words.insert(0, rng.choice(BIG if size == "big" else SMALL))
    shown = "" if kind in OWN_COLOUR else colour
    thing = Thing(kind=kind, colour=shown, x=x, y=base / SIDE - scale / 2, radius=scale / 2)
    return article(" ".join(words)) + (f" on the {side}" if side else ""), thing
