"""The rules of the decision: each says why not, or None. All are asked, all answers kept."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from ziggie_image_mcp import catalogue
from ziggie_image_mcp.catalogue import plain
from ziggie_image_mcp.config import PRIVACY_OF_CLOUD, Config, ModelSettings
from ziggie_image_mcp.context import Context, Wanted
from ziggie_image_mcp.experience import open_breaker
from ziggie_image_mcp.rules_money import (
    NO_BUDGET,
    budget,
    consent,
    max_cost,
    price,
    price_age,
    reason,
)
from ziggie_image_mcp.sizes import nearest_side
from ziggie_image_mcp.types import Feature, ImageRequest, Model, Reason

_TIERS = {"draft": 0.0, "standard": 6.0, "high": 8.5}
"""The quality that a tier asks for, of 10."""

DISK_BYTES = 200_000_000
"""Room for the pictures of one call, with some to spare."""

_NOT_SET = ModelSettings()

NEUTRAL_QUALITY = 6.0
"""Stands in for the quality of a model that nobody has judged."""


def matches(model: Model, wanted: str, config: Config) -> bool:
    """Whether a model is the one that was asked for by id, `provider/id`, title or alias."""
    return bool(_called([model], wanted, config))


def _called(models: Sequence[Model], wanted: str, config: Config) -> list[Model]:
    """Those of the models that have this name."""
    sought = _plain(wanted)
    own = any(settings.aliases for settings in config.models.values())
    return [
        m
        for m in models
        if sought in _names(m.id, m.provider, m.title, m.aliases)
        or (own and any(_plain(alias) == sought for alias in settings_of(m, config).aliases))
    ]


@lru_cache(maxsize=8192)
def _names(id: str, provider: str, title: str, aliases: tuple[str, ...]) -> frozenset[str]:
    """What a model is called, by provider and in itself, in plain letters."""
    names = {id, f"{provider}/{id}", title, *aliases, re.split(r"[\\/]", id)[-1]}
    return frozenset(plain(n) for n in names if n)


_plain = lru_cache(maxsize=256)(plain)


def settings_of(model: Model, config: Config) -> ModelSettings:
    """What the config says of this model."""
    if not config.models:
        return _NOT_SET
    for pattern, settings in config.models.items():
        if _fits(model.id, pattern):
            return settings
    return _NOT_SET


@lru_cache(maxsize=16_384)
def _fits(id: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(id.lower(), pattern.lower())


def quality_of(model: Model, config: Config) -> float | None:
    """0 to 10, the user's own judgement first; None when nobody judged."""
    own = settings_of(model, config).quality if config.models else None
    return model.quality if own is None else own


def enabled(model: Model, ctx: Context) -> Reason | None:
    """Drop everything when pictures are switched off, and models that are."""
    if not ctx.config.enabled:
        return reason("DISABLED", "enabled: false", "enabled: true", "set it in config.json")
    if not settings_of(model, ctx.config).enabled:
        have = f"models.{model.id}.enabled: false"
        return reason("DISABLED", have, "an enabled model", "change it in config.json")
    return None


def mode(model: Model, ctx: Context) -> Reason | None:
    """Keep to the kind of route that request and config ask for."""
    for where, wanted in (("provider", ctx.request.provider), ("config", ctx.config.provider)):
        if wanted in (None, "auto", "local", "cloud", model.provider):
            kind = "local" if model.local else "cloud"
            if wanted in ("local", "cloud") and wanted != kind:
                return reason("MODE_EXCLUDED", f"a {kind} model", f"{wanted} only ({where})", "")
            continue
        need = f"provider {wanted} ({where})"
        return reason("NOT_PINNED", f"provider {model.provider}", need, "")
    return None


def privacy(model: Model, ctx: Context) -> Reason | None:
    """Keep prompts on this machine when the user said so."""
    wanted, promised = ctx.config.privacy, ctx.promises.get(model.provider)
    if model.local or wanted == "any":
        return None
    have, fix = "a model off this machine", ""
    if wanted != "local_only":
        if promised and PRIVACY_OF_CLOUD.index(promised) >= PRIVACY_OF_CLOUD.index(wanted):
            return None
        fix = f'if its maker promised you that, set providers.{model.provider}.privacy: "{wanted}"'
        have += f" that promised {promised}" if promised else ", of which no promise is known"
    return reason("PRIVACY", have, f"privacy: {wanted}", fix)


def name(model: Model, ctx: Context) -> Reason | None:
    """Keep to the model, or the family of models, that request or config asks for."""
    wanted = ctx.wanted
    if wanted is None or (model.provider, model.id) in wanted.models:
        return None
    if wanted.family:
        have = f"family {model.family or 'unknown'}"
        return reason("FAMILY_MISMATCH", have, f"family {wanted.family} (model {wanted.name})", "")
    return reason("OTHER_MODEL", model.id, f"model {wanted.name}", "")


