"""Read what version 2 of this program recorded: its jobs, their steps and outcomes, cached results.

Nothing here is written any more. Version 2 had one list of features for all tasks of a model, one
price for a picture, and no parts of pictures.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, cast

from ziggie_image_mcp.assets.region import whole
from ziggie_image_mcp.jobs.errors import JobLost
from ziggie_image_mcp.jobs.records import (
    UNREADABLE,
    AttemptOutcome,
    Choice,
    Failure,
    JobOutcome,
    JobSpec,
    dump,
    load,
)
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.provider.sizes import Size
from ziggie_image_mcp.routing.constraints import Constraints
from ziggie_image_mcp.routing.request import digest

_log = logging.getLogger(__name__)

_TASKS = ("text_to_image", "image_to_image", "inpaint")
_KEYS = (
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "num_images",
    "seed",
    "steps",
    "guidance_scale",
    "sampler",
    "scheduler",
    "strength",
    "image_id",
    "mask_id",
)
"""What a request of a provider had, as far as a cached result is named by it."""


def job_spec(text: str, carried: Mapping[str, str] | None = None) -> JobSpec:
    """The spec of a job, with the steps that it had recorded, by their names.

    One that had not begun is routed anew: version 2 knew less of what a provider takes.
    """
    values: dict[str, Any] = json.loads(text)
    requests: list[dict[str, Any]] = values["requests"]
    values["routes"] = []
    consent = values.pop("consent", None)
    values["consents"] = [] if consent is None else [consent]
    values["carried"] = {
        name: record
        for name, old in (values.get("carried", {}) | dict(carried or {})).items()
        if (record := _readable_step(name, old, requests)) is not None
    }
    values["version"] = JobSpec.version
    return load(JobSpec, json.dumps(values))


def unreadable(job_id: str, accepted: datetime) -> JobSpec:
    """A job of which something cannot be read: it ends, and says so."""
    message = "An earlier version of ziggie-image-mcp left this job; its record cannot be read."
    return JobSpec(
        id=job_id,
        requests=(),
        constraints=Constraints(
            privacy="any", commercial_use=False, provider="auto", allow_paid_fallback="never"
        ),
        accepted=accepted,
        failure=Failure(code=JobLost.code, message=message),
    )


def job_outcome(text: str) -> JobOutcome:
    """What became of a job."""
    outcome: dict[str, Any] = json.loads(text)
    results = [result(one) for one in outcome["results"]]
    return load(JobOutcome, json.dumps(outcome | {"results": results}))


def _readable_step(name: str, text: str, requests: Sequence[dict[str, Any]]) -> str | None:
    """A step, or None where it is damaged: it is done again, and the ledger knows what was paid."""
    try:
        return _step(name, text, requests)
    except UNREADABLE as e:
        _log.warning("The step %s of a job of an earlier version cannot be read: %s", name, e)
        return None


def _step(name: str, text: str, requests: Sequence[dict[str, Any]]) -> str | None:
    record: dict[str, Any] = json.loads(text)
    if name.startswith("choose-"):
        asked = requests[int(name.removeprefix("choose-"))]
        record["routes"] = [candidate(route, asked) for route in record["routes"]]
        record["stored"] = None if record["stored"] is None else result(record["stored"])
        return dump(load(Choice, json.dumps(record)))
    if name.startswith("attempt-"):
        return dump(load(AttemptOutcome, json.dumps(record)))
    return None


def candidate(route: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """A route of version 2 in the form of this one. Its price was an upper bound.

    An edit was of the whole picture, whose size it did not keep; now it does.

    Args:
        route: As it was recorded.
        asked: The request that it is a route of.
    """
    image = asked.get("image")
    return route | {
        "model": model(route["model"]),
        "request": request(route["request"]),
        "expected_micro_usd": route["cost_micro_usd"],
        "placement": asdict(whole(Size(image["width"], image["height"]))) if image else None,
    }


def result(value: dict[str, Any]) -> dict[str, Any]:
    """A result of version 2 in the form of this one."""
    return value | {"model": model(value["model"]), "request": request(value["request"])}


def request(old: dict[str, Any]) -> dict[str, Any]:
    """A provider's request of version 2 in the form of this one."""
    task = "text_to_image"
    if old.get("image_id"):
        task = "inpaint" if old.get("mask_id") else "image_to_image"
    return {k: v for k, v in old.items() if k not in ("image", "mask")} | {"task": task}


def model(old: dict[str, Any]) -> dict[str, Any]:
    """A model of version 2 in the form of this one."""
    features = set(cast("list[str]", old["features"]))
    sizes = {
        "native_width": old["native_width"],
        "native_height": old["native_height"],
        "min_side": old["min_side"],
        "max_side": old["max_side"],
        "multiple_of": old["multiple_of"],
        "min_pixels": old["min_pixels"],
        "max_pixels": old["max_pixels"],
    }
    capability = {
        "sizes": sizes,
        "options": sorted(features.difference(_TASKS)),
        "max_images": old["max_images"],
    }
    kept = (
        "id",
        "provider",
        "family",
        "title",
        "aliases",
        "license",
        "commercial_use",
        "demo",
        "device",
        "distilled",
        "quality",
        "seconds",
    )
    state = "loaded" if old["loaded"] else "ready"
    return {name: old[name] for name in kept} | {
        "where": "this_machine" if old["local"] else "vendor",
        "tasks": {task: capability for task in _TASKS if task in features},
        "prices": _prices(old),
        "state": state if old["installed"] else "missing",
        "fix": old["how_to_install"],
        "memory": {
            "vram_bytes": old["vram_bytes"],
            "ram_bytes": old["ram_bytes"],
            "managed": old["remote"],
        },
        "defaults": {"steps": old["default_steps"], "guidance_scale": old["default_guidance"]},
    }


def _prices(old: dict[str, Any]) -> str | dict[str, Any]:
    each: int | None = old["price_micro_usd"]
    if each == 0:
        return "free"
    rates: list[dict[str, Any]] = [
        {"unit": "image", "micro_usd": price, "when": {"max_pixels": pixels}}
        for pixels, price in old["price_by_pixels"]
    ]
    if each is not None and not rates:
        rates = [{"unit": "image", "micro_usd": each}]
    if old["price_of_given_micro_usd"]:
        rates.append({"unit": "input_image", "micro_usd": old["price_of_given_micro_usd"]})
    return {"rates": rates, "as_of": old["price_as_of"]}


def knew(request: ProviderRequest) -> bool:
    """Whether version 2 could have been asked for the same: all that came later is left open."""
    return all(
        getattr(request, one.name) == one.default
        for one in fields(request)
        if one.name not in {*_KEYS, "task", "bucket", "image", "mask"}
    )


def cache_key(
    request: ProviderRequest,
    model: Model,
    output_format: str,
    model_fingerprint: str,
    *,
    beside: Mapping[str, Any],
) -> str:
    """What version 2 called the result of this request, among cached ones."""
    values = {name: getattr(request, name) for name in _KEYS}
    if values["guidance_scale"] is not None:
        values["guidance_scale"] = float(values["guidance_scale"])
    facts = {
        "version": 2,
        "request": {k: v for k, v in values.items() if v not in (None, "")},
        "provider": model.provider,
        "model": model.id,
        "output_format": output_format,
        "fingerprint": model_fingerprint,
    }
    return digest({**facts, "beside": dict(beside)} if beside else facts)
