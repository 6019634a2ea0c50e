"""Say a request in SwarmUI's words, and refuse what it would take for something else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ziggie_image_mcp.provider import (
    Control,
    ModelMissing,
    ProviderRequest,
    RequestRejected,
    options_of,
)
from ziggie_image_mcp.provider.additions import find_addition, replace_embeddings
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.sampler_names import divide, find, nearest
from ziggie_image_mcp.provider.vendor import to_data_url
from ziggie_image_providers.swarmui import failures
from ziggie_image_providers.swarmui.listing import (
    Entry,
    Listing,
    net_for,
    plain_name,
    preprocessor_for,
)

SUFFIXES = ("", "two", "three")
"""Of the parameters of each control net."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request as it goes out, but for its session."""

    body: dict[str, Any] = field(repr=False)


def job(name: str, request: ProviderRequest, entry: Entry, listing: Listing) -> Job:
    """Make or change a picture.

    Args:
        name: The provider's name.
        request: What is asked.
        entry: The model.
        listing: What SwarmUI has.

    Raises:
        RequestRejected: SwarmUI would take another value in silence.
        ModelMissing: It does not have a LoRA, an embedding, a VAE or a control net.
    """
    kind, options = entry.kind, options_of(entry.model, request.task)
    body: dict[str, Any] = {
        "images": request.num_images,
        "model": entry.name,
        "prompt": _with_embeddings(name, request.prompt, listing),
        "width": request.width,
        "height": request.height,
        "donotsave": True,
    }
    if entry.bare:
        return Job(body=body)
    steps = kind.steps if request.steps is None else request.steps
    body |= {"steps": steps, "seed": request.seed} | _guidance(request, entry)
    if "negative_prompt" in options and request.negative_prompt:
        body["negativeprompt"] = _with_embeddings(name, request.negative_prompt, listing)
    if "seamless" in options and request.seamless:
        body["seamlesstileable"] = "true"
    body |= _sampling(name, request, entry, listing) | _loras(name, request, listing)
    if entry.vae:
        body["vae"] = _vae(name, entry.vae, listing)
    for suffix, control in zip(SUFFIXES, request.control, strict=False):
        body |= _control(name, suffix, control, entry, listing)
    if request.image is not None:
        body |= _pictures(name, request, steps)
    return Job(body=body)


def _guidance(request: ProviderRequest, entry: Entry) -> dict[str, Any]:
    kind = entry.kind
    asked = kind.guidance if request.guidance_scale is None else request.guidance_scale
    if kind.guidance is None:
        return {"cfgscale": 1}
    return {"cfgscale": 1, "fluxguidancescale": asked} if kind.built_in else {"cfgscale": asked}


def _sampling(
    name: str, request: ProviderRequest, entry: Entry, listing: Listing
) -> dict[str, Any]:
    """Sampler and scheduler by SwarmUI's names; left open, it takes what suits the model."""
    options, choices = options_of(entry.model, request.task), listing.contents.choices
    samplers = [(word,) for word in choices.get("sampler", ())]
    schedulers = [(word,) for word in choices.get("scheduler", ())]
    sampler, scheduler = entry.kind.sampler, entry.kind.scheduler
    if "sampler" in options and request.sampler:
        sampler, scheduler = divide(request.sampler, samplers, schedulers)
        if not sampler:
            near = nearest(request.sampler, choices["sampler"])
            raise RequestRejected(name, f"SwarmUI has no sampler {request.sampler!r}{near}")
    if "scheduler" in options and request.scheduler:
        scheduler = find(request.scheduler, schedulers)
        if not scheduler:
            near = nearest(request.scheduler, choices["scheduler"])
            raise RequestRejected(name, f"SwarmUI has no scheduler {request.scheduler!r}{near}")
    chosen = {"sampler": sampler, "scheduler": scheduler}
    return {key: word for key, word in chosen.items() if word and word in choices.get(key, ())}


def _loras(name: str, request: ProviderRequest, listing: Listing) -> dict[str, Any]:
    words: list[str] = []
    for lora in request.loras:
        addition = find_addition(lora.id, "lora", listing.additions)
        if addition is None:
            known = [a.id for a in listing.additions if a.role == "lora"]
            raise failures.missing(name, "LoRA", lora.id, nearest(lora.id, known))
        if "," in addition.id:  # a list of one is taken apart there
            what = (
                f"SwarmUI reads the LoRA {addition.id!r} as several for its comma; rename the file"
            )
            raise RequestRejected(name, what)
        words.append(addition.id)
    if not words:
        return {}
    return {"loras": words, "loraweights": [f"{lora.weight:g}" for lora in request.loras]}


def _vae(name: str, vae: str, listing: Listing) -> str:
    known = {plain_name(word): word for word in listing.contents.vaes}
    word = known.get(plain_name(vae))
    if word is None:
        raise failures.missing(name, "VAE", vae, nearest(vae, known))
    return word


def _control(
    name: str, suffix: str, control: Control, entry: Entry, listing: Listing
) -> dict[str, Any]:
    assert control.image, "the core gives the picture"
    contents, family = listing.contents, entry.model.family
    net = net_for(control.kind, family, contents)
    made = preprocessor_for(control.kind, contents) if control.compute else "None"
    if not net or not made:
        what = "preprocessor" if net else "control net"
        raise ModelMissing(name, f"SwarmUI has no {what} for {control.kind} and {family}")
    return {
        f"controlnet{suffix}imageinput": to_data_url(control.image),
        f"controlnet{suffix}model": net,
        f"controlnet{suffix}preprocessor": made,
        f"controlnet{suffix}strength": control.weight,
    }


def _pictures(name: str, request: ProviderRequest, steps: int) -> dict[str, Any]:
    assert request.image
    usual = 1.0 if request.mask is not None else 0.75
    strength = usual if request.strength is None else request.strength
    if steps and round(steps * (1 - strength)) >= steps:  # as SwarmUI counts them
        least = math.ceil(100 * 0.5 / steps + 1) / 100
        raise RequestRejected(
            name,
            f"strength={strength:g} of {steps} steps is none at all, and SwarmUI would give the"
            f" picture back as it is; ask for {min(1.0, least):g} or more, or for more steps",
        )
    body = {"initimage": to_data_url(request.image), "initimagecreativity": strength}
    if request.mask is not None:
        body["maskimage"] = to_data_url(convert_mask(request.mask, "white"))
    return body


def _with_embeddings(name: str, prompt: str, listing: Listing) -> str:
    """The prompt in which embeddings stand as SwarmUI reads them: `<embed:NAME>`."""

    def word(embedding: str) -> str:
        addition = find_addition(embedding, "embedding", listing.additions)
        if addition is None:
            known = [a.id for a in listing.additions if a.role == "embedding"]
            raise failures.missing(name, "embedding", embedding, nearest(embedding, known))
        return f"<embed:{addition.id}>"

    return replace_embeddings(prompt, word)
