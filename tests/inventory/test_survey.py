"""Surveys: what the providers have, asked once for all who ask at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ConfigError, ProviderUnavailable
from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.inventory.survey import SurveyCache, take_survey
from ziggie_image_mcp.inventory.types import Survey
from ziggie_image_mcp.provider.testing import FakeProvider
from ziggie_image_mcp.provider.types import Model


class Counting(FakeProvider):
    """Counts how often it is asked for its models; each answer takes a while."""

    asked = 0

    async def models(self) -> Sequence[Model]:
        self.asked += 1
        await anyio.sleep(0)
        return await super().models()


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def registry(folder: Path, *providers: FakeProvider, **config: Any) -> Registry:
    return Registry(Config.model_validate(config), folder, extra=providers)


async def test_a_provider_that_is_switched_off_is_listed_with_the_reason(tmp_path: Path) -> None:
    off = {"comfyui": {"enabled": False}, "diffusers": {"enabled": False}}

    survey = await take_survey(registry(tmp_path, providers=off))

    assert survey.models == ()
    assert [(r.provider, r.reasons[0].code) for r in survey.rejected] == [
        ("comfyui", "DISABLED"),
        ("diffusers", "DISABLED"),
    ]


async def test_the_reports_api_block_addresses_the_engine(tmp_path: Path) -> None:
    built = registry(
        tmp_path,
        api={"type": "comfyui", "url": "http://127.0.0.1:9", "timeout": 5000},
        providers={"diffusers": {"enabled": False}},
    )

    survey = await take_survey(built)
    await built.aclose()

    assert "comfyui" in survey.configured
    assert "127.0.0.1:9" in survey.rejected[-1].reasons[0].have


async def test_one_silent_provider_does_not_hide_the_others(tmp_path: Path) -> None:
    down = FakeProvider("down", down=ProviderUnavailable("down", "not there"))

    survey = await take_survey(registry(tmp_path, down, FakeProvider("up")))

    assert [m.provider for m in survey.models] == ["up"]
    assert survey.rejected[0].reasons[0].code == "PROVIDER_UNAVAILABLE"


async def test_many_askers_at_once_make_one_listing_of_each_provider(tmp_path: Path) -> None:
    one, other = Counting("one"), Counting("other")
    surveys = SurveyCache(registry(tmp_path, one, other))
    taken: list[Survey] = []

    async def ask() -> None:
        taken.append(await surveys.take())

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)

    assert (one.asked, other.asked) == (1, 1)
    assert len({id(survey) for survey in taken}) == 1
    assert len(taken) == 20


@pytest.mark.parametrize(("seconds", "listings"), [(0.0, 1), (2.9, 1), (3.1, 2)])
async def test_a_survey_serves_for_its_seconds(
    seconds: float, listings: int, tmp_path: Path
) -> None:
    fake, clock = Counting(), Clock()
    surveys = SurveyCache(registry(tmp_path, fake), fresh_seconds=3.0, clock=clock)

    await surveys.take()
    clock.now += seconds
    await surveys.take()

    assert fake.asked == listings


async def test_a_survey_that_took_long_is_fresh_from_its_end(tmp_path: Path) -> None:
    clock = Clock()

    class Slow(Counting):
        async def models(self) -> Sequence[Model]:
            clock.now += 4.0
            return await super().models()

    fake = Slow()
    surveys = SurveyCache(registry(tmp_path, fake), fresh_seconds=3.0, clock=clock)

    await surveys.take()
    await surveys.take()

    assert fake.asked == 1


async def test_an_expired_survey_is_taken_anew(tmp_path: Path) -> None:
    fake = Counting()
    surveys = SurveyCache(registry(tmp_path, fake))

    await surveys.take()
    surveys.expire()
    await surveys.take()

    assert fake.asked == 2


async def test_a_survey_that_expires_while_it_is_taken_is_given_once_and_not_kept(
    tmp_path: Path,
) -> None:
    class Changing(Counting):
        async def models(self) -> Sequence[Model]:
            surveys.expire()
            return await super().models()

    fake = Changing()
    surveys = SurveyCache(registry(tmp_path, fake))

    survey = await surveys.take()
    await surveys.take()

    assert survey.models
    assert fake.asked == 2


async def test_an_asker_who_gives_up_does_not_take_the_survey_from_the_others(
    tmp_path: Path,
) -> None:
    started, go_on = anyio.Event(), anyio.Event()

    class Waiting(Counting):
        async def models(self) -> Sequence[Model]:
            started.set()
            await go_on.wait()
            return await super().models()

    surveys = SurveyCache(registry(tmp_path, Waiting()))
    taken: list[Survey] = []

    async def ask() -> None:
        taken.append(await surveys.take())

    async with anyio.create_task_group() as others:
        async with anyio.create_task_group() as first:
            first.start_soon(surveys.take)
            await started.wait()
            others.start_soon(ask)
            first.cancel_scope.cancel()
        go_on.set()

    assert [m.provider for m in taken[0].models] == ["fake"]


async def test_a_wrong_section_is_told_by_every_survey_and_nothing_is_kept(tmp_path: Path) -> None:
    surveys = SurveyCache(registry(tmp_path, providers={"comfyu": {}}))

    for _ in range(2):
        with pytest.raises(ConfigError, match="comfyu"):
            await surveys.take()
