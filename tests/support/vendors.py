"""Build one paid provider against a loopback vendor, and have it make or refuse a picture."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ziggie_image_mcp.provider import (
    Generation,
    Model,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    RemoteJob,
    Run,
    Task,
)
from ziggie_image_mcp.provider.sizes import bucket_of, native_size
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture
from ziggie_image_mcp.provider.testing.rig import left_half

Script = Callable[[Seen], Reply]

KEY = "key-0123456789abcdef0123456789abcdef"


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="7f1c2a54-93be-4e0d-8a61-2d0f5b6c7e88", progress=ignore)


@asynccontextmanager
async def provider(kind: Any, url: str = "", **section: Any) -> AsyncGenerator[Any]:
    """One of this kind, which asks `url`; at its usual address where that is empty."""

    async def secret(name: str) -> str | None:
        return KEY

    where: dict[str, Any] = {"baseUrl": url, "local": False} if url else {"livePrices": False}
    if url and "prices_url" in kind.Settings.model_fields:
        where["pricesUrl"] = url
    settings = kind.Settings.model_validate({**where, **section})
    with tempfile.TemporaryDirectory() as folder:
        made = kind(
            kind.__name__.lower(), settings, ProviderContext(data_dir=Path(folder), secret=secret)
        )
        try:
            yield made
        finally:
            await made.aclose()


async def model(tested: Any, id: str) -> Model:
    found: Model = next(m for m in await tested.list_models() if m.id == id)
    return found


def request(listed: Model, task: Task = "text_to_image", **changes: Any) -> ProviderRequest:
    """What the core would ask of a model at its native size."""
    able = listed.tasks[task]
    width, height = changes.pop("size", None) or native_size(able.sizes)
    bucket = bucket_of(able.sizes, native_size(able.sizes)._replace(width=width, height=height))
    values: dict[str, Any] = {
        "task": task,
        "prompt": "a red bicycle",
        "width": width,
        "height": height,
        "bucket": bucket.name if bucket else "",
        "seed": 7,
        "steps": listed.defaults.steps if "steps" in able.options else None,
        "guidance_scale": listed.defaults.guidance_scale,
        "quality": listed.defaults.quality,
    }
    if task != "text_to_image":
        values |= {"image_id": "i", "image": picture(width, height)}
    if task in ("inpaint", "outpaint"):
        values |= {"mask_id": "m", "mask": left_half(width, height)}
    return replace(ProviderRequest(prompt="", width=1, height=1), **{**values, **changes})


async def make(tested: Any, asked: ProviderRequest, listed: Model) -> Generation:
    """Submit, and collect where there is something to be collected."""
    submission = await tested.submit(asked, listed, RUN)
    if isinstance(submission, RemoteJob):
        collected: Generation = await tested.collect(submission.id, asked, listed, RUN)
        return collected
    made: Generation = submission
    return made


async def body_of(
    kind: Any,
    script: Script,
    id: str,
    task: Task = "text_to_image",
    *,
    section: Mapping[str, Any] | None = None,
    base_path: str = "",
    **changes: Any,
) -> tuple[str, Any]:
    """Where a request goes, and what it carries."""
    with FakeVendor(script) as vendor:
        async with provider(kind, vendor.url + base_path, **(section or {})) as tested:
            listed = await model(tested, id)
            await make(tested, request(listed, task, **changes), listed)
        posts = [seen for seen in vendor.seen if seen.method == "POST"]
    return posts[0].path, posts[0].form if posts[0].is_form else posts[0].body


async def answer_to(
    kind: Any, script: Script, id: str, *, base_path: str = "", **changes: Any
) -> Generation:
    """What comes of one request."""
    with FakeVendor(script) as vendor:
        async with provider(kind, vendor.url + base_path) as tested:
            listed = await model(tested, id)
            return await make(tested, request(listed, **changes), listed)


async def error_of(
    kind: Any, script: Script, id: str, *, base_path: str = "", **changes: Any
) -> ProviderError:
    """The error that one request ends with."""
    with pytest.raises(ProviderError) as error:
        await answer_to(kind, script, id, base_path=base_path, **changes)
    return error.value
