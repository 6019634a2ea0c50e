"""Rules on pixels that say how well a picture shows what its scene asks for."""

from __future__ import annotations

import math
import random
from functools import cache
from itertools import pairwise

import numpy as np
from figures import COLOURS, FIGURES, SIDE, SIZE, Colour, Facts, Thing, place, shade
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scenes import GROUNDS, LIGHT, OWN_COLOUR, SKIES, STANDING, sky
from tiles import PATTERNS
from world import Scene

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

APART = 32
"""A pixel that is this far from the ground in one channel belongs to a figure."""

LIKE = 70
"""Two pixels within this distance in each channel show the same."""

SEAMLESS = 1.2
"""The step over the edge may be this much of the 98th percentile of the steps inside."""


def away(pixels: NDArray, colour: object) -> NDArray[np.int64]:
    """The largest difference of a channel, for each pixel."""
    return np.abs(pixels.astype(np.int64) - np.asarray(colour, dtype=np.int64)).max(-1)


def nearest(colour: NDArray, palette: dict[str, Colour]) -> str:
    return min(palette, key=lambda name: float(np.sum((colour - np.array(palette[name])) ** 2.0)))


def parts(mask: Mask, smallest: int) -> list[Mask]:
    """The connected parts of a mask, four neighbours each."""
    left, found = mask.copy(), list[Mask]()
    for y, x in zip(*np.nonzero(mask), strict=True):
        if not left[y, x]:
            continue
        part, edge = np.zeros_like(mask), [(y, x)]
        left[y, x] = False
        while edge:
            a, b = edge.pop()
            part[a, b] = True
            for c, d in ((a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)):
                if 0 <= c < mask.shape[0] and 0 <= d < mask.shape[1] and left[c, d]:
                    left[c, d] = False
                    edge.append((c, d))
        if part.sum() >= smallest:
            found.append(part)
    return found


def centre(mask: Mask) -> tuple[float, float]:
    y, x = np.nonzero(mask)
    return float(x.mean()), float(y.mean())


def box(mask: Mask) -> tuple[int, int, int, int]:
    y, x = np.nonzero(mask)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


# Figures on a plain ground.


@cache
def _template(kind: str, colour: Colour, ground: Colour) -> Image.Image:
    """The figure alone, cut out at its box."""
    image = Image.new("RGB", (SIDE, SIDE), ground)
    thing = Thing(kind=kind, colour="", x=0.5, y=0.5, radius=0.46)
    place(ImageDraw.Draw(image), thing, colour)
    mask = away(np.asarray(image), ground) > APART
    return image.crop(box(mask)) if mask.any() else image


def _fit(kind: str, colour: Colour, ground: Colour, size: tuple[int, int]) -> Pixels | None:
    """The figure at a size, or None where its proportions are others."""
    template = _template(kind, colour, ground)
    ratio = template.width / template.height * size[1] / size[0]
    if not 0.76 < ratio < 1.32:
        return None
    return np.asarray(template.resize(size, Image.Resampling.BOX))


