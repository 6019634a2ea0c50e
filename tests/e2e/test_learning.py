"""What the service learns: pauses after failures, speeds, and pictures that it made before."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import TextContent

from tests.support.factory import opener, service
from ziggie_image_mcp.app import reports
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import (
    ContentRefused,
    EngineCrashed,
    InvalidOutput,
    ProviderUnavailable,
    RateLimited,
)
from ziggie_image_mcp.provider import (
    Generation,
    Lora,
    LoraSupport,
    Model,
    ProviderRequest,
    Run,
    State,
    Submission,
)
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model, picture
from ziggie_image_mcp.routing.latency import LOAD
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.tools import make_server

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


class Slow(FakeProvider):
    """Takes its time."""

    seconds = 0.6

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        await anyio.sleep(self.seconds)
        return await super().submit(request, model, run)


async def test_a_run_with_loras_teaches_what_a_plain_one_takes(tmp_path: Path) -> None:
    able = model("timed", capability={"loras": LoraSupport(max_count=10, listed=False)})
    loras = tuple(Lora(id=name) for name in "abcdefghij")
    made = service(tmp_path, Slow("timed", models=[able]))
    began = time.monotonic()

    await made.generate(replace(ASK, loras=loras))

    took = time.monotonic() - began

    plain, doubled = [
        (await made.plan(replace(ASK, loras=more))).candidates[0] for more in ((), loras)
    ]
    assert doubled.seconds == pytest.approx(2 * plain.seconds, rel=0.1)
    assert plain.seconds <= took / 2
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

    for _ in range(4):  # the first of them loads the model, and teaches what that takes
        await made.generate(ASK)
    after = await made.plan(ASK)

    shown = await reports.machine(made)
    assert before.candidates[0].seconds == 400
    assert after.candidates[0].seconds < 10
    assert shown.speeds[0].startswith("fake/model 1 MP, 17 to 32 steps: ")
    assert shown.speeds[0].endswith(" s, 3 runs")
    assert "steps, the first after loading: " in shown.speeds[1]
    assert shown.speeds[2].startswith("fake/model loading the model: ")
    await made.aclose()


class Engine(FakeProvider):
    """Loads its model on the first request, and forgets it when told to."""

    tells = True
    load_seconds = 0.001
    compile_seconds = 0.0
    loaded = False
    before_answer: Callable[[], Awaitable[object]] | None = None

    async def list_models(self) -> Sequence[Model]:
        state: State = "loaded" if self.loaded else "ready"
        facts: dict[str, Any] = {"device": "gpu", "seconds": 2.0, "load_seconds": 7.0}
        return [model(self.name, "model", state=state, **facts)]

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        if self.before_answer is not None:
            await self.before_answer()
        generation = await super().submit(request, model, run)
        assert isinstance(generation, Generation)
        took, self.loaded = 0.0 if self.loaded else self.load_seconds, True
        generation = replace(generation, compile_seconds=self.compile_seconds)
        return replace(generation, load_seconds=took) if self.tells else generation


async def samples(made: Service) -> tuple[int, int, int]:
    """How many runs taught loading, making after a load, and making with the model in memory."""
    snapshot = await made.history.snapshot()
    after = [x.samples for x in snapshot.loads.values() if x.bucket != LOAD]
    loads = [x.samples for x in snapshot.loads.values() if x.bucket == LOAD]
    return sum(loads), sum(after), sum(x.samples for x in snapshot.latencies.values())


async def dry_run(made: Service) -> dict[str, Any]:
    async with Client(make_server(opener(made))) as session:
        answer = await session.call_tool("generate_image", {"prompt": "a cat", "dry_run": True})
    assert isinstance(answer.content[0], TextContent)
    candidate: dict[str, Any] = json.loads(answer.content[0].text)["candidates"][0]
    return candidate


async def test_the_expected_seconds_have_the_load_in_them_and_say_so(tmp_path: Path) -> None:
    engine = Engine()
    made = service(tmp_path, engine)

    cold = await dry_run(made)
    engine.loaded = True
    warm = await dry_run(made)

    assert cold["expected_seconds"] == 9
    assert cold["load_seconds"] == 7
    assert "about 9 s expected, 7 s of them to load the model" in cold["why"]
    assert warm["expected_seconds"] == 2
    assert "load" not in warm["why"]
    assert "load_seconds" not in warm


async def test_what_was_learnt_of_loading_and_making_takes_the_place_of_the_prior(
    tmp_path: Path,
) -> None:
    engine = Engine()
    made = service(tmp_path, engine)
    now = datetime.now(UTC)
    learn = partial(made.history.succeeded, "fake", "model", bucket="1MP/32", now=now)

    await learn(seconds_per_image=4.0, load_seconds=16.0)
    await learn(seconds_per_image=3.0)
    cold = await dry_run(made)
    engine.loaded = True
    warm = await dry_run(made)

    assert (cold["expected_seconds"], cold["load_seconds"]) == (20, 16)
    assert warm["expected_seconds"] == 3


@pytest.mark.parametrize("tells", [True, False])
async def test_a_run_teaches_what_it_was(tmp_path: Path, tells: bool) -> None:
    engine = Engine()
    engine.tells = tells
    made = service(tmp_path, engine)

    seen: list[tuple[int, int, int]] = []
    for _ in range(3):
        await made.generate(ASK)
        seen.append(await samples(made))
    engine.loaded = False
    await made.generate(ASK)

    assert seen == [(1, 1, 0), (1, 1, 1), (1, 1, 2)]
    # Only the provider knows that its engine went to sleep in the meantime.
    assert await samples(made) == ((2, 2, 2) if tells else (1, 1, 3))


async def test_what_was_compiled_teaches_loading_and_never_what_a_picture_takes(
    tmp_path: Path,
) -> None:
    engine = Engine()
    made = service(tmp_path, engine)

    engine.compile_seconds = 1000.0  # more than the call: all of it but the load
    await made.generate(ASK)
    await made.generate(ASK)  # a new size, compiled while the model is in memory
    after_compiling = await made.history.snapshot()
    engine.compile_seconds = 0.0
    await made.generate(ASK)
    learnt = await made.history.snapshot()

    (load,) = [x for x in after_compiling.loads.values() if x.bucket == LOAD]
    assert load.seconds > engine.load_seconds
    assert load.samples == 1
    assert not after_compiling.latencies
    assert [x.samples for x in learnt.latencies.values()] == [1]


async def test_a_model_that_unloads_between_plan_and_call_is_a_cold_run(tmp_path: Path) -> None:
    engine = Engine()
    made = service(tmp_path, engine)
    await made.generate(ASK)

    async def forget() -> None:
        engine.loaded = False

    engine.before_answer = forget
    result = await made.generate(ASK)

    assert result.model.state == "loaded"  # as it was planned
    assert await samples(made) == (2, 2, 0)


async def test_only_pictures_that_were_kept_teach(tmp_path: Path) -> None:
    wrong_size = picture(64, 32)
    engine = Engine(answers=[ContentRefused("fake", "no"), wrong_size, wrong_size, None])
    engine.loaded = True
    made = service(tmp_path, engine)
    started = anyio.Event()

    async def tell(fraction: float, message: str) -> None:
        if message == "halfway":
            started.set()

    for error in (ContentRefused, InvalidOutput):
        with pytest.raises(error):
            await made.generate(ASK)
    async with anyio.create_task_group() as group:
        group.start_soon(made.generate, ASK, tell)
        await started.wait()
        group.cancel_scope.cancel()
    nothing = await samples(made)
    again = replace(ASK, seed=7)
    await made.generate(again)
    once = await samples(made)
    await made.generate(again)

    assert nothing == (0, 0, 0)
    assert once == (0, 0, 1)
    assert await samples(made) == once  # a stored picture


async def test_a_retry_teaches_the_call_that_gave_the_picture(tmp_path: Path) -> None:
    engine = Engine(answers=[RateLimited("fake", "slow down", retry_after=0.0)])
    engine.loaded = True
    made = service(tmp_path, engine)
    calls: list[float] = []

    async def note_the_time() -> None:
        calls.append(time.monotonic())

    engine.before_answer = note_the_time
    await made.generate(ASK)
    ended = time.monotonic()
    [latency] = (await made.history.snapshot()).latencies.values()

    assert len(calls) == 2
    assert latency.seconds <= ended - calls[1] + 0.5
    assert latency.seconds < ended - calls[0]


async def test_a_job_of_this_process_that_waits_has_the_model_loaded_for_the_next(
    tmp_path: Path,
) -> None:
    engine = Engine(answers=[None])
    made = service(tmp_path, engine)
    running = anyio.Event()

    async def begin() -> None:
        running.set()

    engine.before_answer = begin
    job = await made.start([ASK])
    await running.wait()
    behind = await dry_run(made)
    await made.cancel(job.id)

    assert "load_seconds" not in behind
    assert behind["expected_seconds"] == pytest.approx(9 + 2, abs=1.5)
    assert "of them in the queue" in behind["why"]


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
    holding, waiting = anyio.Event(), anyio.Event()

    async def watch(fraction: float, message: str) -> None:
        if message == "halfway":
            holding.set()

    async def tell(fraction: float, message: str) -> None:
        if message == "waiting for card":
            waiting.set()

    async def generate() -> None:
        with pytest.raises(ProviderUnavailable, match="paused"):
            await made.generate(replace(ASK, provider="paid", allow_paid=True), tell)

    first = await made.start([replace(ASK, provider="holder")])
    async with anyio.create_task_group() as group:
        group.start_soon(made.job, first.id, 60.0, watch)
        await holding.wait()  # under load the other job might come first
        group.start_soon(generate)
        await waiting.wait()
        for _ in range(3):
            crash = EngineCrashed("paid", "gone")
            await made.history.failed("paid", "model", crash, datetime.now(UTC))
        await made.cancel(first.id)

    assert paid.submitted == []