def wanted_model(ctx: Context) -> Wanted | None:
    """The model that request or config asks for, or None.

    A family's name, as `sdxl`, stands for the model of that name where it is installed, and else
    for any model of the family.
    """
    asked, default = ctx.request.model, ctx.config.default_model
    if asked is not None:
        named, there = _named(asked, ctx)
        family = "" if there else catalogue.family(asked)
        kin = {(m.provider, m.id) for m in ctx.survey.models if family and m.family == family}
        return Wanted(name=asked, models=named | kin, family=family if kin else "")
    if default is not None:
        named, there = _named(default, ctx)
        if there:  # a default that is not here does not stand in the way of what is
            return Wanted(name=default, models=named)
    return None


def _named(wanted: str, ctx: Context) -> tuple[frozenset[tuple[str, str]], bool]:
    """Provider and id of the models of this name, and whether one of them is installed."""
    found = _called(ctx.survey.models, wanted, ctx.config)
    return frozenset((m.provider, m.id) for m in found), any(m.installed for m in found)


def installed(model: Model, ctx: Context) -> Reason | None:
    """Drop models of which something is missing."""
    if model.installed:
        return None
    return reason("NOT_INSTALLED", "not installed", model.id, model.how_to_install)


def demo(model: Model, ctx: Context) -> Reason | None:
    """Use the demo model only by name, or on a machine with nothing else."""
    if not model.demo or (ctx.request.model and matches(model, ctx.request.model, ctx.config)):
        return None
    real = [m for m in ctx.survey.models if not m.demo and m.installed]
    if real:
        have = f"{len(real)} real model{'s' if len(real) > 1 else ''}, as {real[0].id}"
        return reason("DEMO_ONLY", have, "no other model", f'ask for model "{model.id}"')
    down = sorted({r.provider for r in ctx.survey.rejected} & ctx.survey.configured)
    if down:
        have = f"{', '.join(down)} configured but not answering"
        return reason("DEMO_ONLY", have, "no other provider", f'ask for model "{model.id}"')
    return None


def asked_features(request: ImageRequest) -> frozenset[Feature]:
    """What a model must honour to serve this request."""
    asked: dict[Feature, bool] = {
        "text_to_image": request.image is None,
        "image_to_image": request.image is not None and request.mask is None,
        "inpaint": request.mask is not None,
        "strength": request.strength is not None,
        "negative_prompt": bool(request.negative_prompt.strip()),
        "seed": request.seed is not None,
        "steps": request.steps is not None,
        "guidance_scale": request.guidance_scale is not None,
        "sampler": request.sampler is not None,
        "scheduler": request.scheduler is not None,
    }
    return frozenset(feature for feature, wanted in asked.items() if wanted)


def feature(model: Model, ctx: Context) -> Reason | None:
    """Drop models that would ignore something that was asked for."""
    if ctx.asked <= model.features:
        return None
    missing = sorted(ctx.asked - model.features)
    purpose = {"text_to_image", "image_to_image", "inpaint"}.intersection(missing)
    fix = model.how_to_install if purpose else f"leave out {', '.join(missing)}"
    return reason("FEATURE_UNSUPPORTED", "no " + ", ".join(missing), ", ".join(missing), fix)


def size(model: Model, ctx: Context) -> Reason | None:
    """Drop models that cannot make a picture of exactly this size."""
    w, h = ctx.request.width, ctx.request.height
    if w is None or h is None:
        return None
    inside = model.min_side <= min(w, h) and max(w, h) <= model.max_side
    step = model.multiple_of
    most = model.max_pixels
    if inside and w % step == 0 and h % step == 0:
        if model.min_pixels <= w * h and (most is None or w * h <= most):
            return None
        have = f"{model.min_pixels:,} to {most or model.max_side**2:,} pixels in all"
        fix = "ask for another size, or leave out width and height"
        return reason("SIZE_UNSUPPORTED", have, f"{w}x{h}", fix)
    return _other_size(w, h, model.min_side, model.max_side, step)


@lru_cache(maxsize=256)
def _other_size(w: int, h: int, least: int, most: int, step: int) -> Reason:
    have = f"{least} to {most} px in steps of {step}"
    near = "x".join(str(nearest_side(side, least, most, step)) for side in (w, h))
    fix = f"ask for {near}, or leave out width and height"
    return reason("SIZE_UNSUPPORTED", have, f"{w}x{h}", fix)


def count(model: Model, ctx: Context) -> Reason | None:
    """Drop models that cannot make so many pictures in one call."""
    if ctx.request.num_images <= model.max_images:
        return None
    have, need = f"at most {model.max_images}", f"num_images {ctx.request.num_images}"
    return reason("COUNT_UNSUPPORTED", have, need, "ask for fewer at a time")


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
    return reason("MEMORY_INSUFFICIENT", have, need, "close other programs, or use a smaller one")


