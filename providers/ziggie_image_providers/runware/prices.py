"""Read Runware's public prices of a model as our rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ziggie_image_mcp.provider.fields import FieldRow
from ziggie_image_mcp.provider.json_paths import number, objects
from ziggie_image_mcp.provider.pricing import Unit
from ziggie_image_mcp.provider.settings import RateRow

UNITS: Mapping[str, Unit] = {
    "output": "image",
    "image": "image",
    "megapixel": "megapixel",
    "inputImage": "input_image",
    "referenceImage": "input_image",
}
"""Runware's word for what is priced, and ours, as public clients read it."""

SIDES: Mapping[str, int] = {"512": 512, "0.75K": 768, "1K": 1024, "2K": 2048, "4K": 4096}


def rates_of(entry: object, id: str, row: FieldRow) -> Sequence[RateRow]:
    """The rates of a model; none where a line of its prices cannot be read for certain.

    Args:
        entry: The answer of /models/{air}/pricing.
        id: The model's; an answer about another is not read.
        row: What the table knows of it.
    """
    facts = next(objects({"entry": entry}, "entry"), None) or {}
    if facts.get("air") != id or facts.get("currency", "USD") != "USD":
        return ()
    rates: list[RateRow] = []
    for told in objects(facts, "pricingRates[]"):
        unit, usd = UNITS.get(str(told.get("unit"))), number(told.get("amount"))
        label = told.get("label")
        if unit is None or usd is None or usd < 0 or told.get("currency", "USD") != "USD":
            return ()
        side = SIDES.get(label) if isinstance(label, str) else None
        if label and side is None:
            return ()
        pixels = side**2 if side is not None else None
        rates.append(RateRow(unit=unit, micro_usd=usd * 1e6, max_pixels=pixels, rounds_up=True))
    rates.sort(key=lambda rate: rate.max_pixels or float("inf"))
    return rates if any(rate.unit in ("image", "megapixel") for rate in rates) else ()
