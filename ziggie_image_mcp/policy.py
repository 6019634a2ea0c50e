"""Decide: which models may make this picture, in which order, and why not the others. No I/O.

Scores are US dollars, lower wins: cost + v * expected seconds - q * quality. v and q come from the
user's `preference`; they are judgements, not measurements.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

from ziggie_image_mcp import sizes
from ziggie_image_mcp.catalogue import plain, prior_seconds
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.experience import bucket, learnt_seconds
from ziggie_image_mcp.rules import (
    NEUTRAL_QUALITY,
    Context,
    asked_features,
    cost_of,
    matches,
    quality_of,
    rules_for,
    settings_of,
    usd,
    wanted_model,
)
from ziggie_image_mcp.types import (
    Candidate,
    ImageRequest,
    Job,
    Model,
    Plan,
    Quote,
    Reason,
    Rejection,
    Tier,
)

MAX_SIDE = 16_384
MAX_PROMPT = 10_000
MAX_IMAGES = 16
MAX_SEED = 2**32 - 1

UNKNOWN_LOCAL_SECONDS = 30.0
"""Stands in for the speed of a local model that nobody has timed."""
UNKNOWN_CPU_SECONDS = 900.0
UNKNOWN_CLOUD_SECONDS = 10.0

_WEIGHTS: dict[str, tuple[float, float]] = {
    "cost": (0.0, 0.0005),
    "balanced": (0.0003, 0.004),
    "speed": (0.003, 0.001),
    "quality": (0.00003, 0.03),
}
"""preference -> (v, US dollars per second waited; q, US dollars per point of quality)."""


def check(request: ImageRequest) -> None:
    """Refuse what no provider could honour.

    Raises:
        InvalidRequest: Names the field, its value and what would be accepted.
    """
    if not request.prompt.strip():
        raise InvalidRequest("prompt", request.prompt, "say what the picture shows")
    for field in ("prompt", "negative_prompt"):
        if len(getattr(request, field)) > MAX_PROMPT:
            raise InvalidRequest(field, getattr(request, field), f"at most {MAX_PROMPT} characters")
    for field, value in (("width", request.width), ("height", request.height)):
        if value is not None and not 16 <= value <= MAX_SIDE:
            raise InvalidRequest(field, value, f"16 to {MAX_SIDE} pixels, or leave it out")
    if (request.width is None) != (request.height is None):
        given = "width" if request.height is None else "height"
        other = "height" if given == "width" else "width"
        raise InvalidRequest(given, getattr(request, given), f"give {other} too, or neither")
    if request.aspect_ratio is not None:
        sizes.ratio(request.aspect_ratio)
        if request.width is not None:
            raise InvalidRequest(
                "aspect_ratio", request.aspect_ratio, "give it or width and height, not both"
            )
    if not 1 <= request.num_images <= MAX_IMAGES:
        raise InvalidRequest("num_images", request.num_images, f"1 to {MAX_IMAGES}")
    if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
        raise InvalidRequest("seed", request.seed, f"0 to {MAX_SEED}, or leave it out")
    if request.steps is not None and not 1 <= request.steps <= 500:
        raise InvalidRequest("steps", request.steps, "1 to 500, or leave it out")
    if request.guidance_scale is not None and not (
        math.isfinite(request.guidance_scale) and 0 <= request.guidance_scale <= 50
    ):
        raise InvalidRequest("guidance_scale", request.guidance_scale, "0 to 50, or leave it out")
    limit = request.max_cost_usd
    if limit is not None and not (math.isfinite(limit) and limit >= 0):
        raise InvalidRequest("max_cost_usd", limit, "US dollars, 0 or more, or leave it out")


def plan(ctx: Context) -> Plan:
    """Order the models that passed every rule; keep every reason against the others.

    Only health may fail open, and only for what is free: where a pause alone stands against every
    route, the free ones are tried all the same.
    """
    strict = _plan(ctx)
    if strict.candidates or not ctx.trust_breakers or not ctx.experience.breakers:
        return strict
    lenient = _plan(replace(ctx, trust_breakers=False))
    return lenient if lenient.candidates else strict


class _Weighed(NamedTuple):
    """A model that passed every rule, in the order of the fields: the least comes first."""

    score: float
    cold: bool
    provider: str
    id: str
    model: Model
    job: Job
    notes: list[str]
    seconds: float
    wait: float
    timed: bool
    """False where the seconds are a guess: a guess rules nothing out."""


def _plan(ctx: Context) -> Plan:
    ctx = replace(ctx, wanted=wanted_model(ctx), asked=asked_features(ctx.request))
    weighed: list[_Weighed] = []
    rejected = list(ctx.survey.rejected)
    rules, jobs = rules_for(ctx), dict[object, tuple[Job, list[str]]]()
    for model in ctx.survey.models:
        reasons = [r for rule in rules if (r := rule(model, ctx)) is not None]
        if reasons:
            rejected.append(
                Rejection(provider=model.provider, model=model.id, reasons=tuple(reasons))
            )
            continue
        one = _weigh(model, ctx, jobs)
        if one.seconds <= ctx.config.deadline or not one.timed:
            weighed.append(one)
        else:
            rejected.append(_too_slow(one, ctx.config.deadline))
    weighed.sort(key=itemgetter(0, 1, 2, 3))
    rejected.sort(key=lambda r: (len(r.reasons), r.provider, r.model or ""))
    return Plan(
        candidates=tuple(
            _candidate(w, place, len(weighed), ctx) for place, w in enumerate(weighed)
        ),
        rejected=tuple(rejected),
    )


def quote(ctx: Context) -> Quote | None:
    """The paid route that only lacks a yes, when no other route is open."""
    if ctx.config.allow_paid_fallback == "never" or plan(ctx).candidates:
        return None
    willing = replace(ctx, request=replace(ctx.request, allow_paid=True))
    best = next(iter(plan(willing).candidates), None)
    if best is None:
        return None
    return Quote(
        provider=best.model.provider,
        model=best.model.id,
        images=best.job.num_images,
        micro_usd=best.cost_micro_usd,
    )


def hint(ctx: Context) -> str:
    """Name the models nearest to the one that was asked for, when there is none of that name."""
    wanted = ctx.request.model
    if wanted is None or any(matches(m, wanted, ctx.config) for m in ctx.survey.models):
        return ""
    names = {plain(n): m.id for m in ctx.survey.models for n in (m.id, m.title, *m.aliases) if n}
    close = difflib.get_close_matches(plain(wanted), names, n=3, cutoff=0.4)
    near = list(dict.fromkeys(names[c] for c in close))
    if near:
        return f"No model is called {wanted!r}. Nearest: {', '.join(near)}."
    return f"No model is called {wanted!r}. list_models shows what there is."


def expected_seconds(model: Model, job: Job, tier: Tier) -> float:
    """Seconds for the whole job, from the provider's figure or the catalogue's, scaled by work."""
    base = model.seconds
    if base is None:
        base = prior_seconds(model, tier) if model.local else None
    if base is None and model.local:
        base = UNKNOWN_CPU_SECONDS if tier == "cpu" else UNKNOWN_LOCAL_SECONDS
    if base is None:
        base = UNKNOWN_CLOUD_SECONDS
    work = (job.width * job.height) / (model.native_width * model.native_height)
    if job.steps and model.default_steps:
        work *= job.steps / model.default_steps
    return base * work * job.num_images


def _learnt_seconds(model: Model, job: Job, ctx: Context) -> float | None:
    """Seconds for the whole job, from this machine's own runs of about this size."""
    if not ctx.experience.latencies:
        return None
    alike = bucket(job.width, job.height, job.steps)
    each = learnt_seconds(ctx.experience, model.provider, model.id, alike)
    return None if each is None else each * job.num_images


