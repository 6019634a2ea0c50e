"""What the licences of models ask of those who use them."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal

from ziggie_image_mcp.inventory.model_facts import data_beside

Weights = Literal["anyone", "conditional", "noncommercial"]


@dataclass(frozen=True, kw_only=True)
class Licence:
    """One row of licences.json: facts as far as known, and no legal advice."""

    name: str
    pattern: re.Pattern[str]
    weights: Weights
    """Who may use them."""
    condition: str
    """What a user must know first; empty where there is nothing."""
    outputs: str | None
    """What it says of the pictures; None where that was not read."""
    url: str
    source: str
    """Where this is from, and when that was read."""


@functools.lru_cache(maxsize=1000)
def find_licence(name: str) -> Licence | None:
    """The licence that a name stands for, as cards, engines and files spell it; None: unknown."""
    return next((row for row in licences() if row.pattern.search(name)), None)


@functools.cache
def licences() -> tuple[Licence, ...]:
    """All that are known, in the file's order."""
    file = data_beside("licences.json")
    return tuple(
        Licence(
            name=row["name"],
            pattern=re.compile(row["pattern"], re.IGNORECASE),
            weights=row["weights"],
            condition=row["condition"],
            outputs=row["outputs"],
            url=row["url"],
            source="{what}, {date}".format(**file["sources"][row["from"]]),
        )
        for row in file["licences"]
    )


def condition_of(name: str) -> str:
    """What a user must know before use, by the licence's name; empty where there is nothing."""
    licence = find_licence(name)
    return "" if licence is None else licence.condition
