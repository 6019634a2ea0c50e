"""Read fal's live price list: a price by a unit that differs from model to model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ziggie_image_mcp.provider import Model, PriceBook
from ziggie_image_mcp.provider.pricing import is_own
from ziggie_image_mcp.provider.settings import RateRow
from ziggie_image_providers.fal.settings import Row

LISTED = 50
"""So many models one question may name."""

MEGAPIXEL = 1024 * 1024
MOST_MEGAPIXELS = 16
INPUT_MEGAPIXELS = 4
"""What a picture to work from counts at most."""


def rates_of(row: Row, entry: Mapping[str, Any]) -> Sequence[RateRow]:
    """The rates of a model at today's price of a unit; none where nobody can tell them.

    Those of the table follow the price of the unit. Without any, a picture is one unit, or each
    megapixel that is begun.
    """
    price, unit = float(entry["unit_price"]), str(entry["unit"]).lower()
    if row.rates:
        if row.unit_usd is None:
            return ()
        times = price / row.unit_usd
        return [rate.model_copy(update={"micro_usd": rate.micro_usd * times}) for rate in row.rates]
    if unit.startswith("image"):
        return [RateRow(unit="image", micro_usd=price * 1e6)]
    if unit.startswith("megapixel"):
        rates = [
            RateRow(unit="image", micro_usd=n * price * 1e6, max_pixels=n * MEGAPIXEL)
            for n in range(1, MOST_MEGAPIXELS + 1)
        ]
        if row.images or row.references:  # those of pictures to work from may count too
            inputs = INPUT_MEGAPIXELS * price * 1e6
            rates.append(RateRow(unit="input_image", micro_usd=inputs))
        return rates
    return ()


def unit_price(model: Model, row: Row) -> float | None:
    """What one of the units costs that an answer counts, micro-USD; None where it is not known."""
    prices = model.prices
    if not isinstance(prices, PriceBook) or not prices.rates or is_own(prices):
        return None
    first = prices.rates[0].micro_usd
    if not row.rates:
        return first
    known = row.rates[0].micro_usd
    return None if row.unit_usd is None or not known else first * row.unit_usd * 1e6 / known
