"""A provider of InvokeAI at a loopback server, what is asked of it, and graphs as short texts."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from tests.support.fake_invokeai import RECORDS, FakeInvokeAI
from tests.support.vendors import ignore
from ziggie_image_mcp.provider import (
    Generation,
    Model,
    ProviderContext,
    ProviderRequest,
    RemoteJob,
    Run,
    Task,
)
from ziggie_image_mcp.provider.testing import FakeVendor, picture
from ziggie_image_mcp.provider.testing.rig import left_half
from ziggie_image_providers.invokeai import InvokeAI
from ziggie_image_providers.invokeai.settings import Settings
from ziggie_image_providers.invokeai.watch import Pace

RUN = Run(key="job-1/attempt-1", progress=ignore)
QUICK = Pace(first=0.001, longest=0.005, patience=0.3)
LOGIN = "ana@example.org:correct horse"
NAMES = {record["key"]: record["name"] for record in RECORDS}


@asynccontextmanager
async def provider(fake: FakeInvokeAI, **section: Any) -> AsyncGenerator[InvokeAI]:
    """One at a server that answers so."""
    with FakeVendor(fake) as vendor:
        async with at(vendor.url, **section) as invoke:
            yield invoke


@asynccontextmanager
async def at(url: str, login: str = "", **section: Any) -> AsyncGenerator[InvokeAI]:
    """One at this address."""

    async def secret(name: str) -> str | None:
        return login or None

    settings = Settings.model_validate({"baseUrl": url, **section})
    with tempfile.TemporaryDirectory() as folder:
        context = ProviderContext(data_dir=Path(folder), secret=secret)
        invoke = InvokeAI("invokeai", settings, context, pace=QUICK)
        try:
            yield invoke
        finally:
            await invoke.aclose()


async def listed(invoke: InvokeAI) -> Mapping[str, Model]:
    return {model.id: model for model in await invoke.list_models()}


def request(task: Task = "text_to_image", **changes: Any) -> ProviderRequest:
    """What the core would ask, 64 by 64."""
    values: dict[str, Any] = {"prompt": "a red fox", "width": 64, "height": 64, "seed": 7}
    values |= {"task": task, "steps": 3}
    if task != "text_to_image":
        values |= {"image_id": "i", "image": picture(64, 64)}
    if task == "inpaint":
        values |= {"mask_id": "m", "mask": left_half(64, 64)}
    return ProviderRequest(**(values | changes))


async def make(invoke: InvokeAI, id: str, asked: ProviderRequest, run: Run = RUN) -> Generation:
    """Submit and collect, as the executor does."""
    model = (await listed(invoke))[id]
    remote = await invoke.submit(asked, model, run)
    assert isinstance(remote, RemoteJob)
    return await invoke.collect(remote.id, asked, model, run)


async def graph_of(id: str, asked: ProviderRequest, **fake: Any) -> list[str]:
    """The graph that goes out for a request: its nodes, then its edges, a line each."""
    server = FakeInvokeAI(**fake)
    async with provider(server) as invoke:
        await make(invoke, id, asked)
    names = {name: f"picture {i}" for i, name in enumerate(server.uploaded, 1)}
    return lines(server.batches[0], names)


def lines(batch: Mapping[str, Any], pictures: Mapping[str, str]) -> list[str]:
    """A batch's graph in short: models and pictures by name, and without what all nodes have."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return [short(item) for item in cast("Sequence[Any]", value)]
        if not isinstance(value, dict):
            return value
        facts = cast("dict[str, Any]", value)
        if "image_name" in facts:
            return pictures[facts["image_name"]]
        return NAMES[facts["key"]] if "key" in facts else facts

    told: list[str] = []
    for id, node in batch["graph"]["nodes"].items():
        assert node["id"] == id
        assert node["is_intermediate"] is True
        inputs = {
            k: short(v) for k, v in node.items() if k not in ("id", "type", "is_intermediate")
        }
        told.append(f"{id}: {node['type']} {json.dumps(inputs)}")
    for edge in batch["graph"]["edges"]:
        ends = (f"{edge[k]['node_id']}.{edge[k]['field']}" for k in ("source", "destination"))
        told.append(" > ".join(ends))
    return told