def _weigh(model: Model, ctx: Context, jobs: dict[object, tuple[Job, list[str]]]) -> _Weighed:
    job, notes = _job_of(model, ctx, jobs)
    learnt = _learnt_seconds(model, job, ctx)
    line = ctx.experience.lines.get(model.device) if model.device else None
    wait = 0.0 if line is None else line.seconds
    seconds = wait + (learnt or expected_seconds(model, job, ctx.tier))
    timed = learnt is not None or model.seconds is not None
    value, quality_value = _WEIGHTS[ctx.config.preference]
    judged = quality_of(model, ctx.config)
    points = NEUTRAL_QUALITY if judged is None else judged
    score = cost_of(model, ctx.request) / 1e6 + value * seconds - quality_value * points
    return _Weighed(
        score=round(score, 9),
        cold=not (model.loaded or (line is not None and line.model == model.id)),
        provider=model.provider,
        id=model.id,
        model=model,
        job=job,
        notes=notes,
        seconds=seconds,
        wait=wait,
        timed=timed,
    )


def _too_slow(weighed: _Weighed, deadline: int) -> Rejection:
    reason = Reason(
        code="DEADLINE",
        have=f"about {weighed.seconds:.0f} s expected",
        need=f"at most {deadline} s (deadline)",
        fix="ask for fewer steps, pictures or pixels, or raise deadline in config.json",
    )
    return Rejection(provider=weighed.provider, model=weighed.id, reasons=(reason,))


