"""The rules about money: each says why a model that is not free may not be used, or None."""

from __future__ import annotations

from ziggie_image_mcp.billing.money import dollars, micro_usd, usd
from ziggie_image_mcp.config.config import Budget
from ziggie_image_mcp.inventory.types import Reason
from ziggie_image_mcp.provider.types import Model
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.sizing import resolve

PRICE_DAYS = 365
"""Prices fall and rise; one of last year is a guess."""

NO_BUDGET = Budget()


def price(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models whose price nobody knows: unknown is not zero."""
    if model.price_micro_usd is not None:
        return None
    fix = f"set the price in providers.{model.provider}.models"
    return reason("PRICE_UNKNOWN", "no price", "a known price", fix)


def price_age(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models whose price was read too long ago to be believed."""
    if not model.price_micro_usd or model.price_as_of is None:
        return None
    days = (ctx.now.date() - model.price_as_of).days
    if days <= PRICE_DAYS:
        return None
    fix = f"set the price in providers.{model.provider}.models"
    have = f"a price of {model.price_as_of:%Y-%m-%d}"
    return reason("PRICE_STALE", have, f"one of the last {PRICE_DAYS} days", fix)


def max_cost(model: Model, ctx: RoutingContext) -> Reason | None:
    """Keep to what the request may cost."""
    cost, limit = cost_of(model, ctx.request), ctx.request.max_cost_usd
    if not cost or limit is None or cost <= micro_usd(limit):
        return None
    need = f"at most ${limit:g} (max_cost_usd)"
    return reason("OVER_MAX_COST", usd(cost), need, f"raise max_cost_usd to {dollars(cost)}")


def budget(model: Model, ctx: RoutingContext) -> Reason | None:
    """Keep to the caps of the config, counting what is spent, held and unknown."""
    if not model.price_micro_usd:
        return None
    cost, caps = cost_of(model, ctx.request), ctx.config.budget
    each = cost // ctx.request.num_images
    own = ctx.own_budgets.get(model.provider, NO_BUDGET)
    own_day = ctx.spending.by_provider_day.get(model.provider, 0)
    own_month = ctx.spending.by_provider_month.get(model.provider, 0)
    prefix = f"providers.{model.provider}."
    for key, limit, spent, amount in (
        ("budget.perImage", caps.per_image, 0, each),
        ("budget.perDay", caps.per_day, ctx.spending.day, cost),
        ("budget.perMonth", caps.per_month, ctx.spending.month, cost),
        (prefix + "budget.perImage", own.per_image, 0, each),
        (prefix + "budget.perDay", own.per_day, own_day, cost),
        (prefix + "budget.perMonth", own.per_month, own_month, cost),
    ):
        if limit is not None and spent + amount > micro_usd(limit):
            have = f"{usd(amount)} on top of {usd(spent)}" if spent else usd(amount)
            return reason("OVER_BUDGET", have, f"within ${limit:g} ({key})", f"raise {key}")
    return None


def consent(model: Model, ctx: RoutingContext) -> Reason | None:
    """Keep to free models until somebody said yes to this price."""
    if not model.price_micro_usd:
        return None
    cost = cost_of(model, ctx.request)
    rule, caps = ctx.config.allow_paid_fallback, ctx.config.budget
    if rule == "never":
        fix = 'set allowPaidFallback to "ask" or "withinBudget" in config.json'
        return reason("PAID_FORBIDDEN", usd(cost), "allowPaidFallback is never", fix)
    agreement = ctx.consent
    if ctx.request.allow_paid or (
        agreement is not None
        and (agreement.provider, agreement.model) == (model.provider, model.id)
        and cost <= agreement.micro_usd
    ):
        return None
    capped = caps.per_day is not None or caps.per_month is not None
    small = caps.confirm_above is None or cost <= micro_usd(caps.confirm_above)
    if rule == "withinBudget" and capped and small:
        return None
    fix = "call again with allow_paid=true to agree to this price"
    if rule == "withinBudget" and not capped:
        fix += ", or set budget.perDay or budget.perMonth: withinBudget needs a budget"
    elif rule == "ask":
        fix += ', or set a budget and allowPaidFallback to "withinBudget" in config.json'
    return reason("CONSENT_REQUIRED", usd(cost), "a yes to paying", fix)


def cost_of(model: Model, request: ImageRequest) -> int:
    """Upper bound for the whole request, 1e-6 USD; 0 where the price is unknown."""
    each = model.price_micro_usd or 0
    if model.price_by_pixels:
        width, height = resolve(model, request, [])
        fitting = (price for pixels, price in model.price_by_pixels if width * height <= pixels)
        each = next(fitting, each)
    agreement = model.price_of_given_micro_usd if request.image is not None else 0
    return each * request.num_images + agreement


def reason(code: str, have: str, need: str, fix: str) -> Reason:
    """One reason; short to write."""
    return Reason(code=code, have=have, need=need, fix=fix)
