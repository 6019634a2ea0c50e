"""The rules of the decision: each says why not, or None. All are asked, all answers kept."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from ziggie_image_mcp import catalogue
from ziggie_image_mcp.catalogue import plain
from ziggie_image_mcp.config import (
    PRIVACY_OF_CLOUD,
    Budget,
    Config,
    ModelSettings,
    Privacy,
    micro_usd,
)
from ziggie_image_mcp.experience import open_breaker
from ziggie_image_mcp.sizes import nearest_side, resolve
from ziggie_image_mcp.types import (
    Consent,
    Feature,
    Hardware,
    ImageRequest,
    Model,
    Reason,
    Snapshot,
    Spending,
    Survey,
    Tier,
)

_TIERS = {"draft": 0.0, "standard": 6.0, "high": 8.5}
"""The quality that a tier asks for, of 10."""

PRICE_DAYS = 365
"""Prices fall and rise; one of last year is a guess."""

DISK_BYTES = 200_000_000
"""Room for the pictures of one call, with some to spare."""

_NOT_SET = ModelSettings()
_NO_BUDGET = Budget()

NEUTRAL_QUALITY = 6.0
"""Stands in for the quality of a model that nobody has judged."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a name stands for among the models that there are."""

    name: str
    models: frozenset[tuple[str, str]]
    """Provider and id of those that it names."""
    family: str = ""
    """Where it names an architecture rather than a model: any of that family will do."""


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
    spending: Spending = field(default_factory=Spending)
    consent: Consent | None = None
    """What a person agreed to for this request."""
    experience: Snapshot = field(default_factory=Snapshot)
    """Speeds and breakers, learnt from earlier calls."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    own_budgets: Mapping[str, Budget] = field(default_factory=dict[str, Budget])
    """The caps of single providers."""
    promises: Mapping[str, Privacy] = field(default_factory=dict[str, Privacy])
    """How single providers treat prompts, as far as the user said so."""
    wanted: Wanted | None = None
    """The model that request or config asks for; `plan` fills it in."""
    asked: frozenset[Feature] = frozenset()
    """What the request asks of a model; `plan` fills it in."""
    trust_breakers: bool = True
    """False where every free route is paused: then a paused one is better than none."""


Rule = Callable[[Model, Context], Reason | None]


def matches(model: Model, wanted: str, config: Config) -> bool:
    """Whether a model is the one that was asked for by id, `provider/id`, title or alias."""
    sought = _plain(wanted)
    if sought in _names(model.id, model.provider, model.title, model.aliases):
        return True
    own = settings_of(model, config).aliases
    return bool(own) and any(_plain(alias) == sought for alias in own)


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
        return _reason("DISABLED", "enabled: false", "enabled: true", "set it in config.json")
    if not settings_of(model, ctx.config).enabled:
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
    wanted, promised = ctx.config.privacy, ctx.promises.get(model.provider)
    if model.local or wanted == "any":
        return None
    have, fix = "a model off this machine", ""
    if wanted != "local_only":
        if promised and PRIVACY_OF_CLOUD.index(promised) >= PRIVACY_OF_CLOUD.index(wanted):
            return None
        fix = f'if its maker promised you that, set providers.{model.provider}.privacy: "{wanted}"'
        have += f" that promised {promised}" if promised else ", of which no promise is known"
    return _reason("PRIVACY", have, f"privacy: {wanted}", fix)


def name(model: Model, ctx: Context) -> Reason | None:
    """Keep to the model, or the family of models, that request or config asks for."""
    wanted = ctx.wanted
    if wanted is None or (model.provider, model.id) in wanted.models:
        return None
    if wanted.family:
        have = f"family {model.family or 'unknown'}"
        return _reason("FAMILY_MISMATCH", have, f"family {wanted.family} (model {wanted.name})", "")
    return _reason("OTHER_MODEL", model.id, f"model {wanted.name}", "")


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
    found = [m for m in ctx.survey.models if matches(m, wanted, ctx.config)]
    return frozenset((m.provider, m.id) for m in found), any(m.installed for m in found)


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


def asked_features(request: ImageRequest) -> frozenset[Feature]:
    """What a model must honour to serve this request."""
    asked: dict[Feature, bool] = {
        "text_to_image": True,
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
    fix = f"leave out {', '.join(missing)}" if "text_to_image" not in missing else ""
    fix = fix or model.how_to_install
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
    return _other_size(w, h, model.min_side, model.max_side, step)


@lru_cache(maxsize=256)
def _other_size(w: int, h: int, least: int, most: int, step: int) -> Reason:
    have = f"{least} to {most} px in steps of {step}"
    near = "x".join(str(nearest_side(side, least, most, step)) for side in (w, h))
    fix = f"ask for {near}, or leave out width and height"
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


def disk(model: Model, ctx: Context) -> Reason | None:
    """Drop everything when the disk has no room for a picture."""
    free = ctx.hardware.disk_free
    if free is None or free >= DISK_BYTES:
        return None
    need = f"{DISK_BYTES / 1e6:.0f} MB"
    fix = "free some room, or set output.directory to another disk"
    return _reason("DISK_INSUFFICIENT", f"{free / 1e6:.0f} MB free", need, fix)


def licence(model: Model, ctx: Context) -> Reason | None:
    """Drop models that the user may not use commercially, when they said that they do."""
    allowed = settings_of(model, ctx.config).commercial_use
    allowed = model.commercial_use if allowed is None else allowed
    if not ctx.config.commercial_use or allowed:
        return None
    have = model.license or "a licence that could not be told"
    fix = f"if you hold a licence, set models.{model.id}.commercialUse: true"
    return _reason("LICENSE", have, "commercial use allowed", fix)


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
    return _reason("QUALITY_BELOW_TIER", have, f"{wanted} ({_TIERS[wanted]:g} of 10)", fix)


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
    return _reason(code, have, "a healthy provider", f"try again in {wait} s")


def queue(model: Model, ctx: Context) -> Reason | None:
    """Leave a device alone for which too many wait already."""
    line = ctx.experience.lines.get(model.device) if model.device else None
    if line is None or line.waiting < ctx.config.queue_limit:
        return None
    have = f"{line.waiting} jobs wait for {model.device}, about {line.seconds:.0f} s"
    need = f"fewer than {ctx.config.queue_limit} (queueLimit)"
    return _reason("QUEUE_FULL", have, need, "try again later, or raise queueLimit")


def price(model: Model, ctx: Context) -> Reason | None:
    """Drop models whose price nobody knows: unknown is not zero."""
    if model.price_micro_usd is not None:
        return None
    fix = f"set the price in providers.{model.provider}.models"
    return _reason("PRICE_UNKNOWN", "no price", "a known price", fix)


def price_age(model: Model, ctx: Context) -> Reason | None:
    """Drop models whose price was read too long ago to be believed."""
    if not model.price_micro_usd or model.price_as_of is None:
        return None
    days = (ctx.now.date() - model.price_as_of).days
    if days <= PRICE_DAYS:
        return None
    fix = f"set the price in providers.{model.provider}.models"
    have = f"a price of {model.price_as_of:%Y-%m-%d}"
    return _reason("PRICE_STALE", have, f"one of the last {PRICE_DAYS} days", fix)


def max_cost(model: Model, ctx: Context) -> Reason | None:
    """Keep to what the request may cost."""
    cost, limit = cost_of(model, ctx.request), ctx.request.max_cost_usd
    if not cost or limit is None or cost <= micro_usd(limit):
        return None
    need = f"at most ${limit:g} (max_cost_usd)"
    return _reason("OVER_MAX_COST", usd(cost), need, f"raise max_cost_usd to {dollars(cost)}")


def budget(model: Model, ctx: Context) -> Reason | None:
    """Keep to the caps of the config, counting what is spent, held and unknown."""
    if not model.price_micro_usd:
        return None
    cost, caps = cost_of(model, ctx.request), ctx.config.budget
    each = cost // ctx.request.num_images
    own = ctx.own_budgets.get(model.provider, _NO_BUDGET)
    own_day = ctx.spending.by_provider_day.get(model.provider, 0)
    own_month = ctx.spending.by_provider_month.get(model.provider, 0)
    prefix = f"providers.{model.provider}."
    for key, limit, spent, wanted in (
        ("budget.perImage", caps.per_image, 0, each),
        ("budget.perDay", caps.per_day, ctx.spending.day, cost),
        ("budget.perMonth", caps.per_month, ctx.spending.month, cost),
        (prefix + "budget.perImage", own.per_image, 0, each),
        (prefix + "budget.perDay", own.per_day, own_day, cost),
        (prefix + "budget.perMonth", own.per_month, own_month, cost),
    ):
        if limit is not None and spent + wanted > micro_usd(limit):
            have = f"{usd(wanted)} on top of {usd(spent)}" if spent else usd(wanted)
            return _reason("OVER_BUDGET", have, f"within ${limit:g} ({key})", f"raise {key}")
    return None


def consent(model: Model, ctx: Context) -> Reason | None:
    """Keep to free models until somebody said yes to this price."""
    if not model.price_micro_usd:
        return None
    cost = cost_of(model, ctx.request)
    rule, caps = ctx.config.allow_paid_fallback, ctx.config.budget
    if rule == "never":
        fix = 'set allowPaidFallback to "ask" or "withinBudget" in config.json'
        return _reason("PAID_FORBIDDEN", usd(cost), "allowPaidFallback is never", fix)
    given = ctx.consent
    if ctx.request.allow_paid or (
        given is not None
        and (given.provider, given.model) == (model.provider, model.id)
        and cost <= given.micro_usd
    ):
        return None
    capped = caps.per_day is not None or caps.per_month is not None
    small = caps.confirm_above is None or cost <= micro_usd(caps.confirm_above)
    if rule == "withinBudget" and capped and small:
        return None
    fix = "call again with allow_paid=true to agree to this price"
    if rule == "withinBudget" and not capped:
        fix += ", or set budget.perDay or budget.perMonth: withinBudget needs a budget"
    elif rule == "ask":
        fix += ', or set a budget and allowPaidFallback to "withinBudget" in config.json'
    return _reason("CONSENT_REQUIRED", usd(cost), "a yes to paying", fix)


def cost_of(model: Model, request: ImageRequest) -> int:
    """Upper bound for the whole request, 1e-6 USD; 0 where the price is unknown."""
    each = model.price_micro_usd or 0
    if model.price_by_pixels:
        width, height = resolve(model, request, [])
        fitting = (price for pixels, price in model.price_by_pixels if width * height <= pixels)
        each = next(fitting, each)
    return each * request.num_images


def _always(_: Context) -> bool:
    return True


def _capped(ctx: Context) -> bool:
    return ctx.config.budget != _NO_BUDGET or bool(ctx.own_budgets)


def _never_pays(ctx: Context) -> bool:
    return ctx.config.allow_paid_fallback == "never"


_Rules = tuple[tuple[Rule, Callable[[Context], bool]], ...]

RULES: _Rules = (
    (enabled, lambda ctx: not ctx.config.enabled or bool(ctx.config.models)),
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
    (price, _always),
    (price_age, _always),
    (max_cost, lambda ctx: ctx.request.max_cost_usd is not None),
    (budget, _capped),
    (consent, lambda ctx: not ctx.request.allow_paid or _never_pays(ctx)),
)
"""The same for models that are not free."""


def rules_for(ctx: Context) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The rules that could say no to a free model, and those for one that is not."""
    every = tuple(rule for rule, may_speak in RULES if may_speak(ctx))
    return every, every + tuple(rule for rule, may_speak in MONEY_RULES if may_speak(ctx))


def _reason(code: str, have: str, need: str, fix: str) -> Reason:
    return Reason(code=code, have=have, need=need, fix=fix)


def _gb(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.1f} GB"


def dollars(micro: int) -> str:
    """1e-6 USD as an argument: every digit, and no more."""
    return f"{micro / 1e6:.6f}".rstrip("0").rstrip(".")


@lru_cache(maxsize=4096)
def usd(micro: int) -> str:
    """1e-6 USD as people write it."""
    return f"${micro / 1e6:.4f}"
