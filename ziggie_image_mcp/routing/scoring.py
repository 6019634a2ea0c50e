"""Score a model for a request in US dollars: cost + v * expected seconds - q * quality.

Lower wins. v and q come from the user's `preference`; they are judgements, not measurements.
"""

from __future__ import annotations

import functools
import math
from datetime import timedelta
from typing import NamedTuple

from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.config.config import Preference
from ziggie_image_mcp.errors import duration
from ziggie_image_mcp.inventory import hardware_probe
from ziggie_image_mcp.inventory.cards import class_speed, gpu_speed, speed_of
from ziggie_image_mcp.inventory.pace import prior_seconds, work_seconds
from ziggie_image_mcp.inventory.types import Tier
from ziggie_image_mcp.provider.capabilities import FreeSize
from ziggie_image_mcp.provider.nouns import Model, is_local
from ziggie_image_mcp.provider.pricing import Estimate
from ziggie_image_mcp.provider.sizes import Size, native_size
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.emulation import describe_emulation, lost_points
from ziggie_image_mcp.routing.fit import FittedRequest
from ziggie_image_mcp.routing.latency import (
    ENOUGH_SAMPLES,
    bucket,
    extra_work,
    learnt_load,
    learnt_seconds,
)
from ziggie_image_mcp.routing.prompt_length import is_cut
from ziggie_image_mcp.routing.rules import (
    NEUTRAL_QUALITY,
    quality_of,
)
from ziggie_image_mcp.routing.types import Candidate, QueueStatus, queue_name

UNKNOWN_LOCAL_SECONDS = 30.0
"""Stands in for the speed of a local model that nobody has timed."""
UNKNOWN_CPU_SECONDS = 900.0
UNKNOWN_CLOUD_SECONDS = 10.0

DISK_BYTES_PER_SECOND = 500e6
"""How fast weights are read before anybody timed it: a SATA SSD, whose link carries 600 MB/s."""

CUT_POINTS = 3.0
"""Points of quality that a model loses which may not read the whole prompt."""

GOING = timedelta(days=60)
"""So long before its vendor takes a model away it is said."""

GOING_POINTS = 3.0
"""Points of quality that such a model loses: what lasts is begun with."""

FAR_SIZE = 4.0
"""How many times more or fewer pixels than a model is made for cost it points: up to here it draws
about as well. A judgement; SD 1.5 repeats its subject above it, FLUX gives fog far below."""

FAR_POINTS = 1.5
"""Points of quality that a model loses at `FAR_SIZE`, and at each doubling of it."""

NOTEWORTHY_LOAD = 0.1
"""A smaller share of the expected seconds than this is not said to go into loading."""

_WEIGHTS: dict[str, tuple[float, float]] = {
    "cost": (0.0, 0.0005),
    "balanced": (0.0003, 0.004),
    "speed": (0.003, 0.001),
    "quality": (0.00003, 0.03),
}
"""preference -> (v, US dollars per second waited; q, US dollars per point of quality)."""


def preference_of(ctx: RoutingContext) -> Preference:
    """What counts most: as the request says, else its rule of `routes`, else the config."""
    by_rule = None if ctx.rule is None else ctx.rule.preference
    return ctx.request.preference or by_rule or ctx.config.preference


def base_seconds(model: Model, tier: Tier, speed: float) -> float:
    """For one picture at native size and default steps.

    Args:
        model: Of which the provider may have told, or the catalogue.
        tier: Of the machine that runs it.
        speed: Of its card, in those of an RTX 4070.
    """
    if model.seconds is not None:
        return model.seconds
    if not is_local(model):
        return UNKNOWN_CLOUD_SECONDS
    if model.work is not None:
        return work_seconds(model.work, model.family or "", speed)
    known = prior_seconds(model.id, speed)
    if known is not None:
        return known
    return UNKNOWN_CPU_SECONDS if tier == "cpu" else UNKNOWN_LOCAL_SECONDS


