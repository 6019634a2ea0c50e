"""An engine that takes seconds to start is started while it is decided which model is taken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.factory import service
from ziggie_image_mcp.provider import Model, ProviderRequest, Run, Submission
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.routing.errors import NoRoute
from ziggie_image_mcp.routing.request import ImageRequest


class Slow(FakeProvider):
    """Has an engine that may be started ahead, and keeps what happens to it."""

    def __init__(self, name: str = "slow", *, seconds: float = 1.0) -> None:
        super().__init__(name, models=[model(name, seconds=seconds)])
        self.events: list[str] = []

    async def start_ahead(self, model: str | None) -> None:
        await asyncio.sleep(0)
        self.events.append(f"start {model}")

    async def stand_down(self) -> None:
        self.events.append("stop")

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        self.events.append("submit")
        return await super().submit(request, model, run)


async def test_it_is_started_before_the_decision_and_used(tmp_path: Path) -> None:
    provider = Slow()

    await service(tmp_path, provider).generate(ImageRequest(prompt="a cat", model="model"))

    assert provider.events == ["start model", "submit"]


async def test_it_is_not_started_for_a_plan(tmp_path: Path) -> None:
    provider = Slow()

    await service(tmp_path, provider).plan(ImageRequest(prompt="a cat"))

    assert provider.events == []


async def test_it_is_stopped_where_another_is_chosen_and_not_started_the_next_time(
    tmp_path: Path,
) -> None:
    provider, other = Slow(seconds=500.0), FakeProvider("quick", models=[model("quick", seconds=1)])
    made = service(tmp_path, provider, other)

    await made.generate(ImageRequest(prompt="a cat"))
    first = list(provider.events)
    await made.generate(ImageRequest(prompt="a dog"))

    assert first == provider.events == ["start None", "stop"]


async def test_it_is_stopped_where_there_is_no_route(tmp_path: Path) -> None:
    provider = Slow()

    with pytest.raises(NoRoute):
        await service(tmp_path, provider).generate(
            ImageRequest(prompt="a cat", width=16_384, height=64)
        )

    assert provider.events == ["start None", "stop"]


async def test_it_is_not_started_where_another_provider_is_asked_for(tmp_path: Path) -> None:
    provider, other = Slow(), FakeProvider("quick", models=[model("quick")])

    await service(tmp_path, provider, other).generate(
        ImageRequest(prompt="a cat", provider="quick")
    )

    assert provider.events == []


class Broken(Slow):
    """Cannot be started ahead."""

    async def start_ahead(self, model: str | None) -> None:
        raise RuntimeError("no")


async def test_a_start_that_fails_harms_nothing(tmp_path: Path) -> None:
    provider = Broken()

    await service(tmp_path, provider).generate(ImageRequest(prompt="a cat"))

    assert provider.events == ["submit"]
