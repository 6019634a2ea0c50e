"""The whole way of a job, against a server on loopback."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.fake_comfyui import PNG, FakeComfyUI
from ziggie_image_mcp.errors import (
    EngineCrashed,
    ModelMissing,
    OutOfMemory,
    ProviderTimeout,
    ProviderUnavailable,
)
from ziggie_image_mcp.provider.contract import ProviderContext
from ziggie_image_mcp.provider.types import GeneratedImage, Generation, Model, ProviderRequest
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.watch import Meter, Pace

SD1 = Model(id="v1-5-pruned.safetensors", provider="comfyui", local=True)
QUICK = Pace(first=0.001, longest=0.01, watched_first=0.02, watched_longest=0.02, patience=0.05)
BY_EVENT_ONLY = Pace(watched_first=60, watched_longest=60)
Told = list[tuple[float, str]]


def provider(server: FakeComfyUI, pace: Pace = QUICK, **settings: Any) -> ComfyUI:
    context = ProviderContext(data_dir=Path("unused"))
    return ComfyUI("comfyui", Settings(base_url=server.url, **settings), context, pace=pace)


def job(num_images: int = 1) -> ProviderRequest:
    return ProviderRequest(
        prompt="a fox",
        negative_prompt="",
        width=64,
        height=64,
        num_images=num_images,
        seed=7,
        steps=4,
        guidance_scale=7.0,
    )


async def run(comfy: ComfyUI, num_images: int = 1) -> tuple[Generation, Told]:
    told: Told = []

    async def progress(share: float, sentence: str) -> None:
        told.append((share, sentence))

    try:
        return await comfy.generate(job(num_images), SD1, progress), told
    finally:
        await comfy.aclose()


async def silence(share: float, sentence: str) -> None:
    pass


async def test_a_picture_comes_back_with_progress_that_only_grows() -> None:
    async with FakeComfyUI() as server:
        made, told = await run(provider(server, BY_EVENT_ONLY))

    assert made == Generation(images=(GeneratedImage(data=PNG, seed=7),))
    assert told == [
        (0.02, "loading the model"),
        (0.1, "sampling"),
        (pytest.approx(0.3), "step 1 of 4"),
        (pytest.approx(0.5), "step 2 of 4"),
        (pytest.approx(0.7), "step 3 of 4"),
        (pytest.approx(0.9), "step 4 of 4"),
        (0.92, "decoding"),
        (1.0, "done"),
    ]


async def test_the_socket_is_open_before_the_job_is_posted() -> None:
    async with FakeComfyUI() as server:
        await run(provider(server))

    assert server.seen.index("socket") < server.seen.index("POST /api/prompt")
    assert server.first_frames == [
        {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
    ]


async def test_no_origin_is_sent_and_headers_go_with_socket_and_requests_alike() -> None:
    async with FakeComfyUI() as server:
        await run(provider(server, headers={"X-Key": "abc"}))

    assert all("origin" not in headers for headers in server.headers)
    assert all(headers["x-key"] == "abc" for headers in server.headers)


async def test_each_picture_is_a_job_of_its_own_with_its_own_seed() -> None:
    async with FakeComfyUI() as server:
        made, told = await run(provider(server), num_images=3)

    graphs = [p["prompt"] for p in server.prompts]
    assert [i.seed for i in made.images] == [7, 8, 9]
    assert [g["sampler"]["inputs"]["seed"] for g in graphs] == [7, 8, 9]
    assert [g["latent"]["inputs"]["batch_size"] for g in graphs] == [1, 1, 1]
    assert len({g["save"]["inputs"]["filename_prefix"] for g in graphs}) == 3
    assert len({p["client_id"] for p in server.prompts}) == 1
    for posted in server.prompts:
        assert str(uuid.UUID(posted["prompt_id"])) == posted["prompt_id"]
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert told[-1] == (1.0, "picture 3 of 3: done")


async def test_events_of_other_jobs_are_not_taken_for_ours() -> None:
    async with FakeComfyUI(foreign=str(uuid.uuid4())) as server:
        _, told = await run(provider(server, BY_EVENT_ONLY))

    assert told[0] == (0.02, "loading the model")


async def test_without_a_socket_the_job_is_polled_and_the_result_says_so() -> None:
    async with FakeComfyUI(has_socket=False, lag=3) as server:
        made, told = await run(provider(server))

    assert made.images == (GeneratedImage(data=PNG, seed=7),)
    assert made.notes == ("ComfyUI gave no websocket, so progress was not seen",)
    assert told == [(0.0, "ComfyUI is working"), (1.0, "done")]


async def test_a_socket_that_breaks_does_not_break_the_job() -> None:
    async with FakeComfyUI(drops_socket=True, lag=3) as server:
        made, told = await run(provider(server, Pace(first=0.001, watched_first=60)))

    assert made.images == (GeneratedImage(data=PNG, seed=7),)
    assert made.notes == ("the websocket to ComfyUI broke, so progress was seen in part only",)
    assert told[-1] == (1.0, "done")


async def test_a_job_whose_end_is_announced_too_early_is_waited_for() -> None:
    async with FakeComfyUI(lag=5) as server:
        made, _ = await run(provider(server))

    assert made.images == (GeneratedImage(data=PNG, seed=7),)


async def test_a_job_between_queue_and_history_is_not_given_up_at_once() -> None:
    async with FakeComfyUI(has_jobs=False, lag=1) as server:
        made, _ = await run(provider(server))

    assert made.images == (GeneratedImage(data=PNG, seed=7),)


async def test_what_is_told_never_goes_back() -> None:
    told: list[float] = []

    async def progress(share: float, sentence: str) -> None:
        told.append(share)

    meter = Meter(progress, 2)
    for share in (0.1, 0.5, 0.2, 0.2, 0.6):
        await meter.tell(share, f"at {share}")
    await meter.next()
    await meter.tell(0.0, "loading")

    assert told == [0.05, 0.25, 0.25, 0.3, 0.5, 0.5]


async def test_an_old_server_without_jobs_is_asked_for_its_history() -> None:
    async with FakeComfyUI(has_jobs=False, version="0.4.0") as server:
        made, _ = await run(provider(server))

    assert made.images == (GeneratedImage(data=PNG, seed=7),)
    asked = [line.rsplit("/", 1)[0] for line in server.seen[-4:]]
    assert asked == ["GET /api", "GET /api", "GET /api/history", "GET /api"]


async def test_a_server_that_chooses_its_own_job_id_is_followed_by_that() -> None:
    async with FakeComfyUI(has_jobs=False, own_id=str(uuid.uuid4())) as server:
        made, _ = await run(provider(server))

    assert made.images == (GeneratedImage(data=PNG, seed=7),)
    assert f"GET /api/history/{server.own_id}" in server.seen


async def test_a_preview_is_taken_where_nothing_was_saved() -> None:
    async with FakeComfyUI(image_type="temp") as server:
        made, _ = await run(provider(server))

    assert made.images == (GeneratedImage(data=PNG, seed=7),)


@pytest.mark.parametrize("has_jobs", [True, False])
async def test_a_job_that_the_server_no_longer_knows_is_lost(has_jobs: bool) -> None:
    async with FakeComfyUI(ending="lost", has_jobs=has_jobs) as server:
        with pytest.raises(EngineCrashed, match="restarted, or the job was taken off its queue"):
            await run(provider(server))

    assert len(server.prompts) == 1


async def test_a_server_that_dies_with_the_job_is_not_posted_to_again() -> None:
    async with FakeComfyUI(ending="dies") as server:
        with pytest.raises(ProviderUnavailable, match="broke the connection"):
            await run(provider(server))

    assert len(server.prompts) == 1


async def test_a_server_that_goes_silent_during_the_job_has_crashed() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        comfy = provider(server)
        running = asyncio.create_task(run(comfy))
        await server.posted.wait()
        server.kill()
        with pytest.raises(EngineCrashed, match="stopped answering during the job"):
            await running


@pytest.mark.parametrize("has_jobs", [True, False])
async def test_running_out_of_memory_is_said_without_paths(has_jobs: bool) -> None:
    async with FakeComfyUI(ending="failed", has_jobs=has_jobs) as server:
        with pytest.raises(OutOfMemory) as caught:
            await run(provider(server))

    assert str(caught.value) == (
        "ComfyUI ran out of memory in KSampler; ask for a smaller picture or model,"
        " or start ComfyUI with --lowvram"
    )


@pytest.mark.parametrize("has_jobs", [True, False])
async def test_a_job_that_somebody_else_stopped_is_not_a_picture(has_jobs: bool) -> None:
    async with FakeComfyUI(ending="cancelled", has_jobs=has_jobs) as server:
        with pytest.raises(EngineCrashed, match="stopped in ComfyUI by somebody else"):
            await run(provider(server))


async def test_a_graph_of_which_a_part_was_refused_is_stopped() -> None:
    error: dict[str, Any] = {
        "type": "value_not_in_list",
        "extra_info": {
            "input_name": "vae_name",
            "input_config": [["ae.safetensors"], {}],
            "received_value": "aex.safetensors",
        },
    }
    refused: dict[str, Any] = {"vae": {"class_type": "VAELoader", "errors": [error]}}
    async with FakeComfyUI(ending="hangs", node_errors=refused) as server:
        with pytest.raises(ModelMissing, match=r"nearest: ae\.safetensors"):
            await run(provider(server))

    assert list(server.states.values()) == ["cancelled"]


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(FakeComfyUI(ending="hangs"), id="by jobs/cancel"),
        pytest.param(FakeComfyUI(ending="hangs", has_cancel=False), id="by interrupt"),
        pytest.param(FakeComfyUI(ending="hangs", has_jobs=False, version="0.3.56"), id="old"),
        pytest.param(FakeComfyUI(ending="hangs", has_socket=False), id="without a socket"),
    ],
)
async def test_cancelling_stops_the_job_and_submits_no_more(server: FakeComfyUI) -> None:
    async with server:
        comfy = provider(server)
        working = asyncio.Event()

        async def progress(share: float, sentence: str) -> None:
            if sentence.endswith(("step 2 of 4", "ComfyUI is working")):
                working.set()

        running = asyncio.create_task(comfy.generate(job(3), SD1, progress))
        await working.wait()
        running.cancel()
        with anyio.fail_after(2), pytest.raises(asyncio.CancelledError):
            await running
        await comfy.aclose()

    assert list(server.states.values()) == ["cancelled"]


async def test_cancelling_by_an_anyio_scope_stops_the_job_too() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        comfy = provider(server)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(comfy.generate, job(), SD1, silence)
                await server.posted.wait()
                group.cancel_scope.cancel()
        await comfy.aclose()

    assert list(server.states.values()) == ["cancelled"]


async def test_cancelling_while_the_job_is_being_posted_stops_it_all_the_same() -> None:
    held = asyncio.Event()
    async with FakeComfyUI(ending="hangs", slow_answer=held) as server:
        comfy = provider(server)
        running = asyncio.create_task(comfy.generate(job(), SD1, silence))
        await server.posted.wait()
        running.cancel()
        asyncio.get_running_loop().call_soon(held.set)
        with pytest.raises(asyncio.CancelledError):
            await running
        await comfy.aclose()

    assert list(server.states.values()) == ["cancelled"]


async def test_a_server_too_old_to_stop_one_job_is_left_alone() -> None:
    async with FakeComfyUI(ending="hangs", has_jobs=False, version="0.3.55") as server:
        comfy = provider(server)
        running = asyncio.create_task(comfy.generate(job(), SD1, silence))
        await server.posted.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await comfy.aclose()

    assert "POST /api/queue" in server.seen
    assert "POST /api/interrupt" not in server.seen


async def test_our_own_time_limit_stops_the_job() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        with pytest.raises(ProviderTimeout, match=r"within 0\.2 s, so the job was stopped"):
            await run(provider(server, timeout=0.2))

    assert list(server.states.values()) == ["cancelled"]


async def test_a_failing_listener_stops_the_job() -> None:
    async def broken(share: float, sentence: str) -> None:
        raise RuntimeError("the listener is gone")

    async with FakeComfyUI(ending="hangs") as server:
        comfy = provider(server)
        with pytest.raises(RuntimeError, match="the listener is gone"):
            await comfy.generate(job(), SD1, broken)
        await comfy.aclose()

    assert list(server.states.values()) == ["cancelled"]


async def test_the_model_last_used_is_listed_as_loaded() -> None:
    async with FakeComfyUI() as server:
        comfy = provider(server)
        await comfy.generate(job(), SD1, silence)
        models = await comfy.models()
        await comfy.aclose()
        await comfy.aclose()

    assert [m.id for m in models if m.loaded] == [SD1.id]