def _figures(pixels: Pixels, scene: Scene) -> dict[str, float]:
    facts = scene.facts
    frame = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    ground = np.median(frame, axis=0)
    mask = away(pixels, ground) > APART
    ideal = np.asarray(scene.image)
    wanted = parts(away(ideal, ideal[0, 0]) > APART, 6)
    found = parts(mask, 6)
    marks = {
        "ground": nearest(ground, COLOURS) == facts.ground,
        "flat ground": float((away(frame, ground) <= 12).mean() >= 0.99),
        "count": len(found) == len(wanted),
    }
    shapes, colours, edges, places = list[bool](), list[bool](), list[float](), list[bool]()
    for index, thing in enumerate(facts.things):
        mine = np.zeros_like(mask)
        for part in found:
            x, y = centre(part)
            away_from = [math.hypot(x - t.x * SIZE, y - t.y * SIZE) for t in facts.things]
            if min(away_from) == away_from[index] and away_from[index] < 0.34 * SIZE:
                mine |= part
        if mine.sum() < 12:
            shapes, colours, edges, places = (
                [*shapes, False],
                [*colours, False],
                [*edges, 0.0],
                [*places, False],
            )
            continue
        left, top, right, bottom = box(mine)
        cut, inside = pixels[top:bottom, left:right], mine[top:bottom, left:right]
        size = (right - left, bottom - top)
        paper = tuple(int(c) for c in ground)
        scores = dict[str, float]()
        for kind in FIGURES:
            fit = _fit(kind, COLOURS[thing.colour], paper, size)
            scores[kind] = float((away(cut, fit) < LIKE).mean()) if fit is not None else 0.0
        shapes.append(max(scores, key=scores.__getitem__) == thing.kind)
        fit = _fit(thing.kind, COLOURS[thing.colour], paper, size)
        if fit is None:
            edges.append(0.0)
            main = inside
        else:
            solid = away(fit, paper) > APART
            edges.append(float((solid & inside).sum() / (solid | inside).sum()))
            main = inside & (away(fit, COLOURS[thing.colour]) < 12)
        shown = np.median(cut[main if main.any() else inside], axis=0)
        colours.append(nearest(shown, COLOURS) == thing.colour)
        x, y = (left + right) / 2, (top + bottom) / 2
        wanted_box = box(_alone(thing, scene))
        at = ((wanted_box[0] + wanted_box[2]) / 2, (wanted_box[1] + wanted_box[3]) / 2)
        places.append(math.hypot(x - at[0], y - at[1]) < 0.1 * SIZE)
    marks["shape"] = float(np.mean(shapes))
    marks["colour"] = float(np.mean(colours))
    marks["clean edges"] = float(np.mean([edge >= 0.88 for edge in edges]))
    marks["position"] = all(places)
    marks["all right"] = (
        all(shapes) and all(colours) and all(places) and marks["count"] and marks["ground"]
    )
    return marks


def _alone(thing: Thing, scene: Scene) -> Mask:
    """Where a figure lies in the drawing of its scene."""
    paper = tuple(int(c) for c in np.asarray(scene.image)[0, 0])
    image = Image.new("RGB", (SIDE, SIDE), paper)
    place(ImageDraw.Draw(image), thing, COLOURS[thing.colour])
    small = image.resize((SIZE, SIZE), Image.Resampling.BOX)
    return away(np.asarray(small), paper) > APART


# Landscapes.


def _backdrop(facts: Facts) -> tuple[Image.Image, int]:
    """Sky and ground without anything, and the row where the ground begins."""
    image = sky(random.Random(0), facts.sky, stars=False)
    horizon = 0.625 * SIDE
    ground = shade(GROUNDS[facts.ground], LIGHT[facts.sky])
    ImageDraw.Draw(image).rectangle((0, horizon, SIDE, SIDE), fill=ground)
    return image, int(0.625 * SIZE)


def _landscape(pixels: Pixels, scene: Scene) -> dict[str, float]:
    facts = scene.facts
    light = LIGHT[facts.sky]
    image, horizon = _backdrop(facts)
    plain = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))
    skies = {name: np.array(top) for name, (top, _) in SKIES.items()}
    upper = np.median(pixels[:6].reshape(-1, 3), axis=0)
    marks: dict[str, float] = {
        "sky": nearest(upper, {name: tuple(top) for name, top in skies.items()}) == facts.sky
    }
    lower = np.median(pixels[-3:].reshape(-1, 3), axis=0)
    shaded = {name: shade(colour, light) for name, colour in GROUNDS.items()}
    marks["ground"] = nearest(lower, shaded) == facts.ground
    discs = _discs(pixels, facts)
    sides = ["left" if centre(disc)[0] < SIZE / 2 else "right" for disc in discs]
    if facts.above in ("sun", "moon"):
        marks["one sun or moon, on its side"] = sides == [facts.side]
    else:
        marks["no sun or moon unasked"] = not discs
    if facts.above == "rainbow":
        marks["rainbow"] = _rainbow(pixels)
    for thing in facts.things:
        if thing.kind == "city":
            marks["city"] = _city(pixels, light, horizon)
        elif thing.kind == "flowers":
            marks["flowers"] = _flowers(pixels, thing, facts, horizon)
        elif thing.kind == "mountains":
            rock = shade((110, 105, 125), light)
            area = away(pixels[:horizon], rock) < 30
            ideal = away(np.asarray(scene.image)[:horizon], rock) < 30
            marks["mountains"] = area.sum() > 0.6 * ideal.sum()
        else:
            marks |= _standing(pixels, plain, thing, facts)
    marks["all right"] = all(mark >= 0.8 for mark in marks.values())
    return marks


