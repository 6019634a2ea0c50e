"""What the service learns: pauses after failures, speeds, and pictures that it made before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.house import service
from ziggie_image_mcp import report
from ziggie_image_mcp.errors import EngineCrashed, ProviderUnavailable, RateLimited
from ziggie_image_mcp.experience import Experience
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.types import ImageRequest, Snapshot

ASK = ImageRequest(prompt="a cat")


def shaky(*answers: EngineCrashed | RateLimited) -> FakeProvider:
    return FakeProvider("shaky", models=[model("shaky", quality=9.0)], answers=answers)


async def test_a_provider_that_fails_again_and_again_is_left_alone(tmp_path: Path) -> None:
    bad = shaky(*[EngineCrashed("shaky", "gone")] * 3)
    house = service(tmp_path, bad, FakeProvider("steady"))

    for _ in range(3):
        await house.generate(ASK)
    result = await house.generate(ASK)
    shown = await report.machine(house)

    assert len(bad.seen) == 3
    assert [a.provider for a in result.attempts] == ["steady"]
    assert "shaky/model" in shown.paused[0]
    assert "ENGINE_CRASHED" in shown.paused[0]
    (reason,) = (await house.plan(ASK)).rejected[0].reasons
    assert reason.code == "CIRCUIT_OPEN"
    await house.aclose()


async def test_a_pause_alone_does_not_close_the_last_free_route(tmp_path: Path) -> None:
    bad = shaky(*[EngineCrashed("shaky", "gone")] * 3)
    house = service(tmp_path, bad)
    for _ in range(3):
        with pytest.raises(EngineCrashed):
            await house.generate(ASK)

    result = await house.generate(ASK)

    assert result.model.provider == "shaky"
    await house.aclose()


async def test_a_vendor_that_asks_to_wait_is_not_asked_again(tmp_path: Path) -> None:
    paid = FakePaidProvider(
        answers=[RateLimited("paid", "slow down", 60.0)], quality=9.9, seconds=0.1
    )
    house = service(tmp_path, FakeProvider(), paid, preference="quality")
    request = replace(ASK, allow_paid=True)

    await house.generate(request)
    await house.generate(request)

    assert len(paid.submitted) == 1
    plan = await house.plan(request)
    assert {x.code for r in plan.rejected for x in r.reasons} == {"RATE_LIMITED"}
    await house.aclose()


async def test_speed_is_learnt_from_real_runs(tmp_path: Path) -> None:
    house = service(tmp_path, FakeProvider(models=[model("fake", seconds=400.0)]))
    before = await house.plan(ASK)

    for _ in range(4):  # the first of them loads the model, and teaches nothing
        await house.generate(ASK)
    after = await house.plan(ASK)

    shown = await report.machine(house)
    assert before.candidates[0].seconds == 400
    assert after.candidates[0].seconds < 10
    assert shown.speeds[0].startswith("fake/model 1 MP, 17 to 32 steps: ")
    assert shown.speeds[0].endswith(" s a picture, 3 runs")
    await house.aclose()


async def test_the_same_request_with_its_seed_gives_the_stored_picture(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    house = service(tmp_path, paid)
    request = replace(ASK, seed=7, allow_paid=True, num_images=2)

    first = await house.generate(request)
    again = await house.generate(request)
    other = await house.generate(replace(request, seed=8))

    assert [i.path for i in again.images] == [i.path for i in first.images]
    assert [i.seed for i in again.images] == [7, 8]
    assert again.cost_micro_usd == 0
    assert "nothing was made or charged" in again.why
    assert other.images[0].path != first.images[0].path
    assert len(paid.submitted) == 2
    await house.aclose()


async def test_a_stored_picture_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    fake = FakeProvider()
    house = service(tmp_path, fake)
    first = await house.generate(replace(ASK, seed=7))
    Path(first.images[0].path).unlink()

    again = await house.generate(replace(ASK, seed=7))

    assert Path(again.images[0].path).is_file()
    assert len(fake.seen) == 2
    await house.aclose()


async def test_without_a_seed_or_with_the_switch_off_nothing_is_reused(tmp_path: Path) -> None:
    fake = FakeProvider()
    house = service(tmp_path, fake)
    switched_off = service(tmp_path, fake, cache=False)

    for request, made in ((ASK, house), (replace(ASK, seed=7), switched_off)):
        await made.generate(request)
        await made.generate(request)
        await made.aclose()

    assert len(fake.seen) == 4


class Late(Experience):
    """Shows what was learnt before the others' failures."""

    async def snapshot(self) -> Snapshot:
        return Snapshot()


async def test_a_paid_route_that_was_paused_since_the_plan_is_not_asked(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    house = service(tmp_path, paid)
    late = Late(tmp_path / "experience.sqlite3")
    made = Service(house.config, house.registry, house.store, None, house.cashier, late)
    for _ in range(3):
        await late.failed("paid", "model", EngineCrashed("paid", "gone"), datetime.now(UTC))

    with pytest.raises(ProviderUnavailable, match="paused"):
        await made.generate(replace(ASK, allow_paid=True))

    assert paid.submitted == []
    await made.aclose()
