"""The whole way of a job, against a server on loopback."""

from __future__ import annotations

import asyncio
import math
import socket
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.comfyui_answers import generate, named, silence
from tests.support.fake_comfyui import OOM, PNG, FakeComfyUI
from ziggie_image_mcp.provider import (
    NO_COST,
    EngineCrashed,
    GeneratedImage,
    Generation,
    ModelMissing,
    OutOfMemory,
    Progress,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderTimeout,
    RemoteJob,
    Run,
)
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.watch import Meter, Pace, WorkLimit

SD1 = named("v1-5-pruned.safetensors")
QUICK = Pace(first=0.001, longest=0.01, watched_first=0.02, watched_longest=0.02, patience=0.05)
BY_EVENT_ONLY = Pace(watched_first=60, watched_longest=60)
Reports = list[tuple[float, str]]


def provider(server: FakeComfyUI, pace: Pace = QUICK, **settings: Any) -> ComfyUI:
    context = ProviderContext(data_dir=Path("unused"))
    values: dict[str, Any] = {"base_url": server.url, "max_batch": 1}
    section = Settings(**(values | settings))
    return ComfyUI("comfyui", section, context, pace=pace)


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


def this_run(progress: Progress = silence) -> Run:
    return Run(key="a-run", progress=progress)


async def run(comfy: ComfyUI, num_images: int = 1) -> tuple[Generation, Reports]:
    reports: Reports = []

    async def progress(share: float, sentence: str) -> None:
        reports.append((share, sentence))

    return await generate(comfy, job(num_images), SD1, this_run(progress)), reports


async def submitted(comfy: ComfyUI, num_images: int = 1) -> str:
    remote = await comfy.submit(job(num_images), SD1, this_run())
    assert isinstance(remote, RemoteJob)
    return remote.id


async def test_a_picture_comes_back_with_progress_that_only_grows() -> None:
    async with FakeComfyUI() as server:
        generation, reports = await run(provider(server, BY_EVENT_ONLY))

    whole = Generation(images=(GeneratedImage(data=PNG, seed=7),), cost=NO_COST)
    assert replace(generation, load_seconds=None) == whole
    assert generation.load_seconds is not None  # the model's file was read
    assert reports == [
        (0.02, "loading the model"),
        (0.1, "sampling"),
        (pytest.approx(0.3), "step 1 of 4"),
        (pytest.approx(0.5), "step 2 of 4"),
        (pytest.approx(0.7), "step 3 of 4"),
        (pytest.approx(0.9), "step 4 of 4"),
        (0.92, "decoding"),
        (1.0, "done"),
    ]