def _discs(pixels: Pixels, facts: Facts) -> list[Mask]:
    colours = {"day": (255, 235, 90), "sunset": (255, 205, 80), "night": (240, 238, 215)}
    if facts.sky not in colours:
        return []
    bright = np.zeros(pixels.shape[:2], dtype=bool)
    bright[:20] = away(pixels[:20], colours[facts.sky]) < 45
    return [part for part in parts(bright, 40) if centre(part)[1] < 15]


def _rainbow(pixels: Pixels) -> bool:
    """The six bands from the outermost in, at five angles."""
    bands = ("red", "orange", "yellow", "green", "blue", "purple")
    right = total = 0
    for angle in (50, 70, 90, 110, 130):
        for i, name in enumerate(bands):
            r = (0.46 - i * 0.028) * SIZE - 1
            x = SIZE / 2 + r * math.cos(math.radians(angle))
            y = 0.58 * SIZE - r * math.sin(math.radians(angle))
            near = pixels[max(0, int(y) - 1) : int(y) + 2, int(x) - 1 : int(x) + 2]
            right += bool((away(near, COLOURS[name]) < LIKE).any())
            total += 1
    return right / total >= 0.7


def _city(pixels: Pixels, light: float, horizon: int) -> bool:
    """A clear skyline: windows that can be counted, on walls."""
    lit = (255, 225, 120) if light < 0.9 else (200, 225, 240)
    upper = pixels[:horizon]
    windows = [part for part in parts(away(upper, lit) < 55, 5) if part.sum() <= 32]
    walls = [shade(wall, max(light, 0.5)) for wall in ((80, 85, 105), (105, 105, 120))]
    wall = np.minimum(away(upper, walls[0]), away(upper, walls[1])) < 30
    return 12 <= len(windows) <= 20 and wall.mean() > 0.18


def _flowers(pixels: Pixels, thing: Thing, facts: Facts, horizon: int) -> bool:
    """Heads of one colour, the one asked for, on the ground."""
    light = LIGHT[facts.sky]
    palette = {name: shade(colour, max(light, 0.7)) for name, colour in COLOURS.items()}
    lower = pixels[horizon + 2 :].astype(np.int64)
    ground = shade(GROUNDS[facts.ground], light)
    heads = away(lower, ground) > 50
    centres = np.minimum(away(lower, (250, 225, 90)), away(lower, (150, 90, 30))) < 50
    petals = heads & (~centres | (away(lower, palette[thing.colour]) < 40))
    if petals.sum() < 60:
        return False
    right = [nearest(pixel, palette) == thing.colour for pixel in lower[petals]]
    return float(np.mean(right)) >= 0.6 and 5 <= len(parts(heads, 12)) <= 9


