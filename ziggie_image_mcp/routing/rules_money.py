"""The rules about money: each says why a model that is not free may not be used, or None."""

from __future__ import annotations

from collections.abc import Callable

from ziggie_image_mcp.billing.money import dollars, micro_usd, usd
from ziggie_image_mcp.config.config import Budget
from ziggie_image_mcp.inventory.types import Reason
from ziggie_image_mcp.provider.nouns import Model
from ziggie_image_mcp.provider.pricing import PriceBook
from ziggie_image_mcp.routing.context import RoutingContext

PRICE_DAYS = 365
"""Prices fall and rise; one of last year is a guess."""

NO_BUDGET = Budget()


def price_unknown(model: Model) -> Reason:
    """Why a model whose price nobody knows is not used: unknown is not zero."""
    key = f"providers.{model.provider}.models.{model.id}.priceUsd"
    fix = f"set {key} to what a picture costs; 0 where it costs nothing"
    return reason("PRICE_UNKNOWN", "no price", "a known price", fix)


def ledger(model: Model, cost: int, ctx: RoutingContext) -> Reason | None:
    """Pay for nothing while the ledger cannot be used."""
    if not cost or not ctx.spending.trouble:
        return None
    return reason("LEDGER_UNUSABLE", ctx.spending.trouble, "a ledger that can be used", "")


def price_age(model: Model, cost: int, ctx: RoutingContext) -> Reason | None:
    """Drop models whose price was read too long ago to be believed."""
    prices = model.prices
    if not cost or not isinstance(prices, PriceBook) or prices.as_of is None:
        return None
    days = (ctx.now.date() - prices.as_of).days
    if days <= PRICE_DAYS:
        return None
    fix = f"set the price in providers.{model.provider}.models"
    have = f"a price of {prices.as_of:%Y-%m-%d}"
    return reason("PRICE_STALE", have, f"one of the last {PRICE_DAYS} days", fix)


def max_cost(model: Model, cost: int, ctx: RoutingContext) -> Reason | None:
    """Keep to what the request may cost."""
    limit = ctx.request.max_cost_usd
    if not cost or limit is None or cost <= micro_usd(limit):
        return None
    need = f"at most ${limit:g} (max_cost_usd)"
    return reason("OVER_MAX_COST", usd(cost), need, f"raise max_cost_usd to {dollars(cost)}")


def budget(model: Model, cost: int, ctx: RoutingContext) -> Reason | None:
    """Keep to the caps of the config, counting what is spent, held and unknown."""
    if not cost:
        return None
    caps = ctx.config.budget
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


def consent(model: Model, cost: int, ctx: RoutingContext) -> Reason | None:
    """Keep to free models until somebody said yes to this price, wherever they run."""
    if not cost:
        return None
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


MoneyRule = Callable[[Model, int, RoutingContext], Reason | None]
"""Looks at the upper bound of what a request costs, 1e-6 USD."""

MONEY_RULES: tuple[tuple[MoneyRule, Callable[[RoutingContext], bool]], ...] = (
    (ledger, lambda ctx: bool(ctx.spending.trouble)),
    (price_age, lambda ctx: True),
    (max_cost, lambda ctx: ctx.request.max_cost_usd is not None),
    (budget, lambda ctx: ctx.config.budget != NO_BUDGET or bool(ctx.own_budgets)),
    (
        consent,
        lambda ctx: not ctx.request.allow_paid or ctx.config.allow_paid_fallback == "never",
    ),
)
"""For models that are not free: each rule, and whether it could say anything to this request."""


def money_rules_for(ctx: RoutingContext) -> tuple[MoneyRule, ...]:
    """The rules about money that could say no to this request."""
    return tuple(rule for rule, may_speak in MONEY_RULES if may_speak(ctx))


def reason(code: str, have: str, need: str, fix: str) -> Reason:
    """One reason; short to write."""
    return Reason(code=code, have=have, need=need, fix=fix)
