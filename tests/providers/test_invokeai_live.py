"""Against a real InvokeAI with small random models (tools/invokeai): `pytest -m live`.

At INVOKEAI_URL, by itself http://127.0.0.1:19090; skipped where nobody answers there.
"""

from __future__ import annotations

import io
import os
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.providers.test_invokeai_graphs import CASES
from tests.support.calls import client, data
from tests.support.factory import service
from tests.support.fake_invokeai import FakeInvokeAI
from tests.support.invokeai_calls import listed, provider, request
from tests.support.vendors import ignore
from ziggie_image_mcp.provider import (
    Control,
    Generation,
    InvalidOutput,
    Lora,
    ModelMissing,
    ProviderContext,
    ProviderRequest,
    RemoteJob,
    RequestRejected,
    Run,
)
from ziggie_image_mcp.provider.testing import picture
from ziggie_image_providers.invokeai import InvokeAI
from ziggie_image_providers.invokeai.settings import Settings

URL = os.environ.get("INVOKEAI_URL", "http://127.0.0.1:19090")
QUEUE = "/api/v1/queue/default"

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("markexpr") != "live":
        pytest.skip("only with -m live")
    try:
        httpx2.get(f"{URL}/api/v1/app/version", timeout=10, trust_env=False).raise_for_status()
    except httpx2.HTTPError:
        pytest.skip(f"no InvokeAI at {URL}; start one with tools/invokeai/serve.py")


@asynccontextmanager
async def invokeai(**settings: Any) -> AsyncGenerator[InvokeAI]:
    section = Settings(base_url=URL, **settings)
    invoke = InvokeAI("invokeai", section, ProviderContext(data_dir=Path("unused")))
    try:
        yield invoke
    finally:
        await invoke.aclose()


async def make(invoke: InvokeAI, id: str, asked: ProviderRequest) -> Generation:
    model = (await listed(invoke))[id]
    run = Run(key=str(uuid.uuid4()), progress=ignore)
    remote = await invoke.submit(asked, model, run)
    assert isinstance(remote, RemoteJob)
    return await invoke.collect(remote.id, asked, model, run)


def pixels(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


async def test_the_models_of_the_server_are_told_by_family() -> None:
    async with invokeai() as invoke:
        models = await listed(invoke)
        probe = await invoke.probe()

    assert probe.state == "ready"
    assert probe.version.startswith("6.")
    own = {id: (m.role, m.family) for id, m in models.items() if id.startswith("tiny")}
    assert own == {
        "tiny-sd1": ("model", "sd1"),
        "tiny-sdxl": ("model", "sdxl"),
        "tiny-lora": ("lora", "sd1"),
        "tiny-sd15-canny": ("control", "sd1"),
        "tiny-upscaler-x2.pth": ("model", "upscaler"),
    }


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("tiny-sd1", request(width=96, negative_prompt="blurry", sampler="DPM++ 2M Karras")),
        ("tiny-sdxl", request(height=96)),
        ("tiny-sd1", request("image_to_image", strength=0.5)),
        ("tiny-sdxl", request("inpaint")),
        ("tiny-sd1", request(loras=(Lora(id="tiny-lora", weight=0.5),), seamless=True)),
        (
            "tiny-sd1",
            request(
                control=(
                    Control(kind="canny", image_id="c", image=picture(64, 64)),
                    Control(kind="canny", image_id="c", image=picture(64, 64), compute=True),
                )
            ),
        ),
        ("tiny-upscaler-x2.pth", request("upscale", factor=4)),
    ],
)
async def test_a_picture_of_the_size_asked_for_comes_back(
    model: str, asked: ProviderRequest
) -> None:
    async with invokeai() as invoke:
        generation = await make(invoke, model, asked)

    [image] = generation.images
    times = asked.factor or 1
    assert pixels(image.data).shape == (asked.height * times, asked.width * times, 3)
    assert generation.notes == ()


async def test_the_same_seed_gives_the_same_pixels_in_its_own_file() -> None:
    async with invokeai() as invoke:
        first = await make(invoke, "tiny-sd1", request(num_images=2))
        again = await make(invoke, "tiny-sd1", request(num_images=2))

    assert [image.seed for image in first.images] == [7, 8]
    pairs = [[pixels(image.data) for image in made.images] for made in (first, again)]
    assert np.array_equal(pairs[0][0], pairs[1][0])
    assert np.array_equal(pairs[0][1], pairs[1][1])
    assert not np.array_equal(pairs[0][0], pairs[0][1])


async def test_under_a_mask_the_left_half_alone_depends_on_the_seed() -> None:
    """InvokeAI's mask is the other way round: white stays."""
    async with invokeai() as invoke:
        asked = request("inpaint", num_images=2, width=128, height=64, image=picture(128, 64))
        made = await make(invoke, "tiny-sd1", asked)

    first, second = (pixels(image.data) for image in made.images)
    changed = np.abs(first - second)
    assert changed[:, :48].mean() > 5 * changed[:, 80:].mean()


