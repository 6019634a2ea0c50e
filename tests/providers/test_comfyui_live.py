"""Against a real ComfyUI on 127.0.0.1:8188 with small random models: `pytest -m live`."""

from __future__ import annotations

import asyncio
import io
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from tests.support.comfyui_answers import named, silence
from ziggie_image_mcp.provider import (
    Generation,
    Model,
    ModelMissing,
    Progress,
    ProviderContext,
    ProviderRequest,
    RemoteJob,
    RequestRejected,
    Run,
)
from ziggie_image_providers.comfyui import ComfyUI
from ziggie_image_providers.comfyui.settings import Settings

URL = "http://127.0.0.1:8188"

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("markexpr") != "live":
        pytest.skip("only with -m live")


@asynccontextmanager
async def comfyui(**settings: Any) -> AsyncGenerator[ComfyUI]:
    section = Settings(base_url=URL, **settings)
    provider = ComfyUI("comfyui", section, ProviderContext(data_dir=Path("unused")))
    try:
        yield provider
    finally:
        await provider.aclose()


def job(**changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {
        "prompt": "a red fox",
        "negative_prompt": "",
        "width": 64,
        "height": 64,
        "num_images": 1,
        "seed": 42,
        "steps": 2,
        "guidance_scale": None,
    }
    return ProviderRequest(**(values | changes))


async def generate(
    provider: ComfyUI, request: ProviderRequest, model: Model, progress: Progress = silence
) -> Generation:
    run = Run(key=str(uuid.uuid4()), progress=progress)
    remote = await provider.submit(request, model, run)
    assert isinstance(remote, RemoteJob)
    return await provider.collect(remote.id, request, model, run)


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


async def test_the_models_of_the_server_are_told_by_family() -> None:
    async with comfyui() as provider:
        models = {m.id: m for m in await provider.list_models()}

    assert {m.id: m.family for m in models.values()} == {
        "random-sd15.safetensors": "sd1",
        "random-sdxl.safetensors": "sdxl",
        "flux1-dev-random.safetensors": "flux1",
        "flux1-schnell-random.safetensors": "flux1",
    }
    assert all(m.state == "ready" and m.tasks for m in models.values())


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("random-sd15.safetensors", {"guidance_scale": 7.0, "negative_prompt": "blurry"}),
        ("random-sdxl.safetensors", {"guidance_scale": 7.0, "width": 128}),
        ("flux1-schnell-random.safetensors", {"height": 96}),
        ("flux1-dev-random.safetensors", {"guidance_scale": 3.5}),
    ],
)
async def test_a_picture_of_the_size_asked_for_comes_back(
    model: str, changes: dict[str, Any]
) -> None:
    reports: list[float] = []

    async def progress(share: float, sentence: str) -> None:
        reports.append(share)

    wanted = job(**changes)
    async with comfyui() as provider:
        generation = await generate(provider, wanted, named(model), progress)

    [picture] = generation.images
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.size == (wanted.width, wanted.height)
    assert generation.notes == ()
    assert reports == sorted(reports)
    assert reports[-1] == 1.0
    assert any(0.1 < share < 0.92 for share in reports)


async def test_the_same_seed_gives_the_same_pixels_in_another_file() -> None:
    async with comfyui() as provider, httpx2.AsyncClient(base_url=URL) as server:
        generations = list[Generation]()
        for _ in range(2):
            two = job(num_images=2, guidance_scale=7.0)
            model = named("random-sd15.safetensors")
            generations.append(await generate(provider, two, model))
        jobs = (await server.get("/api/jobs", params={"limit": 4})).json()["jobs"]

    first, again = generations
    assert [i.seed for i in first.images] == [42, 43]
    assert [pixels(i.data) for i in first.images] == [pixels(i.data) for i in again.images]
    assert pixels(first.images[0].data) != pixels(first.images[1].data)
    assert len({j["preview_output"]["filename"] for j in jobs}) == 4


async def test_a_long_job_is_cancelled_within_two_seconds() -> None:
    sampling = asyncio.Event()

    async def progress(share: float, sentence: str) -> None:
        if sentence.startswith("step"):
            sampling.set()

    model = named("random-sd15.safetensors")
    async with comfyui() as provider, httpx2.AsyncClient(base_url=URL) as server:
        long, run = (
            job(steps=200, guidance_scale=7.0),
            Run(key=str(uuid.uuid4()), progress=progress),
        )
        remote = await provider.submit(long, model, run)
        assert isinstance(remote, RemoteJob)
        running = asyncio.create_task(provider.collect(remote.id, long, model, run))
        await asyncio.wait_for(sampling.wait(), 60)
        since = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        outcome = await provider.cancel(remote.id)
        took = time.monotonic() - since
        while (await server.get("/api/prompt")).json()["exec_info"]["queue_remaining"]:
            assert time.monotonic() - since < 2
        [last] = (await server.get("/api/jobs", params={"limit": 1})).json()["jobs"]

    assert took < 2
    assert outcome.state == "stopped"
    assert last["status"] == "cancelled"


async def test_a_model_that_is_not_there_is_missing_with_the_nearest() -> None:
    async with comfyui() as provider:
        with pytest.raises(ModelMissing, match=r"nearest: random-sd15\.safetensors"):
            await generate(provider, job(), named("random-sd14.safetensors"))


async def test_an_unknown_sampler_is_refused_with_the_nearest() -> None:
    async with comfyui() as provider:
        model = named("random-sd15.safetensors")
        with pytest.raises(RequestRejected, match="nearest: dpmpp_2m"):
            await generate(provider, job(sampler="dpmpp2m"), model)


async def test_too_many_steps_are_refused_by_the_server_itself() -> None:
    async with comfyui() as provider:
        model = named("random-sd15.safetensors")
        with pytest.raises(RequestRejected, match="takes steps of at most 10000, not 20000"):
            await generate(provider, job(steps=20000), model)
