"""Read what version 1 of this program recorded: its jobs, and the names that it gave to requests.

Nothing here is written any more. Version 1 named requests by a hash of Python's repr, so its fields
and their order stand here as they were.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ziggie_image_mcp.jobs import version_2
from ziggie_image_mcp.jobs.records import BATCH, INTERACTIVE, UNREADABLE, JobOutcome, JobSpec
from ziggie_image_mcp.provider.nouns import Model, ProviderRequest
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.storage.types import InputImage

_log = logging.getLogger(__name__)

_FIELDS = (
    "prompt",
    "negative_prompt",
    "width",
    "height",
    "aspect_ratio",
    "num_images",
    "seed",
    "steps",
    "guidance_scale",
    "sampler",
    "scheduler",
    "model",
    "provider",
    "quality",
    "max_cost_usd",
    "allow_paid",
    "output_format",
    "file_name",
    "image",
    "mask",
    "strength",
)
_SPEC_KEYS = {"terms": "constraints", "until": "deadline", "yes": "consent"}


def job_spec(text: str, carried: Mapping[str, str] | None = None) -> JobSpec:
    """The spec of a job out of its order, with the steps that it had recorded.

    Translated into the form of version 2, and from there into that of today. `carried` has the
    steps by the names of version 1.
    """
    order: dict[str, Any] = json.loads(text)
    values = {_SPEC_KEYS.get(key, key): value for key, value in order.items()}
    values["routes"] = [_renamed(route) for route in order["routes"]]
    values["priority"] = BATCH if order["id"].startswith("batch-") else INTERACTIVE
    steps = dict(filter(None, map(_readable_step, (carried or {}).items())))
    return version_2.job_spec(json.dumps(values), steps)


def job_outcome(text: str) -> JobOutcome:
    """What became of a job."""
    outcome: dict[str, Any] = json.loads(text)
    results = [_renamed(result) for result in outcome["results"]]
    return version_2.job_outcome(json.dumps(outcome | {"results": results}))


def _readable_step(item: tuple[str, str]) -> tuple[str, str] | None:
    """A step, or None where it is damaged: it is done again, and the ledger knows what was paid."""
    try:
        return _step(item)
    except UNREADABLE as e:
        _log.warning("The step %s of a job of version 1 cannot be read: %s", item[0], e)
        return None


def _step(item: tuple[str, str]) -> tuple[str, str] | None:
    name, text = item
    kind, _, place = name.partition("-")
    record: dict[str, Any] = json.loads(text)
    if kind == "plan":
        record["routes"] = [_renamed(route) for route in record["routes"]]
        record["stored"] = None if record["stored"] is None else _renamed(record["stored"])
        return f"choose-{place}", json.dumps(record)
    if kind == "try":
        return f"attempt-{place}", text
    return None


def _renamed(route: dict[str, Any]) -> dict[str, Any]:
    """A route or a result, by the names of version 2."""
    return {("request" if key == "job" else key): value for key, value in route.items()}


def fingerprint(requests: Sequence[ImageRequest]) -> str:
    """What version 1 called these requests, as for their request_id."""
    parts_text = ", ".join(map(_repr, requests)) + ("," if len(requests) == 1 else "")
    return hashlib.sha256(f"({parts_text})".encode()).hexdigest()[:24]


def batch_id(items: Sequence[tuple[int, int, ImageRequest]]) -> str:
    """What version 1 called a batch of these items: line, part and request of each."""
    parts = [
        f"Item(line={line!r}, part={part!r}, request={_repr(request)})"
        for line, part, request in items
    ]
    parts_text = ", ".join(parts) + ("," if len(parts) == 1 else "")
    return hashlib.sha256(f"({parts_text})".encode()).hexdigest()[:12]


def cache_key(
    request: ProviderRequest, model: Model, output_format: str, model_fingerprint: str
) -> str:
    """What version 1 called the result of this request, among cached ones."""
    guidance = None if request.guidance_scale is None else float(request.guidance_scale)
    job: dict[str, object] = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "width": request.width,
        "height": request.height,
        "num_images": request.num_images,
        "seed": request.seed,
        "steps": request.steps,
        "guidance_scale": guidance,
        "sampler": request.sampler,
        "scheduler": request.scheduler,
    }
    for name in ("strength", "image_id", "mask_id"):
        if getattr(request, name):
            job[name] = getattr(request, name)
    facts = {
        "job": job,
        "provider": model.provider,
        "model": model.id,
        "output_format": output_format,
        "fingerprint": model_fingerprint,
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _repr(request: ImageRequest) -> str:
    parts: list[str] = []
    for name in _FIELDS:
        value = cast(object, getattr(request, name))
        if isinstance(value, InputImage):
            image = f"id={value.id!r}, width={value.width!r}, height={value.height!r}"
            parts.append(f"{name}=GivenImage({image})")
        else:
            parts.append(f"{name}={value!r}")
    return f"ImageRequest({', '.join(parts)})"
