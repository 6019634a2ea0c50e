"""Requests that another process goes on with, against a server on loopback."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.comfyui_answers import named, silence
from tests.support.fake_comfyui import PNG, FakeComfyUI
from ziggie_image_mcp.provider import (
    EngineCrashed,
    ProviderContext,
    ProviderError,
    ProviderRequest,
    ProviderTimeout,
    RemoteJob,
    Run,
)
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.watch import Pace

SD1 = named("v1-5-pruned.safetensors")
QUICK = Pace(first=0.001, longest=0.01, watched_first=0.02, watched_longest=0.02, patience=0.05)
RUN = Run(key="job-1/attempt-1", progress=silence)


def provider(server: FakeComfyUI, pace: Pace = QUICK) -> ComfyUI:
    context = ProviderContext(data_dir=Path("unused"))
    return ComfyUI("comfyui", Settings(base_url=server.url, max_batch=1), context, pace=pace)


def request(num_images: int = 3) -> ProviderRequest:
    return ProviderRequest(prompt="a fox", width=64, height=64, num_images=num_images, seed=7)


async def submitted(server: FakeComfyUI, num_images: int = 3) -> str:
    """Submit by a process that then is gone."""
    comfy = provider(server)
    remote = await comfy.submit(request(num_images), SD1, RUN)
    await comfy.aclose()
    assert isinstance(remote, RemoteJob)
    return remote.id


async def seeds_collected(server: FakeComfyUI, remote_id: str, num_images: int = 3) -> list[object]:
    comfy = provider(server)
    try:
        generation = await comfy.collect(remote_id, request(num_images), SD1, RUN)
    finally:
        await comfy.aclose()
    assert {image.data for image in generation.images} == {PNG}
    return [image.seed for image in generation.images]


def seeds_posted(server: FakeComfyUI) -> list[object]:
    return [prompt["prompt"]["sampler"]["inputs"]["seed"] for prompt in server.prompts]


async def test_the_ids_of_a_run_are_the_same_in_every_process_and_others_in_another_run() -> None:
    async with FakeComfyUI() as server:
        ids = [await submitted(server), await submitted(server)]
        comfy = provider(server)
        other = await comfy.submit(request(), SD1, Run(key="another", progress=silence))
        await comfy.aclose()

    assert ids[0] == ids[1] == ",".join(p["prompt_id"] for p in server.prompts[:3])
    assert isinstance(other, RemoteJob)
    assert not {*ids[0].split(",")} & {*other.id.split(",")}


async def test_a_finished_request_is_fetched_and_nothing_is_posted() -> None:
    async with FakeComfyUI() as server:
        remote_id = await submitted(server)
        seeds = await seeds_collected(server, remote_id)
        again = await seeds_collected(server, remote_id)

    assert seeds == again == [7, 8, 9]
    assert seeds_posted(server) == [7, 8, 9]


async def test_a_running_request_is_waited_for_and_nothing_is_posted() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        remote_id = await submitted(server)
        collecting = asyncio.create_task(seeds_collected(server, remote_id))
        while not any(line.startswith("GET /api/jobs/") for line in server.seen):
            await asyncio.sleep(0)
        server.finish()
        seeds = await collecting

    assert seeds == [7, 8, 9]
    assert seeds_posted(server) == [7, 8, 9]


async def test_a_batch_whose_submission_was_cut_goes_on_with_what_is_missing() -> None:
    async with FakeComfyUI() as server:
        await submitted(server, num_images=1)
        comfy = provider(server)
        resolution = await comfy.resolve(RUN.key, "")
        await comfy.aclose()
        seeds = await seeds_collected(server, resolution.remote_id)

    assert resolution.state == "finished"
    assert seeds == [7, 8, 9]
    assert seeds_posted(server) == [7, 8, 9]


async def test_cancelling_takes_off_also_what_was_posted_later() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        remote_id = await submitted(server, num_images=1)
        comfy = provider(server)
        collecting = asyncio.create_task(comfy.collect(remote_id, request(), SD1, RUN))
        while len(server.prompts) < 3:
            await asyncio.sleep(0)
        collecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await collecting
        outcome = await comfy.cancel(remote_id)
        await comfy.aclose()

    assert outcome.state == "stopped"
    assert server.states == {remote_id: "cancelled"}


async def test_a_server_that_forgot_a_part_of_its_queue_gets_only_that_again() -> None:
    async with FakeComfyUI() as server:
        remote_id = await submitted(server)
        server.forget(*remote_id.split(",")[1:])
        seeds = await seeds_collected(server, remote_id)

    assert seeds == [7, 8, 9]
    assert seeds_posted(server) == [7, 8, 9, 8, 9]
    assert ",".join(server.states) == remote_id


async def test_a_prompt_that_vanishes_while_it_is_waited_for_is_lost() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        comfy = provider(server)
        remote = await comfy.submit(request(), SD1, RUN)
        assert isinstance(remote, RemoteJob)
        server.forget()
        with pytest.raises(EngineCrashed, match="restarted, or the job was taken off its queue"):
            await comfy.collect(remote.id, request(), SD1, RUN)
        await comfy.aclose()

    assert len(server.prompts) == 3


async def test_a_prompt_under_an_id_of_the_server_is_never_posted_again() -> None:
    async with FakeComfyUI(chooses_ids=True, has_jobs=False) as server:
        remote_id = await submitted(server)
        seeds = await seeds_collected(server, remote_id)
        server.forget()
        with pytest.raises(EngineCrashed, match="restarted"):
            await seeds_collected(server, remote_id)

    assert seeds == [7, 8, 9]
    assert len(server.prompts) == 3


async def test_a_failure_of_the_process_before_is_told_and_takes_the_rest_off_the_queue() -> None:
    async with FakeComfyUI(endings=["failed"], ending="hangs") as server:
        remote_id = await submitted(server)
        with pytest.raises(ProviderError):
            await seeds_collected(server, remote_id)

    assert list(server.states.values()) == ["failed", "cancelled"]


async def test_of_a_batch_of_the_process_before_what_was_made_is_given() -> None:
    async with FakeComfyUI(endings=["failed", "completed", "completed"]) as server:
        remote_id = await submitted(server)
        comfy = provider(server)
        assert (await comfy.resolve(RUN.key, "")).state == "finished"
        await comfy.aclose()

        assert await seeds_collected(server, remote_id) == [8, 9]


@pytest.mark.parametrize("by_key", [True, False])
@pytest.mark.parametrize("has_jobs", [True, False])
@pytest.mark.parametrize(
    ("endings", "state"),
    [
        (["completed", "completed"], "finished"),
        (["completed", "hangs"], "running"),
        (["hangs", "hangs"], "running"),
        (["completed", "failed"], "finished"),  # to be collected, which says what failed
        (["failed", "cancelled"], "failed"),
        (["lost", "lost"], "not_sent"),
    ],
)
async def test_a_request_resolves(
    endings: list[str], state: str, has_jobs: bool, by_key: bool
) -> None:
    async with FakeComfyUI(has_jobs=has_jobs) as server:
        remote_id = await submitted(server, 2)
        server.states = dict(zip(remote_id.split(","), endings, strict=True))
        comfy = provider(server)
        resolution = await comfy.resolve(RUN.key, "" if by_key else remote_id)
        await comfy.aclose()

    assert resolution.state == state
    assert resolution.remote_id == ("" if state == "not_sent" else remote_id)
    assert bool(resolution.reason) == (state in ("failed", "not_sent"))


async def test_what_became_of_a_request_is_unknowable_while_the_server_is_away() -> None:
    async with FakeComfyUI() as server:
        remote_id = await submitted(server)
    comfy = provider(server)
    resolution = await comfy.resolve(RUN.key, remote_id)
    await comfy.aclose()

    assert resolution.state == "unknowable"
    assert resolution.remote_id == remote_id
    assert "nothing answers at" in resolution.reason


async def test_a_probe_tells_version_queue_and_memory() -> None:
    async with FakeComfyUI(ending="hangs") as server:
        await submitted(server)
        comfy = provider(server)
        probe = await comfy.probe()
        await comfy.aclose()

    assert probe.state == "ready"
    assert probe.version == "0.33.0"
    assert probe.queue_length == 3
    assert probe.free_memory == 5_000_000_000


async def test_a_probe_of_nobody_says_what_to_do() -> None:
    async with FakeComfyUI() as server:
        pass
    comfy = provider(server)
    probe = await comfy.probe()
    await comfy.aclose()

    assert probe.state == "unreachable"
    assert "start ComfyUI" in probe.message


async def test_what_another_process_has_taken_up_is_not_stopped_by_the_one_that_lost_it() -> None:
    lost = Run(key=RUN.key, progress=silence, is_ours=lambda: False)
    held = asyncio.Event()
    async with FakeComfyUI(ending="hangs", slow_answer=held) as server:
        first, second = provider(server), provider(server)
        submitting = asyncio.create_task(first.submit(request(1), SD1, lost))
        await server.posted.wait()
        found = await second.resolve(RUN.key, "")
        collecting = asyncio.create_task(second.collect(found.remote_id, request(1), SD1, RUN))
        submitting.cancel()
        held.set()
        await asyncio.wait([submitting])
        late = ComfyUI(
            "comfyui",
            Settings(base_url=server.url, timeout=0.1),
            ProviderContext(data_dir=Path("unused")),
            pace=QUICK,
        )
        with pytest.raises(ProviderTimeout):
            await late.collect(found.remote_id, request(1), SD1, lost)
        server.finish()

        generation = await asyncio.wait_for(collecting, 10)

        for comfy in (first, second, late):
            await comfy.aclose()
    assert len(generation.images) == 1
