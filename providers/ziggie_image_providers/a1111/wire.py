"""Say a request in the words of a server of the family, and refuse what it would drop."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from ziggie_image_mcp.provider import (
    Control,
    Model,
    ModelMissing,
    ProviderRequest,
    RequestRejected,
    options_of,
)
from ziggie_image_mcp.provider import sampler_names as names
from ziggie_image_mcp.provider.additions import find_addition, replace_embeddings
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.sizes import Size, first_pass_size
from ziggie_image_providers.a1111 import failures
from ziggie_image_providers.a1111.families import Kind
from ziggie_image_providers.a1111.listing import Entry, Listing, module_for, net_for
from ziggie_image_providers.a1111.settings import Settings

TXT2IMG, IMG2IMG = "sdapi/v1/txt2img", "sdapi/v1/img2img"
UPSCALE = "sdapi/v1/extra-single-image"

HIRES_STRENGTH = 0.6
"""How much the second pass changes: below one half a latent that was enlarged stays blurred."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request as it goes out."""

    path: str
    body: dict[str, Any]
    notes: tuple[str, ...] = ()


def upscale(request: ProviderRequest, entry: Entry) -> Job:
    """Enlarge a picture."""
    assert request.image, "the core gives the picture"
    body: dict[str, Any] = {
        "image": _text(request.image),
        "resize_mode": 0,
        "upscaling_resize": request.factor or 1,
        "upscaler_1": entry.word,
    }
    return Job(path=UPSCALE, body=body)


def job(
    name: str, request: ProviderRequest, entry: Entry, listing: Listing, settings: Settings, id: str
) -> Job:
    """Make or change a picture.

    Args:
        name: The provider's name.
        request: What is asked.
        entry: The model.
        listing: What the server has.
        settings: Of the user.
        id: Of the task, where the server takes one.

    Raises:
        RequestRejected: The server would take another value in silence.
        ModelMissing: It would leave out a LoRA, an embedding or a control net in silence.
    """
    kind, flavour = entry.kind, listing.identity.flavour
    assert kind, "an upscaler changes no picture"
    _check_limits(name, request, listing)
    prompt, loras = _with_loras(name, request, listing)
    body: dict[str, Any] = {
        "prompt": _without_tag(_with_embeddings(name, prompt, listing), flavour.tag),
        "width": request.width,
        "height": request.height,
        **flavour.always,
        **loras,
    }
    options = options_of(entry.model, request.task)
    negative = request.negative_prompt if "negative_prompt" in options else ""
    body["negative_prompt"] = _with_embeddings(name, negative, listing)
    for word, value in (
        ("seed", request.seed),
        ("steps", request.steps if request.steps is not None else kind.steps),
        ("num_images", request.num_images),
        ("seamless", request.seamless or None),
    ):
        field = flavour.words.get(word)  # type: ignore[call-overload]
        if field and value is not None and (word in options or word in ("steps", "num_images")):
            body[field] = value
    body |= _guidance(request, kind, listing) | _sampling(name, request, entry, listing)
    body |= {k: v for k, v in flavour.neutral.items() if k in listing.contents.options}
    if listing.identity.by_task:
        body["force_task_id"] = id
    overrides = _overrides(entry, kind, listing)
    if overrides:
        body["override_settings"] = overrides
    if request.control:
        units = [_unit(name, control, entry.model, listing) for control in request.control]
        body["alwayson_scripts"] = {"controlnet": {"args": units}}
    if request.image is not None:
        body |= _pictures(request, listing)
        return Job(path=IMG2IMG, body=body)
    notes: tuple[str, ...] = ()
    base = first_size(kind, Size(request.width, request.height))
    if base is not None and flavour.hires and settings.hires == "auto":
        body |= _hires(body, base, listing)
        notes = (f"drawn at {base} first, and then over at full size (hires pass)",)
    return Job(path=TXT2IMG, body=body, notes=notes)


def first_size(kind: Kind, size: Size) -> Size | None:
    """The size at which a large picture is drawn first; None where it is drawn at once."""
    return first_pass_size(size, kind.side**2, step=8, least=64) if kind.hires else None


def _hires(body: dict[str, Any], base: Size, listing: Listing) -> dict[str, Any]:
    flavour = listing.identity.flavour
    more: dict[str, Any] = {
        "enable_hr": True,
        "width": base.width,
        "height": base.height,
        "hr_resize_x": body["width"],
        "hr_resize_y": body["height"],
        "denoising_strength": HIRES_STRENGTH,
        **flavour.hires,
    }
    if flavour.forge:  # else the second pass runs at its own cfg of 1
        more["hr_cfg"] = body["cfg_scale"]
    return more


def _check_limits(name: str, request: ProviderRequest, listing: Listing) -> None:
    flavour = listing.identity.flavour
    for word, most in flavour.limits.items():
        value = getattr(request, word)
        if value is not None and value > most:
            what = f"{flavour.title} takes {word} up to {most:g}, and would make {value:g} into it"
            raise RequestRejected(name, f"{what}; ask for {most:g} or less")


