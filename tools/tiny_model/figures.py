"""The pen, the colours and the sixteen figures of the tiny model's world."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

SIZE = 64
"""Side of a training picture, pixels."""

OVER = 3
"""Supersampling factor: pictures are drawn at SIZE * OVER and box-filtered down."""

SIDE = SIZE * OVER
"""Side of the canvas, pixels before filtering."""

Colour = tuple[int, int, int]
Pen = ImageDraw.ImageDraw
Draw = Callable[[Pen, float, float, float, Colour], None]
"""Pen, centre, radius, colour."""

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


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (factor < 1) or lighten (factor > 1) a colour."""
    if factor <= 1:
        r, g, b = (int(c * factor) for c in colour)
    else:
        r, g, b = (int(255 - (255 - c) / factor) for c in colour)
    return r, g, b


def polygon(pen: Pen, points: Sequence[tuple[float, float]], fill: Colour) -> None:
    pen.polygon([(float(x), float(y)) for x, y in points], fill=fill)


def around(
    cx: float, cy: float, radius: float, corners: int, turn: float = -90.0
) -> list[tuple[float, float]]:
    """Corners of a regular polygon; `turn` in degrees, -90 points up."""
    step = 2 * math.pi / corners
    start = math.radians(turn)
    return [
        (cx + radius * math.cos(start + i * step), cy + radius * math.sin(start + i * step))
        for i in range(corners)
    ]


def circle(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), fill=c)


