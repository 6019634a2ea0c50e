"""Say what a request costs: price books, estimates before a call, costs after it.

Amounts are millionths of a US dollar (micro-USD). Rates may have fractions of one; estimates and
costs are whole numbers, rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ziggie_image_mcp.provider.capabilities import Amount, Count, Task

if TYPE_CHECKING:
    from ziggie_image_mcp.provider.nouns import Model, ProviderRequest

Unit = Literal[
    "request",
    "image",
    "megapixel",
    "second",
    "input_image",
    "text_token_in",
    "image_token_in",
    "image_token_out",
    "text_token_out",
]
"""What a rate is for one of: `megapixel` is a million pixels of a picture that is made, `second`
one of the vendor's machine, `input_image` a picture that is given; tokens are the
vendor's, those of its thoughts `text_token_out`."""

CHARACTERS_PER_TOKEN = 4
"""Of English text, as OpenAI tells; used for expected costs only."""

_TOLD_BY_REQUEST: tuple[Unit, ...] = ("request", "image", "megapixel", "input_image")

PROMPT_TOKENS = 64
"""What a vendor may wrap around a prompt, tokens; part of the upper bound."""


_Number = Annotated[float, Field(ge=0)]


Claim = Annotated[float, Field(allow_inf_nan=True)]
"""A number that a vendor gave."""


class Free(Enum):
    """The price of what costs nothing."""

    FREE = "free"


OWN_PRICE = "your config"
"""The source of a price that the user set."""

FREE = Free.FREE
"""Said, never a default, and refused of a model that a vendor runs."""


@dataclass(frozen=True, kw_only=True)
class When:
    """To what a rate applies; what is not said does not matter."""

    tasks: frozenset[Task] = frozenset()
    quality: str = ""
    max_pixels: Count | None = None
    """To pictures of at most so many pixels, and of more than the next smaller rate's."""


_ALWAYS = When()


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What one unit costs."""

    unit: Unit
    micro_usd: _Number
    when: When = _ALWAYS
    rounds_up: bool = False
    """Whether a part of a unit counts as a whole one."""
    expected: _Number | None = None
    """How many units a picture takes, where the request does not tell; None: as many as `most`."""
    most: _Number | None = None
    """How many it takes at most. Without it a rate by seconds or by a picture's tokens gives no
    estimate, and the route is refused."""


@dataclass(frozen=True, kw_only=True)
class PriceBook:
    """What a model costs. Without rates its price is unknown, and it is never used."""

    rates: tuple[Rate, ...]
    as_of: date | None = None
    """When the prices were read; None where the user set them."""
    source: str = ""
    live: bool = False
    """Read from the vendor just now."""


Prices = PriceBook | Free


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a request will cost, before it is sent, micro-USD."""

    expected: Amount
    """What routes are compared by."""
    upper: Amount
    """What is reserved, and what budgets and consent are held to."""
    basis: str = ""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a request did cost, as far as the vendor tells."""

    micro_usd: int | Claim | None
    """What it claims, which the ledger weighs: it may be anything. None: nobody tells, so that the
    reserved upper bound counts as spent."""
    basis: Literal["exact", "computed", "list", "unknown"]
    """`exact`: the vendor said the amount. `computed`: out of what the vendor counted. `list`: the
    list price of what came."""


UNKNOWN_COST = Cost(micro_usd=None, basis="unknown")
NO_COST = Cost(micro_usd=0, basis="exact")


def is_free(prices: Prices) -> bool:
    """Whether nothing is ever charged: FREE, or the user's own rates of 0."""
    if isinstance(prices, Free):
        return True
    own = is_own(prices) and bool(prices.rates)
    return own and all(rate.micro_usd == 0 for rate in prices.rates)


def is_own(prices: Prices) -> bool:
    """Whether the user set them."""
    return isinstance(prices, PriceBook) and prices.source == OWN_PRICE


def estimate(request: ProviderRequest, model: Model) -> Estimate | None:
    """What the price book says of a request; None where it does not say enough.

    Of the rates of one unit the first that applies is taken. For the upper bound, of rates that
    differ only in `max_pixels` the dearest up to that one: a vendor's square may cost more than its
    larger landscape, and a size that is not listed may be counted as either neighbour.
    """
    prices = model.prices
    if isinstance(prices, Free):
        return Estimate(expected=0, upper=0, basis="free")
    if not prices.rates:
        return None
    first = prices.rates[0]
    if len(prices.rates) == 1 and first.when is _ALWAYS:  # as most have it
        units = _units(first, request)
        if units is None:
            return None
        most = whole(units[1] * first.micro_usd)
        least = most if units[0] == units[1] else whole(units[0] * first.micro_usd)
        return _estimate(least, most, prices)
    expected = upper = 0.0
    for unit in dict.fromkeys(rate.unit for rate in prices.rates):
        rates = [r for r in prices.rates if r.unit == unit and _applies(r.when, request)]
        if not rates:
            whens = [rate.when for rate in prices.rates if rate.unit == unit]
            if all(when.tasks and request.task not in when.tasks for when in whens):
                continue  # a surcharge on other tasks
            return None
        units = _units(rates[0], request)
        if units is None:
            return None
        alike = [
            r
            for r in prices.rates
            if r.unit == unit
            and replace(r.when, max_pixels=rates[0].when.max_pixels) == rates[0].when
            and _largest(r) <= _largest(rates[0])
        ]
        expected += units[0] * rates[0].micro_usd
        upper += max((u[1] * r.micro_usd for r in alike if (u := _units(r, request))), default=0.0)
    least, most = whole(expected), whole(upper)
    return _estimate(least, most, prices)


