"""Choose the flat ground that a subject is asked for on, and say it in the prompt.

The ground's colour is far from those that the prompt names. What is keyed is read from the picture
itself, so that a model that draws another flat ground is served too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ziggie_image_mcp.assets.oklab import distance
from ziggie_image_mcp.assets.palettes import Colour


class Ground(NamedTuple):
    """A colour to key, with the word for it."""

    name: str
    colour: Colour

    @property
    def hex(self) -> str:
        """As #00ff00."""
        return "#" + bytes(self.colour).hex()


GROUNDS = (
    Ground("green", (0, 255, 0)),
    Ground("magenta", (255, 0, 255)),
    Ground("blue", (0, 0, 255)),
    Ground("white", (255, 255, 255)),
)
"""The first where several are as far. No part of a subject is of a screen's colour by chance."""

COMMON_GROUNDS = tuple(ground for ground in GROUNDS if ground.name != "magenta")
"""Of words that a model of few words knows."""

HIGHLIGHTS = 0.1
"""So much less far counts white: many subjects have highlights, eyes or paper."""

LONG = 200
"""Characters: of a longer prompt a model may read the beginning alone, so the ground comes first.
The encoders of SD read 77 tokens."""

_SUBJECTS: Mapping[Colour, str] = {
    (220, 35, 35): "red crimson scarlet ruby cherry strawberry blood tomato rot rote roter rotes "
    "rouge rojo roja rosso rossa",
    (245, 135, 25): "orange oranges fire flame flames lava pumpkin carrot fox tiger copper",
    (250, 220, 40): "yellow gold golden lemon banana sun sunflower chick gelb gelbe gelber gelbes "
    "jaune amarillo amarilla giallo gialla",
    (40, 165, 60): "green emerald tree trees leaf leaves grass plant cactus frog forest lime moss "
    "goblin orc slime dragon lizard crocodile turtle grün grüne grüner grünes vert verte verde",
    (40, 80, 220): "blue sapphire navy ocean sea water whale sky blau blaue blauer blaues bleu "
    "bleue azul blu",
    (130, 50, 175): "purple violet lilac lavender amethyst grape eggplant lila violett púrpura",
    (250, 150, 190): "pink rose flamingo pig blossom rosa",
    (255, 0, 255): "magenta fuchsia",
    (50, 205, 220): "cyan turquoise teal aqua ice diamond crystal",
    (125, 75, 35): "brown wood wooden bronze chocolate bear horse braun braune brauner braunes",
    (15, 15, 18): "black raven crow bat ninja schwarz schwarze schwarzer noir noire negro nero",
    (248, 248, 248): "white snow ghost skeleton swan polar sheep cloud weiß weiße weißer blanc "
    "blanche blanco blanca bianco bianca",
    (135, 135, 140): "gray grey silver steel iron stone elephant wolf grau graue grauer gris",
}
_COLOURS: Mapping[str, Colour] = {
    word: colour for colour, words in _SUBJECTS.items() for word in words.split()
}

_ANY = "|".join(sorted(_COLOURS, key=len, reverse=True))
_ON_GROUND = re.compile(
    r",?\s*\b(?:isolated\s+)?(?:on|against|over|in front of)\s+(?:an?\s+|the\s+)?"
    rf"(?:(?:plain|flat|solid|simple|pure|bright|uniform|clean|empty|{_ANY})[\s,-]+)+"
    r"(?:background|backdrop|ground|bg|screen)\b",
    re.IGNORECASE,
)
"""A ground that the prompt asks for: a flat one, of whatever colour, is what is keyed."""


def without_ground(prompt: str) -> str:
    """The prompt without the flat ground that it asks for."""
    return _ON_GROUND.sub("", prompt).strip(" ,")


@lru_cache(maxsize=256)
def choose_ground(prompt: str, among: tuple[Ground, ...] = GROUNDS) -> Ground:
    """The ground whose colour is farthest, in Oklab, from the nearest one that the prompt names.

    A prompt without such words gets the first.
    """
    words = re.findall(r"[^\W\d_]+", without_ground(prompt).lower())
    colours = {_COLOURS[word] for word in words if word in _COLOURS}
    if not colours:
        return among[0]

    def nearest(ground: Ground) -> float:
        away = min(distance(ground.colour, colour) for colour in colours)
        return away - (HIGHLIGHTS if ground.name == "white" else 0.0)

    return max(among, key=nearest)


def on_ground(prompt: str, ground: Ground, *, exact: bool) -> str:
    """The prompt that asks for the subject alone on a flat ground.

    Args:
        prompt: What the subject is, without words about a transparent ground.
        ground: The flat one.
        exact: Name the colour by its number too.
    """
    number = f" ({ground.hex})" if exact else ""
    words = f"isolated on a plain flat solid {ground.name} background{number}"
    subject = without_ground(prompt)
    if len(subject) > LONG:
        return f"{words}: {subject}"
    return f"{subject} {words}"
