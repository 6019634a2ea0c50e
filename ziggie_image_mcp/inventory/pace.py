"""How long a model takes for one picture on a card, by one rule for all of them.

Known figures win. Between the classes of which figures are known, they are interpolated by the
speed of the card; beyond them, seconds fall as the speed grows. Where a model has none, its
steps x passes x parameters x megapixels count, at the median pace of its family, or of all.
"""

from __future__ import annotations

import functools
import math
from itertools import pairwise
from statistics import median

from ziggie_image_mcp.inventory.cards import class_speed
from ziggie_image_mcp.inventory.model_facts import Entry, entries, recognise
from ziggie_image_mcp.inventory.types import Tier

CLASSES: tuple[Tier, ...] = ("cpu", "budget", "recommended", "professional")
"""From the slowest; what is below the minimum is as slow as a budget card."""

PROMPT_SECONDS, DECODE_SECONDS = 0.15, 0.35
"""Assumptions, from memory: what an RTX 4070 takes to read the prompt, and to decode a picture of
1024 x 1024. Without them one step would be all that a distilled model takes."""


@functools.lru_cache(maxsize=4096)
def prior_seconds(model_id: str, speed: float) -> float | None:
    """Expected seconds for one picture at native size and default steps, before anybody timed it.

    Args:
        model_id: None comes back where its name is not that of a row of the catalogue.
        speed: Of the card: how many times as fast as an RTX 4070.
    """
    entry = recognise(model_id)
    return None if entry is None else entry_seconds(entry, speed)


def entry_seconds(entry: Entry, speed: float) -> float:
    """The same for a row of the catalogue, which always has an answer."""
    figures = _figures(entry)
    if not figures:
        return (beside_steps(entry) + work(entry) * _seconds_per_work(entry.family)) / speed
    first, last = figures[0], figures[-1]
    if speed <= first[0] or speed >= last[0]:
        nearest, seconds = first if speed <= first[0] else last
        return seconds * nearest / speed
    low, high = next((a, b) for a, b in pairwise(figures) if a[0] <= speed <= b[0])
    share = math.log(speed / low[0]) / math.log(high[0] / low[0])
    return math.exp((1 - share) * math.log(low[1]) + share * math.log(high[1]))


def work_seconds(model_work: float, family: str, speed: float) -> float:
    """Expected seconds for one picture of a model whose provider counted its work.

    Args:
        model_work: As `work` counts it.
        family: Of the model; empty where it is not known.
        speed: Of the card: how many times as fast as an RTX 4070.
    """
    return (PROMPT_SECONDS + DECODE_SECONDS + model_work * _seconds_per_work(family)) / speed


def work(entry: Entry) -> float:
    """What one picture is: steps x passes a step x 10^9 parameters x 1024 x 1024 pixels."""
    pixels = (entry.native_px / 1024) ** 2
    return entry.default_steps * entry.passes * entry.denoiser_b * pixels


def beside_steps(entry: Entry) -> float:
    """Seconds on an RTX 4070 for all but the steps of one picture."""
    return PROMPT_SECONDS + DECODE_SECONDS * (entry.native_px / 1024) ** 2


def _figures(entry: Entry) -> list[tuple[float, float]]:
    """Speed and seconds of the classes of which figures are known, the slowest first."""
    return [(class_speed(c), entry.seconds[c]) for c in CLASSES if c in entry.seconds]


@functools.cache
def _seconds_per_work(family: str) -> float:
    """On an RTX 4070: the median of those of the family of which a figure is known, or of all."""
    known = [entry for entry in entries() if entry.seconds]
    kin = [entry for entry in known if entry.family == family]
    return median(entry_seconds(entry, 1.0) / work(entry) for entry in kin or known)
