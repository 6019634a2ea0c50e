"""The rules of the decision: each says why not, or None. All are asked, all answers kept."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from ziggie_image_mcp.config.config import PRIVACY_OF_CLOUD, Config, ModelSettings
from ziggie_image_mcp.errors import DependencyMissing, ModelMissing, duration
from ziggie_image_mcp.inventory import model_facts
from ziggie_image_mcp.inventory.model_facts import plain
from ziggie_image_mcp.inventory.types import Reason, Rejection, Survey, lacks_key
from ziggie_image_mcp.provider.capabilities import Option
from ziggie_image_mcp.provider.nouns import Model, is_local, is_present
from ziggie_image_mcp.provider.pricing import is_free
from ziggie_image_mcp.provider.sizes import Size, problem
from ziggie_image_mcp.routing.circuit_breaker import open_breaker
from ziggie_image_mcp.routing.constraints import falls_back
from ziggie_image_mcp.routing.context import RequestedModel, RoutingContext
from ziggie_image_mcp.routing.emulation import emulated_options
from ziggie_image_mcp.routing.prompt_length import prompt_length
from ziggie_image_mcp.routing.request import PROCESSING_TASKS, leave_out, task_of
from ziggie_image_mcp.routing.rules_additions import (
    additions,
    control_required,
    has_additions,
)
from ziggie_image_mcp.routing.rules_money import reason
from ziggie_image_mcp.routing.types import queue_name

_TIERS = {"draft": 0.0, "standard": 6.0, "high": 8.5}
"""The quality that a tier asks for, of 10."""

DISK_BYTES = 200_000_000
"""Room for the pictures of one call, with some to spare."""

LONG = 60
"""Characters up to which no prompt is too long for any model."""

_NOTHING_THERE = {ModelMissing.code, DependencyMissing.code}
"""Codes of a provider that was reached, and has no model to run."""

_NOT_SET = ModelSettings()

_UNPIN = 'set provider: "auto" in config.json'

Rule = Callable[[Model, RoutingContext], Reason | None]

NEUTRAL_QUALITY = 6.0
"""Stands in for the quality of a model that nobody has judged."""


def matches(model: Model, target: str, config: Config) -> bool:
    """Whether a model is the one that was asked for by id, `provider/id`, title or alias."""
    return bool(_called([model], target, config))


def knows(name: str | None, survey: Survey, config: Config) -> bool:
    """Whether somebody has a model of this name, or none is asked for."""
    return name is None or bool(_called(survey.models, name, config))


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
    fitting = [own for pattern, own in config.models.items() if _fits(model.id, pattern)][:1]
    fitting += [own for name, own in config.models.items() if _is_family(name, model.family)][:1]
    return _one_over_other(tuple(fitting)) if fitting else _NOT_SET


def _is_family(name: str, family: str | None) -> bool:
    return family is not None and name.lower() == family


@lru_cache(maxsize=1024)
def _one_over_other(settings: tuple[ModelSettings, ...]) -> ModelSettings:
    """What the first one sets, and what only the second one does."""
    first, *others = settings
    for other in others:
        left = other.model_fields_set - first.model_fields_set
        first = first.model_copy(update={name: getattr(other, name) for name in left})
    return first


@lru_cache(maxsize=16_384)
def _fits(id: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(id.lower(), pattern.lower())


def quality_of(model: Model, config: Config) -> float | None:
    """0 to 10, the user's own judgement first; None when nobody judged."""
    own = settings_of(model, config).quality if config.models else None
    return model.quality if own is None else own


def _is_off(name: str, model: Model, config: Config) -> bool:
    meant = _fits(model.id, name) or _is_family(name, model.family)
    return meant and not config.models[name].enabled