def _standing(pixels: Pixels, plain: Pixels, thing: Thing, facts: Facts) -> dict[str, float]:
    light = LIGHT[facts.sky]
    drawn = dict[str, Pixels]()
    own = OWN_COLOUR.get(thing.kind) or COLOURS[thing.colour]
    scale = thing.radius * 2
    for kind, draw in STANDING.items():
        image, _ = _backdrop(facts)
        colour = OWN_COLOUR.get(kind, COLOURS[thing.colour or "red"])
        base = (thing.y + thing.radius) * SIDE
        draw(ImageDraw.Draw(image), thing.x * SIDE, base, scale * SIDE, colour, light)
        drawn[kind] = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX))
    area = np.any([away(picture, plain) > 20 for picture in drawn.values()], axis=0)
    scores = {kind: (away(pixels, p)[area] < 50).mean() for kind, p in drawn.items()}
    mine = away(drawn[thing.kind], plain) > 20
    right = max(scores, key=scores.__getitem__) == thing.kind
    marks = {"thing": float(right and (away(pixels, drawn[thing.kind])[mine] < 60).mean() > 0.6)}
    if thing.kind in ("house", "sailboat"):
        strength = light if thing.kind == "house" else max(light, 0.65)
        palette = {name: shade(colour, strength) for name, colour in COLOURS.items()}
        main = away(drawn[thing.kind], shade(own, strength)) < 10
        shown = np.median(pixels[main], axis=0) if main.any() else np.zeros(3)
        marks["colour of the thing"] = float(nearest(shown, palette) == thing.colour)
    return marks


# Tiles.


def seam(pixels: Pixels) -> float:
    """The step over the worse edge by the 98th percentile of the steps inside."""
    worst = 0.0
    for turned in (pixels.astype(np.float64), pixels.swapaxes(0, 1).astype(np.float64)):
        steps = [np.abs(a - b).mean() for a, b in pairwise(turned)]
        wrap = np.abs(turned[0] - turned[-1]).mean()
        worst = max(worst, float(wrap / max(np.percentile(steps, 98), 1.0)))
    return worst


def _spectrum(pixels: Pixels) -> NDArray[np.float64]:
    """How much there is of each wave, whatever its phase."""
    flat = pixels.astype(np.float64) - pixels.reshape(-1, 3).mean(0)
    waves = np.sqrt(sum(np.abs(np.fft.fft2(flat[..., c])) ** 2 for c in range(3)))
    return waves / (np.linalg.norm(waves) + 1e-9)


@cache
def _patterns() -> tuple[tuple[str, NDArray[np.float64]], ...]:
    known = list[tuple[str, NDArray[np.float64]]]()
    for number, pattern in enumerate(PATTERNS):
        for seed in range(12):
            image, _, name, _ = pattern(random.Random(1000 * number + seed))
            small = image.resize((SIZE, SIZE), Image.Resampling.BOX)
            known.append((name, _spectrum(np.asarray(small))))
    return tuple(known)


def _tile(pixels: Pixels, scene: Scene) -> dict[str, float]:
    facts = scene.facts
    mine = _spectrum(pixels)
    name, _ = max(_patterns(), key=lambda pair: float((pair[1] * mine).sum()))
    ideal = np.asarray(scene.image)
    if len(facts.colours) == 2:
        names = list(COLOURS)
        table = np.stack([away(pixels, COLOURS[name]) for name in names])
        shares = {n: float((table.argmin(0) == i).mean()) for i, n in enumerate(names)}
        first, second = (shares[colour] for colour in facts.colours)
        colour = first + second > 0.7 and min(first, second) > 0.1
    else:
        colour = away(pixels.reshape(-1, 3).mean(0), ideal.reshape(-1, 3).mean(0)) < 30
    marks: dict[str, float] = {
        "seamless": seam(pixels) <= SEAMLESS,
        "pattern": name == facts.ground,
        "colour": bool(colour),
    }
    marks["all right"] = all(marks.values())
    return marks


def judge(pixels: Pixels, scene: Scene) -> dict[str, float]:
    """A mark from 0 to 1 for each property that the scene has."""
    if scene.facts.topic == "landscape":
        return _landscape(pixels, scene)
    if scene.facts.topic == "tile":
        return _tile(pixels, scene)
    return _figures(pixels, scene)
