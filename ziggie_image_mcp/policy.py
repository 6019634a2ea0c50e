"""Decide: which models may make this picture, in which order, and why not the others. No I/O.

Scores are US dollars, lower wins: cost + v * expected seconds - q * quality. v and q come from the
user's `preference`; they are judgements, not measurements.
"""

from __future__ import annotations

import difflib
import fnmatch
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ziggie_image_mcp.catalogue import plain, prior_seconds
from ziggie_image_mcp.config import Config, ModelSettings
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.types import (
    Candidate,
    Hardware,
    ImageRequest,
    Job,
    Model,
    Plan,
    Reason,
    Rejection,
    Survey,
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

_NEUTRAL_QUALITY = 6.0
"""Stands in for the quality of a model that nobody has judged."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a rule may look at. One snapshot per decision."""

    request: ImageRequest
    survey: Survey
    hardware: Hardware
    tier: Tier
    gpu_memory: int | None
    """Bytes that one model can use on the best GPU now; None without one, or when unknown."""
    config: Config


Rule = Callable[[Model, Context], Reason | None]


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
        _ratio(request.aspect_ratio)
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


def _ratio(text: str) -> float:
    found = re.fullmatch(r"\s*(\d{1,4})\s*[:x/]\s*(\d{1,4})\s*", text)
    if found is None or int(found[1]) == 0 or int(found[2]) == 0:
        raise InvalidRequest("aspect_ratio", text, 'two whole numbers, as "16:9"')
    ratio = int(found[1]) / int(found[2])
    if not 1 / 4 <= ratio <= 4:
        raise InvalidRequest("aspect_ratio", text, "between 1:4 and 4:1")
    return ratio


def matches(model: Model, wanted: str, config: Config) -> bool:
    """Whether a model is the one that was asked for by id, `provider/id`, title or alias."""
    names = {model.id, f"{model.provider}/{model.id}", model.title, *model.aliases}
    names |= {re.split(r"[\\/]", model.id)[-1], *_settings(model, config).aliases}
    return plain(wanted) in {plain(n) for n in names if n}


def _settings(model: Model, config: Config) -> ModelSettings:
    for pattern, settings in config.models.items():
        if fnmatch.fnmatchcase(model.id.lower(), pattern.lower()):
            return settings
    return ModelSettings()


# The rules: why not, or None. All are asked, and every answer is kept.


def enabled(model: Model, ctx: Context) -> Reason | None:
    """Drop everything when pictures are switched off, and models that are."""
    if not ctx.config.enabled:
        return _reason("DISABLED", "enabled: false", "enabled: true", "set it in config.json")
    if not _settings(model, ctx.config).enabled:
        have = f"models.{model.id}.enabled: false"
        return _reason("DISABLED", have, "an enabled model", "change it in config.json")
    return None


def mode(model: Model, ctx: Context) -> Reason | None:
    """Keep to the kind of route that request and config ask for."""
    for where, wanted in (("provider", ctx.request.provider), ("config", ctx.config.provider)):
        if wanted in (None, "auto", "local", "cloud", model.provider):
            kind = "local" if model.local else "cloud"
            if wanted in ("local", "cloud") and wanted != kind:
                return _reason("MODE_EXCLUDED", f"a {kind} model", f"{wanted} only ({where})", "")
            continue
        need = f"provider {wanted} ({where})"
        return _reason("NOT_PINNED", f"provider {model.provider}", need, "")
    return None


def privacy(model: Model, ctx: Context) -> Reason | None:
    """Keep prompts on this machine when the user said so."""
    if ctx.config.privacy == "local_only" and not model.local:
        return _reason("PRIVACY", "a model off this machine", "privacy: local_only", "")
    return None


def name(model: Model, ctx: Context) -> Reason | None:
    """Keep to the model that was asked for, by request or config."""
    wanted = _wanted(ctx)
    if wanted is None or matches(model, wanted, ctx.config):
        return None
    return _reason("OTHER_MODEL", model.id, f"model {wanted}", "")


def _wanted(ctx: Context) -> str | None:
    if ctx.request.model is not None:
        return ctx.request.model
    default = ctx.config.default_model
    if default and any(m.installed and matches(m, default, ctx.config) for m in ctx.survey.models):
        return default
    return None  # a default that is not here does not stand in the way of what is


def installed(model: Model, ctx: Context) -> Reason | None:
    """Drop models of which something is missing."""
    if model.installed:
        return None
    return _reason("NOT_INSTALLED", "not installed", model.id, model.how_to_install)


def demo(model: Model, ctx: Context) -> Reason | None:
    """Use the demo model only by name, or on a machine with nothing else."""
    if not model.demo or (ctx.request.model and matches(model, ctx.request.model, ctx.config)):
        return None
    real = [m for m in ctx.survey.models if not m.demo and m.installed]
    if real:
        have = f"{len(real)} real model{'s' if len(real) > 1 else ''}, as {real[0].id}"
        return _reason("DEMO_ONLY", have, "no other model", f'ask for model "{model.id}"')
    down = sorted({r.provider for r in ctx.survey.rejected} & ctx.survey.configured)
    if down:
        have = f"{', '.join(down)} configured but not answering"
        return _reason("DEMO_ONLY", have, "no other provider", f'ask for model "{model.id}"')
    return None


def feature(model: Model, ctx: Context) -> Reason | None:
    """Drop models that would ignore something that was asked for."""
    asked = {
        "text_to_image": True,
        "negative_prompt": bool(ctx.request.negative_prompt.strip()),
        "seed": ctx.request.seed is not None,
        "steps": ctx.request.steps is not None,
        "guidance_scale": ctx.request.guidance_scale is not None,
        "sampler": ctx.request.sampler is not None,
        "scheduler": ctx.request.scheduler is not None,
    }
    missing = [f for f, wanted in asked.items() if wanted and f not in model.features]
    if not missing:
        return None
    fix = f"leave out {', '.join(missing)}" if "text_to_image" not in missing else ""
    if model.how_to_install and not fix:
        fix = model.how_to_install
    return _reason("FEATURE_UNSUPPORTED", "no " + ", ".join(missing), ", ".join(missing), fix)


def size(model: Model, ctx: Context) -> Reason | None:
    """Drop models that cannot make a picture of exactly this size."""
    w, h = ctx.request.width, ctx.request.height
    if w is None or h is None:
        return None
    inside = model.min_side <= min(w, h) and max(w, h) <= model.max_side
    step = model.multiple_of
    if inside and w % step == 0 and h % step == 0:
        return None
    have = f"{model.min_side} to {model.max_side} px in steps of {step}"
    near = [_clamp(side, model) for side in (w, h)]
    fix = f"ask for {near[0]}x{near[1]}, or leave out width and height"
    return _reason("SIZE_UNSUPPORTED", have, f"{w}x{h}", fix)


def count(model: Model, ctx: Context) -> Reason | None:
    """Drop models that cannot make so many pictures in one call."""
    if ctx.request.num_images <= model.max_images:
        return None
    have, need = f"at most {model.max_images}", f"num_images {ctx.request.num_images}"
    return _reason("COUNT_UNSUPPORTED", have, need, "ask for fewer at a time")


def memory(model: Model, ctx: Context) -> Reason | None:
    """Drop models that do not fit this machine. An engine of its own does its own fitting."""
    if model.remote or not model.local:
        return None
    fits_gpu = (
        ctx.gpu_memory is not None
        and model.vram_bytes is not None
        and model.vram_bytes <= ctx.gpu_memory
    )
    if fits_gpu:
        return None
    ram = ctx.hardware.ram_available
    if model.ram_bytes is None or ram is None or model.ram_bytes <= ram:
        return None
    have = f"{_gb(ram)} RAM free"
    if ctx.gpu_memory is not None:
        have = f"{_gb(ctx.gpu_memory)} GPU memory and {have}"
    need = f"{_gb(model.vram_bytes)} GPU memory or {_gb(model.ram_bytes)} RAM"
    return _reason("MEMORY_INSUFFICIENT", have, need, "close other programs, or use a smaller one")


def licence(model: Model, ctx: Context) -> Reason | None:
    """Drop models that the user may not use commercially, when they said that they do."""
    allowed = _settings(model, ctx.config).commercial_use
    allowed = model.commercial_use if allowed is None else allowed
    if not ctx.config.commercial_use or allowed:
        return None
    have = model.license or "a licence that could not be told"
    fix = f"if you hold a licence, set models.{model.id}.commercialUse: true"
    return _reason("LICENSE", have, "commercial use allowed", fix)


def price(model: Model, ctx: Context) -> Reason | None:
    """Keep to free models: this version has no ledger, so it cannot hold a budget."""
    if model.price_micro_usd == 0:
        return None
    have = "price unknown" if model.price_micro_usd is None else _usd(model.price_micro_usd)
    return _reason("PAID", have, "a free model", "")


RULES: tuple[Rule, ...] = (
    enabled,
    mode,
    privacy,
    name,
    installed,
    demo,
    feature,
    size,
    count,
    memory,
    licence,
    price,
)


def plan(ctx: Context) -> Plan:
    """Order the models that passed every rule; keep every reason against the others."""
    candidates: list[Candidate] = []
    rejected = list(ctx.survey.rejected)
    for model in ctx.survey.models:
        reasons = tuple(r for rule in RULES if (r := rule(model, ctx)) is not None)
        if reasons:
            rejected.append(Rejection(provider=model.provider, model=model.id, reasons=reasons))
        else:
            candidates.append(_candidate(model, ctx))
    candidates.sort(key=lambda c: (c.score, not c.model.loaded, c.model.provider, c.model.id))
    return Plan(
        candidates=tuple(_say_why(candidates, ctx)),
        rejected=tuple(sorted(rejected, key=lambda r: (len(r.reasons), r.provider, r.model or ""))),
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


def _candidate(model: Model, ctx: Context) -> Candidate:
    job, notes = _job(model, ctx)
    seconds = expected_seconds(model, job, ctx.tier)
    cost = (model.price_micro_usd or 0) * job.num_images
    value, quality_value = _WEIGHTS[ctx.config.preference]
    quality = _settings(model, ctx.config).quality
    quality = model.quality if quality is None else quality
    quality = _NEUTRAL_QUALITY if quality is None else quality
    score = cost / 1e6 + value * seconds - quality_value * quality
    return Candidate(
        model=model,
        job=job,
        score=round(score, 9),
        cost_micro_usd=cost,
        seconds=seconds,
        why="",
        notes=tuple(notes),
    )


def _say_why(candidates: Sequence[Candidate], ctx: Context) -> list[Candidate]:
    said: list[Candidate] = []
    for place, candidate in enumerate(candidates):
        model = candidate.model
        kind = "local, free" if model.local and not candidate.cost_micro_usd else "cloud"
        facts = [kind, f"about {candidate.seconds:.3g} s expected"]
        if model.quality is not None:
            facts.append(f"quality {model.quality:g}/10")
        if model.demo:
            lead = "the built-in demo model, because no other model is installed or running"
            if ctx.request.model:
                lead = "the built-in demo model, as asked"
        elif ctx.request.provider == model.provider or ctx.config.provider == model.provider:
            lead = f"best of provider {model.provider}, as asked"
        elif _wanted(ctx) is not None:
            lead = f"model {_wanted(ctx)}, as asked"
        elif len(candidates) == 1:
            lead = "the only model that can"
        elif place == 0:
            lead = f"best of {len(candidates)} by preference {ctx.config.preference!r}"
        else:
            lead = f"fallback {place}"
        said.append(replace(candidate, why=f"{lead} ({', '.join(facts)})"))
    return said


def _job(model: Model, ctx: Context) -> tuple[Job, list[str]]:
    request, defaults, notes = ctx.request, ctx.config.default_settings, list[str]()
    own = _settings(model, ctx.config)
    width, height = _resolve_size(model, request, notes)
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


def _resolve_size(model: Model, request: ImageRequest, notes: list[str]) -> tuple[int, int]:
    if request.width is not None and request.height is not None:
        return request.width, request.height
    if request.aspect_ratio is None:
        return model.native_width, model.native_height
    ratio = _ratio(request.aspect_ratio)
    area = model.native_width * model.native_height
    width = _clamp(math.sqrt(area * ratio), model)
    height = _clamp(math.sqrt(area / ratio), model)
    if abs(width / height / ratio - 1) > 0.01:
        notes.append(
            f"aspect_ratio {request.aspect_ratio} is delivered as {width}x{height}: "
            f"{model.id} makes sides in steps of {model.multiple_of} px"
        )
    return width, height


def _clamp(side: float, model: Model) -> int:
    """The nearest side that the model can make, pixels."""
    step = model.multiple_of
    low, high = math.ceil(model.min_side / step), model.max_side // step
    return max(low, min(high, round(side / step))) * step


def _reason(code: str, have: str, need: str, fix: str) -> Reason:
    return Reason(code=code, have=have, need=need, fix=fix)


def _gb(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.1f} GB"


def _usd(micro: int) -> str:
    return f"${micro / 1e6:.4f}"
