"""What is known of graphics cards by name: memory, speed beside others, precisions."""

from __future__ import annotations

import difflib
import functools
import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.inventory.hardware_probe import REPORTED_SHARE
from ziggie_image_mcp.inventory.model_facts import data_beside, plain
from ziggie_image_mcp.inventory.types import Gpu, Hardware, Tier

GIB = 2**30

RAM_SHARE = 0.75
"""An assumption: what is free of the memory of a machine that nobody looked at."""

RAM_GIB = 16
"""An assumption: what such a machine has, where nobody says."""

_SIZE = re.compile(r"\b(\d+) ?Gi?B\b", re.IGNORECASE)
_BRANDS = ("nvidia", "geforce", "amd", "radeon", "apple", "gpu")

_SERIES = ("RTX", "GTX", "RX", "Apple")
"""What people leave out of a card's name."""

_NEAR = 4
"""How many cards are named to who misspelt one."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """One row of cards.json, which gives the source of its speed."""

    name: str
    vendor: Literal["nvidia", "amd", "apple"]
    gb: tuple[int, ...]
    """That it is sold with, GiB; empty where it shares the machine's memory."""
    speed: float
    """How many times as fast as an RTX 4070."""
    fp8: bool
    source: str
    verified: bool


@functools.cache
def cards() -> tuple[Card, ...]:
    """All rows."""
    return tuple(_card(row) for row in _file()["cards"])


@functools.lru_cache(maxsize=1024)
def card_named(name: str) -> Card | None:
    """The card that a driver or a person calls so, or None: the longest name that stands in it.

    >>> card_named("NVIDIA GeForce RTX 4070 Ti SUPER").speed, card_named("Quadro") is None
    (1.15, True)
    """
    words = f"-{_words(name)}-"
    named = [card for card in cards() if f"-{_words(card.name)}-" in words]
    return max(named, key=lambda card: len(card.name), default=None)


def class_speed(tier: Tier) -> float:
    """How many times as fast as an RTX 4070 the cards of a class are."""
    return float(_file()["classes"]["budget" if tier == "below_minimum" else tier]["speed"])


def class_source(tier: Tier) -> str:
    """Who says how fast a class is."""
    row = _file()["classes"]["budget" if tier == "below_minimum" else tier]
    return str(_file()["sources"][row["from"]]["what"])


def speed_of(hardware: Hardware, tier: Tier) -> float:
    """How many times as fast as an RTX 4070 the best GPU is: by its name, else by its class.

    The best is the one with the most memory, as for the class.
    """
    best = max(hardware.gpus, key=lambda gpu: gpu.vram_total or 0, default=None)
    return class_speed(tier) if best is None or tier == "cpu" else gpu_speed(best, tier)


def gpu_speed(gpu: Gpu, tier: Tier) -> float:
    """The same of one GPU, which is of this class."""
    card = card_named(gpu.name)
    share = float(_file()["vendors"][gpu.vendor]["share"])
    return class_speed(tier) * share if card is None else card.speed


def machine_named(name: str, ram_gib: float | None = None, os: str = "") -> Hardware:
    """The machine with this card, as it would report itself; `CPU` has none.

    Args:
        name: As `RTX 4070 12GB`; the memory may be left out where one size is usual.
        ram_gib: Main memory; `RAM_GIB` where nobody says.
        os: As `Windows`; by default what usually goes with the card.

    Raises:
        InvalidRequest: No card of that name is known, or not with so much memory.
    """
    ram = int((RAM_GIB if ram_gib is None else ram_gib) * GIB)
    if plain(name) == "cpu":
        return _machine((), ram, os or "Linux", machine="x86_64")
    card, size = card_named(name) or _without_series(name), _gib_in(name)
    if card is None:
        raise InvalidRequest("--on", name, f"known cards near it: {', '.join(_near(name))}")
    if more := _beside(name, card):
        fix = f"one card of the known ones, as {card.name}, without {more!r}"
        raise InvalidRequest("--on", name, fix)
    if card.vendor == "apple":
        if size is not None and ram_gib is not None and size != ram_gib:
            fix = f"{card.name} shares one memory: leave out {size} GB or --ram"
            raise InvalidRequest("--on", name, fix)
        if size == 0:
            raise InvalidRequest("--on", name, "give its memory in GB, above 0")
        ram = ram if size is None else size * GIB
        gpu = Gpu(name=card.name, vendor="apple", unified_memory=True)
        return _machine((gpu,), ram, os or "Darwin", machine="arm64")
    if size is not None and size not in card.gb:
        sizes = " or ".join(f"{gb} GB" for gb in card.gb)
        raise InvalidRequest("--on", name, f"{card.name} is sold with {sizes}")
    shown = math.ceil((size or card.gb[0]) * GIB * REPORTED_SHARE)
    gpu = Gpu(name=card.name, vendor=card.vendor, vram_total=shown, vram_free=shown)
    return _machine((gpu,), ram, os or "Linux", machine="x86_64")


def _beside(name: str, card: Card) -> str:
    """What is said beside its name, brand and memory, as `two`, `laptop`; or nothing."""
    words = _words(re.sub(_SIZE, " ", name)).split("-")
    known = {*_words(card.name).split("-"), *_BRANDS}
    return " ".join(word for word in words if word and word not in known)


def _without_series(name: str) -> Card | None:
    """The one card that people may mean who leave its series out, as `4070 super`, `M3 Max`."""
    meant = {c.name: c for word in _SERIES if (c := card_named(f"{word} {name}")) is not None}
    return next(iter(meant.values())) if len(meant) == 1 else None


def _machine(gpus: tuple[Gpu, ...], ram: int, os: str, *, machine: str) -> Hardware:
    free = int(ram * RAM_SHARE)
    return Hardware(os=os, machine=machine, ram_total=ram, ram_available=free, gpus=gpus)


def _gib_in(name: str) -> int | None:
    size = re.search(_SIZE, name)
    return None if size is None else int(size[1])


def _near(name: str) -> list[str]:
    by_words = {_words(card.name): card.name for card in cards()}
    near = difflib.get_close_matches(_words(name), by_words, n=_NEAR, cutoff=0.0)
    return [by_words[words] for words in near]


def _words(name: str) -> str:
    """Spelt one way: `RTX4070Ti` is `rtx-4070-ti`."""
    return plain(re.sub(r"(?<=[a-z])(?=\d{4})|(?<=\d{4})(?=[a-z])", " ", name.lower()))


def _card(row: dict[str, Any]) -> Card:
    source = _file()["sources"][row["from"]]
    return Card(
        name=row["name"],
        vendor=row["vendor"],
        gb=tuple(row["gb"]),
        speed=row["speed"],
        fp8=row["fp8"],
        source=source["what"],
        verified=source["verified"],
    )


def _file() -> dict[str, Any]:
    return data_beside("cards.json")
