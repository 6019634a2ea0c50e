"""Say a request in the words of a server with OpenAI's picture routes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ziggie_image_mcp.provider import Model, ProviderRequest, options_of
from ziggie_image_mcp.provider.http import Files
from ziggie_image_mcp.provider.masks import convert_mask
from ziggie_image_mcp.provider.vendor import to_data_url
from ziggie_image_providers.openai.flavours import Flavour, Route

MASK_BYTES = 4_000_000
"""A mask is smaller."""


def body(
    request: ProviderRequest,
    model: Model,
    flavour: Flavour,
    route: Route,
    settings: Mapping[str, str],
) -> dict[str, Any]:
    """The fields of a request.

    Args:
        request: What is asked for.
        model: By which model.
        flavour: The server's.
        route: Of the task.
        settings: What the user set that the route reads.
    """
    if route.bare:
        factor = {route.factor: request.factor} if route.factor else {}
        return {"model": model.id, **factor, **_encoded(request, route)}
    values: dict[str, Any] = {
        "negative_prompt": request.negative_prompt or None,
        "seed": request.seed % (flavour.max_seed + 1),
        "steps": request.steps,
        "guidance_scale": request.guidance_scale,
        "strength": request.strength,
        "quality": request.quality or None,
        "transparent": "transparent" if request.transparent else None,
    }
    options = options_of(model, request.task)
    fields = {
        name: values[option]
        for option, name in route.fields.items()
        if option in options and values[option] is not None
    }
    said: dict[str, Any] = {
        "model": model.id,
        "prompt": request.prompt,
        "n": request.num_images,
        "size": f"{request.width}x{request.height}",
        **route.always,
        **settings,
    }
    if flavour.tag:
        said["prompt"] = _tagged(flavour.tag, request.prompt, fields)
    else:
        negative = fields.pop("", None)
        said |= fields
        if flavour.separator:
            prompts = [request.prompt, negative] if negative else [request.prompt]
            plain = [prompt.replace(flavour.separator, "/") for prompt in prompts]
            said["prompt"] = flavour.separator.join(plain)
    return said | _encoded(request, route)


def files(request: ProviderRequest, route: Route) -> Files:
    """The pictures of a form; the mask as the server reads it."""
    if not route.image:
        return ()
    first = () if request.image is None else (request.image,)
    images = (*first, *request.references)
    name = route.image if len(images) == 1 else f"{route.image}[]"
    parts = [(name, (f"image{i}.png", image, "image/png")) for i, image in enumerate(images)]
    if request.mask is not None and route.polarity is not None:
        mask = convert_mask(request.mask, route.polarity)
        if len(mask) >= MASK_BYTES:  # greys pack badly; what was not masked is put back anyway
            mask = convert_mask(request.mask, route.polarity, hard=True)
        parts.append((route.mask, ("mask.png", mask, "image/png")))
    return parts


def changes(request: ProviderRequest, flavour: Flavour) -> Iterator[str]:
    """What was said otherwise than the user wrote it."""
    bar = flavour.separator
    if bar and bar in request.prompt + request.negative_prompt:
        yield f"{bar} was sent as /, since {flavour.title} reads what follows it as negative prompt"


def _encoded(request: ProviderRequest, route: Route) -> dict[str, str]:
    """The picture of a JSON body, where it has one."""
    if not route.encoded_image or request.image is None:
        return {}
    if route.data_url:
        return {route.encoded_image: to_data_url(request.image)}
    return {route.encoded_image: base64.b64encode(request.image).decode()}


def _tagged(tag: str, prompt: str, fields: Mapping[str, Any]) -> str:
    """A prompt with its options in it; what the user wrote between such tags is no option."""

    def plain(text: str) -> str:
        while (less := re.sub(rf"</?{tag}>", "", text)) != text:
            text = less  # what stood around a tag may be one
        return text

    levels: dict[str, Any] = {}
    for name, value in fields.items():
        level, (*above, last) = levels, name.split(".")
        for key in above:
            level = level.setdefault(key, {})
        level[last] = plain(value) if isinstance(value, str) else value
    return f"{plain(prompt)} <{tag}>{json.dumps(levels)}</{tag}>" if levels else plain(prompt)