def _candidate(weighed: _Weighed, place: int, count: int, ctx: Context) -> Candidate:
    model, cost = weighed.model, cost_of(weighed.model, ctx.request)
    facts = [
        "local" if model.local else "cloud",
        f"at most {usd(cost)}" if cost else "free",
        f"about {weighed.seconds:.3g} s expected",
    ]
    if weighed.wait:
        facts[-1] += f", {weighed.wait:.3g} of them in line"
    if model.quality is not None:
        facts.append(f"quality {model.quality:g}/10")
    return Candidate(
        model=model,
        job=weighed.job,
        score=weighed.score,
        cost_micro_usd=cost,
        seconds=weighed.seconds,
        why=f"{_lead(model, place, count, ctx)} ({', '.join(facts)})",
        notes=tuple(weighed.notes),
        wait_seconds=weighed.wait,
    )


def _lead(model: Model, place: int, count: int, ctx: Context) -> str:
    if model.demo and ctx.request.model:
        return "the built-in demo model, as asked"
    if model.demo:
        return "the built-in demo model, because no other model is installed or running"
    if model.provider in (ctx.request.provider, ctx.config.provider):
        return f"best of provider {model.provider}, as asked"
    if ctx.wanted is not None:
        return f"model {ctx.wanted}, as asked"
    if count == 1:
        return "the only model that can"
    if place == 0:
        return f"best of {count} by preference {ctx.config.preference!r}"
    return f"fallback {place}"


def _job_of(
    model: Model, ctx: Context, known: dict[object, tuple[Job, list[str]]]
) -> tuple[Job, list[str]]:
    """The job as this model would get it. Models of one kind share it, among a thousand files."""
    kind = (
        model.features,
        model.native_width,
        model.native_height,
        model.min_side,
        model.max_side,
        model.multiple_of,
        model.default_steps,
        model.default_guidance,
        model.id if model.distilled or ctx.config.models or ctx.request.aspect_ratio else "",
    )
    found = known.get(kind)
    if found is None:
        found = known[kind] = _job(model, ctx)
    return found


def _job(model: Model, ctx: Context) -> tuple[Job, list[str]]:
    request, defaults, notes = ctx.request, ctx.config.default_settings, list[str]()
    own = settings_of(model, ctx.config)
    width, height = sizes.resolve(model, request, notes)
    steps, guidance = request.steps, request.guidance_scale
    preset: float | None
    if steps is None and "steps" in model.features:
        general = None if model.distilled else defaults.steps
        steps = own.steps or general or model.default_steps
        if model.distilled and defaults.steps not in (None, steps):
            notes.append(f"defaultSettings.steps left out: {model.id} is distilled for {steps}")
    if guidance is None and "guidance_scale" in model.features:
        preset = None if model.distilled else defaults.cfg
        guidance = next(
            (g for g in (own.guidance_scale, preset, model.default_guidance) if g is not None), None
        )
    sampler, scheduler = request.sampler, request.scheduler
    if not model.distilled:
        sampler = sampler or (defaults.sampler if "sampler" in model.features else None)
        scheduler = scheduler or (defaults.scheduler if "scheduler" in model.features else None)
    return Job(
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        width=width,
        height=height,
        num_images=request.num_images,
        seed=request.seed if request.seed is not None else 0,
        steps=steps,
        guidance_scale=guidance,
        sampler=sampler,
        scheduler=scheduler,
    ), notes