def disk(model: Model, ctx: Context) -> Reason | None:
    """Drop everything when the disk has no room for a picture."""
    free = ctx.hardware.disk_free
    if free is None or free >= DISK_BYTES:
        return None
    need = f"{DISK_BYTES / 1e6:.0f} MB"
    fix = "free some room, or set output.directory to another disk"
    return reason("DISK_INSUFFICIENT", f"{free / 1e6:.0f} MB free", need, fix)


def licence(model: Model, ctx: Context) -> Reason | None:
    """Drop models that the user may not use commercially, when they said that they do."""
    allowed = settings_of(model, ctx.config).commercial_use
    allowed = model.commercial_use if allowed is None else allowed
    if not ctx.config.commercial_use or allowed:
        return None
    have = model.license or "a licence that could not be told"
    fix = f"if you hold a licence, set models.{model.id}.commercialUse: true"
    return reason("LICENSE", have, "commercial use allowed", fix)


def quality(model: Model, ctx: Context) -> Reason | None:
    """Drop models below the quality that was asked for. One that nobody judged is no `high` one."""
    wanted = ctx.request.quality
    if wanted is None or model.demo:
        return None
    found = quality_of(model, ctx.config)
    have = "quality unknown" if found is None else f"quality {found:g}"
    if (found if found is not None else NEUTRAL_QUALITY) >= _TIERS[wanted]:
        return None
    fix = f"set models.{model.id}.quality, if you know better"
    return reason("QUALITY_BELOW_TIER", have, f"{wanted} ({_TIERS[wanted]:g} of 10)", fix)


def breaker(model: Model, ctx: Context) -> Reason | None:
    """Leave models alone for a while that failed again and again, or asked us to wait."""
    if not ctx.experience.breakers:
        return None
    found = open_breaker(ctx.experience, model.provider, model.id, ctx.now)
    if found is None or found.open_until is None:
        return None
    if model.price_micro_usd == 0 and not ctx.trust_breakers:
        return None
    code = "RATE_LIMITED" if found.code == "RATE_LIMITED" else "CIRCUIT_OPEN"
    wait = max(1, round((found.open_until - ctx.now).total_seconds()))
    have = f"paused for {wait} s more after {found.code}: {found.reason}"
    return reason(code, have, "a healthy provider", f"try again in {wait} s")


def queue(model: Model, ctx: Context) -> Reason | None:
    """Leave a device alone for which too many wait already."""
    line = ctx.experience.lines.get(model.device) if model.device else None
    if line is None or line.waiting < ctx.config.queue_limit:
        return None
    have = f"{line.waiting} jobs wait for {model.device}, about {line.seconds:.0f} s"
    need = f"fewer than {ctx.config.queue_limit} (queueLimit)"
    return reason("QUEUE_FULL", have, need, "try again later, or raise queueLimit")


def _always(_: Context) -> bool:
    return True


def _some_are_off(ctx: Context) -> bool:
    return any(not own.enabled for own in ctx.config.models.values())


def _capped(ctx: Context) -> bool:
    return ctx.config.budget != NO_BUDGET or bool(ctx.own_budgets)


def _never_pays(ctx: Context) -> bool:
    return ctx.config.allow_paid_fallback == "never"


Rule = Callable[[Model, Context], Reason | None]
_Rules = tuple[tuple[Rule, Callable[[Context], bool]], ...]

RULES: _Rules = (
    (enabled, lambda ctx: not ctx.config.enabled or _some_are_off(ctx)),
    (mode, lambda ctx: {ctx.request.provider or "auto", ctx.config.provider} != {"auto"}),
    (privacy, lambda ctx: ctx.config.privacy != "any"),
    (name, lambda ctx: ctx.wanted is not None),
    (installed, _always),
    (demo, lambda ctx: any(m.demo for m in ctx.survey.models)),
    (feature, _always),
    (size, lambda ctx: ctx.request.width is not None),
    (count, lambda ctx: ctx.request.num_images > 1),
    (memory, _always),
    (disk, lambda ctx: ctx.hardware.disk_free is not None),
    (licence, lambda ctx: ctx.config.commercial_use),
    (quality, lambda ctx: ctx.request.quality is not None),
    (breaker, lambda ctx: bool(ctx.experience.breakers)),
    (queue, lambda ctx: bool(ctx.experience.lines)),
)
"""Each rule, and whether it could say anything to this request at all: most stay silent."""

MONEY_RULES: _Rules = (
    (price, lambda ctx: any(m.price_micro_usd is None for m in ctx.survey.models)),
    (price_age, lambda ctx: any(m.price_as_of is not None for m in ctx.survey.models)),
    (max_cost, lambda ctx: ctx.request.max_cost_usd is not None),
    (budget, _capped),
    (consent, lambda ctx: not ctx.request.allow_paid or _never_pays(ctx)),
)
"""The same for models that are not free."""


def rules_for(ctx: Context) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The rules that could say no to a free model, and those for one that is not."""
    every = tuple(rule for rule, may_speak in RULES if may_speak(ctx))
    return every, every + tuple(rule for rule, may_speak in MONEY_RULES if may_speak(ctx))


def _gb(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.1f} GB"
