"""An engine that goes away during a job is waited for; what costs money is never sent again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.factory import service
from tests.support.fake_comfyui import Ending, FakeComfyUI
from tests.support.fake_vendors import FakeVendor, Reply, Seen, painted
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import EngineCrashed, EngineGone, ImageError, ProviderUnavailable
from ziggie_image_mcp.jobs.records import JobView
from ziggie_image_mcp.jobs.restarts import RestartPatience
from ziggie_image_mcp.provider import Probe, ProviderContext
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model, picture
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.watch import Pace
from ziggie_image_providers.openai import OpenAI
from ziggie_image_providers.openai.settings import Settings as ServerSettings

ASK = ImageRequest(prompt="a cat", width=512, height=512)
AWAY = "went away; waiting until it answers again"


def fake(ending: Ending = "completed", port: int = 0) -> FakeComfyUI:
    return FakeComfyUI(ending=ending, port=port, image=picture(512, 512))


def comfyui(server: FakeComfyUI, folder: Path) -> ComfyUI:
    pace = Pace(patience=0.1, longest=0.05, watched_first=0.05, watched_longest=0.05)
    settings = Settings.model_validate({"baseUrl": server.url})
    return ComfyUI("comfyui", settings, ProviderContext(data_dir=folder), pace)


async def until_said(made: Service, job_id: str, words: str) -> None:
    """Wait until the job says so."""

    async def progress(share: float, message: str) -> None:
        if words in message:
            scope.cancel()

    with anyio.CancelScope() as scope:
        await made.job(job_id, 30, progress)
    assert scope.cancelled_caught, f"it never said {words!r}"


async def ended(made: Service, view: JobView) -> JobView:
    view = await made.job(view.id, 30)
    assert view.ended
    return view


@pytest.mark.parametrize("ending", ["hangs", "dies"])
async def test_a_comfyui_that_is_restarted_during_a_job_makes_it_after_all(
    ending: Ending, tmp_path: Path
) -> None:
    async with fake(ending) as first:
        made = service(tmp_path, comfyui(first, tmp_path))
        view = await made.start([ASK])
        await first.posted.wait()
    await until_said(made, view.id, AWAY)

    async with fake(port=int(first.url.rpartition(":")[2])) as second:
        view = await ended(made, view)

    assert view.outcome is not None
    assert view.outcome.failures == ()
    assert [a.ok for a in view.outcome.results[0].attempts] == [True]
    assert (len(first.prompts), len(second.prompts)) == (1, 1)


async def test_a_job_that_comfyui_no_longer_knows_is_sent_again(tmp_path: Path) -> None:
    async with fake("hangs") as server:
        made = service(tmp_path, comfyui(server, tmp_path))
        view = await made.start([ASK])
        await server.posted.wait()
        server.ending = "completed"
        server.forget()

        view = await ended(made, view)

    assert view.status == "done"
    assert len(server.prompts) == 2


async def test_what_only_the_network_hid_is_collected_and_not_made_twice(tmp_path: Path) -> None:
    async with fake("hangs") as first:
        made = service(tmp_path, comfyui(first, tmp_path))
        view = await made.start([ASK])
        await first.posted.wait()
    await until_said(made, view.id, AWAY)

    second = fake(port=int(first.url.rpartition(":")[2]))
    second.states = dict.fromkeys(first.states, "completed")
    async with second:
        view = await ended(made, view)

    assert view.status == "done"
    assert second.prompts == []


async def test_a_job_that_waited_behind_it_finds_the_restarted_comfyui_too(tmp_path: Path) -> None:
    async with fake("hangs") as first:
        made = service(tmp_path, comfyui(first, tmp_path))
        views = [await made.start([ASK]), await made.start([ASK])]
        await first.posted.wait()
        await made.cancel(views[0].id)
        first.kill()
    await until_said(made, views[1].id, AWAY)

    async with fake(port=int(first.url.rpartition(":")[2])) as second:
        view = await ended(made, views[1])

    assert view.status == "done"
    assert len(second.prompts) == 1


def local_server(vendor: FakeVendor, folder: Path, price: float) -> OpenAI:
    """A server of one's own that speaks OpenAI's API."""
    settings = {"baseUrl": vendor.url, "flavour": "compatible", "local": True, "keyName": None}
    models = {"m": {"priceUsd": price}}
    context = ProviderContext(data_dir=folder)
    return OpenAI("server", ServerSettings.model_validate({**settings, "models": models}), context)


@pytest.mark.parametrize(("price", "times", "status"), [(0, 2, "done"), (0.01, 1, "unknown")])
async def test_a_broken_connection_is_tried_again_only_where_it_cost_nothing(
    price: float, times: int, status: str, tmp_path: Path
) -> None:
    answers = [Reply(then="reset")]

    def script(seen: Seen) -> Reply:
        if seen.method == "GET":
            return Reply(body={"data": []})
        return answers.pop() if answers else painted(seen)

    with FakeVendor(script) as vendor:
        paid: dict[str, Any] = {"allowPaidFallback": "withinBudget", "budget": {"perDay": 1}}
        made = service(tmp_path, local_server(vendor, tmp_path, price), **paid)
        view = await made.start([ImageRequest(prompt="a cat", width=1024, height=1024)])
        view = await ended(made, view)

    assert view.status == status
    assert len([path for path in vendor.asked if path.startswith("POST")]) == times


async def test_an_engine_that_does_not_come_back_is_waited_for_until_the_deadline(
    tmp_path: Path,
) -> None:
    async with fake("hangs") as server:
        made = service(tmp_path, comfyui(server, tmp_path), deadline=6)
        view = await made.start([ASK])
        await server.posted.wait()
    await until_said(made, view.id, AWAY)

    view = await ended(made, view)

    assert view.outcome is not None
    (failure,) = view.outcome.failures
    assert [a.error_code for a in failure.attempts] == ["ENGINE_GONE"]


async def test_a_job_that_brings_its_engine_down_each_time_ends(tmp_path: Path) -> None:
    engine = FakeProvider(answers=[EngineGone("fake", "gone")] * 9)

    with pytest.raises(EngineGone):
        await service(tmp_path, engine).generate(ASK)

    assert len(engine.seen) == 1 + RestartPatience().most


async def test_another_free_route_is_taken_at_once(tmp_path: Path) -> None:
    first = FakeProvider(
        "a", models=[model("a", quality=9.0)], answers=[EngineGone("a", "gone")] * 9
    )

    result = await service(tmp_path, first, FakeProvider("b")).generate(ASK)

    assert [a.error_code for a in result.attempts] == ["ENGINE_GONE", ""]
    assert len(first.seen) == 1


async def test_a_paid_route_that_is_allowed_is_taken_rather_than_waited(tmp_path: Path) -> None:
    first = FakeProvider(answers=[EngineGone("fake", "gone")] * 9)
    budget: dict[str, Any] = {"allowPaidFallback": "withinBudget", "budget": {"perDay": 1}}

    result = await service(tmp_path, first, FakePaidProvider(), **budget).generate(ASK)

    assert [a.error_code for a in result.attempts] == ["ENGINE_GONE", ""]
    assert len(first.seen) == 1


class Refusing(FakeProvider):
    """It answers when it is looked at, and refuses every job."""

    async def probe(self) -> Probe:
        return Probe(state="ready")


async def test_an_engine_that_answers_and_refuses_is_not_waited_for(tmp_path: Path) -> None:
    engine = Refusing(answers=[ProviderUnavailable("fake", "refused")] * 9)

    with pytest.raises(ProviderUnavailable):
        await service(tmp_path, engine).generate(ASK)

    assert len(engine.seen) == 2, "the one retry of a refused connection"


@pytest.mark.parametrize("error", [EngineGone, EngineCrashed, ProviderUnavailable])
async def test_what_costs_money_is_not_sent_again_by_itself(
    error: type[EngineGone], tmp_path: Path
) -> None:
    paid = FakePaidProvider(answers=[error("paid", "gone", charged=40_000)] * 9)
    made = service(tmp_path, paid, allowPaidFallback="withinBudget", budget={"perDay": 1})

    with pytest.raises(ImageError):
        await made.generate(ASK)

    assert len(paid.submitted) == 1