class ExpectedSeconds(NamedTuple):
    """What a request takes, in the order in which it passes."""

    wait: float
    """In the queue of the device."""
    load: float
    """To start the engine and load the model; 0 where it is in memory."""
    making: float
    """Of all its pictures."""
    timed: float
    """How much of all that is no guess. A guess rules nothing out."""
    resident: bool
    """The model will be in this machine's memory when the request has its turn."""

    @property
    def total(self) -> float:
        """Until the pictures are there."""
        return self.wait + self.load + self.making


def expected_seconds(model: Model, ctx: RoutingContext, fitted: FittedRequest) -> ExpectedSeconds:
    """What this machine's own runs of about this size took, or what is said of the model."""
    request, history = fitted.request, ctx.history
    line = history.queues.get(queue_name(model))
    wait = 0.0 if line is None else line.seconds
    own = 0 if line is None else line.waiting + bool(line.running)
    others = max(0, model.queued - own)
    local = is_local(model)
    resident = local and _is_resident(model, line)
    cold = local and not resident
    load, load_is_timed = _load_seconds(model, ctx) if cold else (0.0, True)
    learnt = None
    if history.latencies or history.loads:
        alike = bucket(request.width, request.height, request.steps)
        learnt = learnt_seconds(history, model.provider, model.id, alike, cold=cold)
    if learnt is None:
        tier, speed = _pace(model, ctx)
        making = base_seconds(model, tier, speed) * model.slowdown * fitted.work
    else:
        making = learnt.seconds * request.num_images
    making *= extra_work(request) if local else 1.0
    if others:  # each as long as one picture of ours, for want of anything better
        wait += others * making / request.num_images
    making_is_timed = model.seconds is not None or (
        learnt is not None and learnt.samples >= ENOUGH_SAMPLES
    )
    timed = wait + making + (load if load_is_timed else 0.0) if making_is_timed else 0.0
    return ExpectedSeconds(wait=wait, load=load, making=making, timed=timed, resident=resident)


def _pace(model: Model, ctx: RoutingContext) -> tuple[Tier, float]:
    """Class and speed of what runs it: this machine, one card of it, or what its engine told of."""
    if model.device_memory is None:
        return ctx.tier, speed_of(ctx.hardware, ctx.tier)
    tier = hardware_probe.tier_of(model.device_memory / hardware_probe.REPORTED_SHARE)
    if model.rung:  # one of this machine's
        for gpu in ctx.hardware.gpus:
            if hardware_probe.torch_device(gpu, ctx.hardware) == model.device:
                return tier, gpu_speed(gpu, tier)
    return tier, class_speed(tier)


def _is_resident(model: Model, line: QueueStatus | None) -> bool:
    """Whether a local model will be in memory when the request has its turn.

    An engine of its own keeps what its device ran last for all who use it; of one that this process
    started only the provider knows, and the jobs that are before the request.
    """
    if line is not None and line.own_models:
        return model.id in line.own_models
    shared = model.memory.managed and line is not None and line.model == model.id
    return shared or model.state == "loaded"


def _load_seconds(model: Model, ctx: RoutingContext) -> tuple[float, bool]:
    """What start and load take where the model is not in memory, and whether that was timed."""
    if ctx.history.loads:
        learnt = learnt_load(ctx.history, model.provider, model.id)
        if learnt is not None:
            return learnt, True
    if model.load_seconds is not None:
        return model.load_seconds, False
    weights = model.memory.ram_bytes or model.memory.vram_bytes or 0
    return weights / DISK_BYTES_PER_SECOND, False


def _about_its_end(model: Model, ctx: RoutingContext) -> str:
    """That its vendor takes the model away soon; empty where it stays."""
    end = model.deprecated_on
    if end is None or end - ctx.now.date() > GOING:
        return ""
    return f"{model.id} is taken away by its vendor on {end}; plan for another model"


