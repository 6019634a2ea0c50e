"""Say why no free route is open, and what money could still do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from ziggie_image_mcp.billing.money import dollars, micro_usd, usd
from ziggie_image_mcp.billing.types import Offer, Quote
from ziggie_image_mcp.errors import (
    ConsentRequired,
    ImageError,
    InvalidRequest,
    StorageError,
)
from ziggie_image_mcp.inventory.types import reason_sentence
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.routing import planner, why_not
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Plan

_MONEY = frozenset(
    ("CONSENT_REQUIRED", "LEDGER_UNUSABLE", "OVER_BUDGET", "OVER_MAX_COST", "PAID_FORBIDDEN")
)
"""Reasons that stand only against paying."""


class Priced(NamedTuple):
    """What one request of a call needs."""

    free: bool
    """A route is open without a yes."""
    quote: Quote | None
    """The route that a yes would open."""


def offer_of(requests: Sequence[Priced]) -> Offer | None:
    """What a yes would open; None where nothing lacks it, or it would not open all of the call."""
    if not all(one.free or one.quote for one in requests):
        return None
    offer = Offer(quotes=tuple(one.quote for one in requests))
    return offer if offer.paid else None


def too_dear(
    requests: Sequence[ImageRequest], quotes: Sequence[Quote | None]
) -> InvalidRequest | None:
    """What is wrong where the requests of a call may cost more together than the call may."""
    limit, offer = requests[0].max_cost_usd, Offer(quotes=tuple(quotes))
    if limit is None or offer.micro_usd <= micro_usd(limit):
        return None
    fix = (
        f"it is for the whole call, which takes up to {priced(offer)}; nothing was spent. Raise it "
        f"to {dollars(offer.micro_usd)}, or ask for less"
    )
    return InvalidRequest("max_cost_usd", limit, fix)


def cost_of(plans: Sequence[Plan]) -> int:
    """What the best routes of several plans cost together at most, 1e-6 USD."""
    return Offer(quotes=tuple(planner.priced_route(plan) for plan in plans)).micro_usd


def priced(offer: Offer) -> str:
    """The pictures of an offer, the price of each, and the sum, and by whom."""
    routes = list(dict.fromkeys(f"{quote.provider}/{quote.model}" for quote in offer.paid))
    each = sorted({-(-quote.micro_usd // quote.images) for quote in offer.paid})
    text = f"{usd(offer.micro_usd)} on 1 picture"
    if offer.images > 1:
        price = usd(each[0]) if len(each) == 1 else f"{usd(each[0])} to {usd(each[-1])}"
        text = f"{usd(offer.micro_usd)} on {offer.images} pictures ({price} each)"
    return f"{text} by {' and '.join(routes)}"


def explain_money(
    context: RoutingContext, plan: Plan, attempted: Collection[tuple[str, str]], spent: int
) -> str:
    """What money could still do when routes have failed: an offer, or what forbids it.

    `attempted` has provider and model of those routes, which cost `spent` 1e-6 USD together.
    """
    remaining = tuple(m for m in context.survey.models if (m.provider, m.id) not in attempted)
    paid = tuple(m for m in remaining if not is_free(m.prices))
    quote = planner.offer(replace(context, survey=replace(context.survey, models=paid)))
    if quote is not None:
        return _offer(Offer(quotes=(quote,)), spent)
    forbidden = [
        f"- {r.provider}/{r.model}: {reason_sentence(x)}"
        for r in plan.rejected
        if all(x.code in _MONEY for x in r.reasons)
        for x in r.reasons
    ]
    return "\n".join(["Left out for money:", *forbidden[:6]]) if forbidden else ""


def _offer(offer: Offer, spent: int = 0) -> str:
    so_far = f"{usd(spent)} was spent on what failed" if spent else "Nothing was spent"
    return (
        f"Money opens a route: at most {priced(offer)}. {so_far}. Ask the user; after a yes call "
        "again with "
        f"allow_paid=true and max_cost_usd={dollars(offer.micro_usd)} (on the command line "
        f"--max-cost {dollars(offer.micro_usd)}). To stop being asked, set a "
        'budget and allowPaidFallback to "withinBudget" in config.json.'
    )


def nothing_open(decisions: Sequence[tuple[RoutingContext, Plan]]) -> ImageError | None:
    """The error for a call with requests without a route: what money could do, or every reason.

    None where every request has one.
    """
    needs = [Priced(bool(p.candidates), planner.quote(context, p)) for context, p in decisions]
    for (context, plan), need in zip(decisions, needs, strict=True):
        codes = [{x.code for x in r.reasons} - {"CONSENT_REQUIRED"} for r in plan.rejected]
        if not need.free and {"LEDGER_UNUSABLE"} in codes:
            trouble = context.spending.trouble
            return StorageError(f"No free route is open, and nothing can be paid. {trouble}")
        if not (need.free or need.quote):
            return why_not.no_route(context, plan)
    offer = offer_of(needs)
    if offer is None:
        return None
    closed = next(plan for _, plan in decisions if not plan.candidates).rejected
    free = [r for r in closed if not all(x.code in _MONEY for x in r.reasons)]
    others = f"\nThe others: {NoRoute(free)}" if free else ""
    return ConsentRequired(f"No free route is open. {_offer(offer)}{others}")
