"""Read what a server answers, and hold it to what was asked: these servers change in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from ziggie_image_mcp.provider import sampler_names as names
from ziggie_image_mcp.provider.http import Answer
from ziggie_image_mcp.provider.json_paths import number
from ziggie_image_mcp.provider.pictures import png_text
from ziggie_image_mcp.provider.vendor import from_base64
from ziggie_image_providers.a1111 import failures
from ziggie_image_providers.a1111.listing import Entry, plain_name
from ziggie_image_providers.a1111.wire import Job

_SEED = re.compile(r"\bSeed: (\d+)")


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a server says of the pictures that it made."""

    seeds: tuple[int, ...] = ()
    first: int = 0
    """Of the pictures: what comes before is a grid."""
    facts: Mapping[str, Any]


def generation(
    name: str, title: str, answer: Answer, request: ProviderRequest, entry: Entry, job: Job
) -> Generation:
    """The pictures of an answer.

    Args:
        name: The provider's name.
        title: What the server is called.
        answer: Of txt2img or img2img.
        request: What was asked.
        entry: With which model.
        job: How it went out.

    Raises:
        OutOfMemory: There is no picture, without an error.
        InvalidOutput: It was made with another model.
        ValueError: It is not in the API's words.
    """
    body = answer.json()
    images, info = body["images"], _info(body.get("info"))
    if not isinstance(images, list):
        raise ValueError("no list of images")
    if not images:
        raise failures.nothing_came(name, title)
    _check_model(name, title, entry, info.facts)
    count = len(info.seeds) or request.num_images
    own = cast("list[object]", images)[info.first : info.first + count][: request.num_images]
    pictures = [picture for image in own if (picture := from_base64(image)) is not None]
    if not pictures:
        raise InvalidOutput(name, f"{title} answered with what is no picture in base64")
    notes = [*job.notes, *_differences(title, job.body, info.facts)]
    if len(pictures) < request.num_images:
        what = f"{title} made {len(pictures)} pictures of {request.num_images}"
        notes.append(f"{what}; it may have been interrupted there")
    honoured = "seed" in options_of(entry.model, request.task)
    seeds = _seeds(info, pictures, request) if honoured else [None] * len(pictures)
    pairs = ((seed, (request.seed + i) % 2**32) for i, seed in enumerate(seeds))
    strange = next(((seed, asked) for seed, asked in pairs if seed not in (None, asked)), None)
    if strange is not None:
        used = quote(str(strange[0]))
        notes.append(f"{title} used the seed {used} instead of {strange[1]}")
    known = (None if s is None or not 0 <= s < 2**32 else s for s in seeds)
    return Generation(
        images=tuple(GeneratedImage(data=d, seed=s) for d, s in zip(pictures, known, strict=True)),
        notes=tuple(dict.fromkeys(notes)),
        cost=NO_COST,
    )


def enlarged(name: str, title: str, answer: Answer) -> Generation:
    """The picture of an answer of an upscaler.

    Raises:
        OutOfMemory: There is none, without an error.
        ValueError: It is not in the API's words.
    """
    image = answer.json()["image"]
    if not image:
        raise failures.nothing_came(name, title)
    data = from_base64(image)
    if data is None:
        raise InvalidOutput(name, f"{title} answered with what is no picture in base64")
    return Generation(images=(GeneratedImage(data=data, seed=None),), cost=NO_COST)


def _info(info: object) -> Info:
    """`info`, which is JSON in a text, an object, or empty, by the server."""
    if isinstance(info, str) and info.strip():
        try:
            info = json.loads(info)
        except (ValueError, RecursionError):
            info = None
    facts = cast("dict[str, Any]", info) if isinstance(info, dict) else {}
    listed = facts.get("all_seeds")
    seeds = cast("list[object]", listed) if isinstance(listed, list) else []
    first = facts.get("index_of_first_image")
    return Info(
        seeds=tuple(s for s in seeds if type(s) is int),
        first=first if type(first) is int and first >= 0 else 0,
        facts=facts,
    )


def _check_model(name: str, title: str, entry: Entry, facts: Mapping[str, Any]) -> None:
    used, hash = facts.get("sd_model_name"), facts.get("sd_model_hash")
    if not isinstance(used, str) or not used:
        return
    same_hash = bool(entry.hash) and hash == entry.hash
    if not same_hash and plain_name(used) not in entry.names:
        raise failures.another_model(name, title, entry.model.id, used)


def _differences(title: str, body: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    """What was done otherwise than it was asked."""
    extra = facts.get("extra_generation_params")
    more = cast("dict[str, Any]", extra) if isinstance(extra, dict) else {}
    for what, asked, used in (
        ("sampler", body.get("sampler_name"), facts.get("sampler_name")),
        ("scheduler", body.get("scheduler"), more.get("Schedule type")),
    ):
        if asked and isinstance(used, str) and used and names.plain(used) != names.plain(asked):
            yield f"{title} used the {what} {quote(used)} instead of {asked}"
    for what in ("steps", "cfg_scale"):
        wanted, used = number(body.get(what)), number(facts.get(what))
        if wanted is not None and used is not None and abs(wanted - used) > 1e-3:
            yield f"{title} used {what} {used:g} instead of {wanted:g}"


def _seeds(info: Info, pictures: Sequence[bytes], request: ProviderRequest) -> list[int | None]:
    """The seed of each picture: as the answer, or the picture, tells; the first as asked."""
    if len(info.seeds) >= len(pictures):
        return [*info.seeds[: len(pictures)]]
    seeds = [_seed_in(picture) for picture in pictures]
    if seeds[0] is None:
        seeds[0] = request.seed
    return seeds


def _seed_in(png: bytes) -> int | None:
    """The seed in the text that a PNG carries before its pixels; None where it says none."""
    match = _SEED.search(png_text(png, "parameters"))
    return int(match[1]) if match and int(match[1]) < 2**32 else None
