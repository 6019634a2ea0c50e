"""Decide how a request is run, and refuse what InvokeAI would drop, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

from ziggie_image_mcp.provider import Control, ModelMissing, ProviderRequest, RequestRejected
from ziggie_image_mcp.provider.additions import find_addition, replace_embeddings
from ziggie_image_mcp.provider.sampler_names import nearest
from ziggie_image_providers.invokeai import failures, families, samplers
from ziggie_image_providers.invokeai.families import Kind
from ziggie_image_providers.invokeai.listing import Entry, Listing, net_for
from ziggie_image_providers.invokeai.wire import ModelRecord


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request with all that its graph names beside pictures."""

    request: ProviderRequest
    entry: Entry
    prompt: str = ""
    negative_prompt: str = ""
    sampler: str = ""
    guidance: float | None = None
    loras: tuple[tuple[ModelRecord, float], ...] = ()
    control: tuple[tuple[ModelRecord, Control], ...] = ()
    adapter: ModelRecord | None = None
    """What takes the references, where the model does not by itself."""
    notes: tuple[str, ...] = ()


def plan(name: str, request: ProviderRequest, entry: Entry, listing: Listing) -> Plan:
    """Decide how a request is run.

    Args:
        name: The provider's name.
        request: What is asked.
        entry: The model.
        listing: What the server has.

    Raises:
        RequestRejected: The server has no such sampler.
        ModelMissing: It has no such LoRA, embedding or control net.
    """
    kind, record = entry.kind, entry.record
    if kind is None or record is None:
        return Plan(request=request, entry=entry)
    guidance = None
    if kind.guidance is not None:
        asked = request.guidance_scale
        guidance = entry.model.defaults.guidance_scale if asked is None else asked
    notes: tuple[str, ...] = ()
    if request.negative_prompt and guidance == 1:
        notes = ("at guidance_scale 1 the negative prompt has no effect",)
    adapters = listing.of("ip_adapter", record.base) if kind.ip_adapter else []
    return Plan(
        request=request,
        entry=entry,
        prompt=_with_embeddings(name, request.prompt, kind, listing),
        negative_prompt=_with_embeddings(name, request.negative_prompt, kind, listing),
        sampler=_sampler(name, request, kind, record),
        guidance=guidance,
        loras=_loras(name, request, listing),
        control=tuple(
            (_net(name, control, kind, record, listing), control) for control in request.control
        ),
        adapter=adapters[0] if adapters and request.references else None,
        notes=notes,
    )


def _sampler(name: str, request: ProviderRequest, kind: Kind, record: ModelRecord) -> str:
    if not kind.samplers:
        return ""
    known = families.data().samplers[kind.samplers]
    own = record.text_set("scheduler")
    usual = own if own in known else kind.sampler
    scheduler = request.scheduler or ""
    if not any(word.endswith("_k") for word in known):
        scheduler = ""  # it is not declared, so that nobody asks for one
    try:
        return samplers.choose(request.sampler or "", scheduler, usual, known)
    except samplers.Unknown as e:
        raise RequestRejected(name, f"InvokeAI has {e}") from e


def _loras(
    name: str, request: ProviderRequest, listing: Listing
) -> tuple[tuple[ModelRecord, float], ...]:
    chosen: list[tuple[ModelRecord, float]] = []
    for lora in request.loras:
        addition = find_addition(lora.id, "lora", listing.additions)
        if addition is None:
            known = (a.id for a in listing.additions if a.role == "lora")
            raise failures.missing(name, "LoRA", lora.id, nearest(lora.id, known))
        chosen.append((listing.records["lora", addition.id], lora.weight))
    return tuple(chosen)


def _net(
    name: str, control: Control, kind: Kind, record: ModelRecord, listing: Listing
) -> ModelRecord:
    net = net_for(control.kind, record.base, kind, listing)
    if net is None:
        what = f"InvokeAI has no control net for {control.kind} and {kind.family}"
        raise ModelMissing(name, f"{what}; install one in its model manager")
    return net


def _with_embeddings(name: str, prompt: str, kind: Kind, listing: Listing) -> str:
    """The prompt in which embeddings stand as InvokeAI reads them: by key, between < and >."""
    if not kind.embeddings:
        return prompt

    def word(embedding: str) -> str:
        addition = find_addition(embedding, "embedding", listing.additions)
        if addition is None:
            known = (a.id for a in listing.additions if a.role == "embedding")
            raise failures.missing(name, "embedding", embedding, nearest(embedding, known))
        return f"<{listing.records['embedding', addition.id].key}>"

    return replace_embeddings(prompt, word)