def enabled(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop everything when pictures are switched off, and models that are."""
    if not ctx.config.enabled:
        return reason("DISABLED", "enabled: false", "enabled: true", ctx.config.how_to_enable())
    if not settings_of(model, ctx.config).enabled:
        have = f"models.{model.id}.enabled: false"
        by = next((name for name in ctx.config.models if _is_off(name, model, ctx.config)), "")
        fix = ctx.config.how_to_enable("models", by)
        return reason("DISABLED", have, "an enabled model", fix)
    return None


def mode(model: Model, ctx: RoutingContext) -> Reason | None:
    """Keep to the kind of route that request, rule of `routes` and config ask for."""
    rule, use = ("", None) if ctx.rule is None else (ctx.rule.name, ctx.rule.use)
    asked = (("provider", ctx.request.provider), (rule, use), ("config", ctx.config.provider))
    for where, target in asked:
        if (
            target is None
            or target in ("auto", "local", "cloud", model.provider)
            or _lived_there(model, target, ctx)
        ):
            kind = "local" if is_local(model) else "cloud"
            if target not in ("local", "cloud") or target == kind:
                continue
            if where == "config" and target == "local" and falls_back(ctx.config):
                continue  # it comes after every local one
            fix = _unpin(where, "")
            if where == "config" and target == "local":
                fix += ', or allowPaidFallback: "ask" for a paid way where no local one is open'
            return reason("MODE_EXCLUDED", f"a {kind} model", f"{target} only ({where})", fix)
        need = f"provider {target} ({where})"
        fix = _unpin(where, "leave provider out")
        return reason("NOT_PINNED", f"provider {model.provider}", need, fix)
    return None


def _unpin(where: str, of_request: str) -> str:
    """How a route comes in that the request, a rule of `routes` or the config leaves out."""
    if where == "provider":
        return of_request
    if where == "config":
        return _UNPIN
    return f"name a provider in the request, or change {where} in config.json"


def _lived_there(model: Model, provider: str, ctx: RoutingContext) -> bool:
    """Whether the model that is asked for was that provider's once: `provider/id` is its alias."""
    name = ctx.request.model or ctx.config.default_model
    return name is not None and f"{provider}/{name.removeprefix(provider + '/')}" in model.aliases


def privacy(model: Model, ctx: RoutingContext) -> Reason | None:
    """Keep prompts on this machine when the user said so."""
    target, promised = ctx.config.privacy, ctx.promises.get(model.provider)
    if target == "any" or model.where == "this_machine":
        return None
    if model.where == "own_network" and model.provider in ctx.own_hosts:
        return None
    have, fix = "a model off this machine", ""
    if target != "local_only":
        if promised and PRIVACY_OF_CLOUD.index(promised) >= PRIVACY_OF_CLOUD.index(target):
            return None
        fix = f'if its maker promised you that, set providers.{model.provider}.privacy: "{target}"'
        have += f" that promised {promised}" if promised else ", of which no promise is known"
    if model.where == "own_network":
        have = "a model on another host"
        fix = f"if that host is yours, set providers.{model.provider}.local: true"
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
        task = task_of(ctx.request)
        able = any(task in m.tasks for m in ctx.survey.models if (m.provider, m.id) in named)
        if there and able:  # one that is not here, or cannot do this, stands in nobody's way
            return RequestedModel(name=default, models=named)
    return None


def _named(target: str, ctx: RoutingContext) -> tuple[frozenset[tuple[str, str]], bool]:
    """Provider and id of the models of this name, and whether one of them is installed."""
    selected = _called(ctx.survey.models, target, ctx.config)
    return frozenset((m.provider, m.id) for m in selected), any(is_present(m) for m in selected)


def installed(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models of which something is missing, and those that cannot be run here."""
    if is_present(model):
        return None
    have = "not installed" if model.state == "missing" else "unusable"
    return reason("NOT_INSTALLED", have, model.id, model.fix)


def deprecated(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that their vendor has taken away."""
    if model.deprecated_on is None or ctx.now.date() < model.deprecated_on:
        return None
    have = f"taken away by its vendor on {model.deprecated_on}"
    return reason("DEPRECATED", have, "a model that is still served", "use a newer one")


def demo(model: Model, ctx: RoutingContext) -> Reason | None:
    """Use the demo model only by name, or on a machine with nothing else."""
    if not model.demo or _is_named(model, ctx):
        return None
    standing = [rule for rule in (mode, *_STANDING) if _may_speak(rule, ctx)]
    real = [m for m in ctx.survey.models if is_real(m, ctx, standing) and _may_be_paid(m, ctx)]
    if real:
        have = f"{len(real)} real model{'s' if len(real) > 1 else ''}, as {real[0].id}"
        return reason("DEMO_ONLY", have, "no other model", _ask_for(model, ctx))
    down = _not_answering(ctx)
    if down and ctx.request.provider != model.provider:
        have = f"{', '.join(down)} configured but not answering"
        return reason("DEMO_ONLY", have, "no other provider", _ask_for(model, ctx))
    return None


def _ask_for(model: Model, ctx: RoutingContext) -> str:
    """How the demo is had all the same."""
    pinned = ctx.config.provider not in ("auto", "local", model.provider)
    return _UNPIN if pinned else f'ask for model "{model.id}"'


def is_real(model: Model, ctx: RoutingContext, standing: Sequence[Rule]) -> bool:
    """Whether a model makes pictures in earnest, and no lasting setting keeps it from that.

    What the `standing` rules exclude for good is not there, as far as this user is concerned.
    """
    makes = ctx.task in model.tasks or "text_to_image" in model.tasks
    if model.demo or not makes or not is_present(model):
        return False
    if ctx.config.allow_paid_fallback == "never" and not is_free(model.prices):
        return False
    return all(rule(model, ctx) is None for rule in standing)


def has_real_model(ctx: RoutingContext) -> bool:
    """Whether anything but the demo can make pictures here, whatever this request asks for.

    What the user configured and does not answer may have a model.
    """
    if _not_answering(ctx):
        return True
    anything = replace(ctx, request=replace(ctx.request, provider=None))
    standing = [rule for rule in _STANDING if _may_speak(rule, anything)]
    return any(is_real(m, anything, standing) for m in ctx.survey.models)


def _not_answering(ctx: RoutingContext) -> list[str]:
    """Providers that the config names and of which nobody knows what they have."""
    silent = {
        r.provider
        for r in ctx.survey.rejected
        if r.model is None and not {x.code for x in r.reasons} & _NOTHING_THERE
    }
    return sorted(silent & ctx.survey.configured)


def may_be_set_up(rejection: Rejection, ctx: RoutingContext) -> bool:
    """Whether to speak of it: not of keys to those who let nothing leave the machine or pay."""
    if not lacks_key(rejection):
        return True
    closed = ctx.config.privacy == "local_only" or ctx.config.allow_paid_fallback == "never"
    return not (closed or ctx.request.provider == "local")


def _may_be_paid(model: Model, ctx: RoutingContext) -> bool:
    return ctx.request.max_cost_usd != 0 or is_free(model.prices)


def _is_named(model: Model, ctx: RoutingContext) -> bool:
    return bool(ctx.request.model and matches(model, ctx.request.model, ctx.config))


def all_options(model: Model) -> frozenset[Option]:
    """What the model honours in one task or another."""
    return frozenset(o for capability in model.tasks.values() for o in capability.options)


def task(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that do not do what is asked for."""
    if ctx.task in model.tasks:
        return None
    if not model.tasks and not is_present(model):
        return None  # `installed` says what it is
    return reason("FEATURE_UNSUPPORTED", f"no {ctx.task}", ctx.task, model.fix)


def is_of_another_kind(model: Model, ctx: RoutingContext) -> bool:
    """Whether a model only processes pictures and one is to be made, or the other way about."""
    if ctx.task in model.tasks or not model.tasks:
        return False
    return PROCESSING_TASKS.issuperset(model.tasks) != (ctx.task in PROCESSING_TASKS)


def options(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that would ignore something that was asked for."""
    capability = model.tasks.get(ctx.task)
    honoured = capability.options if capability is not None else all_options(model)
    honoured |= emulated_options(model, ctx)
    if ctx.options <= honoured:
        return None
    names = sorted(ctx.options - honoured)
    missing = ", ".join(names)
    fix = leave_out(ctx.request, *names)
    return reason("FEATURE_UNSUPPORTED", f"no {missing}", missing, fix)


_BOUNDED: tuple[Option, ...] = ("steps", "guidance_scale", "strength")


def bounds(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that would refuse a number that was asked for."""
    capability = model.tasks.get(ctx.task)
    if capability is None:
        return None
    for option in _BOUNDED:
        value, both = getattr(ctx.request, option), capability.bounds.get(option)
        if value is not None and both is not None and not both[0] <= value <= both[1]:
            have, need = f"{option} {both[0]:g} to {both[1]:g}", f"{option} {value:g}"
            return reason("FEATURE_UNSUPPORTED", have, need, f"another {option}, or leave it out")
    return None


def count(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that cannot make so many pictures in one call."""
    capability = model.tasks.get(ctx.task)
    if capability is None or ctx.request.num_images <= capability.max_images:
        return None
    have, need = f"at most {capability.max_images}", f"num_images {ctx.request.num_images}"
    return reason("COUNT_UNSUPPORTED", have, need, "ask for fewer at a time")


def memory(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that do not fit this machine. An engine of its own does its own fitting.

    Where a provider tells how a model may be held, `fit_ladder.unfit` says why it is not.
    """
    if model.memory.managed or model.memory.rungs or model.where != "this_machine":
        return None
    vram_bytes, ram_bytes = model.memory.vram_bytes, model.memory.ram_bytes
    fits_gpu = (
        ctx.gpu_memory is not None and vram_bytes is not None and vram_bytes <= ctx.gpu_memory
    )
    if fits_gpu:
        return None
    ram = ctx.hardware.ram_available
    if ram_bytes is None or ram is None or ram_bytes <= ram:
        return None
    have = f"{_gb(ram)} RAM free"
    if ctx.gpu_memory is not None:
        have = f"{_gb(ctx.gpu_memory)} GPU memory and {have}"
    need = f"{_gb(vram_bytes)} GPU memory or {_gb(ram_bytes)} RAM"
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
    if target is None or (model.demo and (target != "high" or _is_named(model, ctx))):
        return None  # a demo in place of what is not here says so; none passes for a good model
    selected = quality_of(model, ctx.config)
    have = "quality unknown" if selected is None else f"quality {selected:g}"
    if (selected if selected is not None else NEUTRAL_QUALITY) >= _TIERS[target]:
        return None
    fix = f"set models.{model.id}.quality, if you know better"
    if model.demo:
        fix = f"leave out quality, or ask for model {model.id}: it is a demo"
    return reason("QUALITY_BELOW_TIER", have, f"{target} ({_TIERS[target]:g} of 10)", fix)


def breaker(model: Model, ctx: RoutingContext) -> Reason | None:
    """Leave models alone for a while that failed again and again, or asked us to wait."""
    if not ctx.history.breakers:
        return None
    selected = open_breaker(ctx.history, model.provider, model.id, ctx.now)
    if selected is None or selected.open_until is None:
        return None
    if is_free(model.prices) and not ctx.trust_breakers:
        return None
    code = "RATE_LIMITED" if selected.code == "RATE_LIMITED" else "CIRCUIT_OPEN"
    wait = max(1, round((selected.open_until - ctx.now).total_seconds()))
    have = f"paused for {duration(wait)} more after {selected.code}: {selected.reason}"
    return reason(code, have, "a healthy provider", f"try again in {duration(wait)}")


def queue(model: Model, ctx: RoutingContext) -> Reason | None:
    """Leave a device, or a provider, alone for which too many wait already."""
    line = ctx.history.queues.get(queue_name(model))
    if line is None or line.waiting < ctx.config.queue_limit:
        return None
    place = model.device or model.provider
    have = f"{line.waiting} jobs wait for {place}, about {duration(line.seconds)}"
    need = f"fewer than {ctx.config.queue_limit} (queueLimit)"
    return reason("QUEUE_FULL", have, need, "try again later, or raise queueLimit")


def _always(_: RoutingContext) -> bool:
    return True


def _has_long_prompt(ctx: RoutingContext) -> bool:
    request = ctx.request
    return request.transparent or len(request.prompt + request.negative_prompt) > LONG


def _is_pinned(ctx: RoutingContext) -> bool:
    by_rule = "auto" if ctx.rule is None else ctx.rule.use
    return {ctx.request.provider or "auto", by_rule, ctx.config.provider} != {"auto"}


def _some_are_off(ctx: RoutingContext) -> bool:
    return any(not own.enabled for own in ctx.config.models.values())


_STANDING: tuple[Rule, ...] = (enabled, privacy, deprecated, licence)
"""What they exclude stays excluded until somebody edits a setting."""

_Rules = tuple[tuple[Rule, Callable[[RoutingContext], bool]], ...]

RULES: _Rules = (
    (enabled, lambda ctx: not ctx.config.enabled or _some_are_off(ctx)),
    (mode, _is_pinned),
    (privacy, lambda ctx: ctx.config.privacy != "any"),
    (name, lambda ctx: ctx.requested_model is not None),
    (installed, _always),
    (demo, lambda ctx: any(m.demo for m in ctx.survey.models)),
    (deprecated, lambda ctx: any(m.deprecated_on is not None for m in ctx.survey.models)),
    (task, _always),
    (options, lambda ctx: bool(ctx.options)),
    (bounds, lambda ctx: any(getattr(ctx.request, option) is not None for option in _BOUNDED)),
    (additions, has_additions),
    (control_required, lambda ctx: not ctx.request.control),
    (prompt_length, _has_long_prompt),
    (count, lambda ctx: ctx.request.num_images > 1),
    (memory, _always),
    (disk, lambda ctx: ctx.hardware.disk_free is not None),
    (licence, lambda ctx: ctx.config.commercial_use),
    (quality, lambda ctx: ctx.request.quality is not None),
    (breaker, lambda ctx: bool(ctx.history.breakers)),
    (queue, lambda ctx: bool(ctx.history.queues)),
)
"""Each rule, and whether it could say anything to this request at all: most stay silent."""


def find_cut_out(ctx: RoutingContext, size: Size) -> Model | None:
    """A model of the user's own machines that cuts out pictures of this size, for nothing."""
    for model in ctx.survey.cutters:
        fits = not problem(model.tasks["remove_background"].sizes, size)
        if not (fits and is_present(model) and is_local(model) and is_free(model.prices)):
            continue
        if all(rule(model, ctx) is None for rule in _STANDING):
            return model
    return None


def _may_speak(rule: Rule, ctx: RoutingContext) -> bool:
    return next(speaks(ctx) for one, speaks in RULES if one is rule)


def rules_for(ctx: RoutingContext) -> tuple[Rule, ...]:
    """The rules that could say no to this request."""
    return tuple(rule for rule, may_speak in RULES if may_speak(ctx))


def _gb(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 1e9:.1f} GB"
