"""How a SwarmUI is known, logged in to, watched and interrupted, and what breaks on the way."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import TextContent
from PIL import Image

from tests.providers.test_swarmui import RUN, job
from tests.support.factory import opener, service
from tests.support.fake_swarmui import BAD_ROUTE, SD15, SDXL, FakeSwarm
from ziggie_image_mcp.provider import (
    AuthenticationFailed,
    EngineGone,
    Generation,
    Model,
    Probe,
    ProviderContext,
    ProviderTimeout,
    ProviderUnavailable,
    Run,
)
from ziggie_image_mcp.provider.testing import FakeVendor, Reply, Seen
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_providers.swarmui import SwarmUI
from ziggie_image_providers.swarmui.settings import Settings

TOKEN = "6c6f63616c.0123456789abcdef.fedcba98"
HTML = Reply(body=b"<html>Gradio</html>", headers={"content-type": "text/html"})
Script = Callable[[Seen], Reply]


async def secret(name: str) -> str | None:
    return TOKEN if name == "SWARM_TOKEN" else None


def provider(url: str, **settings: Any) -> SwarmUI:
    given = Settings.model_validate({"baseUrl": url, **settings})
    return SwarmUI("swarmui", given, ProviderContext(data_dir=Path("unused"), secret=secret))


async def probe(script: Script, path: str = "", **settings: Any) -> Probe:
    with FakeVendor(script) as vendor:
        tested = provider(vendor.url + path, **settings)
        told = await tested.probe()
        await tested.aclose()
    return told


# Which it is


async def test_a_probe_tells_version_model_queue_and_memory() -> None:
    told = await probe(FakeSwarm())

    assert (told.state, told.flavour, told.version) == ("ready", "SwarmUI", "0.9.8.4-7f2c")
    assert told.loaded_model == SDXL
    assert (told.queue_length, told.free_memory) == (2, 9 * 2**30)


async def test_what_only_administrators_see_is_unknown_to_others() -> None:
    told = await probe(FakeSwarm(admin=False))

    assert (told.state, told.queue_length, told.free_memory) == ("ready", None, None)


@pytest.mark.parametrize(
    "reply",
    [
        HTML,
        Reply(status=404, body={"detail": "Not Found"}),
        Reply(body={"session_id": "x"}),
        Reply(body=[]),
        BAD_ROUTE,
    ],
)
async def test_what_is_no_swarmui_is_another_service(reply: Reply) -> None:
    told = await probe(lambda seen: reply)

    assert told.state == "wrong_service"
    assert "providers.swarmui.baseUrl" in told.message


@pytest.mark.parametrize(
    ("backends", "words"),
    [
        ("empty", "has no backend that works; add or repair one"),
        ("errored", "has no backend that works"),
        ("loading", "are starting; try again soon"),
    ],
)
async def test_without_a_backend_it_says_where_to_add_one(backends: str, words: str) -> None:
    told = await probe(FakeSwarm(backends=backends))

    assert told.state == "wrong_service"
    assert words in told.message


async def test_where_nothing_listens_it_says_what_to_start() -> None:
    tested = provider("http://127.0.0.1:9")
    told = await tested.probe()
    await tested.aclose()

    assert told.state == "unreachable"
    assert "nothing answers at http://127.0.0.1:9; start SwarmUI" in told.message


async def test_accounts_are_known_by_a_token_that_goes_as_a_cookie() -> None:
    fake = FakeSwarm(token=TOKEN)
    without, login = await probe(fake), await probe(fake, keyName="SWARM_TOKEN")

    assert (without.state, login.state) == ("unauthorised", "ready")
    assert "User, Swarm Auth Tokens" in without.message


async def test_the_token_goes_with_the_websocket_too_and_a_prefix_stands_before_all() -> None:
    fake, paths, cookies = FakeSwarm(token=TOKEN), set[str](), set[str]()

    def below(seen: Seen) -> Reply:
        paths.add(seen.path.partition("/API/")[0])
        cookies.add(seen.headers.get("cookie", ""))
        return fake(replace(seen, path=seen.path.removeprefix("/swarm")))

    with FakeVendor(below) as vendor:
        tested = provider(f"{vendor.url}/swarm/API", keyName="SWARM_TOKEN")
        model = next(m for m in await tested.list_models() if m.id == SD15)
        made = await tested.submit(job(), model, RUN)
        await tested.aclose()

    assert isinstance(made, Generation)
    assert (paths, cookies) == ({"/swarm"}, {f"swarm_token={TOKEN}"})


async def test_a_forgotten_session_is_renewed_once_for_what_is_read() -> None:
    fake = FakeSwarm()
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url)
        await tested.list_models()
        fake.restart()
        told = await tested.probe()
        await tested.aclose()

    assert told.state == "ready"
    assert len(fake.sessions) == 1, "one new session serves all that is read"


# Progress and stopping


@dataclass
class Running:
    """A job that SwarmUI works at."""

    vendor: FakeVendor
    tested: SwarmUI
    job: asyncio.Task[Any]
    messages: list[str] = field(default_factory=list[str])
    shares: list[float] = field(default_factory=list[float])
    previews: list[bytes] = field(default_factory=list[bytes])

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not condition():
                await anyio.sleep(0.005)


@asynccontextmanager
async def running(
    fake: FakeSwarm, script: Script | None = None, run: Run = RUN, **settings: Any
) -> AsyncGenerator[Running]:
    fake.gate = threading.Event()
    with FakeVendor(script or fake) as vendor:
        tested = provider(vendor.url, **settings)
        model: Model = next(m for m in await tested.list_models() if m.id == SD15)
        at_work = Running(vendor, tested, asyncio.ensure_future(anyio.sleep(0)))

        async def progress(share: float, message: str) -> None:
            at_work.shares.append(share)
            at_work.messages.append(message)

        watched = replace(run, progress=progress, preview=at_work.previews.append)
        at_work.job = asyncio.ensure_future(tested.submit(job(), model, watched))
        await at_work.until(lambda: bool(fake.posted))
        try:
            yield at_work
        finally:
            fake.gate.set()
            at_work.job.cancel()
            await asyncio.wait({at_work.job})
            await tested.aclose()


async def test_progress_and_unfinished_pictures_come_from_the_socket() -> None:
    fake = FakeSwarm()
    async with running(fake) as at_work:
        await at_work.until(lambda: "working: 50%" in at_work.messages)
        assert fake.gate
        fake.gate.set()
        generation = await at_work.job

    assert isinstance(generation, Generation)
    assert at_work.previews == [b"hello"]
    assert at_work.shares == sorted(at_work.shares)
    assert "nopreviews" not in fake.posted[0]


async def test_a_job_that_waits_says_so_and_its_time_is_not_counted() -> None:
    async with running(FakeSwarm(waits=True), timeout=0.4) as at_work:
        words = "waiting behind other jobs of SwarmUI"
        later = time.monotonic() + 0.7
        await at_work.until(lambda: time.monotonic() > later and words in at_work.messages)
        assert not at_work.job.done()


async def test_work_beyond_the_timeout_is_interrupted_and_says_which_setting() -> None:
    fake = FakeSwarm()
    async with running(fake, timeout=0.4) as at_work:
        with pytest.raises(ProviderTimeout, match=r"providers\.swarmui\.timeout"):
            await at_work.job

    assert fake.interrupted == [fake.posted[0]["session_id"]]


async def test_a_cancelled_job_ends_in_its_own_session_alone() -> None:
    fake = FakeSwarm()
    async with running(fake) as at_work:
        at_work.job.cancel()
        await asyncio.wait({at_work.job})

    [session] = fake.interrupted
    assert session == fake.posted[0]["session_id"]
    assert session != fake.sessions[0], "that is the one in which things are read"


async def test_cancelling_ends_within_two_seconds_though_swarmui_stalls() -> None:
    fake = FakeSwarm()

    def script(seen: Seen) -> Reply:
        if seen.path.endswith("InterruptAll"):
            return Reply(then="hang")  # for a minute
        return fake(seen)

    async with running(fake, script) as at_work:
        started = time.monotonic()
        at_work.job.cancel()
        await asyncio.wait({at_work.job})
        spent = time.monotonic() - started

    assert at_work.job.cancelled()
    assert spent < 2.5, f"{spent:.1f} s"


async def test_a_job_that_another_process_took_up_is_left_alone() -> None:
    fake = FakeSwarm()
    async with running(fake, run=replace(RUN, is_ours=lambda: False)) as at_work:
        at_work.job.cancel()
        await asyncio.wait({at_work.job})

    assert fake.interrupted == []


@pytest.mark.parametrize("then", ["reset", "cut"])
async def test_a_socket_that_breaks_ends_the_job_and_what_still_runs_of_it(then: str) -> None:
    fake = FakeSwarm(then=then)
    with FakeVendor(fake) as vendor:
        tested = provider(vendor.url)
        model = next(m for m in await tested.list_models() if m.id == SD15)
        with pytest.raises(EngineGone, match="broke during the job"):
            await tested.submit(job(), model, RUN)
        await tested.aclose()

    assert fake.interrupted == [fake.posted[0]["session_id"]]


async def test_a_session_that_was_forgotten_before_the_job_is_said_and_nothing_is_sent_twice() -> (
    None
):
    fake = FakeSwarm()

    def script(seen: Seen) -> Reply:
        if seen.path.endswith("WS"):
            fake.restart()
        return fake(seen)

    with FakeVendor(script) as vendor:
        tested = provider(vendor.url)
        model = next(m for m in await tested.list_models() if m.id == SD15)
        with pytest.raises(EngineGone, match="was restarted"):
            await tested.submit(job(), model, RUN)
        await tested.aclose()

    assert sum(seen.path.endswith("WS") for seen in vendor.seen) == 1


async def test_a_redirect_of_the_websocket_is_not_followed() -> None:
    fake = FakeSwarm()
    with FakeVendor(fake) as vendor, FakeVendor(fake) as other:
        elsewhere = {"location": f"{other.url}/API/GenerateText2ImageWS"}
        vendor.handshake = Reply(status=307, headers=elsewhere)
        tested = provider(vendor.url, keyName="SWARM_TOKEN")
        model = next(m for m in await tested.list_models() if m.id == SD15)
        with pytest.raises(ProviderUnavailable, match="leads elsewhere"):
            await tested.submit(job(), model, RUN)
        await tested.aclose()

    assert other.connections == 0


# Through the tools


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert isinstance(result.content[0], TextContent)
    assert not result.is_error, result.content[0].text
    told: dict[str, Any] = json.loads(result.content[0].text)
    return told


async def test_pictures_and_edits_come_through_the_tools(tmp_path: Path) -> None:
    fake = FakeSwarm()
    with FakeVendor(fake) as vendor:
        made = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made))) as client:
            words = {"prompt": "a fox <lora:pixel-art-xl:0.8>", "seed": 3, "width": 768}
            first = await call(client, "generate_image", model=SDXL, height=512, **words)
            wider = {"image": first["images"][0]["path"], "expand": "64,0,0,0", "prompt": "more"}
            edited = await call(client, "edit_image", model=SD15, **wider)

    with Image.open(edited["images"][0]["path"]) as image:
        assert image.size == (832, 512)
    generated, expanded = fake.posted
    assert (generated["loras"], generated["loraweights"]) == (["styles/pixel-art-xl"], ["0.8"])
    assert (generated["width"], generated["height"], generated["seed"]) == (768, 512, 3)
    assert first["images"][0]["seed"] == 3
    assert "maskimage" in expanded


async def test_a_job_outlives_a_restart_of_swarmui(tmp_path: Path) -> None:
    fake = FakeSwarm(then="reset")

    def script(seen: Seen) -> Reply:
        reply = fake(seen)
        if fake.posted:
            fake.then = "answer"  # it is up again, and knows no session
        if reply.then == "reset" and fake.posted:
            fake.restart()
        return reply

    with FakeVendor(script) as vendor:
        made = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made))) as client:
            told = await call(client, "generate_image", prompt="a fox", model=SD15)

    assert len(told["images"]) == 1
    assert len(fake.posted) == 2


async def test_cancel_job_interrupts_the_session(tmp_path: Path) -> None:
    fake = FakeSwarm(gate=threading.Event())
    with FakeVendor(fake) as vendor:
        made = service(tmp_path, provider(vendor.url))
        async with Client(make_server(opener(made))) as client:
            words = {"prompt": "a fox", "model": SD15, "wait_seconds": 0}
            started = await call(client, "generate_image", **words)
            with anyio.fail_after(20):
                while not fake.posted:
                    await anyio.sleep(0.01)
            await call(client, "cancel_job", job_id=started["job_id"])
            with anyio.fail_after(20):
                while not fake.interrupted:
                    await anyio.sleep(0.01)

    assert fake.interrupted == [fake.posted[0]["session_id"]]


async def test_a_refused_login_names_no_token() -> None:
    with FakeVendor(FakeSwarm(token="another-token-altogether")) as vendor:
        tested = provider(vendor.url, keyName="SWARM_TOKEN")
        with pytest.raises(AuthenticationFailed) as error:
            await tested.list_models()
        await tested.aclose()

    assert TOKEN not in str(error.value)
