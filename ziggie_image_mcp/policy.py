"""Decide: which models may make this picture, in which order, and why not the others. No I/O.

Scores are US dollars, lower wins: cost + v * expected seconds - q * quality. v and q come from the
user's `preference`; they are judgements, not measurements.
"""

from __future__ import annotations

import difflib
import functools
import math
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

from ziggie_image_mcp import sizes
from ziggie_image_mcp.catalogue import plain, prior_seconds
from ziggie_image_mcp.context import Context
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.experience import bucket, learnt_seconds
from ziggie_image_mcp.rules import (
    NEUTRAL_QUALITY,
    asked_features,
    quality_of,
    rules_for,
    settings_of,
    wanted_model,
)
from ziggie_image_mcp.rules_money import cost_of, usd
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
    if request.strength is not None:
        if not (math.isfinite(request.strength) and 0 < request.strength <= 1):
            raise InvalidRequest("strength", request.strength, "above 0 and up to 1")
        if request.image is None:
            raise InvalidRequest("strength", request.strength, "it needs an image to change")
    if request.mask is not None:
        sizes.check_mask(request.image, request.mask)
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


class _Fitted(NamedTuple):
    """A request as a model of one kind would get it."""

    job: Job
    notes: tuple[str, ...]
    work: float


def _plan(ctx: Context) -> Plan:
    ctx = replace(ctx, wanted=wanted_model(ctx), asked=asked_features(ctx.request))
    ranked: list[tuple[float, bool, str, str, Candidate]] = []
    rejected = list(ctx.survey.rejected)
    (for_free, for_money), jobs = rules_for(ctx), dict[object, _Fitted]()
    for model in ctx.survey.models:
        rules = for_free if model.price_micro_usd == 0 else for_money
        reasons = [r for rule in rules if (r := rule(model, ctx)) is not None]
        if not reasons:
            one, timed, cold = _candidate(model, ctx, jobs)
            if one.seconds <= ctx.config.deadline or not timed:
                ranked.append((one.score, cold, model.provider, model.id, one))
                continue
            reasons.append(_too_slow(one, ctx.config.deadline))
        rejected.append(Rejection(provider=model.provider, model=model.id, reasons=tuple(reasons)))
    ranked.sort(key=itemgetter(0, 1, 2, 3))
    rejected.sort(key=lambda r: (len(r.reasons), r.provider, r.model or ""))
    candidates = [one for *_, one in ranked]
    if candidates:
        candidates[0] = _best(candidates[0], len(candidates), ctx)
    return Plan(candidates=tuple(candidates), rejected=tuple(rejected))


def quote(ctx: Context) -> Quote | None:
    """The paid route that only lacks a yes, when no other route is open."""
    if ctx.config.allow_paid_fallback == "never" or plan(ctx).candidates:
        return None
    return offer(ctx)


def offer(ctx: Context) -> Quote | None:
    """The route that is best once somebody said yes to paying."""
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
    found = wanted_model(ctx)
    if wanted is None or (found is not None and found.models):
        return ""
    names = {plain(n): m.id for m in ctx.survey.models for n in (m.id, m.title, *m.aliases) if n}
    close = difflib.get_close_matches(plain(wanted), names, n=3, cutoff=0.4)
    near = list(dict.fromkeys(names[c] for c in close))
    if near:
        return f"No model is called {wanted!r}. Nearest: {', '.join(near)}."
    return f"No model is called {wanted!r}. list_models shows what there is."


def expected_seconds(model: Model, job: Job, tier: Tier) -> float:
    """Seconds for the whole job, from the provider's figure or the catalogue's, scaled by work."""
    return _base_seconds(model, tier) * _work(model, job)


def _base_seconds(model: Model, tier: Tier) -> float:
    """For one picture at native size and default steps."""
    if model.seconds is not None:
        return model.seconds
    if not model.local:
        return UNKNOWN_CLOUD_SECONDS
    known = prior_seconds(model, tier)
    if known is not None:
        return known
    return UNKNOWN_CPU_SECONDS if tier == "cpu" else UNKNOWN_LOCAL_SECONDS


