"""The rules of the decision: each says why not, or None. All are asked, all answers kept."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from ziggie_image_mcp.config.config import PRIVACY_OF_CLOUD, Config, ModelSettings
from ziggie_image_mcp.inventory import model_facts
from ziggie_image_mcp.inventory.model_facts import plain
from ziggie_image_mcp.inventory.types import Reason
from ziggie_image_mcp.provider.types import Feature, Model
from ziggie_image_mcp.routing.circuit_breaker import open_breaker
from ziggie_image_mcp.routing.context import RequestedModel, RoutingContext
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.rules_money import (
    NO_BUDGET,
    budget,
    consent,
    max_cost,
    price,
    price_age,
    reason,
)
from ziggie_image_mcp.routing.sizing import nearest_side

_TIERS = {"draft": 0.0, "standard": 6.0, "high": 8.5}
"""The quality that a tier asks for, of 10."""

DISK_BYTES = 200_000_000
"""Room for the pictures of one call, with some to spare."""

_NOT_SET = ModelSettings()

NEUTRAL_QUALITY = 6.0
"""Stands in for the quality of a model that nobody has judged."""


def matches(model: Model, target: str, config: Config) -> bool:
    """Whether a model is the one that was asked for by id, `provider/id`, title or alias."""
    return bool(_called([model], target, config))


def _called(models: Sequence[Model], target: str, config: Config) -> list[Model]:
    """Those of the models that have this name."""
    sought = _plain(target)
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


def enabled(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop everything when pictures are switched off, and models that are."""
    if not ctx.config.enabled:
        return reason("DISABLED", "enabled: false", "enabled: true", "set it in config.json")
    if not settings_of(model, ctx.config).enabled:
        have = f"models.{model.id}.enabled: false"
        return reason("DISABLED", have, "an enabled model", "change it in config.json")
    return None


def mode(model: Model, ctx: RoutingContext) -> Reason | None:
    """Keep to the kind of route that request and config ask for."""
    for where, target in (("provider", ctx.request.provider), ("config", ctx.config.provider)):
        if target in (None, "auto", "local", "cloud", model.provider):
            kind = "local" if model.local else "cloud"
            if target in ("local", "cloud") and target != kind:
                return reason("MODE_EXCLUDED", f"a {kind} model", f"{target} only ({where})", "")
            continue
        need = f"provider {target} ({where})"
        return reason("NOT_PINNED", f"provider {model.provider}", need, "")
    return None


def privacy(model: Model, ctx: RoutingContext) -> Reason | None:
    """Keep prompts on this machine when the user said so."""
    target, promised = ctx.config.privacy, ctx.promises.get(model.provider)
    if model.local or target == "any":
        return None
    have, fix = "a model off this machine", ""
    if target != "local_only":
        if promised and PRIVACY_OF_CLOUD.index(promised) >= PRIVACY_OF_CLOUD.index(target):
            return None
        fix = f'if its maker promised you that, set providers.{model.provider}.privacy: "{target}"'
        have += f" that promised {promised}" if promised else ", of which no promise is known"
    return reason("PRIVACY", have, f"privacy: {target}", fix)


def name(model: Model, ctx: RoutingContext) -> Reason | None:
    """Keep to the model, or the family of models, that request or config asks for."""
    target = ctx.requested_model
    if target is None or (model.provider, model.id) in target.models:
        return None
    if target.family:
        have = f"family {model.family or 'unknown'}"
        return reason("FAMILY_MISMATCH", have, f"family {target.family} (model {target.name})", "")
    return reason("OTHER_MODEL", model.id, f"model {target.name}", "")


def find_requested_model(ctx: RoutingContext) -> RequestedModel | None:
    """The model that request or config asks for, or None.

    A family's name, as `sdxl`, stands for the model of that name where it is installed, and else
    for any model of the family.
    """
    asked_name, default = ctx.request.model, ctx.config.default_model
    if asked_name is not None:
        named, there = _named(asked_name, ctx)
        family = "" if there else model_facts.family(asked_name)
        kin = {(m.provider, m.id) for m in ctx.survey.models if family and m.family == family}
        return RequestedModel(name=asked_name, models=named | kin, family=family if kin else "")
    if default is not None:
        named, there = _named(default, ctx)
        if there:  # a default that is not here does not stand in the way of what is
            return RequestedModel(name=default, models=named)
    return None


def _named(target: str, ctx: RoutingContext) -> tuple[frozenset[tuple[str, str]], bool]:
    """Provider and id of the models of this name, and whether one of them is installed."""
    selected = _called(ctx.survey.models, target, ctx.config)
    return frozenset((m.provider, m.id) for m in selected), any(m.installed for m in selected)


