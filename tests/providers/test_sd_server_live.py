"""Against a real sd-server of stable-diffusion.cpp: see tools/sd_server/serve.py.

`ZIGGIE_SD_SERVER=http://127.0.0.1:18234 pytest -m live tests/providers/test_sd_server_live.py`
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from PIL import Image, ImageChops, ImageStat

from tests.support.factory import opener, service
from tests.support.vendors import RUN
from ziggie_image_mcp.provider import (
    FREE,
    Generation,
    Model,
    ProviderContext,
    ProviderRequest,
    Task,
)
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_providers.a1111 import A1111
from ziggie_image_providers.a1111.settings import Settings as WebUISettings
from ziggie_image_providers.openai import OpenAI
from ziggie_image_providers.openai.settings import Settings

URL = os.environ.get("ZIGGIE_SD_SERVER", "")
SIDE = 64
SAME, OTHER = 1.0, 4.0
"""Of 255, on the average: threads add in another order, another seed gives another picture."""

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

BOTH = pytest.mark.parametrize("kind", ["a1111", "openai"])


@pytest.fixture(autouse=True)
def asked_for(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("markexpr") != "live":
        pytest.skip("only with -m live")
    if not URL:
        pytest.skip("ZIGGIE_SD_SERVER names no server")


def provider(kind: str) -> A1111 | OpenAI:
    context = ProviderContext(data_dir=Path("unused"), timeout=800.0)
    if kind == "a1111":
        return A1111(kind, WebUISettings(base_url=URL), context)
    section = {
        "baseUrl": f"{URL}/v1",
        "keyName": None,
        "models": {"sd-cpp-local": {"priceUsd": 0, "nativeWidth": SIDE, "nativeHeight": SIDE}},
    }
    return OpenAI(kind, Settings.model_validate(section), context)


@asynccontextmanager
async def server(kind: str) -> AsyncGenerator[tuple[A1111 | OpenAI, Model]]:
    tested = provider(kind)
    try:
        [listed] = [m for m in await tested.list_models() if m.tasks]
        yield tested, listed
    finally:
        await tested.aclose()


def request(task: Task = "text_to_image", **changes: Any) -> ProviderRequest:
    values: dict[str, Any] = {"width": SIDE, "height": SIDE, "seed": 7, "steps": 2}
    if task != "text_to_image":
        values |= {"image_id": "i", "image": half(SIDE // 2, 255, "RGB")}
    return ProviderRequest(task=task, prompt="a cat", guidance_scale=2.0, **(values | changes))


async def draw(kind: str, asked: ProviderRequest) -> list[Image.Image]:
    async with server(kind) as (tested, listed):
        generation = await tested.submit(asked, listed, RUN)
    assert isinstance(generation, Generation)
    return [Image.open(io.BytesIO(image.data)).convert("RGB") for image in generation.images]


def distance(one: Image.Image, other: Image.Image) -> float:
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def half(width: int, value: int = 255, mode: str = "L") -> bytes:
    """A picture whose left part, so many pixels wide, is as light as this; the rest is black."""
    image, out = Image.new(mode, (SIDE, SIDE)), io.BytesIO()
    image.paste((value,) * len(mode), (0, 0, width, SIDE))
    image.save(out, "PNG")
    return out.getvalue()


@BOTH
async def test_it_is_known_local_and_free_and_says_what_it_can_do(kind: str) -> None:
    async with server(kind) as (tested, listed):
        probe = await tested.probe()

    assert (probe.state, probe.flavour) == (
        "ready",
        "stable-diffusion.cpp" if kind == "a1111" else "sd-server",
    )
    assert (listed.where, listed.prices) == ("this_machine", FREE)
    assert {"text_to_image", "image_to_image", "inpaint"} <= set(listed.tasks)


@BOTH
async def test_a_picture_of_the_size_asked_for_comes_back(kind: str, tmp_path: Path) -> None:
    made = service(tmp_path, provider(kind))

    result = await made.generate(
        ImageRequest(prompt="a cat", width=2 * SIDE, height=SIDE, seed=3, steps=1)
    )

    assert [(i.width, i.height, i.seed) for i in result.images] == [(2 * SIDE, SIDE, 3)]


@BOTH
async def test_the_seed_decides_the_picture_and_is_not_42(kind: str) -> None:
    [first] = await draw(kind, request())
    [again] = await draw(kind, request())
    [usual] = await draw(kind, request(seed=42))

    assert first.size == (SIDE, SIDE)
    assert distance(first, again) < SAME
    assert distance(first, usual) > OTHER


@BOTH
async def test_two_pictures_of_a_request_have_seeds_of_their_own(kind: str) -> None:
    first, second = await draw(kind, request(num_images=2))
    [alone] = await draw(kind, request(seed=8))

    assert distance(first, second) > OTHER
    assert distance(second, alone) < SAME, "the second one is made with seed + 1"


@BOTH
async def test_an_edit_begins_with_the_picture_that_is_given(kind: str) -> None:
    wishes = {"strength": 0.1, "steps": 10}  # one step, with little noise
    [one] = await draw(kind, request("image_to_image", **wishes))
    [other] = await draw(kind, request("image_to_image", image=half(8, 200, "RGB"), **wishes))

    assert one.size == (SIDE, SIDE)
    assert distance(one, other) > OTHER


@BOTH
async def test_it_paints_anew_where_the_mask_is_white_alone(kind: str) -> None:
    async def painted(width: int, seed: int) -> Image.Image:
        wishes = {"mask_id": "m", "mask": half(width), "seed": seed, "strength": 0.75}
        [image] = await draw(kind, request("inpaint", **wishes))
        return image

    assert distance(await painted(SIDE, 1), await painted(SIDE, 2)) > OTHER
    assert distance(await painted(0, 1), await painted(0, 2)) < SAME


@BOTH
async def test_a_call_that_is_cancelled_ends_within_2_seconds(kind: str, tmp_path: Path) -> None:
    sent, began = anyio.Event(), list[float]()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        if message and ("sent" in message or "working" in message):
            sent.set()

    wish = {"prompt": "a cat", "width": SIDE, "height": SIDE, "steps": 8}
    async with Client(make_server(opener(service(tmp_path, provider(kind))))) as session:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                await session.call_tool("generate_image", wish, progress_callback=hear)

            group.start_soon(call)
            await sent.wait()
            group.cancel_scope.cancel()
            began.append(time.monotonic())
        ended = time.monotonic()

    assert ended - began[0] < 2
