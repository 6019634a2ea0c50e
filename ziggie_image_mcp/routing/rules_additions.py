"""The rule about what a request lays beside a model: references, LoRAs, control, embeddings."""

from __future__ import annotations

from ziggie_image_mcp.inventory.types import Reason
from ziggie_image_mcp.provider.additions import (
    embedding_names,
    find_addition,
    nearest_additions,
)
from ziggie_image_mcp.provider.capabilities import ControlSupport, TaskCapability
from ziggie_image_mcp.provider.nouns import Model, Role
from ziggie_image_mcp.routing.context import RoutingContext
from ziggie_image_mcp.routing.request import ImageRequest, leave_out
from ziggie_image_mcp.routing.rules_money import reason


def has_additions(ctx: RoutingContext) -> bool:
    """Whether the request asks for any."""
    request = ctx.request
    laid_over = request.references or request.loras or request.control or request.upscale
    return bool(laid_over or _embeddings(request))


def control_required(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that make nothing without a control picture, where there is none."""
    capability = model.tasks.get(ctx.task)
    if capability is None or capability.control is None or not capability.control.required:
        return None
    have, need = "a picture only by a control picture", "a picture without one"
    return reason("FEATURE_UNSUPPORTED", have, need, "give control")


def additions(model: Model, ctx: RoutingContext) -> Reason | None:
    """Drop models that take not all references, LoRAs, control pictures or the factor."""
    capability, request = model.tasks.get(ctx.task), ctx.request
    if capability is None:
        return None
    if len(request.references) > capability.max_references:
        have = f"at most {capability.max_references} references"
        need = f"{len(request.references)} references"
        fix = "give fewer references"
        if not capability.max_references:
            fix = leave_out(request, "references")
        return reason("FEATURE_UNSUPPORTED", have, need, fix)
    if request.upscale is not None and request.upscale not in capability.factors:
        have = " or ".join(map(str, capability.factors)) or "no factor"
        fix = f"ask for upscale {have}" if capability.factors else ""
        return reason("FEATURE_UNSUPPORTED", have, f"upscale {request.upscale}", fix)
    return (
        _loras(model, capability, ctx)
        or _control(capability, request)
        or _embedding(model, capability, ctx)
    )


def _loras(model: Model, capability: TaskCapability, ctx: RoutingContext) -> Reason | None:
    request, support = ctx.request, capability.loras
    if not request.loras:
        return None
    most = support.max_count if support else 0
    if support is None or len(request.loras) > most:
        have, need = f"at most {most} LoRAs", f"{len(request.loras)} LoRAs"
        return reason("FEATURE_UNSUPPORTED", have, need, leave_out(request, "loras"))
    for lora in request.loras if support.listed else ():
        if missing := _missing(lora.id, "lora", model, ctx):
            return missing
        addition = find_addition(lora.id, "lora", _of(model, ctx))
        fitting = support.families or {model.family}
        if addition is not None and addition.family not in {None, *fitting}:
            have = f"{addition.id} is a LoRA for {addition.family}"
            need = f"a LoRA for {' or '.join(sorted(filter(None, fitting)))}"
            return reason("FEATURE_UNSUPPORTED", have, need, f"a {addition.family} model")
    return None


def _control(capability: TaskCapability, request: ImageRequest) -> Reason | None:
    control = capability.control or ControlSupport(max_count=0)
    if len(request.control) > control.max_count:
        have, need = f"at most {control.max_count} control pictures", f"{len(request.control)}"
        return reason("FEATURE_UNSUPPORTED", have, need, "leave out control")
    for item in request.control:
        if item.kind not in (control.computed if item.compute else control.kinds):
            kinds = [*sorted(control.kinds), *(f"make-{k}" for k in sorted(control.computed))]
            need = f"control {'make-' if item.compute else ''}{item.kind}"
            return reason("FEATURE_UNSUPPORTED", ", ".join(kinds), need, "another kind")
    return None


def _embedding(model: Model, capability: TaskCapability, ctx: RoutingContext) -> Reason | None:
    for name in _embeddings(ctx.request):
        if not capability.embeddings:
            have = f"no embeddings: it would paint embedding:{name} as words"
            return reason("FEATURE_UNSUPPORTED", have, f"embedding {name}", "leave it out")
        if missing := _missing(name, "embedding", model, ctx):
            return missing
    return None


def _embeddings(request: ImageRequest) -> list[str]:
    return embedding_names(f"{request.prompt}\n{request.negative_prompt}")


def _of(model: Model, ctx: RoutingContext) -> list[Model]:
    return [a for a in ctx.survey.additions if a.provider == model.provider]


def _missing(name: str, role: Role, model: Model, ctx: RoutingContext) -> Reason | None:
    own = _of(model, ctx)
    if find_addition(name, role, own) is not None:
        return None
    what = {"lora": "LoRA"}.get(role, role)
    near = nearest_additions(name, role, own)
    have = f"{', '.join(near)}" if near else f"no {what}"
    return reason(f"{role.upper()}_MISSING", have, f"{what} {name}", "list_models names those here")
