"""Measure by which ways a model runs faster on this machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace

from pydantic import BaseModel

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import ImageError, InvalidRequest
from ziggie_image_mcp.inventory.hosted_models import hosted_model
from ziggie_image_mcp.provider.contract import MeasuresSpeed
from ziggie_image_mcp.provider.nouns import Progress
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import check_request
from ziggie_image_mcp.routing.rules import find_requested_model
from ziggie_image_mcp.routing.types import Plan
from ziggie_image_mcp.routing.why_not import MORE_MODELS, unknown_model

PROMPT = "a red fox in the snow"
"""Of all that is measured."""


class MeasuredRow(BaseModel):
    """One way of running the model, as `SpeedMeasurement` has it."""

    name: str
    seconds: float | None
    first_seconds: float | None
    difference: float | None
    pays: bool
    pays_from: int | None
    why_not: str


class SpeedReport(BaseModel):
    """What a measurement came to."""

    model: str
    provider: str
    width: int
    height: int
    steps: int | None
    pictures: int
    rows: list[MeasuredRow]


async def measure_speed(
    service: Service,
    name: str,
    *,
    size: tuple[int, int] | None,
    steps: int | None,
    pictures: int,
    progress: Progress,
) -> SpeedReport:
    """Run a model by each way that its engine knows; the engine keeps which of them pay.

    Args:
        service: Whose models.
        name: As `models` lists it.
        size: Width and height; None: the model's own.
        steps: None: the model's own.
        pictures: How many are timed after the first of each way.
        progress: Is told which way runs, and how far it is.

    Raises:
        InvalidRequest: The engine of this model cannot be measured, or a number is out of range.
        NoRoute: No model is called so, or it would not run; its own reasons are in the message.
        ProviderError: The usual way failed.
    """
    width, height = size or (None, None)
    request = ImageRequest(
        prompt=PROMPT, model=name, width=width, height=height, steps=steps, seed=7
    )
    check_request(request)
    ctx = await service.snapshot(request)
    providers = service.registry.providers()
    engines = {key: one for key, one in providers.items() if isinstance(one, MeasuresSpeed)}
    own = _restricted(ctx, engines)
    if not _models_named(own):
        raise _not_measurable(name, ctx, own)
    plan = planner.plan(own)
    if not plan.candidates:
        raise _not_now(name, plan, own)
    chosen = plan.candidates[0]
    rows = await engines[chosen.model.provider].measure(
        chosen.request, chosen.model, pictures, progress
    )
    return SpeedReport(
        model=chosen.model.id,
        provider=chosen.model.provider,
        width=chosen.request.width,
        height=chosen.request.height,
        steps=chosen.request.steps,
        pictures=pictures,
        rows=[MeasuredRow.model_validate(asdict(row)) for row in rows],
    )


def _restricted(ctx: RoutingContext, engines: Collection[str]) -> RoutingContext:
    """The same, as if there were no other engine."""
    survey = replace(
        ctx.survey,
        models=tuple(one for one in ctx.survey.models if one.provider in engines),
        additions=tuple(one for one in ctx.survey.additions if one.provider in engines),
        rejected=tuple(one for one in ctx.survey.rejected if one.provider in engines),
    )
    return replace(ctx, survey=survey)


def _models_named(ctx: RoutingContext) -> frozenset[tuple[str, str]]:
    """Provider and id of the models that the request names."""
    requested = find_requested_model(ctx)
    return frozenset() if requested is None else requested.models


def _not_measurable(name: str, ctx: RoutingContext, own: RoutingContext) -> ImageError:
    """The error for a name of which no engine that can be measured has a model.

    Args:
        name: What was asked for.
        ctx: With all engines.
        own: With those that can be measured.
    """
    others, hosted = sorted({provider for provider, _ in _models_named(ctx)}), hosted_model(name)
    if others:
        runs = f"it runs by {' and '.join(others)}, which has one way"
    elif hosted is not None:
        runs = f"a vendor runs it ({hosted.what})"
    else:
        return NoRoute(own.survey.rejected, MORE_MODELS, lead=unknown_model(name, own))
    return InvalidRequest("NAME", name, f"{runs}: measured are models of diffusers")


def _not_now(name: str, plan: Plan, ctx: RoutingContext) -> NoRoute:
    """The error for a model that would not run now: its own reasons."""
    models = _models_named(ctx)
    reasons = [one for one in plan.rejected if (one.provider, one.model) in models]
    return NoRoute(reasons, lead=f"{name!r} cannot make a picture now.")
