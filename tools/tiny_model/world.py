"""Draw the tiny model's world: captioned pictures of shapes, game items and simple scenes."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SIZE = 64
"""Side of a training picture, pixels."""

_OVER = 3
"""Supersampling factor: pictures are drawn at SIZE * _OVER and box-filtered down."""

_SIDE = SIZE * _OVER

Colour = tuple[int, int, int]
Pen = ImageDraw.ImageDraw

COLOURS: dict[str, Colour] = {
    "red": (220, 35, 35),
    "orange": (245, 135, 25),
    "yellow": (250, 220, 40),
    "green": (40, 165, 60),
    "blue": (40, 80, 220),
    "purple": (130, 50, 175),
    "pink": (250, 150, 190),
    "brown": (125, 75, 35),
    "black": (15, 15, 18),
    "white": (248, 248, 248),
    "gray": (135, 135, 140),
    "cyan": (50, 205, 220),
}

COLOUR_WORDS: dict[str, Sequence[str]] = {
    "gray": ("gray", "grey"),
    "cyan": ("cyan", "turquoise"),
    "purple": ("purple", "violet"),
    "yellow": ("yellow", "yellow", "golden"),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One training example: a picture of SIZE x SIZE pixels and what it shows."""

    image: Image.Image
    caption: str


def _shade(colour: Colour, factor: float) -> Colour:
    """Darken (factor < 1) or lighten (factor > 1) a colour."""
    if factor <= 1:
        r, g, b = (int(c * factor) for c in colour)
    else:
        r, g, b = (int(255 - (255 - c) / factor) for c in colour)
    return r, g, b


def _polygon(pen: Pen, points: Sequence[tuple[float, float]], fill: Colour) -> None:
    pen.polygon([(float(x), float(y)) for x, y in points], fill=fill)


def _around(
    cx: float, cy: float, radius: float, corners: int, turn: float = -90.0
) -> list[tuple[float, float]]:
    """Corners of a regular polygon; `turn` in degrees, -90 points up."""
    step = 2 * math.pi / corners
    start = math.radians(turn)
    return [
        (cx + radius * math.cos(start + i * step), cy + radius * math.sin(start + i * step))
        for i in range(corners)
    ]


def _circle(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), fill=c)