def _square(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    s = r * 0.88
    pen.rectangle((x - s, y - s, x + s, y + s), fill=c)


def _triangle(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    polygon(pen, [(x, y - r), (x + r, y + r * 0.8), (x - r, y + r * 0.8)], c)


def _diamond(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    polygon(pen, [(x, y - r), (x + r * 0.75, y), (x, y + r), (x - r * 0.75, y)], c)


def _star(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    outer, inner = around(x, y, r, 5), around(x, y, r * 0.42, 5, -54.0)
    polygon(pen, [p for pair in zip(outer, inner, strict=True) for p in pair], c)


def _heart(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    points = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        px = 16 * math.sin(t) ** 3
        py = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x + r * px / 16, y - r * (py + 2) / 15))
    polygon(pen, points, c)


def _ring(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    pen.ellipse((x - r, y - r, x + r, y + r), outline=c, width=max(3, int(r * 0.28)))


def _cross(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    w = r * 0.33
    pen.rectangle((x - r, y - w, x + r, y + w), fill=c)
    pen.rectangle((x - w, y - r, x + w, y + r), fill=c)


SHAPES: dict[str, Draw] = {
    "circle": circle,
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
    dot = shade(c, 4.0) if sum(c) < 600 else (210, 60, 60)
    for dx, dy, dr in ((-0.5, -0.35, 0.16), (0.05, -0.6, 0.2), (0.55, -0.3, 0.15)):
        circle(pen, x + dx * r, y + dy * r, dr * r, dot)


def _potion(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    glass = (190, 215, 225)
    pen.rectangle((x - r * 0.24, y - r * 0.8, x + r * 0.24, y), fill=glass)
    pen.ellipse((x - r * 0.75, y - r * 0.4, x + r * 0.75, y + r), fill=glass)
    pen.chord((x - r * 0.62, y - r * 0.27, x + r * 0.62, y + r * 0.87), -10, 190, fill=c)
    pen.rectangle((x - r * 0.28, y - r, x + r * 0.28, y - r * 0.72), fill=(140, 90, 45))


def _sword(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    steel = (205, 212, 222)
    points = [(-0.16, 0.35), (-0.16, -0.75), (0, -1), (0.16, -0.75), (0.16, 0.35)]
    polygon(pen, [(x + a * r, y + b * r) for a, b in points], steel)
    pen.rectangle((x - r * 0.5, y + r * 0.3, x + r * 0.5, y + r * 0.48), fill=c)
    pen.rectangle((x - r * 0.12, y + r * 0.48, x + r * 0.12, y + r), fill=shade(c, 0.7))


def _fish(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    dark = shade(c, 0.75)
    polygon(pen, [(x + r * 0.4, y), (x + r, y - r * 0.55), (x + r, y + r * 0.55)], dark)
    pen.ellipse((x - r, y - r * 0.55, x + r * 0.6, y + r * 0.55), fill=c)
    circle(pen, x - r * 0.58, y - r * 0.12, r * 0.15, (255, 255, 255))
    circle(pen, x - r * 0.6, y - r * 0.12, r * 0.07, (10, 10, 10))


def _flower(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    pen.rectangle((x - r * 0.07, y, x + r * 0.07, y + r), fill=(45, 130, 50))
    pen.ellipse((x + r * 0.05, y + r * 0.45, x + r * 0.5, y + r * 0.7), fill=(45, 130, 50))
    for px, py in around(x, y - r * 0.35, r * 0.38, 6):
        circle(pen, px, py, r * 0.26, c)
    centre = (250, 215, 50) if c != COLOURS["yellow"] else (150, 85, 25)
    circle(pen, x, y - r * 0.35, r * 0.24, centre)


def _gem(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    top = [(-0.55, -0.65), (0.55, -0.65), (1, -0.15), (-1, -0.15)]
    polygon(pen, [(x + a * r, y + b * r) for a, b in top], shade(c, 1.7))
    polygon(pen, [(x - r, y - r * 0.15), (x + r, y - r * 0.15), (x, y + r * 0.9)], c)
    light = [(-0.35, -0.15), (0.35, -0.15), (0, 0.9)]
    polygon(pen, [(x + a * r, y + b * r) for a, b in light], shade(c, 1.35))


def _smiley(pen: Pen, x: float, y: float, r: float, c: Colour) -> None:
    ink = (20, 20, 25) if sum(c) > 120 else (240, 240, 240)
    circle(pen, x, y, r, c)
    for dx in (-0.35, 0.35):
        circle(pen, x + dx * r, y - r * 0.25, r * 0.13, ink)
    box = (x - r * 0.55, y - r * 0.45, x + r * 0.55, y + r * 0.6)
    pen.arc(box, 25, 155, fill=ink, width=max(2, int(r * 0.12)))


ITEMS: dict[str, Draw] = {
    "apple": _apple,
    "mushroom": _mushroom,
    "potion": _potion,
    "sword": _sword,
    "fish": _fish,
    "flower": _flower,
    "gem": _gem,
    "smiley": _smiley,
}

FIGURES: dict[str, Draw] = SHAPES | ITEMS

NOUNS: dict[str, Sequence[str]] = {
    "circle": ("circle", "circle", "ball", "disk", "dot"),
    "square": ("square", "square", "box"),
    "ring": ("ring", "ring", "hoop"),
    "cross": ("cross", "plus"),
    "gem": ("gem", "jewel", "crystal"),
    "smiley": ("smiley", "smiley face", "face"),
    "potion": ("potion", "potion", "bottle"),
}
BIG, SMALL = ("big", "large", "huge"), ("small", "little", "tiny")
_PLURALS = {"box": "boxes", "cross": "crosses", "plus": "pluses", "fish": "fish"}


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A figure in a picture; its place and radius are shares of the side."""

    kind: str
    colour: str
    x: float
    y: float
    radius: float


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a picture shows, for the judge.

    `topic` is figure, pair, row, landscape or tile. `ground` is a colour, or the ground of a
    landscape, or the pattern of a tile. `above` is what stands in the sky and `side` where.
    """

    topic: str
    ground: str
    things: tuple[Thing, ...] = ()
    relation: str = ""
    sky: str = ""
    above: str = ""
    side: str = ""
    colours: tuple[str, ...] = ()


def word(rng: random.Random, table: dict[str, Sequence[str]], name: str) -> str:
    return rng.choice(table.get(name, (name,)))


def colour_word(rng: random.Random, name: str) -> str:
    return word(rng, COLOUR_WORDS, name)


def plural(noun: str) -> str:
    return _PLURALS.get(noun, noun + "s")


def article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def jitter(rng: random.Random, colour: Colour, amount: int = 5) -> Colour:
    r, g, b = (max(0, min(255, c + rng.randint(-amount, amount))) for c in colour)
    return r, g, b


def other(rng: random.Random, *taken: str) -> str:
    """Pick a colour that can be told from those taken."""
    near = {"yellow": {"orange"}, "orange": {"yellow", "brown"}, "brown": {"orange"}}
    banned = {t for name in taken for t in {name} | near.get(name, set())}
    return rng.choice([name for name in COLOURS if name not in banned])


def place(pen: Pen, thing: Thing, colour: Colour) -> None:
    """Draw a figure where it belongs."""
    FIGURES[thing.kind](pen, thing.x * SIDE, thing.y * SIDE, thing.radius * SIDE, colour)
