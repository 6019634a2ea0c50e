"""Measure by which ways a model runs faster on this machine."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.contract import MeasuresSpeed, Provider
from ziggie_image_mcp.provider.nouns import Progress
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.types import Candidate

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
        progress: Is told which way runs.

    Raises:
        InvalidRequest: The engine of this model cannot be measured.
        NoRoute: The model would not run; every reason is in the message.
        ProviderError: The usual way failed.
    """
    width, height = size or (None, None)
    plan = await service.plan(
        ImageRequest(prompt=PROMPT, model=name, width=width, height=height, steps=steps, seed=7)
    )
    if not plan.candidates:
        raise NoRoute(plan.rejected)
    able = [c for c in plan.candidates if isinstance(_provider(service, c), MeasuresSpeed)]
    if not able:
        engines = " and ".join(sorted({c.model.provider for c in plan.candidates}))
        raise InvalidRequest(
            "NAME",
            name,
            f"it runs by {engines}, which has one way: measured are models of diffusers",
        )
    chosen = able[0]
    provider = _provider(service, chosen)
    assert isinstance(provider, MeasuresSpeed)
    rows = await provider.measure(chosen.request, chosen.model, pictures, progress)
    return SpeedReport(
        model=chosen.model.id,
        provider=chosen.model.provider,
        width=chosen.request.width,
        height=chosen.request.height,
        steps=chosen.request.steps,
        pictures=pictures,
        rows=[MeasuredRow.model_validate(asdict(row)) for row in rows],
    )


def _provider(service: Service, candidate: Candidate) -> Provider | None:
    return service.registry.providers().get(candidate.model.provider)