@pytest.mark.parametrize("host", ["engine.lan", "0.0.0.0"])
async def test_the_socket_too_goes_by_no_proxy_on_the_own_network(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = socket.getaddrinfo

    def look_up(name: Any, *args: Any, **kwargs: Any) -> Any:
        return lookup("127.0.0.1" if "engine" in str(name) else name, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for name in ("http_proxy", "all_proxy", "ws_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with FakeComfyUI() as server:
        server.url = server.url.replace("127.0.0.1", host)
        generation, _ = await run(provider(server))

    assert "socket" in server.seen
    assert generation.notes == ()


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
        generation, reports = await run(provider(server), num_images=3)

    graphs = [p["prompt"] for p in server.prompts]
    assert [i.seed for i in generation.images] == [7, 8, 9]
    assert [g["sampler"]["inputs"]["seed"] for g in graphs] == [7, 8, 9]
    assert [g["latent"]["inputs"]["batch_size"] for g in graphs] == [1, 1, 1]
    assert len({g["save"]["inputs"]["filename_prefix"] for g in graphs}) == 3
    assert len({p["client_id"] for p in server.prompts}) == 1
    for posted in server.prompts:
        assert str(uuid.UUID(posted["prompt_id"])) == posted["prompt_id"]
    shares = [share for share, _ in reports]
    assert shares == sorted(shares)
    assert reports[-1] == (1.0, "picture 3 of 3: done")


async def test_events_of_other_jobs_are_not_taken_for_ours() -> None:
    async with FakeComfyUI(foreign=str(uuid.uuid4())) as server:
        _, reports = await run(provider(server, BY_EVENT_ONLY))

    assert reports[0] == (0.02, "loading the model")


async def test_without_a_socket_the_job_is_polled_and_the_result_says_so() -> None:
    async with FakeComfyUI(has_socket=False, lag=3) as server:
        generation, reports = await run(provider(server))

    assert generation.images == (GeneratedImage(data=PNG, seed=7),)
    assert generation.notes == ("ComfyUI gave no websocket, so progress was not seen",)
    assert reports == [(0.0, "ComfyUI is working"), (1.0, "done")]


async def test_a_socket_that_breaks_does_not_break_the_job() -> None:
    async with FakeComfyUI(drops_socket=True, lag=3) as server:
        generation, reports = await run(provider(server, Pace(first=0.001, watched_first=60)))

    assert generation.images == (GeneratedImage(data=PNG, seed=7),)
    assert generation.notes == (
        "the websocket to ComfyUI broke, so progress was seen in part only",
    )
    assert reports[-1] == (1.0, "done")


async def test_a_preview_larger_than_any_is_not_read_and_the_server_is_asked_instead() -> None:
    async with FakeComfyUI(preview_bytes=9 * 2**20, lag=3) as server:
        generation, _ = await run(provider(server, Pace(first=0.001, watched_first=60)))

    assert generation.images == (GeneratedImage(data=PNG, seed=7),)
    assert generation.notes == (
        "the websocket to ComfyUI broke, so progress was seen in part only",
    )


async def test_a_job_whose_end_is_announced_too_early_is_waited_for() -> None:
    async with FakeComfyUI(lag=5) as server:
        generation, _ = await run(provider(server))

    assert generation.images == (GeneratedImage(data=PNG, seed=7),)


async def test_a_job_between_queue_and_history_is_not_given_up_at_once() -> None:
    async with FakeComfyUI(has_jobs=False, lag=1) as server:
        generation, _ = await run(provider(server))

    assert generation.images == (GeneratedImage(data=PNG, seed=7),)


async def test_what_is_told_never_goes_back() -> None:
    reports: list[float] = []

    async def progress(share: float, sentence: str) -> None:
        reports.append(share)

    meter = Meter(progress, 2, WorkLimit(60))
    for share in (0.1, 0.5, 0.2, 0.2, 0.6):
        await meter.tell(share, f"at {share}")
    await meter.next()
    await meter.tell(0.0, "loading")

    assert reports == [0.05, 0.25, 0.25, 0.3, 0.5, 0.5]


async def test_the_time_limit_counts_work_and_neither_the_queue_nor_loading() -> None:
    limit = WorkLimit(60)
    deadlines: list[float] = []
    for told in (
        "waiting in ComfyUI's queue",
        "loading the model",
        "loading the VAE",
        "sampling",
        "step 3 of 20",
        "loading the model",
        "ComfyUI is working",
    ):
        limit.note(told)
        deadlines.append(limit.scope.deadline)

    counts = [deadline < math.inf for deadline in deadlines]
    assert counts == [False, False, False, True, True, False, True]
    assert deadlines[3] == deadlines[4]
    assert deadlines[6] >= deadlines[4], "what was spent on loading does not count"


async def test_an_old_server_without_jobs_is_asked_for_its_history() -> None:
    async with FakeComfyUI(has_jobs=False, version="0.4.0") as server:
        generation, _ = await run(provider(server))

    assert generation.images == (GeneratedImage(data=PNG, seed=7),)
    asked = [line.rsplit("/", 1)[0] for line in server.seen[-4:]]
    assert asked == ["GET /api", "GET /api", "GET /api/history", "GET /api"]


async def test_a_server_that_chooses_its_own_job_id_is_followed_by_that() -> None:
    async with FakeComfyUI(has_jobs=False, chooses_ids=True) as server:
        generation, _ = await run(provider(server))

    assert generation.images == (GeneratedImage(data=PNG, seed=7),)
    [id] = server.states
    assert server.prompts[0]["prompt_id"] != id
    assert f"GET /api/history/{id}" in server.seen


async def test_a_preview_is_taken_where_nothing_was_saved() -> None:
    async with FakeComfyUI(image_type="temp") as server:
        generation, _ = await run(provider(server))

    assert generation.images == (GeneratedImage(data=PNG, seed=7),)


@pytest.mark.parametrize("has_jobs", [True, False])
async def test_a_job_that_the_server_no_longer_knows_is_lost(has_jobs: bool) -> None:
    async with FakeComfyUI(ending="lost", has_jobs=has_jobs) as server:
        with pytest.raises(EngineCrashed, match="restarted, or the job was taken off its queue"):
            await run(provider(server))

    assert len(server.prompts) == 1


async def test_a_server_that_dies_with_the_job_is_not_posted_to_again() -> None:
    async with FakeComfyUI(ending="dies") as server:
        with pytest.raises(EngineCrashed, match="broke off"):
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
    async with FakeComfyUI(ending="failed", error=OOM, has_jobs=has_jobs) as server:
        with pytest.raises(OutOfMemory) as caught:
            await run(provider(server))

    assert str(caught.value) == (
        "ComfyUI ran out of memory in KSampler; ask for a smaller picture or model,"
        " or start ComfyUI with --novram"
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
        pytest.param(FakeComfyUI(ending="hangs", chooses_ids=True), id="with ids of its own"),
        pytest.param(FakeComfyUI(ending="hangs", has_socket=False), id="without a socket"),
    ],
)
async def test_cancelling_the_collection_leaves_the_queue_which_cancel_then_clears(
    server: FakeComfyUI,
) -> None:
    async with server:
        comfy = provider(server)
        working = asyncio.Event()

        async def progress(share: float, sentence: str) -> None:
            if sentence.endswith(("step 2 of 4", "ComfyUI is working")):
                working.set()

        remote_id = await submitted(comfy, 3)
        running = asyncio.create_task(comfy.collect(remote_id, job(3), SD1, this_run(progress)))
        await working.wait()
        running.cancel()
        with anyio.fail_after(2), pytest.raises(asyncio.CancelledError):
            await running
        queue = [server.running, *server.pending]
        with anyio.fail_after(2):
            outcome = await comfy.cancel(remote_id)
        await comfy.aclose()

    assert ",".join(queue) == remote_id
    assert outcome.state == "stopped"
    assert list(server.states.values()) == ["cancelled"]


async def test_cancelling_touches_nobody_elses_prompts() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        server.states["somebody-elses"] = "hangs"
        comfy = provider(server)
        remote_id = await submitted(comfy, 2)
        outcome = await comfy.cancel(remote_id)
        again = await comfy.cancel(remote_id)
        await comfy.aclose()

    assert outcome.state == "stopped"
    assert again.state == "too_late"
    assert server.states == {"somebody-elses": "hangs"}


async def test_cancelling_at_a_server_that_is_gone_raises_nothing() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        comfy = provider(server)
        remote_id = await submitted(comfy)
    with anyio.fail_after(2):
        outcome = await comfy.cancel(remote_id)
    await comfy.aclose()

    assert outcome.state == "unsupported"


async def test_cancelling_by_an_anyio_scope_while_prompts_are_posted_leaves_none() -> None:
    held = asyncio.Event()
    async with FakeComfyUI(ending="hangs", slow_answer=held) as server:
        comfy = provider(server)
        with anyio.fail_after(3):
            async with anyio.create_task_group() as group:
                group.start_soon(comfy.submit, job(3), SD1, this_run())
                await server.posted.wait()
                group.cancel_scope.cancel()
        held.set()
        await comfy.aclose()

    assert list(server.states.values()) == ["cancelled"]


@pytest.mark.parametrize("chooses_ids", [False, True])
async def test_cancelling_while_the_second_picture_is_posted_leaves_neither(
    chooses_ids: bool,
) -> None:
    held = asyncio.Event()
    held.set()
    async with FakeComfyUI(ending="hangs", slow_answer=held, chooses_ids=chooses_ids) as server:
        comfy = provider(server)
        running = asyncio.create_task(comfy.submit(job(3), SD1, this_run()))
        await server.posted.wait()
        held.clear()
        server.posted.clear()
        await server.posted.wait()
        running.cancel()
        asyncio.get_running_loop().call_soon(held.set)
        with anyio.fail_after(2), pytest.raises(asyncio.CancelledError):
            await running
        await comfy.aclose()

    assert len(server.prompts) == 2
    assert list(server.states.values()) == ["cancelled"]


async def test_a_server_too_old_to_stop_one_job_is_left_alone() -> None:
    async with FakeComfyUI(ending="hangs", has_jobs=False, version="0.3.55") as server:
        comfy = provider(server)
        outcome = await comfy.cancel(await submitted(comfy))
        await comfy.aclose()

    assert outcome.state == "unsupported"
    assert "POST /api/queue" in server.seen
    assert "POST /api/interrupt" not in server.seen


async def test_our_own_time_limit_stops_the_job() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        with pytest.raises(ProviderTimeout, match=r"within 0\.2 s of work, so the job was stopped"):
            await run(provider(server, timeout=0.2), 2)

    assert list(server.states.values()) == ["cancelled"]


async def test_a_first_picture_that_fails_takes_the_rest_of_its_batch_off_the_queue() -> None:
    async with FakeComfyUI(endings=["failed"], ending="hangs") as server:
        with pytest.raises(ProviderError, match="bad value"):
            await run(provider(server), 4)

    assert list(server.states.values()) == ["failed", "cancelled"]


async def test_of_a_batch_in_which_one_fails_the_others_are_given() -> None:
    async with FakeComfyUI(endings=["completed", "failed", "completed"]) as server:
        generation, _ = await run(provider(server), 3)

    assert [image.seed for image in generation.images] == [7, 9]
    (note,) = generation.notes
    assert note.startswith("picture 2 failed: ")


async def test_a_failing_listener_stops_the_job() -> None:
    async def broken(share: float, sentence: str) -> None:
        raise RuntimeError("the listener is gone")

    async with FakeComfyUI(ending="hangs") as server:
        with pytest.raises(RuntimeError, match="the listener is gone"):
            await generate(provider(server), job(), SD1, this_run(broken))

    assert list(server.states.values()) == ["cancelled"]


async def test_the_model_last_used_is_listed_as_loaded() -> None:
    async with FakeComfyUI() as server:
        comfy = provider(server)
        await comfy.collect(await submitted(comfy), job(), SD1, this_run())
        models = await comfy.list_models()
        probe = await comfy.probe()
        await comfy.aclose()
        await comfy.aclose()

    assert [m.id for m in models if m.state == "loaded"] == [SD1.id]
    assert probe.loaded_model == SD1.id
