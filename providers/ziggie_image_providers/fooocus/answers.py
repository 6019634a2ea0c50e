"""Hold what Fooocus made to what was asked: for what it does not know it takes its defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from ziggie_image_mcp.provider import (
    NO_COST,
    GeneratedImage,
    Generation,
    Model,
    ProviderRequest,
    options_of,
    quote,
)
from ziggie_image_mcp.provider.json_paths import number
from ziggie_image_mcp.provider.pictures import png_text
from ziggie_image_providers.fooocus import failures, wire
from ziggie_image_providers.fooocus.server import Result


def check(name: str, results: Sequence[Result]) -> None:
    """See that there is a picture at all.

    Raises:
        ProviderError: There is none, or it says why not.
    """
    good = [result for result in results if result.reason == "SUCCESS" and result.path]
    if good:
        return
    if not results:
        raise failures.nothing_came(name)
    raise failures.not_finished(name, results[0].reason)


def generation(
    name: str,
    request: ProviderRequest,
    model: Model,
    pictures: Sequence[tuple[Result, bytes]],
) -> Generation:
    """The pictures of a job.

    Args:
        name: The provider's name.
        request: What was asked.
        model: With which model.
        pictures: As Fooocus told of them, and their files.

    Raises:
        InvalidOutput: They were made with another model.
    """
    seeded = "seed" in options_of(model, request.task)
    notes: list[str] = []
    asked_words = wire.sampling(name, request, model)
    images: list[GeneratedImage] = []
    for index, (result, file) in enumerate(pictures):
        facts = _facts(file)
        used = facts.get("base_model")
        if isinstance(used, str) and used and _stem(used) != _stem(model.id):
            raise failures.another_model(name, model.id, used)
        notes += _differences(request, asked_words, facts)
        asked = request.seed + index
        if seeded and result.seed not in (None, asked):
            notes.append(f"Fooocus used the seed {result.seed} instead of {asked}")
        told = seeded and result.seed is not None and result.seed < 2**32
        images.append(GeneratedImage(data=file, seed=result.seed if told else None))
    if len(images) < request.num_images:
        what = f"Fooocus made {len(images)} pictures of {request.num_images}"
        notes.append(f"{what}; it may have been stopped there")
    return Generation(images=tuple(images), notes=tuple(dict.fromkeys(notes)), cost=NO_COST)


def _facts(file: bytes) -> Mapping[str, Any]:
    """What Fooocus wrote into a picture; empty where it wrote nothing."""
    try:
        facts: object = json.loads(png_text(file, "parameters"))
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", facts) if isinstance(facts, dict) else {}


def _differences(
    request: ProviderRequest, sampling: Mapping[str, Any], facts: Mapping[str, Any]
) -> Iterator[str]:
    """What was done otherwise than it was asked."""
    for what in ("sampler", "scheduler"):
        asked, used = sampling.get(f"{what}_name"), facts.get(what)
        if asked and isinstance(used, str) and used != asked:
            yield f"Fooocus used the {what} {quote(used)} instead of {asked}"
    listed = facts.get("loras")
    if isinstance(listed, list):
        used_loras = {_stem(str(name)) for name in _names(cast("list[object]", listed))}
        for lora in request.loras:
            if _stem(lora.id) not in used_loras:
                yield f"Fooocus did not lay the LoRA {lora.id} over the model"
    for what, wanted in (("steps", request.steps), ("guidance_scale", request.guidance_scale)):
        used = number(facts.get(what))
        if wanted is not None and used is not None and abs(wanted - used) > 1e-3:
            yield f"Fooocus used {what} {used:g} instead of {wanted:g}"


def _names(listed: Sequence[object]) -> Iterator[object]:
    """The first of each of its lists of name, weight and hash."""
    for item in listed:
        if isinstance(item, list) and item:
            yield cast("list[object]", item)[0]


def _stem(file: str) -> str:
    name = file.replace("\\", "/").rpartition("/")[2]
    return name.removesuffix(".safetensors").removesuffix(".ckpt").lower()
