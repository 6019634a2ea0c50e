"""Decide: which models may make this picture, in which order, and why not the others. No I/O.

Scores are US dollars, lower wins: cost + v * expected seconds - q * quality. v and q come from the
user's `preference`; they are judgements, not measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.billing.types import Quote
from ziggie_image_mcp.errors import duration
from ziggie_image_mcp.inventory import recommend
from ziggie_image_mcp.inventory.types import Reason, Rejection, lacks_key
from ziggie_image_mcp.provider.nouns import Model, is_local
from ziggie_image_mcp.provider.pricing import FREE, Estimate, is_free
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.emulation import describe_emulation
from ziggie_image_mcp.routing.fit import FittedRequest, fit_request
from ziggie_image_mcp.routing.fit_ladder import place, unfit
from ziggie_image_mcp.routing.laid_over import with_additions
from ziggie_image_mcp.routing.request import PROCESSING_TASKS, options_asked, task_of
from ziggie_image_mcp.routing.route_rules import apply_routes
from ziggie_image_mcp.routing.rules import (
    NEUTRAL_QUALITY,
    find_requested_model,
    has_real_model,
    is_of_another_kind,
    may_be_set_up,
    quality_of,
    rules_for,
)
from ziggie_image_mcp.routing.rules_money import MoneyRule, money_rules_for, price_unknown
from ziggie_image_mcp.routing.scoring import describe_route, preference_of, score_candidate
from ziggie_image_mcp.routing.types import Candidate, Plan

SLOW_SECONDS = 60.0
"""A free route that takes longer is chosen, and what a paid one would take is said beside it..."""

FASTER = 5.0
"""...where that is so many times faster. Judgements."""

_NOTHING = Estimate(expected=0, upper=0)


def plan(ctx: RoutingContext) -> Plan:
    """Order the models that passed every rule; keep every reason against the others.

    Only health may fail open, and only for what is free: where a pause alone stands against every
    route, the free ones are tried all the same.
    """
    strict = _plan(ctx)
    if strict.candidates:
        return _with_faster(strict, ctx)
    if not ctx.trust_breakers or not ctx.history.breakers:
        return strict
    lenient = _plan(replace(ctx, trust_breakers=False))
    return lenient if lenient.candidates else strict


def _with_faster(decided: Plan, ctx: RoutingContext) -> Plan:
    """The same, saying with its price which paid route is far faster than the free one in front."""
    best, others = decided.candidates[0], decided.candidates[1:]
    if best.cost_micro_usd or best.seconds < SLOW_SECONDS or best.model.demo:
        return decided
    if ctx.config.allow_paid_fallback == "never":
        return decided
    if not any(one.cost_micro_usd for one in others) and not ctx.request.allow_paid:
        others = _plan(replace(ctx, request=replace(ctx.request, allow_paid=True))).candidates
    paid = [o for o in others if o.cost_micro_usd and o.seconds * FASTER <= best.seconds]
    if not paid:
        return decided
    fast = min(paid, key=lambda one: one.score)
    note = (
        f"free, and about {duration(best.seconds)}: {fast.model.provider} {fast.model.id} would "
        f"take about {duration(fast.seconds)} for at most {usd(fast.cost_micro_usd)} "
        f"(provider={fast.model.provider}, allow_paid=true)"
    )
    first = replace(best, notes=(*best.notes, note))
    return replace(decided, candidates=(first, *decided.candidates[1:]))


def _plan(ctx: RoutingContext) -> Plan:
    ctx = replace(
        ctx,
        requested_model=find_requested_model(ctx),
        task=task_of(ctx.request),
        options=options_asked(ctx.request),
        rule=apply_routes(ctx.config.routes, ctx.request, ctx.bulk),
    )
    ranked: list[tuple[float, bool, str, str, Candidate]] = []
    rejected = [r for r in ctx.survey.rejected if may_be_set_up(r, ctx)]
    rules, money_rules = rules_for(ctx), money_rules_for(ctx)
    known, task = dict[object, FittedRequest](), ctx.task
    others: list[Rejection] = []
    for listed in ctx.survey.models:
        if is_of_another_kind(listed, ctx):
            others.append(_of_another_kind(listed, ctx))
            continue
        capability, estimate = listed.tasks.get(task), _NOTHING
        fitted = None if capability is None else fit_request(listed, capability, ctx, known)
        size = None if fitted is None else Size(fitted.request.width, fitted.request.height)
        model = place(with_additions(listed, ctx), ctx.hardware, size)
        reasons = [r for rule in rules if (r := rule(model, ctx)) is not None]
        if (misfit := unfit(model, ctx.hardware, size)) is not None:
            reasons.append(misfit)
        if fitted is not None:
            if fitted.reason is not None:
                reasons.append(fitted.reason)
            if model.prices is not FREE:
                estimate = _estimate(model, fitted, ctx, money_rules, reasons)
            if not reasons:
                one, expected = score_candidate(model, ctx, fitted, estimate)
                if expected.timed <= ctx.config.deadline:
                    ranked.append((one.score, not expected.resident, model.provider, model.id, one))
                    continue
                reasons.append(_too_slow(one, ctx.config.deadline))
        rejected.append(Rejection(provider=model.provider, model=model.id, reasons=tuple(reasons)))
    ranked.sort(key=itemgetter(0, 1, 2, 3))
    if ctx.config.provider == "local":
        ranked.sort(key=lambda entry: not is_local(entry[-1].model))  # the others are the way out
    rejected.sort(key=_rank)
    rejected += sorted(others, key=lambda r: (r.provider, r.model or ""))
    candidates = [one for *_, one in ranked]
    if candidates:
        candidates[0] = _best(candidates[0], len(candidates), ctx)
    if ctx.request.quality is not None:
        candidates = [_with_quality(one, ctx) for one in candidates]
    advice = _advice(ctx)
    if advice:
        candidates = [_with_advice(one, advice, ctx) for one in candidates]
    rule = "" if ctx.rule is None else str(ctx.rule)
    return Plan(candidates=tuple(candidates), rejected=tuple(rejected), advice=advice, rule=rule)


def _rank(rejection: Rejection) -> tuple[bool, int, str, str]:
    """What lacks least first, and vendors that were never set up last."""
    size = len(rejection.reasons)
    return lacks_key(rejection), size, rejection.provider, rejection.model or ""


def _advice(ctx: RoutingContext) -> str:
    """How to get a real model for this machine; empty where one is here, or none is asked for."""
    if ctx.task in PROCESSING_TASKS or has_real_model(ctx):
        return ""
    if not ctx.config.enabled:
        return ""  # no model would help
    return recommend.advice(ctx.hardware, ctx.setup)


def _with_advice(one: Candidate, advice: str, ctx: RoutingContext) -> Candidate:
    if not one.model.demo:
        return one
    tier = ctx.request.quality
    missed = [f"quality {tier} is not reached: this is the demo model"] if tier else []
    return replace(one, notes=(*one.notes, *missed, advice))


def _with_quality(one: Candidate, ctx: RoutingContext) -> Candidate:
    """The same, saying where nobody knows whether it is as good as was asked."""
    if one.model.demo or quality_of(one.model, ctx.config) is not None:
        return one
    note = (
        f"nobody has judged the quality of {one.model.id}: it counts as {NEUTRAL_QUALITY:g} of 10"
    )
    return replace(one, notes=(*one.notes, note))


def _of_another_kind(model: Model, ctx: RoutingContext) -> Rejection:
    """That it is for other work is the one reason that counts."""
    reason = Reason(
        code="FEATURE_UNSUPPORTED", have=f"only {', '.join(sorted(model.tasks))}", need=ctx.task
    )
    return Rejection(provider=model.provider, model=model.id, reasons=(reason,))


def _estimate(
    model: Model,
    fitted: FittedRequest,
    ctx: RoutingContext,
    money_rules: Sequence[MoneyRule],
    reasons: list[Reason],
) -> Estimate:
    """What the request would cost; what stands against paying it goes to `reasons`."""
    if is_free(model.prices):
        return _NOTHING
    estimate = ctx.estimate(fitted.request, model)
    if estimate is None:
        reasons.append(price_unknown(model))
        return _NOTHING
    for rule in money_rules:
        reason = rule(model, estimate.upper, ctx)
        if reason is not None:
            reasons.append(reason)
    return estimate


def quote(ctx: RoutingContext, decided: Plan) -> Quote | None:
    """The paid route that only lacks a yes, when no other route is open by the plan `decided`."""
    if ctx.config.allow_paid_fallback == "never" or decided.candidates:
        return None
    return offer(ctx)


def offer(ctx: RoutingContext) -> Quote | None:
    """The route that is best once somebody said yes to paying."""
    willing = replace(ctx, request=replace(ctx.request, allow_paid=True))
    return priced_route(plan(willing))


def priced_route(decided: Plan) -> Quote | None:
    """The best route of a plan as a quote; None where it is free, or there is none."""
    best = next(iter(decided.candidates), None)
    if best is None or not best.cost_micro_usd:
        return None
    return Quote(
        provider=best.model.provider,
        model=best.model.id,
        images=best.request.num_images,
        micro_usd=best.cost_micro_usd,
    )


def _too_slow(one: Candidate, deadline: int) -> Reason:
    return Reason(
        code="DEADLINE",
        have=f"about {duration(one.seconds)} expected",
        need=f"at most {duration(deadline)} (deadline)",
        fix="ask for fewer steps, pictures or pixels, or raise deadline in config.json",
    )


def _best(one: Candidate, count: int, ctx: RoutingContext) -> Candidate:
    """The first of them all, with the word why it is."""
    seconds = (one.seconds, one.wait_seconds, one.load_seconds)
    lead = _lead(one.model, count, ctx) + describe_emulation(one.emulation)
    if ctx.rule is not None:
        lead += f", by {ctx.rule.name}"
    return replace(one, why=describe_route(lead, one.model, one.cost_micro_usd, seconds))


def _lead(model: Model, count: int, ctx: RoutingContext) -> str:
    """Why this one, in a few words."""
    if model.demo:
        why = "as asked" if ctx.request.model else "because no other is installed or running"
        return f"the built-in demo model, {why}"
    if ctx.config.provider == "local" and not is_local(model):
        return "no local route is open, and allowPaidFallback keeps this way out"
    if model.provider in (ctx.request.provider, ctx.config.provider):
        return f"best of provider {model.provider}, as asked"
    if ctx.requested_model is not None:
        kind = (
            f"family {ctx.requested_model.family}"
            if ctx.requested_model.family
            else f"model {ctx.requested_model.name}"
        )
        return f"{kind}, as asked"
    if count == 1:
        return "the only model that can"
    return f"best of {count} by preference {preference_of(ctx)!r}"
