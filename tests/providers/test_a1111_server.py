"""How servers of the family are found and told apart, watched, interrupted and logged in to."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import TextContent
from PIL import Image

from tests.providers.test_a1111 import JOB, SD15_ID, SDXL_ID
from tests.support.factory import opener, service
from tests.support.fake_a1111 import SD15, SDXL, FakeWebUI
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    Generation,
    Model,
    Probe,
    ProviderContext,
    ProviderTimeout,
    Run,
)
from ziggie_image_mcp.provider.redaction import hidden
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen, picture
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_providers.a1111 import A1111, Pace
from ziggie_image_providers.a1111.settings import Settings

QUICK = Pace(progress=0.01, late=0.01)
INTERRUPT = "POST sdapi/v1/interrupt"


async def secret(name: str) -> str | None:
    return "me:hunter2-hunter2" if name == "WEBUI_LOGIN" else None


def provider(url: str | None, **settings: Any) -> A1111:
    where = {} if url is None else {"baseUrl": url}
    given = Settings.model_validate({**where, **settings})
    return A1111("a1111", given, ProviderContext(data_dir=Path("unused"), secret=secret), QUICK)


async def probe(script: Callable[[Seen], Reply], path: str = "", **settings: Any) -> Probe:
    with FakeVendor(script) as vendor:
        tested = provider(vendor.url + path, **settings)
        told = await tested.probe()
        await tested.aclose()
    return told


# Which it is


@pytest.mark.parametrize(
    ("flavour", "title"),
    [
        ("a1111", "AUTOMATIC1111"),
        ("forge", "Forge"),
        ("forge-neo", "Forge Neo"),
        ("reforge", "reForge"),
        ("sdnext", "SD.Next"),
        ("sd-server", "stable-diffusion.cpp"),
        ("koboldcpp", "koboldcpp"),
        ("draw-things", "Draw Things"),
    ],
)
async def test_each_of_the_family_is_known_by_its_answers(flavour: str, title: str) -> None:
    told = await probe(FakeWebUI(flavour))

    assert (told.state, told.flavour) == ("ready", title)


async def test_a_probe_tells_version_model_queue_and_memory() -> None:
    web_ui, kobold = await probe(FakeWebUI()), await probe(FakeWebUI("koboldcpp"))

    assert web_ui.loaded_model.startswith(SDXL_ID)
    assert (web_ui.queue_length, web_ui.free_memory) == (0, 5_000_000_000)
    assert (kobold.version, kobold.queue_length, kobold.free_memory) == ("1.113.1", None, None)


async def test_a_web_ui_without_its_api_is_told_apart_from_nothing() -> None:
    told = await probe(FakeWebUI(api=False))

    assert told.state == "wrong_service"
    assert "start it with --api" in told.message


async def test_koboldcpp_without_a_picture_model_says_how_to_give_it_one() -> None:
    told = await probe(FakeWebUI("koboldcpp", models=[]))

    assert told.state == "wrong_service"
    assert "--sdmodel" in told.message


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html>Gradio</html>", headers={"content-type": "text/html"}),
        Reply(status=404, body={"detail": "Not Found"}),
        Reply(body={"samples_format": "png"}),
        Reply(body={"error": "Unexpected endpoint or method. (GET /sdapi/v1/options)"}),
        Reply(body=[]),
    ],
)
async def test_what_is_none_of_the_family_is_another_service(reply: Reply) -> None:
    told = await probe(lambda seen: reply)

    assert told.state == "wrong_service"
    assert "providers.a1111.baseUrl" in told.message


async def test_options_without_models_alone_do_not_make_it_draw_things() -> None:
    def script(seen: Seen) -> Reply:
        known = seen.path == "/sdapi/v1/options"
        return Reply(body={"detail": "x"}) if known else Reply(status=404, body={})

    assert (await probe(script)).state == "wrong_service"


async def test_a_server_that_is_exchanged_is_looked_at_anew() -> None:
    with FakeVendor(FakeWebUI()) as vendor:
        tested = provider(vendor.url)
        [model, *_] = await tested.list_models()
        vendor.script = FakeWebUI(answer=Reply(then="reset"))
        with pytest.raises(Exception, match="broke off"):
            await tested.submit(JOB, model, RUN)
        vendor.script = FakeWebUI("koboldcpp")
        told = await tested.probe()
        await tested.aclose()

    assert told.flavour == "koboldcpp"


# Logging in


async def test_a_login_may_stand_in_the_address() -> None:
    fake = FakeWebUI(login="me:hunter2-hunter2")
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url.replace("//", "//me:hunter2-hunter2@"))
        models = await tested.list_models()
        await tested.aclose()

    assert models


async def test_a_login_may_be_a_key() -> None:
    assert (await probe(FakeWebUI(login="me:hunter2-hunter2"), keyName="WEBUI_LOGIN")).state == (
        "ready"
    )


async def test_without_its_login_it_says_where_to_write_it() -> None:
    told = await probe(FakeWebUI(login="me:hunter2-hunter2"))

    assert told.state == "unauthorised"
    assert "USER:PASSWORD" in told.message
    assert hidden(told.message) == told.message
    with FakeVendor(FakeWebUI(login="me:x")) as vendor:
        tested = provider(vendor.url)
        with pytest.raises(AuthenticationFailed):
            await tested.list_models()
        await tested.aclose()


async def test_a_base_url_may_carry_the_path_of_subpath_and_of_the_api() -> None:
    fake = FakeWebUI()

    def below(seen: Seen) -> Reply:
        assert seen.path.startswith("/sd/")
        return fake(
            Seen(
                method=seen.method,
                path=seen.path.removeprefix("/sd"),
                headers=seen.headers,
                content=seen.content,
            )
        )

    assert (await probe(below, "/sd")).state == "ready"
    assert (await probe(below, "/sd/sdapi/v1/")).state == "ready"


# Progress and stopping


async def ignore(share: float, message: str) -> None:
    """Progress that nobody reads."""


RUN = Run(key="our-key", progress=ignore)


@dataclass
class Running:
    """A request that the server works at."""

    tested: A1111
    fake: FakeWebUI
    job: asyncio.Task[Any]
    messages: list[str] = field(default_factory=list[str])
    previews: list[bytes] = field(default_factory=list[bytes])

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await anyio.sleep(0.005)


@asynccontextmanager
async def running(fake: FakeWebUI, **settings: Any) -> AsyncGenerator[Running]:
    fake.gate = threading.Event()
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url, **settings)
        model: Model = next(m for m in await tested.list_models() if m.id == SD15_ID)
        at_work = Running(tested, fake, asyncio.ensure_future(anyio.sleep(0)))

        async def progress(share: float, message: str) -> None:
            at_work.messages.append(message)

        run = Run(key="our-key", progress=progress, preview=at_work.previews.append)
        at_work.job = asyncio.ensure_future(tested.submit(JOB, model, run))
        await at_work.until(lambda: bool(fake.posted))
        try:
            yield at_work
        finally:
            fake.gate.set()
            at_work.job.cancel()
            await asyncio.wait({at_work.job})
            await tested.aclose()


async def test_progress_is_that_of_the_task_with_its_unfinished_picture() -> None:
    preview = "data:image/png;base64,aGVsbG8="
    fake = FakeWebUI(state={"active": True, "progress": 0.5, "live_preview": preview})
    async with running(fake) as at_work:
        await at_work.until(lambda: "working: 50%" in at_work.messages)
        assert fake.gate
        fake.gate.set()
        generation = await at_work.job

    assert isinstance(generation, Generation)
    assert at_work.previews[0] == b"hello"


async def test_a_task_that_waits_says_so_and_its_time_is_not_counted() -> None:
    fake = FakeWebUI(state={"active": False, "queued": True})
    async with running(fake, timeout=0.5) as at_work:
        words = "waiting behind other jobs of the server"
        later = time.monotonic() + 0.6
        await at_work.until(lambda: time.monotonic() > later and words in at_work.messages)
        assert not at_work.job.done()


async def test_without_its_page_the_progress_is_the_servers_own() -> None:
    fake = FakeWebUI(page=False)
    async with running(fake) as at_work:
        fake.state = {"active": True, "progress": 0.25}
        await at_work.until(lambda: "working: 25%" in at_work.messages)

    assert "force_task_id" not in fake.posted[0]


async def test_koboldcpp_tells_its_progress_where_it_can_and_is_never_interrupted() -> None:
    fake = FakeWebUI("koboldcpp", models=[SD15_ID], state={"progress": 0.5})
    async with running(fake) as at_work:
        await at_work.until(lambda: "working: 50%" in at_work.messages)
        at_work.job.cancel()
        await asyncio.wait({at_work.job})

    assert INTERRUPT not in fake.asked


async def test_a_cancelled_task_that_runs_is_interrupted() -> None:
    fake = FakeWebUI(state={"active": True})
    async with running(fake) as at_work:
        at_work.job.cancel()
        await asyncio.wait({at_work.job})

    assert fake.asked.count(INTERRUPT) == 1


async def test_a_cancelled_task_that_waits_is_interrupted_when_it_begins_and_not_before() -> None:
    fake = FakeWebUI(state={"active": False, "queued": True})
    async with running(fake) as at_work:
        at_work.job.cancel()
        await asyncio.wait({at_work.job})
        asked = fake.asked.count("POST internal/progress")
        await at_work.until(lambda: fake.asked.count("POST internal/progress") > asked + 1)
        assert INTERRUPT not in fake.asked
        fake.state = {"active": True}
        await at_work.until(lambda: INTERRUPT in fake.asked)


async def test_somebody_elses_job_is_not_interrupted() -> None:
    fake = FakeWebUI(state={"active": False, "queued": False, "completed": True})
    async with running(fake) as at_work:
        at_work.job.cancel()
        await asyncio.wait({at_work.job})

    assert INTERRUPT not in fake.asked


@pytest.mark.parametrize(("busy", "interrupts"), [(False, 1), (True, 0)])
async def test_where_tasks_have_no_ids_only_who_found_it_idle_interrupts(
    busy: bool, interrupts: int
) -> None:
    fake = FakeWebUI("sdnext", state={"active": busy})
    async with running(fake) as at_work:
        fake.state = {"active": True, "progress": 0.5}
        at_work.job.cancel()
        await asyncio.wait({at_work.job})

    assert fake.asked.count(INTERRUPT) == interrupts


async def test_a_task_that_another_process_took_up_is_left_alone() -> None:
    fake = FakeWebUI(state={"active": True})
    fake.gate = threading.Event()
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url)
        [model, *_] = await tested.list_models()
        run = Run(key="our-key", progress=ignore, is_ours=lambda: False)
        job = asyncio.ensure_future(tested.submit(JOB, model, run))
        with anyio.fail_after(10):
            while not fake.posted:
                await anyio.sleep(0.005)
        job.cancel()
        await asyncio.wait({job})
        fake.gate.set()
        await tested.aclose()

    assert INTERRUPT not in fake.asked


async def test_work_beyond_the_timeout_is_interrupted_and_says_which_setting() -> None:
    fake = FakeWebUI(state={"active": True})
    async with running(fake, timeout=0.5) as at_work:
        with pytest.raises(ProviderTimeout, match=r"providers\.a1111\.timeout"):
            await at_work.job

    assert INTERRUPT in fake.asked


# Through the tools


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    told: dict[str, Any] = json.loads(result.content[0].text)
    return told


def size_of(told: dict[str, Any]) -> tuple[int, int]:
    with Image.open(told["images"][0]["path"]) as image:
        return image.size


async def test_pictures_edits_and_enlargements_come_through_the_tools(tmp_path: Path) -> None:
    fake = FakeWebUI(models=[SDXL, SD15])
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url)
        async with Client(make_server(opener(service(tmp_path, tested)))) as client:
            words = {"prompt": "a fox <lora:PixelArt:0.8>", "seed": 3, "width": 768, "height": 512}
            first = await call(client, "generate_image", model="sd_xl_base_1.0", **words)
            path = first["images"][0]["path"]
            wider = {"image": path, "expand": "64,0,0,0", "prompt": "more"}
            edited = await call(client, "edit_image", model=SD15_ID, **wider)
            large = await call(client, "process_image", image=path, upscale=2, provider="a1111")

    [made, expanded, enlarged] = fake.posted
    assert [size_of(told) for told in (first, edited, large)] == [
        (768, 512),
        (832, 512),
        (1536, 1024),
    ]
    assert made["prompt"] == "a fox <lora:pixel-art-xl:0.8>"
    assert (made["width"], made["height"], made["seed"]) == (768, 512, 3)
    assert "mask" in expanded
    assert enlarged["upscaler_1"] == "R-ESRGAN 4x+"
    assert first["images"][0]["seed"] == 3


async def test_a_picture_of_another_size_than_was_asked_is_a_failure(tmp_path: Path) -> None:
    small = base64.b64encode(picture(256, 256)).decode()
    with FakeVendor(FakeWebUI(models=[SD15], images=[small])) as vendor:
        made = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made))) as client:
            result = await client.call_tool("generate_image", {"prompt": "a fox"})

    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    assert "256x256" in result.content[0].text


async def test_a_job_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    fake = FakeWebUI(models=[SD15], answer=Reply(then="reset"))

    def script(seen: Seen) -> Reply:
        reply = fake(seen)
        if fake.posted:
            fake.answer = None  # it is up again
        return reply

    with FakeVendor(script) as vendor:
        made = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made))) as client:
            told = await call(client, "generate_image", prompt="a fox")

    assert len(told["images"]) == 1
    assert len(fake.posted) == 2


async def test_cancel_job_interrupts_the_server(tmp_path: Path) -> None:
    fake = FakeWebUI(models=[SD15], state={"active": True}, gate=threading.Event())
    with FakeVendor(fake) as vendor:
        made = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made))) as client:
            job = await call(client, "generate_image", prompt="a fox", wait_seconds=0)
            with anyio.fail_after(20):
                while not fake.posted:
                    await anyio.sleep(0.01)
            await call(client, "cancel_job", job_id=job["job_id"])
            with anyio.fail_after(20):
                while INTERRUPT not in fake.asked:
                    await anyio.sleep(0.01)

    assert len(fake.posted) == 1


# Where it is by itself


def anywhere(*places: str) -> A1111:
    """A provider of which nothing is set."""
    context = ProviderContext(data_dir=Path("unused"))
    return A1111("a1111", Settings(), context, QUICK, places)


NOBODY = "http://127.0.0.1:9"


async def test_where_nothing_is_set_the_first_that_is_one_of_the_family_is_taken() -> None:
    page = Reply(body=b"<html>Gradio</html>", headers={"content-type": "text/html"})
    second = FakeWebUI("sd-server", models=[SD15_ID])
    with FakeVendor(lambda seen: page) as other, FakeVendor(second) as server:
        with FakeVendor(FakeWebUI("koboldcpp", models=[SD15_ID])) as third:
            tested = anywhere(NOBODY, other.url, server.url, third.url)
            told = await tested.probe()
            models = await tested.list_models()
            await tested.submit(JOB, models[0], RUN)
            await tested.aclose()

    assert told.flavour == "stable-diffusion.cpp"
    assert {m.device for m in models} == {server.url}
    assert len(second.posted) == 1


async def test_where_nothing_listens_each_usual_place_costs_one_connection() -> None:
    tested = anywhere(NOBODY, "http://127.0.0.1:10")
    told = await tested.probe()
    await tested.aclose()

    assert told.state == "unreachable"
    assert f"nothing answers at {NOBODY}; start the web UI with --api" in told.message


async def test_a_web_ui_without_its_api_is_told_of_wherever_it_is() -> None:
    with FakeVendor(FakeWebUI(api=False)) as vendor:
        tested = anywhere(NOBODY, vendor.url)
        told = await tested.probe()
        await tested.aclose()

    assert told.state == "wrong_service"
    assert "start it with --api" in told.message


async def test_what_hangs_at_a_usual_place_is_left_alone_for_a_while() -> None:
    with FakeVendor(lambda seen: Reply(then="hang")) as vendor:
        tested = anywhere(NOBODY, vendor.url)
        first, second = await tested.probe(), await tested.probe()
        await tested.aclose()

    assert (first.state, second.state) == ("unreachable", "unreachable")
    assert vendor.asked == ["GET /sdapi/v1/options"]


async def test_an_address_that_was_set_is_the_only_one_that_is_asked() -> None:
    tested = provider("http://127.0.0.1:9")
    told = await tested.probe()
    await tested.aclose()

    assert told.state == "unreachable"
    assert "nothing answers at http://127.0.0.1:9; start the web UI with --api" in told.message
