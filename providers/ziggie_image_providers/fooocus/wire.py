"""Say a request in the words of Fooocus-API, and refuse what it would take for its default."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

from ziggie_image_mcp.provider import Model, ProviderRequest, RequestRejected, options_of
from ziggie_image_mcp.provider.additions import find_addition
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.sampler_names import divide, find, nearest
from ziggie_image_providers.fooocus import failures
from ziggie_image_providers.fooocus.listing import (
    FULL,
    MAX_PICTURES,
    UPSCALER,
    Listing,
    data,
)
from ziggie_image_providers.fooocus.settings import Settings

TEXT = "v1/generation/text-to-image"
TEXT_AND_PICTURES = "v2/generation/text-to-image-with-ip"
VARY_OR_UPSCALE = "v2/generation/image-upscale-vary"
INPAINT = "v2/generation/image-inpaint-outpaint"


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request as it goes out."""

    path: str
    body: dict[str, Any] = field(repr=False)


def job(
    name: str, request: ProviderRequest, model: Model, listing: Listing, settings: Settings
) -> Job:
    """Make, change or enlarge a picture.

    Args:
        name: The provider's name.
        request: What is asked.
        model: With which model.
        listing: What Fooocus has.
        settings: Of the user.

    Raises:
        RequestRejected: Fooocus would take another value in silence.
        ModelMissing: It would leave out a LoRA in silence.
    """
    if model.id == UPSCALER:
        return _upscale(request)
    body, advanced = _common(name, request, model, listing, settings)
    body["advanced_params"] = advanced
    if request.mask is not None:
        assert request.image, "the core gives the picture"
        advanced |= {"inpaint_strength": _strength(request), "inpaint_respective_field": 1.0}
        body["input_image"] = _text(request.image)
        body["input_mask"] = _text(convert_mask(request.mask, "white", hard=True))
        return Job(path=INPAINT, body=body)
    if request.image is not None:
        advanced["overwrite_vary_strength"] = _strength(request)
        body |= {"input_image": _text(request.image), "uov_method": "Vary (Strong)"}
        return Job(path=VARY_OR_UPSCALE, body=body)
    if not request.references and not request.control:
        return Job(path=TEXT, body=body)
    if request.control:  # they are finished maps
        advanced["skipping_cn_preprocessor"] = True
    body["image_prompts"] = _image_prompts(name, request)
    return Job(path=TEXT_AND_PICTURES, body=body)


def _upscale(request: ProviderRequest) -> Job:
    assert request.image, "the core gives the picture"
    body: dict[str, Any] = {
        "input_image": _text(request.image),
        "uov_method": "Upscale (Fast 2x)",
        "prompt": "",
        "style_selections": [],
        "loras": [],
        "image_number": 1,
        "save_extension": "png",
        "async_process": True,
    }
    return Job(path=VARY_OR_UPSCALE, body=body)


def _common(
    name: str, request: ProviderRequest, model: Model, listing: Listing, settings: Settings
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all tasks say, and the part of it that stands apart. Nothing is left to its defaults."""
    options = options_of(model, request.task)
    steps = data().steps[settings.performance] if request.steps is None else request.steps
    advanced: dict[str, Any] = {"overwrite_step": steps} | sampling(name, request, model)
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt if "negative_prompt" in options else "",
        "style_selections": _styles(name, listing, settings),
        "performance_selection": settings.performance,
        "aspect_ratios_selection": f"{request.width}*{request.height}",
        "image_number": request.num_images,
        "image_seed": request.seed,
        "base_model_name": model.id,
        "refiner_model_name": "None",
        "loras": _loras(name, request, listing),
        "save_meta": True,
        "meta_scheme": "fooocus",
        "save_extension": "png",
        "async_process": True,
    }
    if settings.performance in FULL:
        guidance = request.guidance_scale
        body["guidance_scale"] = model.defaults.guidance_scale if guidance is None else guidance
    return body, advanced


def _styles(name: str, listing: Listing, settings: Settings) -> list[str]:
    known = {style.lower(): style for style in listing.contents.styles}
    styles: list[str] = []
    for style in settings.styles:
        word = known.get(style.lower())
        if word is None:
            near = nearest(style, listing.contents.styles)
            what = f"Fooocus has no style {style!r}{near}; correct providers.{name}.styles"
            raise RequestRejected(name, what)
        styles.append(word)
    return list(dict.fromkeys(styles))


def _loras(name: str, request: ProviderRequest, listing: Listing) -> list[dict[str, Any]]:
    chosen: list[dict[str, Any]] = []
    for lora in request.loras:
        addition = find_addition(lora.id, "lora", listing.additions)
        if addition is None:
            raise failures.missing(name, "LoRA", lora.id, nearest(lora.id, listing.contents.loras))
        if not -2 <= lora.weight <= 2:
            what = f"the weight {lora.weight:g} of {addition.id} is not among -2 to 2"
            raise RequestRejected(name, f"{what}, which Fooocus takes; ask for one of these")
        chosen.append({"enabled": True, "model_name": addition.id, "weight": lora.weight})
    return chosen


def sampling(name: str, request: ProviderRequest, model: Model) -> dict[str, Any]:
    """Sampler and scheduler in Fooocus's words; left open, those that it is set to.

    Raises:
        RequestRejected: It has none of this name, and would take its default.
    """
    options = options_of(model, request.task)
    samplers = [(word,) for word in data().samplers]
    schedulers = [(word,) for word in data().schedulers]
    sampler = scheduler = ""
    if "sampler" in options and request.sampler:
        sampler, scheduler = divide(request.sampler, samplers, schedulers)
        if not sampler:
            near = nearest(request.sampler, data().samplers)
            raise RequestRejected(name, f"Fooocus has no sampler {request.sampler!r}{near}")
    if "scheduler" in options and request.scheduler:
        scheduler = find(request.scheduler, schedulers)
        if not scheduler:
            near = nearest(request.scheduler, data().schedulers)
            raise RequestRejected(name, f"Fooocus has no scheduler {request.scheduler!r}{near}")
    chosen = {"sampler_name": sampler, "scheduler_name": scheduler}
    return {key: word for key, word in chosen.items() if word}


def _image_prompts(name: str, request: ProviderRequest) -> list[dict[str, Any]]:
    """References and control pictures; where 0 stands, Fooocus takes its usual value."""
    pictures: list[dict[str, Any]] = [
        {"cn_img": _text(data), "cn_type": "ImagePrompt", "cn_stop": 0, "cn_weight": 0}
        for data in request.references
    ]
    for control in request.control:
        assert control.image, "the core gives the picture"
        if not 0 < control.weight <= 2:
            what = f"the weight {control.weight:g} of the control picture is not above 0 and to 2"
            raise RequestRejected(name, f"{what}, which Fooocus takes; ask for one of these")
        one = {"cn_img": _text(control.image), "cn_type": "PyraCanny", "cn_stop": 0}
        pictures.append({**one, "cn_weight": control.weight})
    if len(pictures) > MAX_PICTURES:
        what = f"Fooocus takes {MAX_PICTURES} references and control pictures together"
        raise RequestRejected(name, f"{what}, and would leave the others out; ask for fewer")
    return pictures


def _strength(request: ProviderRequest) -> float:
    usual = 1.0 if request.mask is not None else 0.75
    return usual if request.strength is None else request.strength


def _text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()
