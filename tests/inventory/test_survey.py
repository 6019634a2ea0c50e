"""Surveys: what the providers have, asked once for all who ask at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from ziggie_image_mcp.config import secrets
from ziggie_image_mcp.config.config import Config
from ziggie_image_mcp.errors import ConfigError, ProviderUnavailable
from ziggie_image_mcp.inventory.registry import Registry, load_types
from ziggie_image_mcp.inventory.survey import SurveyCache, take_survey
from ziggie_image_mcp.inventory.types import Survey
from ziggie_image_mcp.provider import FREE, Estimate, FreeSize, Model, ProviderRequest
from ziggie_image_mcp.provider.testing import FakeProvider, model


class Counting(FakeProvider):
    """Counts how often it is asked for its models; each answer takes a while."""

    asked = 0

    async def list_models(self) -> Sequence[Model]:
        self.asked += 1
        await anyio.sleep(0)
        return await super().list_models()


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def registry(folder: Path, *providers: FakeProvider, **config: Any) -> Registry:
    return Registry(Config.model_validate(config), folder, extra=providers)


async def test_a_provider_that_is_switched_off_is_listed_with_the_reason(tmp_path: Path) -> None:
    usable = load_types().usable
    off = [name for name, kind in usable.items() if kind.info.automatic]

    survey = await take_survey(
        registry(tmp_path, providers={name: {"enabled": False} for name in off})
    )

    assert survey.models == ()
    assert [(r.provider, r.reasons[0].code) for r in survey.rejected] == [
        *((name, "DISABLED") for name in off),
        *((name, "NO_KEY") for name in secrets.key_names(usable)),
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
    reasons = {rejected.provider: rejected.reasons[0].have for rejected in survey.rejected}
    assert "127.0.0.1:9" in reasons["comfyui"]


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
        async def list_models(self) -> Sequence[Model]:
            clock.now += 4.0
            return await super().list_models()

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
        async def list_models(self) -> Sequence[Model]:
            surveys.expire()
            return await super().list_models()

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
        async def list_models(self) -> Sequence[Model]:
            started.set()
            await go_on.wait()
            return await super().list_models()

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


NOTHING = Estimate(expected=0, upper=0)


class Buggy(FakeProvider):
    """Its listing has a bug."""

    async def list_models(self) -> Sequence[Model]:
        raise KeyError("sk-proj-secretsecretsecret")


@pytest.mark.parametrize(
    ("models", "fault"),
    [
        ([model("fake", where="vendor", prices=FREE)], "FREE, although a vendor runs it"),
        ([model("other")], "a model of 'other'"),
        (["a model"], "Input should be an instance of Model"),
        (
            [model("fake", sizes=FreeSize(min_side=2048))],
            "text_to_image at 1024x1024 unasked, although it takes 2048 to 2048 px in steps of 8",
        ),
    ],
)
async def test_a_model_that_keeps_not_to_the_contract_is_left_out_with_the_reason(
    models: Any, fault: str, tmp_path: Path
) -> None:
    good = model("fake", "good")

    survey = await take_survey(registry(tmp_path, FakeProvider(models=[*models, good])))

    assert [m.id for m in survey.models] == ["good"]
    (reason,) = survey.rejected[0].reasons
    assert (reason.code, reason.have) == ("PROVIDER_BROKEN", fault)


async def test_a_bug_in_one_listing_takes_no_other_provider_with_it(tmp_path: Path) -> None:
    survey = await take_survey(registry(tmp_path, Buggy("buggy"), FakeProvider("good")))

    assert [m.provider for m in survey.models] == ["good"]
    ((reason,),) = [r.reasons for r in survey.rejected]
    assert reason.code == "PROVIDER_BROKEN"
    assert reason.have == "buggy has a bug (KeyError); the server's log tells it"


async def test_a_provider_whose_estimate_has_a_bug_or_makes_no_sense_has_no_price(
    tmp_path: Path,
) -> None:
    class Wrong(FakeProvider):
        def estimate(self, request: ProviderRequest, model: Model) -> Estimate | None:
            if request.num_images == 1:
                raise ZeroDivisionError
            answers: dict[int, Any] = {2: Estimate(expected=2, upper=1), 3: 5, 4: NOTHING}
            return cast(Estimate, answers[request.num_images])

    providers = registry(tmp_path, Wrong())
    request = ProviderRequest(prompt="a cat", width=64, height=64)
    await providers.open()

    for count in (1, 2, 3, 4):
        assert providers.estimate(replace(request, num_images=count), model(price=5)) is None
    assert providers.estimate(replace(request, num_images=4), model(price=0)) == NOTHING


class Elsewhere(Registry):
    """Its providers are at addresses of others."""

    def is_here(self, provider: str) -> bool:
        return False


async def test_a_model_at_anothers_address_may_not_say_that_it_is_on_this_machine(
    tmp_path: Path,
) -> None:
    """By this a prompt leaves the machine, or stays, under `privacy: local_only`."""
    liar = FakeProvider(models=[model("fake", "liar"), model("fake", "honest", where="vendor")])

    survey = await take_survey(Elsewhere(Config(), tmp_path, extra=[liar]))

    assert [m.id for m in survey.models] == ["honest"]
    (reason,) = survey.rejected[0].reasons
    assert reason.have == "this machine, although its address is another's"


@pytest.mark.parametrize(
    ("section", "here"),
    [
        ({}, False),
        ({"baseUrl": "http://192.168.1.7/v1"}, False),
        ({"baseUrl": "http://127.0.0.1:9/v1"}, True),
        ({"baseUrl": "http://127.0.0.1:9/v1", "local": False}, False),
    ],
)
async def test_whose_address_it_is_comes_from_the_config(
    section: dict[str, Any], here: bool, tmp_path: Path
) -> None:
    built = registry(tmp_path, providers={"mine": {"type": "openai"} | section})

    await built.open()

    assert built.is_here("mine") is here
