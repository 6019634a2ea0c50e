"""Hold what SwarmUI made to what was asked: it takes names that are alike, and leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ziggie_image_mcp.provider import (
    NO_COST,
    GeneratedImage,
    Generation,
    InvalidOutput,
    ProviderRequest,
    options_of,
    quote,
)
from ziggie_image_mcp.provider.json_paths import first_object, number, values
from ziggie_image_mcp.provider.pricing import list_cost
from ziggie_image_mcp.provider.sampler_names import plain
from ziggie_image_providers.swarmui import failures
from ziggie_image_providers.swarmui.listing import Entry, plain_name
from ziggie_image_providers.swarmui.stream import Outcome, Picture
from ziggie_image_providers.swarmui.wire import Job

_TOLD = ("width", "height", "images", "model", "prompt", "donotsave", "nopreviews", "session_id")
"""What SwarmUI calls unused though it is not, or what is checked otherwise."""


def generation(
    name: str, outcome: Outcome, request: ProviderRequest, entry: Entry, job: Job
) -> Generation:
    """The pictures of a job.

    Args:
        name: The provider's name.
        outcome: What came of it.
        request: What was asked.
        entry: With which model.
        job: How it went out.

    Raises:
        ProviderError: SwarmUI told of an error, and gave no picture.
        OutOfMemory: It gave none, without an error.
        InvalidOutput: They were made with another model, or are no pictures.
    """
    own = {i: p for i, p in outcome.pictures.items() if i not in outcome.discarded}
    kept = [(i, own[i]) for i in sorted(own)][: request.num_images]
    if not kept and outcome.error is not None:
        raise outcome.error
    if not kept and outcome.strange:
        raise InvalidOutput(name, "SwarmUI answered with what is no picture in base64")
    if not kept and outcome.discarded:
        raise InvalidOutput(name, "an extension of SwarmUI sorted all pictures out")
    if not kept:
        raise failures.nothing_came(name)
    for _, picture in kept:
        _check_model(name, entry, picture)
    notes = list(_differences(job.body, kept[0][1].metadata))
    if len(kept) < request.num_images:
        why = f": {outcome.error}" if outcome.error is not None else ""
        if outcome.discarded:
            why = why or "; an extension of it sorted the others out"
        notes.append(f"SwarmUI made {len(kept)} pictures of {request.num_images}{why}")
    seeded = "seed" in options_of(entry.model, request.task)
    images: list[GeneratedImage] = []
    for index, picture in kept:
        asked = (request.seed + index) % 2**32
        used = _params(picture.metadata).get("seed")
        seed = asked if used is None else used
        if seeded and seed != asked:
            notes.append(f"SwarmUI used the seed {quote(str(seed))} instead of {asked}")
        told = seeded and type(seed) is int and 0 <= seed < 2**32
        images.append(GeneratedImage(data=picture.data, seed=seed if told else None))
    return Generation(
        images=tuple(images),
        notes=tuple(dict.fromkeys(notes)),
        cost=list_cost(request, entry.model, len(images)) if entry.paid else NO_COST,
    )


def _params(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return first_object(metadata, "sui_image_params")


def _check_model(name: str, entry: Entry, picture: Picture) -> None:
    used = _params(picture.metadata).get("model")
    if isinstance(used, str) and used and plain_name(used) != plain_name(entry.name):
        raise failures.another_model(name, entry.model.id, used)


def _differences(body: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[str]:
    """What was done otherwise than it was asked."""
    params = _params(metadata)
    for what in ("sampler", "scheduler", "vae"):
        asked, used = body.get(what), params.get(what)
        if asked and isinstance(used, str) and plain(plain_name(used)) != plain(plain_name(asked)):
            yield f"SwarmUI used the {what} {quote(used)} instead of {asked}"
    for what in ("steps", "cfgscale", "fluxguidancescale", "initimagecreativity"):
        wanted, used = number(body.get(what)), number(params.get(what))
        if wanted is not None and used is not None and abs(wanted - used) > 1e-3:
            yield f"SwarmUI used {what} {used:g} instead of {wanted:g}"
    asked_loras, loras = body.get("loras"), params.get("loras")
    if isinstance(asked_loras, list) and isinstance(loras, list):
        told = {plain_name(str(word)) for word in cast("list[object]", loras)}
        for word in cast("list[str]", asked_loras):
            if plain_name(word) not in told:
                yield f"SwarmUI did not lay the LoRA {word} over the model"
    for unused in values(metadata, "sui_extra_data.unused_parameters[]"):
        if isinstance(unused, str) and unused in body and unused not in _TOLD:
            yield f"SwarmUI says that it made no use of {unused}"
