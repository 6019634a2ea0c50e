"""Say why what was named cannot be had, and what would work here instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ziggie_image_mcp.errors import (
    AuthenticationFailed,
    ProviderTimeout,
    ProviderUnavailable,
    nearest_words,
    suggestion,
)
from ziggie_image_mcp.inventory import model_facts
from ziggie_image_mcp.inventory.hosted_models import HostedModel, hosted_model
from ziggie_image_mcp.inventory.model_facts import plain
from ziggie_image_mcp.inventory.recommend import pull_command
from ziggie_image_mcp.inventory.types import Rejection, lacks_key
from ziggie_image_mcp.provider.additions import addition_key
from ziggie_image_mcp.provider.nouns import Model, is_present
from ziggie_image_mcp.routing import planner
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import PROCESSING_TASKS, task_of
from ziggie_image_mcp.routing.rules import find_requested_model, is_of_another_kind
from ziggie_image_mcp.routing.types import Plan

MORE_MODELS = "More models for this machine: ziggie-image-mcp models recommend"

_KINDS = (None, "auto", "local", "cloud")
"""Providers of a request that name none."""
_SILENT = {kind.code for kind in (ProviderUnavailable, ProviderTimeout, AuthenticationFailed)}
MOST_ALTERNATIVES = 3

_ADDITIONS = {
    "lora": ("a LoRA", 'loras "{name}:0.8"'),
    "control": ("a control model", "control, which chooses it by its kind"),
    "embedding": ("an embedding", "the words embedding:{name} in the prompt"),
}
"""What is no model of its own, and how a request asks for it."""


def no_route(ctx: RoutingContext, plan: Plan) -> NoRoute:
    """The error for a request that has no route.

    What was named gives its own reasons first; then comes what would work instead.
    """
    ctx = replace(ctx, task=task_of(ctx.request))
    named, pinned = ctx.request.model, ctx.request.provider
    after = [_alternatives(ctx), plan.advice]
    if not any(after) and ctx.config.enabled and ctx.task not in PROCESSING_TASKS:
        after = [MORE_MODELS]
    style = ctx.request.applied_style
    if style is not None and style.fields:
        after.insert(0, f"Style {style.name} asks for {', '.join(style.fields)}.")
    if pinned not in _KINDS and pinned not in _providers(ctx):
        known = _providers(ctx)
        hosted = hosted_model(pinned or "")
        if hosted is not None:
            return _worded(plan, _hosted(hosted, ctx), (), after)
        lead = f"There is no provider {pinned!r}.{suggestion(pinned or '', known)}"
        return _worded(plan, f"{lead} There are: {', '.join(known)}.", (), after)
    if named is not None:
        requested = find_requested_model(ctx)
        models = requested.models if requested is not None else frozenset[tuple[str, str]]()
        if not models:
            return _worded(plan, unknown_model(named, ctx), _about(pinned, plan), after)
        own = [r for r in plan.rejected if (r.provider, r.model) in models]
        if pinned not in _KINDS:
            own = [r for r in own if r.provider == pinned] or own
        return _worded(plan, f"{named!r} cannot make this picture now.", own, after)
    if pinned not in _KINDS:
        own = _about(pinned, plan)
        return _worded(plan, f"Provider {pinned} cannot make this picture now.", own, after)
    if ctx.task == "remove_background":
        after.insert(0, "It could not be keyed, and no model here cuts out.")
    others = {(m.provider, m.id) for m in ctx.survey.models if is_of_another_kind(m, ctx)}
    shown = [r for r in plan.rejected if (r.provider, r.model) not in others]
    return _worded(plan, "No model can make this picture now.", shown, after)


def _worded(plan: Plan, lead: str, shown: Sequence[Rejection], after: Sequence[str]) -> NoRoute:
    first = {(r.provider, r.model) for r in shown}
    others = [r for r in plan.rejected if (r.provider, r.model) not in first]
    return NoRoute([*shown, *others], "\n".join(filter(None, after)), lead=lead, shown=len(shown))


def _about(provider: str | None, plan: Plan) -> list[Rejection]:
    return [r for r in plan.rejected if r.provider == provider]


def _providers(ctx: RoutingContext) -> list[str]:
    names = {m.provider for m in ctx.survey.models} | {r.provider for r in ctx.survey.rejected}
    return sorted(names)


def unknown_model(name: str, ctx: RoutingContext) -> str:
    """Tell a name that nobody has from one that is known, and name the nearest."""
    hosted = hosted_model(name)
    if hosted is not None:
        return _hosted(hosted, ctx)
    key = addition_key(name)
    for addition in ctx.survey.additions:
        if key in map(addition_key, (addition.id, addition.title, *addition.aliases)):
            return _of_addition(name, addition)
    silent = sorted({r.provider for r in ctx.survey.rejected if _is_silent(r)})
    unseen = (
        f" {' and '.join(silent)} did not answer: what is there is not known." if silent else ""
    )
    title = model_facts.title_of(name)
    if title:
        here = [m.id for m in ctx.survey.models if is_present(m) and _is_titled(m, title)]
        if here:
            ids = " or ".join(here[:MOST_ALTERNATIVES])
            return f"No model is called {name!r}; what is known by it ({title}) is here as {ids}."
        command = pull_command(name)
        get = f" Get it by: {command}." if command else ""
        return f"{name!r} is known ({title}), and no engine that answers has it.{get}{unseen}"
    names = {plain(n): m.id for m in ctx.survey.models for n in (m.id, m.title, *m.aliases) if n}
    close = list(dict.fromkeys(names[c] for c in nearest_words(plain(name), names, cutoff=0.55)))
    seen = "that can be seen now " if silent else ""
    nearest = f" Nearest: {', '.join(close)}." if close else " list_models shows what there is."
    return f"No model {seen}is called {name!r}.{nearest}{unseen}"


def _is_titled(model: Model, title: str) -> bool:
    """Whether a file or folder is called as the model of this title is."""
    entry = model_facts.recognise(model.id)
    return entry is not None and entry.title == title


def _of_addition(name: str, addition: Model) -> str:
    """Tell how what is no model of its own is asked for."""
    what, how = _ADDITIONS[addition.role]
    fix = f" {addition.fix}" if addition.fix else ""
    return (
        f"{name!r} is {what} of {addition.provider}, laid over a model and none itself: ask for it "
        f"by {how.format(name=addition.id)}.{fix}"
    )


def _is_silent(rejection: Rejection) -> bool:
    """Whether nobody knows what a provider has, as of one that is configured or looked for."""
    codes = {reason.code for reason in rejection.reasons}
    return rejection.model is None and bool(codes & _SILENT)


def _hosted(hosted: HostedModel, ctx: RoutingContext) -> str:
    what, provider = f"{hosted.what[0].upper()}{hosted.what[1:]}", hosted.provider
    if not provider:
        return f"{what}."
    models = [m.id for m in ctx.survey.models if m.provider == provider]
    if models:
        return f"{what}. Provider {provider} has: {', '.join(models[:MOST_ALTERNATIVES])}."
    silent = next((r for r in ctx.survey.rejected if r.provider == provider), None)
    if silent is not None and lacks_key(silent):
        return f"{what}; provider {provider} has no key. Fix: {silent.reasons[0].fix}"
    if silent is not None:
        return f"{what}; provider {provider}: {silent.reasons[0].have}."
    return f"{what}, and no provider that is installed here reaches it."


def _alternatives(ctx: RoutingContext) -> str:
    """One line of what would work here, were nothing named."""
    request = ctx.request
    if request.model is None and request.provider in _KINDS:
        return ""
    kind = request.provider if request.provider in _KINDS else None
    for provider in dict.fromkeys((kind, None)):
        open_request = replace(request, model=None, provider=provider)
        candidates = planner.plan(replace(ctx, request=open_request)).candidates
        names = [_called(c.model) for c in candidates]
        if names:
            given = {
                "model": request.model is not None,
                "provider": request.provider not in (None, "auto", provider),
            }
            left_out = " and ".join(name for name, is_given in given.items() if is_given)
            without = f" without provider {request.provider!r}" if given["provider"] else ""
            listed = ", ".join(names[:MOST_ALTERNATIVES])
            return f"Would work here{without}: {listed}. Or leave {left_out} out."
    return ""


def _called(model: Model) -> str:
    return f"{model.provider}/{model.id}{' (the demo)' if model.demo else ''}"