async def test_an_edit_through_the_tools_keeps_what_was_not_masked(tmp_path: Path) -> None:
    file, mask = tmp_path / "in.png", tmp_path / "mask.png"
    file.write_bytes(picture(64, 64, "crimson"))
    half = Image.new("L", (64, 64), 0)
    half.paste(255, (0, 0, 32, 64))
    half.save(mask)
    folders: dict[str, Any] = {"inputDirectories": [str(tmp_path)]}
    async with invokeai() as invoke, client(service(tmp_path, invoke, **folders)) as mcp:
        words = {"image": str(file), "mask": str(mask), "prompt": "a fox", "steps": 2}
        told = data(await mcp.call_tool("edit_image", {**words, "wait_seconds": 200}))

    after = pixels(Path(told["images"][0]["path"]).read_bytes())
    before = pixels(file.read_bytes())
    assert np.array_equal(after[:, 40:], before[:, 40:])
    assert not np.array_equal(after[:, :24], before[:, :24])


async def test_cancel_job_stops_it_within_two_seconds(tmp_path: Path) -> None:
    async with (
        invokeai() as invoke,
        client(service(tmp_path, invoke)) as mcp,
        httpx2.AsyncClient(base_url=URL, trust_env=False) as server,
    ):

        async def running() -> int:
            status = (await server.get(f"{QUEUE}/status")).json()
            return int(status["queue"]["in_progress"])

        words = {"prompt": "a fox", "model": "tiny-sd1", "steps": 150, "wait_seconds": 0}
        job = data(await mcp.call_tool("generate_image", {**words, "width": 256, "height": 256}))
        with anyio.fail_after(120):
            while not await running():
                await anyio.sleep(0.1)
        since = time.monotonic()
        await mcp.call_tool("cancel_job", {"job_id": job["job_id"]})
        while await running():
            await anyio.sleep(0.05)
        took = time.monotonic() - since

    assert took < 2


async def test_another_process_finds_and_fetches_a_job_whose_process_died() -> None:
    asked, run = request(num_images=2), Run(key=str(uuid.uuid4()), progress=ignore)
    async with invokeai() as died:
        model = (await listed(died))["tiny-sd1"]
        await died.submit(asked, model, run)
    async with invokeai() as successor:
        resolution = await successor.resolve(run.key, "")
        generation = await successor.collect(resolution.remote_id, asked, model, run)
        nothing = await successor.resolve(str(uuid.uuid4()), "")

    assert resolution.state in ("running", "finished")
    assert [image.seed for image in generation.images] == [7, 8]
    assert nothing.state == "not_sent"


async def test_nothing_of_ours_is_left_on_the_server() -> None:
    async with httpx2.AsyncClient(base_url=URL, trust_env=False, timeout=30) as server:

        async def count() -> int:
            return int((await server.get("/api/v1/images/?limit=1")).json()["total"])

        before = await count()
        async with invokeai() as invoke:
            await make(invoke, "tiny-sd1", request("inpaint"))
        after = await count()

    assert after == before


async def test_a_size_that_it_does_not_take_is_refused_with_the_field() -> None:
    async with invokeai() as invoke:
        with pytest.raises(RequestRejected, match=r"noise\.width: Input should be a multiple of 8"):
            await make(invoke, "tiny-sd1", request(width=60))


@pytest.mark.parametrize("case", [name for name in CASES if not name.startswith("built-in")])
async def test_the_server_accepts_our_graphs_of_every_family(case: str) -> None:
    """It has none of these models, so that it fails at them, but only after the graph was taken."""
    id, asked = CASES[case]
    fake = FakeInvokeAI()
    async with provider(fake) as invoke:
        await invoke.submit(asked, (await listed(invoke))[id], Run(key="k", progress=ignore))
    key = str(uuid.uuid4())
    batch = {**fake.batches[0], "batch_id": key, "destination": key}
    async with httpx2.AsyncClient(base_url=URL, trust_env=False, timeout=60) as server:
        answer = await server.post(f"{QUEUE}/enqueue_batch", json={"batch": batch})
        await server.put(f"{QUEUE}/cancel_by_destination", params={"destination": key})

    assert answer.status_code == 200, answer.text[:500]
    assert answer.json()["enqueued"] == 1


async def test_a_file_that_it_cannot_download_is_said() -> None:
    """It runs offline here."""
    async with invokeai() as invoke:
        with pytest.raises((ModelMissing, InvalidOutput), match="could not download a file"):
            await make(invoke, "RealESRGAN_x2plus", request("upscale", factor=2))
