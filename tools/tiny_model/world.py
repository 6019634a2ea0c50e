"""Draw the tiny model's world: captioned pictures of shapes, items, simple scenes and tiles."""

from __future__ import annotations

import random
from dataclasses import dataclass

from figures import (
    BIG,
    COLOURS,
    FIGURES,
    NOUNS,
    SIDE,
    SIZE,
    SMALL,
    Facts,
    Thing,
    article,
    colour_word,
    jitter,
    other,
    place,
    plural,
    word,
)
from PIL import Image, ImageDraw
from scenes import draw_landscape
from tiles import draw_tile

__all__ = ["SIZE", "Facts", "Scene", "draw", "draw_figures", "vocabulary"]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One training example: a picture of SIZE x SIZE pixels, its caption, and what it shows."""

    image: Image.Image
    caption: str
    facts: Facts


_RADIUS = {"big": (0.40,), "": (0.30, 0.30, 0.34), "small": (0.16,)}

_PLACES: dict[tuple[float, float], tuple[str, ...]] = {
    (0.25, 0.5): ("on the left", "on the left side"),
    (0.75, 0.5): ("on the right", "on the right side"),
    (0.5, 0.25): ("at the top",),
    (0.5, 0.75): ("at the bottom",),
    (0.5, 0.5): ("in the middle", "in the center", "in the centre"),
    (0.25, 0.25): ("in the top left corner", "in the top left"),
    (0.75, 0.25): ("in the top right corner", "in the top right"),
    (0.25, 0.75): ("in the bottom left corner", "in the bottom left"),
    (0.75, 0.75): ("in the bottom right corner", "in the bottom right"),
}
_COUNTS = {
    1: ("one", "1", "a single"),
    2: ("two", "two", "2"),
    3: ("three", "three", "3"),
    4: ("four", "four", "4"),
}
_ROW_RADIUS = {2: 0.19, 3: 0.14, 4: 0.105}


def _kind(rng: random.Random) -> str:
    return rng.choice(list(FIGURES))


def _one(rng: random.Random, ground: str, *, isolated: bool) -> tuple[tuple[Thing, ...], str, str]:
    """A figure: in the middle, or where the words say."""
    kind, colour = _kind(rng), other(rng, ground)
    noun = f"{colour_word(rng, colour)} {word(rng, NOUNS, kind)}"
    if not isolated and rng.random() < 0.3:
        x, y = rng.choice(list(_PLACES))
        thing = Thing(kind=kind, colour=colour, x=x, y=y, radius=0.19)
        where = rng.choice(_PLACES[x, y])
        if (x, y) == (0.5, 0.5):
            thing = Thing(kind=kind, colour=colour, x=x, y=y, radius=0.30)
        return (thing,), f"{article(noun)} {where}", where
    size = rng.choice(("", "", "", "big", "small") if isolated else ("", "", "big", "small"))
    radius = rng.choice(_RADIUS[size])
    if isolated:
        radius = min(radius, 0.36)
    thing = Thing(kind=kind, colour=colour, x=0.5, y=0.5, radius=radius)
    if size:
        noun = f"{rng.choice(BIG if size == 'big' else SMALL)} {noun}"
    if not size and rng.random() < 0.12:
        return (thing,), f"{rng.choice(_COUNTS[1])} {noun}", ""
    return (thing,), article(f"isolated {noun}" if isolated else noun), ""


def _row(rng: random.Random, ground: str) -> tuple[tuple[Thing, ...], str]:
    """Two to four of one kind side by side."""
    kind, colour, count = _kind(rng), other(rng, ground), rng.choice((2, 3, 3, 4))
    things = tuple(
        Thing(
            kind=kind,
            colour=colour,
            x=(i + 0.5) / count if count > 2 else (0.27, 0.73)[i],
            y=0.5,
            radius=_ROW_RADIUS[count],
        )
        for i in range(count)
    )
    nouns = plural(word(rng, NOUNS, kind))
    text = f"{rng.choice(_COUNTS[count])} {colour_word(rng, colour)} {nouns}"
    return things, text + rng.choice(("", "", " in a row", " side by side"))


def _pair(rng: random.Random, ground: str) -> tuple[tuple[Thing, ...], str, str]:
    """Two figures and how the first lies to the second."""
    one = other(rng, ground)
    two = other(rng, ground, one)
    across, forward = rng.random() < 0.5, rng.random() < 0.5
    things = list[Thing]()
    for colour, spot in ((one, 0.27 if forward else 0.73), (two, 0.73 if forward else 0.27)):
        x, y = (spot, 0.5) if across else (0.5, spot)
        things.append(Thing(kind=_kind(rng), colour=colour, x=x, y=y, radius=0.19))
    a, b = (
        article(f"{colour_word(rng, thing.colour)} {word(rng, NOUNS, thing.kind)}")
        for thing in things
    )
    if across:
        relation = "left" if forward else "right"
        words = rng.choice((f"to the {relation} of", f"to the {relation} of", f"{relation} of"))
    else:
        relation = "above" if forward else "below"
        words = rng.choice(("above", "above", "over") if forward else ("below", "below", "under"))
    if rng.random() < 0.12:
        return tuple(things), f"{a} and {b}" if forward and across else f"{a} {words} {b}", relation
    return tuple(things), f"{a} {words} {b}", relation


def draw_figures(rng: random.Random, topic: str) -> tuple[Image.Image, str, Facts]:
    """Coloured shapes or items on a plain ground."""
    isolated = topic == "isolated"
    ground = rng.choice(("white", "white", *COLOURS) if isolated else tuple(COLOURS))
    paper = COLOURS[ground] if isolated else jitter(rng, COLOURS[ground])
    image = Image.new("RGB", (SIDE, SIDE), paper)
    pen = ImageDraw.Draw(image)
    relation = ""
    if topic == "pair":
        things, text, relation = _pair(rng, ground)
    elif topic == "row":
        things, text = _row(rng, ground)
    else:
        things, text, relation = _one(rng, ground, isolated=isolated)
    shades = {thing.colour: jitter(rng, COLOURS[thing.colour]) for thing in things}
    for thing in things:
        place(pen, thing, shades[thing.colour])
    facts = Facts(
        topic="figure" if isolated else topic, ground=ground, things=things, relation=relation
    )
    return image, _join(rng, text, colour_word(rng, ground), isolated=isolated), facts


def _join(rng: random.Random, figure: str, ground: str, *, isolated: bool) -> str:
    if isolated:
        if rng.random() < 0.2:
            return f"{figure.replace('isolated ', '')} isolated on {ground}"
        plain = article(f"{rng.choice(('plain', 'plain', 'flat', 'solid'))} {ground} background")
        return f"{figure if rng.random() < 0.6 else figure.replace('isolated ', '')} on {plain}"
    wall = rng.choice(("background", "background", "background", "ground", "wall"))
    joint = rng.choice((" on", " on", " on", ",", " in front of"))
    return f"{figure}{joint} {article(f'{ground} {wall}')}"


_OPENERS = ("a picture of", "a drawing of", "an image of", "an illustration of", "a sprite of")
_FILLERS = ("beautiful", "detailed", "simple", "cute", "high quality", "zzz", "qqq")
_TOPICS = {"figure": 30, "isolated": 11, "pair": 13, "row": 13, "landscape": 27, "tile": 6}


def draw(seed: int, topic: str = "") -> Scene:
    """Draw the scene with this number: the same seed and topic, the same scene."""
    rng = random.Random(seed)
    chosen = rng.choices(list(_TOPICS), list(_TOPICS.values()))[0]
    topic = topic or chosen
    if topic == "tile":
        image, caption, facts = draw_tile(rng)
    elif topic == "landscape":
        image, caption, facts = draw_landscape(rng)
    else:
        image, caption, facts = draw_figures(rng, topic)
    if rng.random() < 0.12:
        caption = f"{rng.choice(_OPENERS)} {caption}"
    if rng.random() < 0.1:
        caption = f"{caption}, {rng.choice(_FILLERS)}"
    if rng.random() < 0.03:
        caption = f"{rng.choice(_FILLERS)} {caption}"
    small = image.resize((SIZE, SIZE), Image.Resampling.BOX)
    return Scene(image=small, caption=caption, facts=facts)


def vocabulary() -> list[str]:
    """Every word that a caption can hold but the fillers, which must read as unknown."""
    words = {w for seed in range(8_000) for w in draw(seed).caption.replace(",", " ").split()}
    return sorted(words - {"zzz", "qqq"})
