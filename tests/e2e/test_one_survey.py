"""One call looks at each provider once, and decodes no picture twice for its preview."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, ImageContent, TextContent

from tests.support.factory import machine, opener
from ziggie_image_mcp.app.application import build_service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.inventory.types import Hardware
from ziggie_image_mcp.jobs.workflow import Role
from ziggie_image_mcp.provider import Model
from ziggie_image_mcp.provider.contract import Provider
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.storage.artifact_store import ArtifactStore
from ziggie_image_mcp.storage.types import Preview


class Counts:
    """How often each provider was asked for its models, and the hardware looked at."""

    def __init__(self) -> None:
        self.listings = Counter[str]()
        self.probes = 0

    async def probe(self) -> Hardware:
        self.probes += 1
        return machine()


class Free(FakeProvider):
    """Counts how often it is asked for its models."""

    def __init__(self, counts: Counts, name: str, **facts: Any) -> None:
        super().__init__(name, models=[model(name, **facts)])
        self._counts = counts

    async def list_models(self) -> Sequence[Model]:
        self._counts.listings[self.name] += 1
        return await super().list_models()


class Paid(FakePaidProvider):
    """The same, and takes money."""

    def __init__(self, counts: Counts, name: str, **facts: Any) -> None:
        super().__init__(name, **facts)
        self._counts = counts

    async def list_models(self) -> Sequence[Model]:
        self._counts.listings[self.name] += 1
        return await super().list_models()


class CountingStore(ArtifactStore):
    """Counts how often a preview of each picture is made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.previews = Counter[str]()

    def preview(self, image_id: str, **how: Any) -> Preview:
        self.previews[image_id] += 1
        return super().preview(image_id, **how)


def real(folder: Path, counts: Counts, store: ArtifactStore, *providers: Provider) -> Service:
    """What production builds, its surveys as long-lived as there."""
    return build_service(
        Config(), folder, role=Role.ALONE, artifacts=store, providers=providers, probe=counts.probe
    )


def data(result: CallToolResult) -> dict[str, Any]:
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    found: dict[str, Any] = json.loads(result.content[0].text)
    return found


async def yes(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    return ElicitResult(action="accept", content={"agree": True})


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_lists_each_provider_and_probes_the_hardware_once(
    mode: Literal["auto", "legacy"], tmp_path: Path
) -> None:
    counts = Counts()
    store = CountingStore(tmp_path / "pictures")
    made = real(tmp_path, counts, store, Free(counts, "one"), Free(counts, "other"))
    async with Client(make_server(opener(made)), mode=mode, elicitation_callback=yes) as session:
        answer = await session.call_tool("generate_image", {"prompt": "a cat", "num_images": 3})
    await made.aclose()

    ids = [image["id"] for image in data(answer)["images"]]
    assert counts.listings == {"one": 1, "other": 1}
    assert counts.probes == 1
    assert store.previews == dict.fromkeys(ids, 1)
    assert len([block for block in answer.content if isinstance(block, ImageContent)]) == 3


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_call_that_asks_a_person_about_money_takes_one_survey_all_the_same(
    mode: Literal["auto", "legacy"], tmp_path: Path
) -> None:
    counts = Counts()
    paid = Paid(counts, "paid")
    made = real(tmp_path, counts, ArtifactStore(tmp_path / "pictures"), paid)
    async with Client(make_server(opener(made)), mode=mode, elicitation_callback=yes) as session:
        answer = await session.call_tool("generate_image", {"prompt": "a cat"})
    await made.aclose()

    assert data(answer)["cost_usd"] == 0.04
    assert counts.listings == {"paid": 1}
    assert counts.probes == 1


async def test_a_file_that_was_just_copied_in_is_found_when_it_is_asked_for_by_name(
    tmp_path: Path,
) -> None:
    files = [model("disk", "old.safetensors")]

    class Disk(FakeProvider):
        async def list_models(self) -> Sequence[Model]:
            return tuple(files)

    made = real(tmp_path, Counts(), CountingStore(tmp_path / "pictures"), Disk("disk"))
    async with Client(make_server(opener(made))) as client:
        before = data(await client.call_tool("generate_image", {"prompt": "x"}))
        files.append(model("disk", "new.safetensors"))
        after = data(await client.call_tool("generate_image", {"prompt": "x", "model": "new"}))
    await made.aclose()

    assert before["model"] == "old.safetensors"
    assert after["model"] == "new.safetensors"