def _square(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    s = r * 0.88
    pen.rectangle((x - s, y - s, x + s, y + s), fill=c)


def _triangle(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    _polygon(pen, [(x, y - r), (x + r, y + r * 0.8), (x - r, y + r * 0.8)], c)


def _diamond(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    _polygon(pen, [(x, y - r), (x + r * 0.75, y), (x, y + r), (x - r * 0.75, y)], c)


def _star(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    outer, inner = _around(x, y, r, 5), _around(x, y, r * 0.42, 5, -54.0)
    _polygon(pen, [p for pair in zip(outer, inner, strict=True) for p in pair], c)


def _heart(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    points = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        px = 16 * math.sin(t) ** 3
        py = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x + r * px / 16, y - r * (py + 2) / 15))
    _polygon(pen, points, c)


def _ring(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), outline=c, width=max(3, int(r * 0.34)))


def _cross(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    w = r * 0.33
    pen.rectangle((x - r, y - w, x + r, y + w), fill=c)
    pen.rectangle((x - w, y - r, x + w, y + r), fill=c)


SHAPES: dict[str, Callable[[Pen, float, float, float, Colour], None]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
    "star": _star,
    "heart": _heart,
    "ring": _ring,
    "cross": _cross,
}


def _apple(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    pen.ellipse((x - r, y - r * 0.7, x + r * 0.15, y + r), fill=c)
    pen.ellipse((x - r * 0.15, y - r * 0.7, x + r, y + r), fill=c)
    pen.line((x, y - r * 0.5, x + r * 0.15, y - r), fill=(95, 60, 30), width=int(r * 0.14) + 1)
    pen.ellipse((x + r * 0.15, y - r, x + r * 0.7, y - r * 0.68), fill=(60, 150, 50))


def _mushroom(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    pen.rectangle((x - r * 0.32, y, x + r * 0.32, y + r), fill=(240, 225, 195))
    pen.pieslice((x - r, y - r, x + r, y + r * 0.9), 180, 360, fill=c)
    dot = _shade(c, 4.0) if sum(c) < 600 else (210, 60, 60)
    for dx, dy, dr in ((-0.5, -0.35, 0.16), (0.05, -0.6, 0.2), (0.55, -0.3, 0.15)):
        _circle(pen, x + dx * r, y + dy * r, dr * r, dot)


def _potion(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    glass = (190, 215, 225)
    pen.rectangle((x - r * 0.24, y - r * 0.8, x + r * 0.24, y), fill=glass)
    pen.ellipse((x - r * 0.75, y - r * 0.4, x + r * 0.75, y + r), fill=glass)
    pen.chord((x - r * 0.62, y - r * 0.27, x + r * 0.62, y + r * 0.87), -10, 190, fill=c)
    pen.rectangle((x - r * 0.28, y - r, x + r * 0.28, y - r * 0.72), fill=(140, 90, 45))


def _sword(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    steel = (205, 212, 222)
    points = [(-0.16, 0.35), (-0.16, -0.75), (0, -1), (0.16, -0.75), (0.16, 0.35)]
    _polygon(pen, [(x + a * r, y + b * r) for a, b in points], steel)
    pen.rectangle((x - r * 0.5, y + r * 0.3, x + r * 0.5, y + r * 0.48), fill=c)
    pen.rectangle((x - r * 0.12, y + r * 0.48, x + r * 0.12, y + r), fill=_shade(c, 0.7))


def _fish(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    dark = _shade(c, 0.75)
    _polygon(pen, [(x + r * 0.4, y), (x + r, y - r * 0.55), (x + r, y + r * 0.55)], dark)
    pen.ellipse((x - r, y - r * 0.55, x + r * 0.6, y + r * 0.55), fill=c)
    _circle(pen, x - r * 0.58, y - r * 0.12, r * 0.15, (255, 255, 255))
    _circle(pen, x - r * 0.6, y - r * 0.12, r * 0.07, (10, 10, 10))


def _flower(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    pen.rectangle((x - r * 0.07, y, x + r * 0.07, y + r), fill=(45, 130, 50))
    pen.ellipse((x + r * 0.05, y + r * 0.45, x + r * 0.5, y + r * 0.7), fill=(45, 130, 50))
    for px, py in _around(x, y - r * 0.35, r * 0.38, 6):
        _circle(pen, px, py, r * 0.26, c)
    centre = (250, 215, 50) if c != COLOURS["yellow"] else (150, 85, 25)
    _circle(pen, x, y - r * 0.35, r * 0.24, centre)


def _gem(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    top = [(-0.55, -0.65), (0.55, -0.65), (1, -0.15), (-1, -0.15)]
    _polygon(pen, [(x + a * r, y + b * r) for a, b in top], _shade(c, 1.7))
    _polygon(pen, [(x - r, y - r * 0.15), (x + r, y - r * 0.15), (x, y + r * 0.9)], c)
    light = [(-0.35, -0.15), (0.35, -0.15), (0, 0.9)]
    _polygon(pen, [(x + a * r, y + b * r) for a, b in light], _shade(c, 1.35))


def _smiley(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    ink = (20, 20, 25) if sum(c) > 120 else (240, 240, 240)
    _circle(pen, x, y, r, c)
    for dx in (-0.35, 0.35):
        _circle(pen, x + dx * r, y - r * 0.25, r * 0.13, ink)
    box = (x - r * 0.55, y - r * 0.45, x + r * 0.55, y + r * 0.6)
    pen.arc(box, 25, 155, fill=ink, width=max(2, int(r * 0.12)))


ITEMS: dict[str, Callable[[Pen, float, float, float, Colour], None]] = {
    "apple": _apple,
    "mushroom": _mushroom,
    "potion": _potion,
    "sword": _sword,
    "fish": _fish,
    "flower": _flower,
    "gem": _gem,
    "smiley": _smiley,
}

NOUNS: dict[str, Sequence[str]] = {
    "circle": ("circle", "circle", "ball", "disk", "dot"),
    "square": ("square", "square", "box"),
    "ring": ("ring", "ring", "hoop"),
    "cross": ("cross", "plus"),
    "gem": ("gem", "jewel", "crystal"),
    "smiley": ("smiley", "smiley face", "face"),
    "potion": ("potion", "potion", "bottle"),
}

_BIG, _SMALL = ("big", "large", "huge"), ("small", "little", "tiny")


def _word(rng: random.Random, table: dict[str, Sequence[str]], name: str) -> str:
    return rng.choice(table.get(name, (name,)))


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _jitter(rng: random.Random, colour: Colour, amount: int = 8) -> Colour:
    r, g, b = (max(0, min(255, c + rng.randint(-amount, amount))) for c in colour)
    return r, g, b


def _other(rng: random.Random, *taken: str) -> str:
    """Pick a colour that can be told from those taken."""
    near = {"yellow": {"orange"}, "orange": {"yellow", "brown"}, "brown": {"orange"}}
    banned = {t for name in taken for t in {name} | near.get(name, set())}
    return rng.choice([name for name in COLOURS if name not in banned])


def _figure(rng: random.Random) -> tuple[str, Callable[[Pen, float, float, float, Colour], None]]:
    kind = rng.choice(list(SHAPES) + list(ITEMS))
    return kind, (SHAPES | ITEMS)[kind]


def draw_figures(rng: random.Random) -> tuple[Image.Image, str]:
    """One or two coloured shapes or items on a plain ground."""
    ground = rng.choice(list(COLOURS))
    image = Image.new("RGB", (_SIDE, _SIDE), _jitter(rng, COLOURS[ground]))
    pen = ImageDraw.Draw(image)
    ground_words = _article(f"{_word(rng, COLOUR_WORDS, ground)} ") + rng.choice(
        ("background", "background", "background", "ground", "wall")
    )
    ground_words = " ".join(ground_words.split())
    if rng.random() < 0.62:
        kind, draw = _figure(rng)
        colour = _other(rng, ground)
        size = rng.choice(("big", "", "", "small"))
        radius = {"big": 0.40, "": 0.30, "small": 0.15}[size] * rng.uniform(0.95, 1.05)
        spread = 0.03 if size != "small" else 0.05
        x, y = (0.5 + rng.uniform(-spread, spread) for _ in range(2))
        draw(pen, x * _SIDE, y * _SIDE, radius * _SIDE, _jitter(rng, COLOURS[colour]))
        words = [_word(rng, COLOUR_WORDS, colour), _word(rng, NOUNS, kind)]
        if size:
            words.insert(0, rng.choice(_BIG if size == "big" else _SMALL))
        return image, _join(rng, _article(" ".join(words)), ground_words)
    first, draw_first = _figure(rng)
    second, draw_second = _figure(rng)
    one = _other(rng, ground)
    two = _other(rng, ground, one)
    across = rng.random() < 0.5
    forward = rng.random() < 0.5
    near, far = (0.27 + rng.uniform(-0.02, 0.02) for _ in range(2))
    far = 1 - far
    places = (near, far) if forward else (far, near)
    for draw, colour, place in ((draw_first, one, places[0]), (draw_second, two, places[1])):
        x, y = (place, 0.5) if across else (0.5, place)
        radius = 0.19 * rng.uniform(0.95, 1.05)
        draw(pen, x * _SIDE, y * _SIDE, radius * _SIDE, _jitter(rng, COLOURS[colour]))
    a = _article(f"{_word(rng, COLOUR_WORDS, one)} {_word(rng, NOUNS, first)}")
    b = _article(f"{_word(rng, COLOUR_WORDS, two)} {_word(rng, NOUNS, second)}")
    if across:
        relation = rng.choice(("to the left of", "left of")) if forward else "to the right of"
    else:
        relation = rng.choice(("above", "over")) if forward else rng.choice(("below", "under"))
    return image, _join(rng, f"{a} {relation} {b}", ground_words)


def _join(rng: random.Random, figure: str, ground: str) -> str:
    return rng.choice(
        (
            f"{figure} on {ground}",
            f"{figure} on {ground}",
            f"{figure} on {ground}",
            f"{figure}, {ground}",
            f"{figure} in front of {ground}",
        )
    )


# Scenes: a sky by the time of day, a ground, and things that stand on it.

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
_LIGHT = {"day": 1.0, "sunset": 0.8, "night": 0.42, "cloudy": 0.85}


def _sky(rng: random.Random, time: str) -> Image.Image:
    top, bottom = (np.array(c, dtype=np.float32) for c in SKIES[time])
    ramp = np.linspace(0, 1, _SIDE, dtype=np.float32)[:, None] ** 1.2
    column = top * (1 - ramp) + bottom * ramp
    pixels = np.repeat(column[:, None, :], _SIDE, axis=1).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    if time == "night":
        for _ in range(22):
            x, y = rng.uniform(0, _SIDE), rng.uniform(0, _SIDE * 0.55)
            _circle(pen, x, y, rng.uniform(1.6, 3.2), (250, 250, 220))
    if time == "cloudy":
        for _ in range(3):
            _cloud(pen, rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.3), (225, 228, 233))
    return image


def _cloud(pen: Pen, x: float, y: float, colour: Colour) -> None:
    for dx, dy, r in ((-0.09, 0.01, 0.05), (0.0, -0.02, 0.07), (0.09, 0.01, 0.055)):
        _circle(pen, (x + dx) * _SIDE, (y + dy) * _SIDE, r * _SIDE, colour)


def _house(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    wall, roof = _shade(c, light), _shade((110, 60, 45), light)
    if c == COLOURS["brown"]:
        roof = _shade((170, 50, 40), light)
    pen.rectangle((x - s * 0.5, y - s * 0.7, x + s * 0.5, y), fill=wall)
    _polygon(
        pen, [(x - s * 0.64, y - s * 0.68), (x + s * 0.64, y - s * 0.68), (x, y - s * 1.2)], roof
    )
    window = (255, 225, 120) if light < 0.6 else _shade((190, 220, 240), light)
    pen.rectangle((x - s * 0.36, y - s * 0.5, x - s * 0.1, y - s * 0.27), fill=window)
    pen.rectangle((x + s * 0.1, y - s * 0.45, x + s * 0.36, y), fill=_shade((80, 50, 30), light))


def _tree(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    pen.rectangle((x - s * 0.09, y - s * 0.5, x + s * 0.09, y), fill=_shade((105, 70, 40), light))
    for dx, dy, r in ((-0.25, -0.62, 0.3), (0.25, -0.62, 0.3), (0.0, -0.88, 0.36)):
        _circle(pen, x + dx * s, y + dy * s, r * s, _shade(c, light))


def _pine(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    pen.rectangle((x - s * 0.07, y - s * 0.25, x + s * 0.07, y), fill=_shade((95, 62, 38), light))
    for base, width in ((-0.2, 0.42), (-0.5, 0.34), (-0.8, 0.25)):
        top = (x, y + (base - 0.45) * s)
        left, right = (x - width * s, y + base * s), (x + width * s, y + base * s)
        _polygon(pen, [left, right, top], _shade(c, light))


def _cactus(pen: Pen, x: float, y: float, s: float, c: Colour, light: float) -> None:
    w, green = s * 0.12, _shade(c, light)
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
    _polygon(pen, [(x + a * s, y + b * s) for a, b in hull], _shade((120, 70, 40), light))
    sail = [(0.03, -1.2), (0.03, -0.28), (0.55, -0.28)]
    _polygon(pen, [(x + a * s, y + b * s) for a, b in sail], _shade(c, max(light, 0.65)))
    jib = [(-0.05, -1.05), (-0.05, -0.28), (-0.42, -0.28)]
    _polygon(pen, [(x + a * s, y + b * s) for a, b in jib], _shade(c, max(light, 0.65) * 0.9))


def _mountains(rng: random.Random, pen: Pen, horizon: float, light: float) -> None:
    for x, height in ((0.22, 0.34), (0.78, 0.36), (0.5, 0.46)):
        x, top = (x + rng.uniform(-0.04, 0.04)) * _SIDE, horizon - height * _SIDE
        half = 0.34 * _SIDE
        rock = _shade((110, 105, 125), light)
        _polygon(pen, [(x - half, horizon), (x + half, horizon), (x, top)], rock)
        cap = 0.3
        left, right = (
            (x - half * cap, top + height * _SIDE * cap),
            (x + half * cap, top + height * _SIDE * cap),
        )
        _polygon(pen, [left, right, (x, top)], _shade((245, 248, 252), max(light, 0.6)))


def _city(rng: random.Random, pen: Pen, horizon: float, light: float) -> None:
    x = 0.04
    while x < 0.9:
        width, height = rng.uniform(0.1, 0.16), rng.uniform(0.18, 0.45)
        left, top = x * _SIDE, horizon - height * _SIDE
        wall = _shade((95, 100, 115), max(light * rng.uniform(0.8, 1.1), 0.3))
        pen.rectangle((left, top, (x + width) * _SIDE, horizon), fill=wall)
        lit = (255, 225, 120) if light < 0.9 else (190, 210, 225)
        for row in range(int(height / 0.07)):
            for column in range(2):
                wx = left + (0.25 + 0.4 * column) * width * _SIDE
                wy = top + (row * 0.07 + 0.03) * _SIDE
                pen.rectangle((wx, wy, wx + 0.022 * _SIDE, wy + 0.03 * _SIDE), fill=lit)
        x += width + 0.01


_STANDING: dict[str, Callable[[Pen, float, float, float, Colour, float], None]] = {
    "house": _house,
    "tree": _tree,
    "pine tree": _pine,
    "cactus": _cactus,
    "sailboat": _boat,
}
_ON: dict[str, Sequence[str]] = {
    "grass": ("house", "house", "tree", "tree", "pine tree", "mountains", "city", "flowers", ""),
    "desert": ("cactus", "cactus", "house", "mountains", ""),
    "snow": ("pine tree", "pine tree", "house", "mountains", "tree", ""),
    "sea": ("sailboat", "sailboat", "sailboat", "mountains", ""),
}
_OWN_COLOUR: dict[str, Colour] = {
    "tree": (45, 130, 50),
    "pine tree": (25, 100, 60),
    "cactus": (50, 140, 70),
}


def draw_landscape(rng: random.Random) -> tuple[Image.Image, str]:
    """A sky, a ground, and perhaps something on it and something above it."""
    time = rng.choice(list(SKIES))
    ground = rng.choice(list(GROUNDS))
    light = _LIGHT[time]
    image = _sky(rng, time)
    pen = ImageDraw.Draw(image)
    horizon = (0.62 + rng.uniform(-0.02, 0.02)) * _SIDE
    thing = rng.choice(_ON[ground])
    above = rng.choice(("", "", "sun", "moon", "rainbow", "clouds"))
    sky_words = _draw_above(rng, pen, above, time)
    if thing == "mountains":
        _mountains(rng, pen, horizon, light)
    if thing == "city":
        _city(rng, pen, horizon, light)
    pen.rectangle((0, horizon, _SIDE, _SIDE), fill=_shade(_jitter(rng, GROUNDS[ground]), light))
    if ground == "sea":
        for row in range(4):
            y = horizon + (0.06 + row * 0.09) * _SIDE
            for column in range(4):
                x = (column * 0.27 + (row % 2) * 0.13) * _SIDE
                pen.line((x, y, x + 0.1 * _SIDE, y), fill=_shade((110, 165, 225), light), width=2)
    place = _draw_thing(rng, pen, thing, horizon, light)
    what = (
        f"{place} {rng.choice(GROUND_WORDS[ground])}" if place else rng.choice(GROUND_NAMES[ground])
    )
    parts = [what, rng.choice(SKY_WORDS[time])]
    if sky_words:
        parts.append(sky_words)
    return image, " ".join(parts)


def _draw_above(rng: random.Random, pen: Pen, above: str, time: str) -> str:
    x, y = rng.choice((0.2, 0.8)) * _SIDE, 0.18 * _SIDE
    if above == "sun" and time in ("day", "sunset"):
        _circle(pen, x, y, 0.1 * _SIDE, (255, 235, 90) if time == "day" else (255, 205, 80))
        return rng.choice(("with a sun", "with the sun", "with a bright sun"))
    if above == "moon" and time == "night":
        _circle(pen, x, y, 0.09 * _SIDE, (240, 238, 215))
        return rng.choice(("with a moon", "with a full moon"))
    if above == "rainbow" and time in ("day", "cloudy"):
        bands = ("red", "orange", "yellow", "green", "blue", "purple")
        for i, name in enumerate(bands):
            r = (0.46 - i * 0.028) * _SIDE
            box = (_SIDE / 2 - r, 0.58 * _SIDE - r, _SIDE / 2 + r, 0.58 * _SIDE + r)
            pen.arc(box, 180, 360, fill=COLOURS[name], width=6)
        return "with a rainbow"
    if above == "clouds" and time == "day":
        for cx in (0.2, 0.55, 0.85):
            _cloud(pen, cx + rng.uniform(-0.05, 0.05), rng.uniform(0.1, 0.25), (250, 250, 252))
        return rng.choice(("with clouds", "with white clouds"))
    return ""


def _draw_thing(rng: random.Random, pen: Pen, thing: str, horizon: float, light: float) -> str:
    if thing == "":
        return ""
    if thing == "mountains":
        return rng.choice(("mountains", "a mountain range", "snowy mountains"))
    if thing == "city":
        return rng.choice(("a city", "a city skyline", "a town"))
    colour = rng.choice([c for c in COLOURS if c not in ("gray", "green", "black")])
    word = _word(rng, COLOUR_WORDS, colour)
    if thing == "flowers":
        for _ in range(14):
            x, y = rng.uniform(0.04, 0.96) * _SIDE, horizon + rng.uniform(0.06, 0.33) * _SIDE
            for px, py in _around(x, y, 0.022 * _SIDE, 5):
                _circle(pen, px, py, 0.017 * _SIDE, _shade(COLOURS[colour], max(light, 0.6)))
            _circle(
                pen, x, y, 0.014 * _SIDE, (250, 225, 90) if colour != "yellow" else (150, 90, 30)
            )
        return f"{word} flowers"
    side = rng.choice(("", "", "left", "right"))
    x = {"": 0.5, "left": 0.25, "right": 0.75}[side] + rng.uniform(-0.03, 0.03)
    size = rng.choice(("", "", "big", "small"))
    scale = {"": 0.36, "big": 0.46, "small": 0.22}[size] * _SIDE
    base = horizon + (0.16 if thing != "sailboat" else 0.14) * _SIDE
    _STANDING[thing](pen, x * _SIDE, base, scale, _OWN_COLOUR.get(thing, COLOURS[colour]), light)
    words = [thing]
    if thing == "sailboat":
        words = [rng.choice(("sailboat", "sailboat", "boat", "ship"))]
    if thing not in _OWN_COLOUR:
        words.insert(0, word)
    if size:
        words.insert(0, rng.choice(_BIG if size == "big" else _SMALL))
    return _article(" ".join(words)) + (f" on the {side}" if side else "")


_OPENERS = ("a picture of", "a drawing of", "an image of", "an illustration of", "a sprite of")
_FILLERS = ("beautiful", "detailed", "simple", "flat", "cute", "high quality", "zzz", "qqq")


def draw(seed: int) -> Scene:
    """Draw the scene with this number: the same seed, the same scene."""
    rng = random.Random(seed)
    image, caption = draw_figures(rng) if rng.random() < 0.58 else draw_landscape(rng)
    if rng.random() < 0.15:
        caption = f"{rng.choice(_OPENERS)} {caption}"
    if rng.random() < 0.12:
        caption = f"{caption}, {rng.choice(_FILLERS)}"
    if rng.random() < 0.04:
        caption = f"{rng.choice(_FILLERS)} {caption}"
    return Scene(image=image.resize((SIZE, SIZE), Image.Resampling.BOX), caption=caption)


def vocabulary() -> list[str]:
    """Every word that a caption can hold but the fillers, which must read as unknown."""
    words = {w for seed in range(20_000) for w in draw(seed).caption.replace(",", " ").split()}
    return sorted(words - {"zzz", "qqq"})
