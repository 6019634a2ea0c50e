"""Score a model for a request in US dollars: cost + v * expected seconds - q * quality.

Lower wins. v and q come from the user's `preference`; they are judgements, not measurements.
"""

from __future__ import annotations

import functools

from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.inventory.model_facts import prior_seconds
from ziggie_image_mcp.inventory.types import Tier
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest, is_local
from ziggie_image_mcp.provider.pricing import Estimate
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.fit import FittedRequest
from ziggie_image_mcp.routing.latency import bucket, learnt_seconds
from ziggie_image_mcp.routing.prompt_length import is_cut
from ziggie_image_mcp.routing.rules import (
    NEUTRAL_QUALITY,
    quality_of,
)
from ziggie_image_mcp.routing.types import Candidate

UNKNOWN_LOCAL_SECONDS = 30.0
"""Stands in for the speed of a local model that nobody has timed."""
UNKNOWN_CPU_SECONDS = 900.0
UNKNOWN_CLOUD_SECONDS = 10.0

CUT_POINTS = 3.0
"""Points of quality that a model loses which may not read the whole prompt."""

_WEIGHTS: dict[str, tuple[float, float]] = {
    "cost": (0.0, 0.0005),
    "balanced": (0.0003, 0.004),
    "speed": (0.003, 0.001),
    "quality": (0.00003, 0.03),
}
"""preference -> (v, US dollars per second waited; q, US dollars per point of quality)."""


def base_seconds(model: Model, tier: Tier) -> float:
    """For one picture at native size and default steps."""
    if model.seconds is not None:
        return model.seconds
    if not is_local(model):
        return UNKNOWN_CLOUD_SECONDS
    known = prior_seconds(model, tier)
    if known is not None:
        return known
    return UNKNOWN_CPU_SECONDS if tier == "cpu" else UNKNOWN_LOCAL_SECONDS


def _learnt_seconds(model: Model, request: ProviderRequest, ctx: RoutingContext) -> float | None:
    """Seconds for the whole request, from this machine's own runs of about this size."""
    if not ctx.history.latencies:
        return None
    alike = bucket(request.width, request.height, request.steps)
    each = learnt_seconds(ctx.history, model.provider, model.id, alike)
    return None if each is None else each * request.num_images


def score_candidate(
    model: Model, ctx: RoutingContext, fitted: FittedRequest, estimate: Estimate
) -> tuple[Candidate, bool, bool]:
    """The model with its request and score: by the expected cost, not by its upper bound.

    Also whether its seconds are no guess, since a guess rules nothing out, and whether it must be
    loaded first.
    """
    request, cost = fitted.request, estimate.upper
    learnt = _learnt_seconds(model, request, ctx)
    seconds = learnt or base_seconds(model, ctx.tier) * fitted.work
    wait, cold = 0.0, model.state != "loaded"
    if model.device and model.device in ctx.history.queues:
        line = ctx.history.queues[model.device]
        wait, cold = line.seconds, cold and line.model != model.id
    value, quality_value = _WEIGHTS[ctx.request.preference or ctx.config.preference]
    rating = quality_of(model, ctx.config)
    points = NEUTRAL_QUALITY if rating is None else rating
    points -= CUT_POINTS if is_cut(model, ctx) else 0.0
    one = Candidate(
        model=model,
        request=request,
        score=estimate.expected / 1e6 + value * (wait + seconds) - quality_value * points,
        cost_micro_usd=cost,
        expected_micro_usd=estimate.expected,
        seconds=wait + seconds,
        why=describe_route("next best", is_local(model), cost, wait + seconds, wait, model.quality),
        notes=fitted.notes,
        wait_seconds=wait,
        placement=fitted.placement,
    )
    return one, learnt is not None or model.seconds is not None, cold


@functools.lru_cache(maxsize=4096)
def describe_route(
    lead: str, local: bool, cost: int, seconds: float, wait: float, quality: float | None
) -> str:
    """Why a route is taken, in one line: where it runs, its price, time and quality."""
    where = "local" if local else "cloud"
    price = f"at most {usd(cost)}" if cost else "free"
    line = f", {wait:.3g} of them in the queue" if wait else ""
    rating = "" if quality is None else f", quality {quality:g}/10"
    return f"{lead} ({where}, {price}, about {seconds:.3g} s expected{line}{rating})"