def _with_loras(
    name: str, request: ProviderRequest, listing: Listing
) -> tuple[str, dict[str, Any]]:
    """The prompt with its LoRAs' tags, or the field that lists them."""
    flavour, tags, files = listing.identity.flavour, list[str](), list[dict[str, Any]]()
    for lora in request.loras:
        addition = find_addition(lora.id, "lora", listing.additions)
        if addition is None:
            known = [a.id for a in listing.additions if a.role == "lora"]
            near = names.nearest(lora.id, known)
            raise failures.missing(name, flavour.title, "LoRA", lora.id, near)
        tags.append(f"<lora:{addition.id}:{lora.weight:g}>")
        paths = (i.get("path") for i in listing.contents.loras if i.get("name") == addition.id)
        files.append({"path": next(paths, None) or addition.id, "multiplier": lora.weight})
    if flavour.lora == "list":
        return request.prompt, {"lora": files} if files else {}
    return " ".join((request.prompt, *tags)), {}


def _with_embeddings(name: str, prompt: str, listing: Listing) -> str:
    """The prompt in which embeddings stand as these servers read them: by their bare names."""
    if not listing.identity.flavour.embeddings:
        return prompt

    def word(embedding: str) -> str:
        addition = find_addition(embedding, "embedding", listing.additions)
        if addition is None:
            near = names.nearest(embedding, listing.contents.embeddings)
            title = listing.identity.flavour.title
            raise failures.missing(name, title, "embedding", embedding, near)
        return addition.id

    return replace_embeddings(prompt, word)


def _without_tag(prompt: str, tag: str) -> str:
    """The prompt without the signs between which the server reads options."""
    while tag and (less := re.sub(rf"</?{tag}>", "", prompt)) != prompt:
        prompt = less  # what stood around a tag may be one
    return prompt


def _guidance(request: ProviderRequest, kind: Kind, listing: Listing) -> dict[str, Any]:
    flavour = listing.identity.flavour
    field = flavour.words["guidance_scale"]
    asked = kind.guidance if request.guidance_scale is None else request.guidance_scale
    body: dict[str, Any] = {field: 1 if kind.guidance is None or kind.built_in else asked}
    if kind.built_in and kind.guidance is not None and flavour.distilled:
        body[flavour.distilled] = asked
    if kind.shift is not None and flavour.forge:
        body[flavour.distilled] = kind.shift
    return body


def _sampling(
    name: str, request: ProviderRequest, entry: Entry, listing: Listing
) -> dict[str, Any]:
    """Sampler and scheduler in the server's words: another than it has it takes for its own."""
    kind, flavour, contents = entry.kind, listing.identity.flavour, listing.contents
    assert kind
    title, options = flavour.title, options_of(entry.model, request.task)
    body: dict[str, Any] = {}
    sampler = scheduler = ""
    if "sampler" in options:
        if request.sampler:
            sampler, scheduler = names.divide(
                request.sampler, contents.samplers, contents.schedulers
            )
            if not sampler:
                near = names.nearest(request.sampler, (n[0] for n in contents.samplers))
                raise RequestRejected(name, f"{title} has no sampler {request.sampler!r}{near}")
        else:
            sampler = names.find(kind.sampler, contents.samplers)
    if "scheduler" in options:
        if request.scheduler:
            scheduler = names.find(request.scheduler, contents.schedulers)
            if not scheduler:
                near = names.nearest(request.scheduler, (n[0] for n in contents.schedulers))
                raise RequestRejected(name, f"{title} has no scheduler {request.scheduler!r}{near}")
        elif not request.sampler:
            scheduler = names.find(kind.scheduler, contents.schedulers)
    elif scheduler:
        raise RequestRejected(
            name, f"{title} takes no scheduler beside a sampler; leave out {scheduler!r}"
        )
    if sampler:
        body[flavour.words["sampler"]] = sampler
    if scheduler:
        body[flavour.words["scheduler"]] = scheduler
    return body


def _overrides(entry: Entry, kind: Kind, listing: Listing) -> dict[str, Any]:
    flavour = listing.identity.flavour
    if flavour.switch != "override":
        return {}
    overrides: dict[str, Any] = {"sd_model_checkpoint": entry.word}
    if flavour.forge:
        if kind.preset:
            overrides["forge_preset"] = kind.preset
        overrides["forge_additional_modules"] = list(entry.modules)
    return overrides


def _unit(name: str, control: Control, model: Model, listing: Listing) -> dict[str, Any]:
    assert control.image, "the core gives the picture"
    contents, title = listing.contents, listing.identity.flavour.title
    net = net_for(control.kind, model.family, contents)
    module = module_for(control.kind, contents) if control.compute else ""
    if not net or (control.compute and not module):
        what = "preprocessor" if net else "control net"
        raise ModelMissing(name, f"{title} has no {what} for {control.kind} and {model.family}")
    none = next((m for m in contents.net_modules if m.lower() == "none"), "none")
    return {
        "enabled": True,
        "image": _text(control.image),
        "module": module or none,
        "model": net,
        "weight": control.weight,
        "resize_mode": "Crop and Resize",
        "control_mode": "Balanced",
        "guidance_start": 0.0,
        "guidance_end": 1.0,
        "pixel_perfect": True,
        "save_detected_map": False,
    }


def _pictures(request: ProviderRequest, listing: Listing) -> dict[str, Any]:
    flavour = listing.identity.flavour
    assert request.image
    whole = 1.0 if request.mask is not None else 0.75
    strength = whole if request.strength is None else request.strength
    body: dict[str, Any] = {"init_images": [_text(request.image)], **flavour.image}
    if "strength" in flavour.words:
        body[flavour.words["strength"]] = strength
    if request.mask is not None:
        body |= {"mask": _text(convert_mask(request.mask, "white")), **flavour.mask}
    return body


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()