def _far_from_native(model: Model, ctx: RoutingContext, fitted: FittedRequest) -> float:
    """Points of quality that it loses by a size that it was not made for; 0 near its own.

    A vendor's largest sizes are what its model is made for, and so are those of a list; that a
    range begins far below says only what is taken.
    """
    capability = model.tasks.get(ctx.task)
    if ctx.task != "text_to_image" or capability is None or model.demo:
        return 0.0
    native, request = native_size(capability.sizes), fitted.request
    times = (request.width * request.height) / (native.width * native.height)
    if not is_local(model) and (times > 1 or not isinstance(capability.sizes, FreeSize)):
        return 0.0
    far = max(times, 1 / times)
    return 0.0 if far < FAR_SIZE else FAR_POINTS * math.log2(2 * far / FAR_SIZE)


def _about_size(model: Model, ctx: RoutingContext, fitted: FittedRequest) -> str:
    """That its size is far from the model's own, and what is better."""
    native = native_size(model.tasks[ctx.task].sizes)
    size = Size(fitted.request.width, fitted.request.height)
    small = size.width * size.height < native.width * native.height
    way = "scale it down by process_image" if small else "enlarge it by process_image (upscale)"
    return (
        f"{size} is far from the {native} that {model.id} is made for: "
        f"expect a worse picture, or ask for about {native} and {way}"
    )


def score_candidate(
    model: Model, ctx: RoutingContext, fitted: FittedRequest, estimate: Estimate
) -> tuple[Candidate, ExpectedSeconds]:
    """The model with its request and score: by the expected cost, not by its upper bound."""
    request, cost = fitted.request, estimate.upper
    expected = expected_seconds(model, ctx, fitted)
    seconds = (expected.total, expected.wait, expected.load)
    value, quality_value = _WEIGHTS[preference_of(ctx)]
    rating = quality_of(model, ctx.config)
    points = NEUTRAL_QUALITY if rating is None else rating
    points -= CUT_POINTS if is_cut(model, ctx) else 0.0
    points -= GOING_POINTS if _about_its_end(model, ctx) else 0.0
    far = _far_from_native(model, ctx, fitted)
    points -= far + lost_points(fitted.emulation)
    said = [model.note, _about_its_end(model, ctx)]
    said += [_about_size(model, ctx, fitted)] if far else []
    return Candidate(
        model=model,
        request=request,
        score=estimate.expected / 1e6 + value * seconds[0] - quality_value * points,
        cost_micro_usd=cost,
        expected_micro_usd=estimate.expected,
        seconds=seconds[0],
        why=describe_route(
            f"next best{describe_emulation(fitted.emulation)}", model, cost, seconds
        ),
        notes=tuple(filter(None, (*fitted.notes, *said))),
        wait_seconds=expected.wait,
        load_seconds=expected.load,
        placement=fitted.placement,
        emulation=fitted.emulation,
    ), expected


def describe_route(lead: str, model: Model, cost: int, seconds: tuple[float, float, float]) -> str:
    """Why a route is taken, in one line: where it runs, its price, time and quality.

    Args:
        lead: Why this one, in a few words.
        model: That it takes.
        cost: At most, 1e-6 USD.
        seconds: In all, and of them in the queue and to load.
    """
    return _describe(lead, is_local(model), cost, seconds, model.quality)


@functools.lru_cache(maxsize=4096)
def _describe(
    lead: str,
    local: bool,
    cost: int,
    seconds: tuple[float, float, float],
    quality: float | None,
) -> str:
    where = "local" if local else "cloud"
    price = f"at most {usd(cost)}" if cost else "free"
    total, wait, load = seconds
    parts = [f"{duration(wait)} of them in the queue"] if wait else []
    if load and load >= NOTEWORTHY_LOAD * total:
        parts.append(f"{duration(load)} {'' if wait else 'of them '}to load the model")
    which = f", {' and '.join(parts)}" if parts else ""
    rating = "" if quality is None else f", quality {quality:g}/10"
    return f"{lead} ({where}, {price}, about {duration(total)} expected{which}{rating})"
