"""Say why no free route is open, and what money could still do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ziggie_image_mcp.billing.money import dollars, usd
from ziggie_image_mcp.billing.types import Quote
from ziggie_image_mcp.errors import ConsentRequired, ImageError
from ziggie_image_mcp.inventory.types import reason_sentence
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.types import Plan

_MONEY = frozenset(("CONSENT_REQUIRED", "OVER_BUDGET", "OVER_MAX_COST", "PAID_FORBIDDEN"))
"""Reasons that stand only against paying."""


def explain_money(
    context: RoutingContext, plan: Plan, attempted: Collection[tuple[str, str]], spent: int
) -> str:
    """What money could still do when routes have failed: an offer, or what forbids it.

    `tried` has provider and model of those routes, which cost `spent` 1e-6 USD together.
    """
    remaining = tuple(m for m in context.survey.models if (m.provider, m.id) not in attempted)
    paid = tuple(m for m in remaining if not is_free(m.prices))
    open_ = planner.offer(replace(context, survey=replace(context.survey, models=paid)))
    offer = _offer(open_, spent)
    if offer:
        return offer
    forbidden = [
        f"- {r.provider}/{r.model}: {reason_sentence(x)}"
        for r in plan.rejected
        if all(x.code in _MONEY for x in r.reasons)
        for x in r.reasons
    ]
    return "\n".join(["Left out for money:", *forbidden[:6]]) if forbidden else ""


def _offer(quote: Quote | None, spent: int = 0) -> str:
    if quote is None:
        return ""
    so_far = f"{usd(spent)} was spent on what failed" if spent else "Nothing was spent"
    return (
        f"A paid route is open: {quote.provider}/{quote.model} for at most "
        f"{usd(quote.micro_usd)}. {so_far}. Ask the user; after a yes call again with "
        f"allow_paid=true and max_cost_usd={dollars(quote.micro_usd)}. To stop being asked, set a "
        'budget and allowPaidFallback to "withinBudget" in config.json.'
    )


def nothing_open(context: RoutingContext, plan: Plan) -> ImageError:
    """The error for a request without a free route: what money could do, or every reason."""
    quote = planner.quote(context, plan)
    if quote is None:
        return NoRoute(plan.rejected, planner.hint(context))
    free = [r for r in plan.rejected if not all(x.code in _MONEY for x in r.reasons)]
    closed = f"\nThe others: {NoRoute(free)}" if free else ""
    return ConsentRequired(f"No free route is open. {_offer(quote)}{closed}")