def installed(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models of which something is missing."""
    if model.installed:
        return None
    return reason("NOT_INSTALLED", "not installed", model.id, model.how_to_install)


def demo(model: Model, ctx: RoutingContext) -> Reason | None:
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


def features_of(request: ImageRequest) -> frozenset[Feature]:
    """What a model must honour to serve this request."""
    asked_name: dict[Feature, bool] = {
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
    return frozenset(feature for feature, target in asked_name.items() if target)


def feature(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that would ignore something that was asked for."""
    if ctx.required_features <= model.features:
        return None
    missing = sorted(ctx.required_features - model.features)
    purpose = {"text_to_image", "image_to_image", "inpaint"}.intersection(missing)
    fix = model.how_to_install if purpose else f"leave out {', '.join(missing)}"
    return reason("FEATURE_UNSUPPORTED", "no " + ", ".join(missing), ", ".join(missing), fix)


def size(model: Model, ctx: RoutingContext) -> Reason | None:
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


def count(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that cannot make so many pictures in one call."""
    if ctx.request.num_images <= model.max_images:
        return None
    have, need = f"at most {model.max_images}", f"num_images {ctx.request.num_images}"
    return reason("COUNT_UNSUPPORTED", have, need, "ask for fewer at a time")


def memory(model: Model, ctx: RoutingContext) -> Reason | None:
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


def disk(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop everything when the disk has no room for a picture."""
    free = ctx.hardware.disk_free
    if free is None or free >= DISK_BYTES:
        return None
    need = f"{DISK_BYTES / 1e6:.0f} MB"
    fix = "free some room, or set output.directory to another disk"
    return reason("DISK_INSUFFICIENT", f"{free / 1e6:.0f} MB free", need, fix)


def licence(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that the user may not use commercially, when they said that they do."""
    allowed = settings_of(model, ctx.config).commercial_use
    allowed = model.commercial_use if allowed is None else allowed
    if not ctx.config.commercial_use or allowed:
        return None
    have = model.license or "a licence that could not be told"
    fix = f"if you hold a licence, set models.{model.id}.commercialUse: true"
    return reason("LICENSE", have, "commercial use allowed", fix)


def quality(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models below the quality that was asked for. One that nobody judged is no `high` one."""
    target = ctx.request.quality
    if target is None or model.demo:
        return None
    selected = quality_of(model, ctx.config)
    have = "quality unknown" if selected is None else f"quality {selected:g}"
    if (selected if selected is not None else NEUTRAL_QUALITY) >= _TIERS[target]:
        return None
    fix = f"set models.{model.id}.quality, if you know better"
    return reason("QUALITY_BELOW_TIER", have, f"{target} ({_TIERS[target]:g} of 10)", fix)


def breaker(model: Model, ctx: RoutingContext) -> Reason | None:
    """Leave models alone for a while that failed again and again, or asked us to wait."""
    if not ctx.history.breakers:
        return None
    selected = open_breaker(ctx.history, model.provider, model.id, ctx.now)
    if selected is None or selected.open_until is None:
        return None
    if model.price_micro_usd == 0 and not ctx.trust_breakers:
        return None
    code = "RATE_LIMITED" if selected.code == "RATE_LIMITED" else "CIRCUIT_OPEN"
    wait = max(1, round((selected.open_until - ctx.now).total_seconds()))
    have = f"paused for {wait} s more after {selected.code}: {selected.reason}"
    return reason(code, have, "a healthy provider", f"try again in {wait} s")


def queue(model: Model, ctx: RoutingContext) -> Reason | None:
    """Leave a device alone for which too many wait already."""
    line = ctx.history.queues.get(model.device) if model.device else None
    if line is None or line.waiting < ctx.config.queue_limit:
        return None
    have = f"{line.waiting} jobs wait for {model.device}, about {line.seconds:.0f} s"
    need = f"fewer than {ctx.config.queue_limit} (queueLimit)"
    return reason("QUEUE_FULL", have, need, "try again later, or raise queueLimit")


def _always(_: RoutingContext) -> bool:
    return True


def _some_are_off(ctx: RoutingContext) -> bool:
    return any(not own.enabled for own in ctx.config.models.values())


def _capped(ctx: RoutingContext) -> bool:
    return ctx.config.budget != NO_BUDGET or bool(ctx.own_budgets)


def _never_pays(ctx: RoutingContext) -> bool:
    return ctx.config.allow_paid_fallback == "never"


Rule = Callable[[Model, RoutingContext], Reason | None]
_Rules = tuple[tuple[Rule, Callable[[RoutingContext], bool]], ...]

RULES: _Rules = (
    (enabled, lambda ctx: not ctx.config.enabled or _some_are_off(ctx)),
    (mode, lambda ctx: {ctx.request.provider or "auto", ctx.config.provider} != {"auto"}),
    (privacy, lambda ctx: ctx.config.privacy != "any"),
    (name, lambda ctx: ctx.requested_model is not None),
    (installed, _always),
    (demo, lambda ctx: any(m.demo for m in ctx.survey.models)),
    (feature, _always),
    (size, lambda ctx: ctx.request.width is not None),
    (count, lambda ctx: ctx.request.num_images > 1),
    (memory, _always),
    (disk, lambda ctx: ctx.hardware.disk_free is not None),
    (licence, lambda ctx: ctx.config.commercial_use),
    (quality, lambda ctx: ctx.request.quality is not None),
    (breaker, lambda ctx: bool(ctx.history.breakers)),
    (queue, lambda ctx: bool(ctx.history.queues)),
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


def rules_for(ctx: RoutingContext) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The rules that could say no to a free model, and those for one that is not."""
    every = tuple(rule for rule, may_speak in RULES if may_speak(ctx))
    return every, every + tuple(rule for rule, may_speak in MONEY_RULES if may_speak(ctx))


def _gb(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.1f} GB"
