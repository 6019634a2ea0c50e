"""What the service learns: pauses after failures, speeds, and pictures that it made before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from tests.support.factory import service
from ziggie_image_mcp.app import reports
from ziggie_image_mcp.errors import EngineCrashed, ProviderUnavailable, RateLimited
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model
from ziggie_image_mcp.routing.request import ImageRequest

ASK = ImageRequest(prompt="a cat")


def shaky(*answers: EngineCrashed | RateLimited) -> FakeProvider:
    return FakeProvider("shaky", models=[model("shaky", quality=9.0)], answers=answers)


async def test_a_provider_that_fails_again_and_again_is_left_alone(tmp_path: Path) -> None:
    bad = shaky(*[EngineCrashed("shaky", "gone")] * 3)
    made = service(tmp_path, bad, FakeProvider("steady"))

    for _ in range(3):
        await made.generate(ASK)
    result = await made.generate(ASK)
    shown = await reports.machine(made)

    assert len(bad.seen) == 3
    assert [a.provider for a in result.attempts] == ["steady"]
    assert "shaky/model" in shown.paused[0]
    assert "ENGINE_CRASHED" in shown.paused[0]
    (reason,) = (await made.plan(ASK)).rejected[0].reasons
    assert reason.code == "CIRCUIT_OPEN"
    await made.aclose()


async def test_a_pause_alone_does_not_close_the_last_free_route(tmp_path: Path) -> None:
    bad = shaky(*[EngineCrashed("shaky", "gone")] * 3)
    made = service(tmp_path, bad)
    for _ in range(3):
        with pytest.raises(EngineCrashed):
            await made.generate(ASK)

    result = await made.generate(ASK)

    assert result.model.provider == "shaky"
    await made.aclose()


async def test_a_vendor_that_asks_to_wait_is_not_asked_again(tmp_path: Path) -> None:
    paid = FakePaidProvider(
        answers=[RateLimited("paid", "slow down", retry_after=60.0)], quality=9.9, seconds=0.1
    )
    made = service(tmp_path, FakeProvider(), paid, preference="quality")
    request = replace(ASK, allow_paid=True)

    await made.generate(request)
    await made.generate(request)

    assert len(paid.submitted) == 1
    plan = await made.plan(request)
    assert {x.code for r in plan.rejected for x in r.reasons} == {"RATE_LIMITED"}
    await made.aclose()


async def test_speed_is_learnt_from_real_runs(tmp_path: Path) -> None:
    made = service(tmp_path, FakeProvider(models=[model("fake", seconds=400.0)]))
    before = await made.plan(ASK)

    for _ in range(4):  # the first of them loads the model, and teaches nothing
        await made.generate(ASK)
    after = await made.plan(ASK)

    shown = await reports.machine(made)
    assert before.candidates[0].seconds == 400
    assert after.candidates[0].seconds < 10
    assert shown.speeds[0].startswith("fake/model 1 MP, 17 to 32 steps: ")
    assert shown.speeds[0].endswith(" s a picture, 3 runs")
    await made.aclose()


async def test_the_same_request_with_its_seed_gives_the_stored_picture(tmp_path: Path) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid)
    request = replace(ASK, seed=7, allow_paid=True, num_images=2)

    first = await made.generate(request)
    again = await made.generate(request)
    other = await made.generate(replace(request, seed=8))

    assert [i.path for i in again.images] == [i.path for i in first.images]
    assert [i.seed for i in again.images] == [7, 8]
    assert again.cost_micro_usd == 0
    assert "nothing was made or charged" in again.why
    assert other.images[0].path != first.images[0].path
    assert len(paid.submitted) == 2
    await made.aclose()


async def test_a_stored_picture_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    fake = FakeProvider()
    made = service(tmp_path, fake)
    first = await made.generate(replace(ASK, seed=7))
    Path(first.images[0].path).unlink()

    again = await made.generate(replace(ASK, seed=7))

    assert Path(again.images[0].path).is_file()
    assert len(fake.seen) == 2
    await made.aclose()


async def test_without_a_seed_or_with_the_switch_off_nothing_is_reused(tmp_path: Path) -> None:
    fake = FakeProvider()

    for request, switch in ((ASK, True), (replace(ASK, seed=7), False)):
        made = service(tmp_path, fake, cache=switch)
        await made.generate(request)
        await made.generate(request)
        await made.aclose()

    assert len(fake.seen) == 4


async def test_a_paid_route_that_was_paused_while_the_job_waited_is_not_asked(
    tmp_path: Path,
) -> None:
    paid = FakePaidProvider(device="card")
    holder = FakeProvider("holder", models=[model("holder", device="card")], answers=[None])
    made = service(tmp_path, holder, paid)
    waiting = anyio.Event()

    async def tell(fraction: float, message: str) -> None:
        if message == "waiting for card":
            waiting.set()

    async def generate() -> None:
        with pytest.raises(ProviderUnavailable, match="paused"):
            await made.generate(replace(ASK, provider="paid", allow_paid=True), tell)

    first = await made.start([replace(ASK, provider="holder")])
    async with anyio.create_task_group() as group:
        group.start_soon(generate)
        await waiting.wait()
        for _ in range(3):
            crash = EngineCrashed("paid", "gone")
            await made.history.failed("paid", "model", crash, datetime.now(UTC))
        await made.cancel(first.id)

    assert paid.submitted == []