def _work(model: Model, job: Job) -> float:
    """How many pictures of native size and default steps a job is worth."""
    work = (job.width * job.height) / (model.native_width * model.native_height)
    if job.steps and model.default_steps:
        work *= job.steps / model.default_steps
    return work * job.num_images


def _learnt_seconds(model: Model, job: Job, ctx: Context) -> float | None:
    """Seconds for the whole job, from this machine's own runs of about this size."""
    if not ctx.experience.latencies:
        return None
    alike = bucket(job.width, job.height, job.steps)
    each = learnt_seconds(ctx.experience, model.provider, model.id, alike)
    return None if each is None else each * job.num_images


def _candidate(
    model: Model, ctx: Context, jobs: dict[object, _Fitted]
) -> tuple[Candidate, bool, bool]:
    """The model with its job and score; whether its seconds are no guess; whether it is not loaded.

    A guess rules nothing out.
    """
    job, notes, work = _fitted(model, ctx, jobs)
    cost = cost_of(model, ctx.request)
    learnt = _learnt_seconds(model, job, ctx)
    seconds = learnt or _base_seconds(model, ctx.tier) * work
    wait, cold = 0.0, not model.loaded
    if model.device and model.device in ctx.experience.lines:
        line = ctx.experience.lines[model.device]
        wait, cold = line.seconds, cold and line.model != model.id
    value, quality_value = _WEIGHTS[ctx.config.preference]
    judged = quality_of(model, ctx.config)
    points = NEUTRAL_QUALITY if judged is None else judged
    one = Candidate(
        model=model,
        job=job,
        score=cost / 1e6 + value * (wait + seconds) - quality_value * points,
        cost_micro_usd=cost,
        seconds=wait + seconds,
        why=_facts("next best", model.local, cost, wait + seconds, wait, model.quality),
        notes=notes,
        wait_seconds=wait,
    )
    return one, learnt is not None or model.seconds is not None, cold


def _too_slow(one: Candidate, deadline: int) -> Reason:
    return Reason(
        code="DEADLINE",
        have=f"about {one.seconds:.0f} s expected",
        need=f"at most {deadline} s (deadline)",
        fix="ask for fewer steps, pictures or pixels, or raise deadline in config.json",
    )


def _best(one: Candidate, count: int, ctx: Context) -> Candidate:
    """The first of them all, with the word why it is."""
    model = one.model
    facts = (model.local, one.cost_micro_usd, one.seconds, one.wait_seconds, model.quality)
    return replace(one, why=_facts(_lead(model, count, ctx), *facts))


@functools.lru_cache(maxsize=4096)
def _facts(
    lead: str, local: bool, cost: int, seconds: float, wait: float, quality: float | None
) -> str:
    where = "local" if local else "cloud"
    price = f"at most {usd(cost)}" if cost else "free"
    line = f", {wait:.3g} of them in line" if wait else ""
    judged = "" if quality is None else f", quality {quality:g}/10"
    return f"{lead} ({where}, {price}, about {seconds:.3g} s expected{line}{judged})"


def _lead(model: Model, count: int, ctx: Context) -> str:
    """Why this one, in a few words."""
    if model.demo:
        why = "as asked" if ctx.request.model else "because no other is installed or running"
        return f"the built-in demo model, {why}"
    if model.provider in (ctx.request.provider, ctx.config.provider):
        return f"best of provider {model.provider}, as asked"
    if ctx.wanted is not None:
        kind = f"family {ctx.wanted.family}" if ctx.wanted.family else f"model {ctx.wanted.name}"
        return f"{kind}, as asked"
    if count == 1:
        return "the only model that can"
    return f"best of {count} by preference {ctx.config.preference!r}"


def _fitted(model: Model, ctx: Context, known: dict[object, _Fitted]) -> _Fitted:
    """Models of one kind share their job, among a thousand files."""
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
        job, notes = _job(model, ctx)
        found = known[kind] = _Fitted(job, tuple(notes), _work(model, job))
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
        strength=request.strength,
        image_id=request.image.id if request.image else "",
        mask_id=request.mask.id if request.mask else "",
    ), notes