def _estimate(expected: int, upper: int, prices: PriceBook) -> Estimate | None:
    """None where the book prices nothing of what is asked: what is free is said."""
    if not upper and not is_free(prices):
        return None
    return Estimate(expected=expected, upper=max(expected, upper), basis=price_source(prices))


def price_source(prices: PriceBook) -> str:
    """Whose price it is, in a few words."""
    if prices.live:
        return "live price"
    if prices.as_of is not None:
        return f"list price of {prices.as_of}"
    return "price in your config" if prices.source == OWN_PRICE else "list price without a date"


def list_cost(request: ProviderRequest, model: Model, images: int) -> Cost:
    """The list price of so many pictures of a request: for vendors that do not tell what it was."""
    counted = estimate(replace(request, num_images=images), model)
    return UNKNOWN_COST if counted is None else Cost(micro_usd=counted.upper, basis="list")


def computed_cost(
    counts: Sequence[tuple[Unit, float]], request: ProviderRequest, model: Model
) -> Cost:
    """What a request cost by the price book, of whose units the vendor's answer counts some.

    Of the others it is known how many there were, or the cost is not. A count below zero gives no
    cost that could be one.
    """
    if isinstance(model.prices, Free):
        return NO_COST
    total, counted = 0.0, dict[Unit, float](counts)
    concerned: list[Unit] = [*counted, *(rate.unit for rate in model.prices.rates)]
    for unit in dict.fromkeys(concerned):
        rate = next(
            (r for r in model.prices.rates if r.unit == unit and _applies(r.when, request)), None
        )
        count = counted.get(unit)
        if count is None and rate is not None:
            units = _units(rate, request)
            is_told = unit in _TOLD_BY_REQUEST or units == (0, 0)
            count = units[0] if units is not None and is_told else None
        if count is None:
            if rate is not None:
                return UNKNOWN_COST
        elif count:
            if rate is None:
                return UNKNOWN_COST
            total += count * rate.micro_usd
    odd = not math.isfinite(total) or any(count < 0 for count in counted.values())
    return Cost(micro_usd=min(total, -1.0) if odd else whole(total), basis="computed")


def counted_cost(
    counts: Sequence[tuple[Unit, float]], request: ProviderRequest, model: Model, images: int
) -> Cost:
    """What a vendor's count of tokens comes to; else the list price of so many pictures.

    That is so where nothing was counted, and where the count would cost nothing, or more than the
    estimate's upper bound: servers that copy an API fill in what they do not count.
    """
    cost = computed_cost(counts, request, model) if counts else UNKNOWN_COST
    bound = estimate(request, model)
    if cost.micro_usd is None or (bound is not None and not 0 < cost.micro_usd <= bound.upper):
        return list_cost(request, model, images)
    return cost


def whole(micro_usd: float) -> int:
    """A whole number of micro-USD, rounded up; what is only the noise of floats is not one more."""
    return max(math.ceil(round(micro_usd, 3)), 1 if micro_usd > 0 else 0)


def _largest(rate: Rate) -> float:
    return math.inf if rate.when.max_pixels is None else rate.when.max_pixels


def _applies(when: When, request: ProviderRequest) -> bool:
    if when.tasks and request.task not in when.tasks:
        return False
    if when.quality and when.quality != request.quality:
        return False
    return when.max_pixels is None or request.width * request.height <= when.max_pixels


def _units(rate: Rate, request: ProviderRequest) -> tuple[float, float] | None:
    """How many units a request takes: expected, and at most. None where nobody can tell."""
    if rate.unit == "image":
        return request.num_images, request.num_images
    inputs = (1 if request.image_id else 0) + len(request.reference_ids)
    match rate.unit:
        case "request":
            return 1, 1
        case "input_image":
            return inputs, inputs
        case "megapixel":
            each = request.width * request.height / 1e6
            count = (math.ceil(each) if rate.rounds_up else each) * request.num_images
            return count, count
        case "text_token_in":
            text = request.prompt + request.negative_prompt
            most = len(text.encode()) + PROMPT_TOKENS
            return min(most, len(text) / CHARACTERS_PER_TOKEN), most
        case "second" | "image_token_out" | "text_token_out":
            return _stated(rate, request.num_images)
        case "image_token_in":
            return _stated(rate, inputs) if inputs else (0, 0)


def _stated(rate: Rate, times: int) -> tuple[float, float] | None:
    if rate.most is None:
        return None
    expected = rate.most if rate.expected is None else rate.expected
    return expected * times, rate.most * times
