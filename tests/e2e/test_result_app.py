"""The view of results in a real browser, through the official bridge, wired to the real server."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, TextContent
from PIL import Image, ImageDraw
from playwright.async_api import Browser, Frame, expect

from tests.support.app_host import ALL, APPS, AppHost, app_host
from tests.support.browser import accessibility_faults, chromium
from tests.support.factory import close_services, opener, service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import EngineCrashed
from ziggie_image_mcp.provider import SameAsInput, TaskCapability
from ziggie_image_mcp.provider.pictures import to_png
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, model, picture
from ziggie_image_mcp.server.tools import make_server

Scenario = Callable[[Browser, Path], Awaitable[None]]

PROMPT = {"prompt": "a red <b>fox</b>", "width": 256, "height": 256}
COLOURS = {"--color-background-primary": "rgb(1, 2, 3)", "--color-text-primary": "#ffffff"}
ALL_BUT_TOOLS = {name: able for name, able in ALL.items() if name != "serverTools"}


def engine(*answers: bytes | BaseException | None) -> FakeProvider:
    """One that makes, edits and enlarges."""
    maker = model(tasks=("text_to_image", "image_to_image"))
    able = TaskCapability(sizes=SameAsInput(), factors=(2,))
    enlarger = replace(model(id="enlarger"), tasks={"upscale": able})
    return FakeProvider(models=[maker, enlarger], answers=answers)


@asynccontextmanager
async def shown(
    browser: Browser,
    made: Service,
    mode: str = "auto",
    *,
    capabilities: Mapping[str, Any] = ALL,
    **host: Any,
) -> AsyncGenerator[tuple[AppHost, Frame]]:
    server = make_server(opener(made))
    async with (
        Client(server, mode=mode, extensions=APPS) as session,
        app_host(browser, session, **host) as app,
    ):
        yield app, await app.mount(capabilities)
        assert app.faults == []
        assert await app.wrong_messages() == []


def disk(side: int) -> bytes:
    """A subject on a plain ground."""
    image = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(image).ellipse((side // 4, side // 4, side * 3 // 4, side * 3 // 4), "red")
    return to_png(image)


async def loaded(frame: Frame, count: int = 1) -> list[int]:
    """The widths of the pictures, once so many are shown."""
    await expect(frame.locator(".picture img")).to_have_count(count)
    script = "Promise.all([...document.images].map(async i => (await i.decode(), i.naturalWidth)))"
    return list(await frame.evaluate(script))


async def file(frame: Frame) -> str:
    """The file that the view names."""
    return await frame.locator("dt:text-is('File') + dd").inner_text()


async def click(frame: Frame, name: str) -> None:
    await frame.get_by_role("button", name=name, exact=True).click()


async def a_picture_is_shown_and_the_buttons_make_more(browser: Browser, folder: Path) -> None:
    fake = engine(picture(256, 256), picture(256, 256), picture(512, 512), disk(256))
    async with shown(browser, service(folder, fake), width=360) as (app, frame):
        await app.call("generate_image", PROMPT)
        first_width = (await loaded(frame))[0]
        heading = await frame.locator("h1").inner_text()
        facts = await frame.locator("dl").inner_text()
        files = [await file(frame)]

        await click(frame, "Again")
        await expect(frame.get_by_role("button", name="Back")).to_be_visible()
        files.append(await file(frame))
        await click(frame, "Upscale 2x")
        await expect(frame.locator("dl")).to_contain_text("enlarger")
        large = await frame.locator(".caption").inner_text()
        await click(frame, "Back")
        await frame.get_by_role("textbox").fill("a blue fox")
        await frame.get_by_role("textbox").press("Enter")
        await expect(frame.locator("h1")).to_have_text("a blue fox")
        await click(frame, "Cut out")
        await expect(frame.locator("dl")).to_contain_text("keyed")
        await click(frame, "Back")
        await click(frame, "4 variants")
        await loaded(frame, 4)
        await frame.locator(".picture").nth(1).focus()
        await frame.page.keyboard.press("Enter")
        await expect(frame.locator(".picture").nth(1)).to_be_focused()
        pressed = await frame.locator(".picture[aria-pressed=true]").count()

        axe = await accessibility_faults(frame)
        overflow = await frame.evaluate("document.documentElement.scrollWidth - innerWidth")
        height = await frame.evaluate("document.body.getBoundingClientRect().height")
        sizes = await app.seen("ui/notifications/size-changed")
        contexts = await app.seen("ui/update-model-context")

    assert first_width == 256
    assert heading == PROMPT["prompt"]
    assert "fake / model" in facts
    assert "free" in facts
    assert "Why" in facts
    assert files[0] != files[1]
    assert [call["name"] for call in app.calls] == [
        "generate_image",
        "process_image",
        "edit_image",
        "process_image",
        "edit_image",
    ]
    assert large.startswith("512x512")
    assert len(fake.seen) == 5
    assert len({request.seed for request in fake.seen}) == 5
    assert pressed == 1
    assert axe == []
    assert overflow <= 0
    assert abs(sizes[-1]["height"] - height) <= 1
    assert "The user chose picture 2 of 4: " in contexts[-1]["content"][0]["text"]
    assert "With the button Upscale 2x" in contexts[-1]["content"][0]["text"]


async def content_alone_is_enough(browser: Browser, folder: Path) -> None:
    fake = engine(picture(256, 256), picture(256, 256), EngineCrashed("fake", "it died"))
    async with shown(browser, service(folder, fake), "legacy", strip=True) as (app, frame):
        await app.call("generate_image", PROMPT)
        width = await loaded(frame)
        files = [await file(frame)]
        await click(frame, "Again")
        await expect(frame.get_by_role("button", name="Back")).to_be_visible()
        files.append(await file(frame))
        await click(frame, "Again")
        await expect(frame.locator("h1")).to_have_text("This did not work")
        trouble = await frame.locator("main").inner_text()
        await click(frame, "Try again")
        await loaded(frame)
        files.append(await file(frame))

    assert width == [256]
    assert len(set(files)) == 3
    assert "ENGINE_CRASHED" in trouble
    assert "it died" in trouble


async def without_tools_the_buttons_ask_in_the_chat(browser: Browser, folder: Path) -> None:
    async with shown(browser, service(folder, engine()), capabilities=ALL_BUT_TOOLS) as (
        app,
        frame,
    ):
        await app.call("generate_image", PROMPT)
        await click(frame, "Upscale 2x")
        await expect(frame.locator("main")).to_contain_text("Asked in the chat.")
        messages = await app.seen("ui/message")
        await app.call("generate_image", PROMPT | {"wait_seconds": 0, "seed": 5})
        await expect(frame.locator("main")).to_contain_text("get_job has job-")
        await click(frame, "Look again")
        await expect(frame.locator("main")).to_contain_text("Asked in the chat.")
        messages += (await app.seen("ui/message"))[1:]

    words = [message["content"][0]["text"] for message in messages]
    assert "process_image" in words[0]
    assert '"upscale":2' in words[0]
    assert "get_job with" in words[1]
    assert app.calls == []


async def a_host_that_allows_nothing_shows_the_picture(browser: Browser, folder: Path) -> None:
    async with shown(browser, service(folder, engine()), capabilities={}) as (app, frame):
        await app.call("generate_image", PROMPT)
        width = await loaded(frame)
        text = await frame.locator("main").inner_text()
        buttons = await frame.get_by_role("button").count()

    assert width == [256]
    assert "This host lets the page call nothing. Ask for changes in the chat." in text
    assert buttons == 1  # the picture


async def a_refused_call_can_be_asked_for_in_the_chat(browser: Browser, folder: Path) -> None:
    async with shown(browser, service(folder, engine()), refuse=("generate_image",)) as (
        app,
        frame,
    ):
        await app.call("generate_image", PROMPT)
        await click(frame, "Again")
        await expect(frame.locator("main")).to_contain_text("The host refused the call")
        await click(frame, "Ask in the chat")
        await expect(frame.locator("main")).to_contain_text("Asked in the chat.")
        (message,) = await app.seen("ui/message")

    assert "Again: please call generate_image" in message["content"][0]["text"]


async def money_is_spent_by_a_click_and_nothing_else(browser: Browser, folder: Path) -> None:
    paid = FakePaidProvider()
    async with shown(browser, service(folder, paid)) as (app, frame):
        await app.call("generate_image", {"prompt": "a fox"})
        question = frame.get_by_role("region", name="A question about money")
        asked = await question.inner_text()
        axe = await accessibility_faults(frame)
        await frame.page.keyboard.press("Enter")
        await click(frame, "No, spend nothing")
        await expect(frame.locator("main")).to_contain_text("Nothing was spent.")
        before = list(paid.submitted)

        await app.call("generate_image", {"prompt": "a fox", "seed": 2})
        await click(frame, "Spend up to $0.04")
        await loaded(frame)
        cost = await frame.locator("dl").inner_text()
        await click(frame, "4 variants")
        await expect(question).to_contain_text("$0.16 on 4 pictures")

    assert "Spend at most $0.04 on 1 picture by paid/model? The prompt leaves" in asked
    assert axe == []
    assert before == []
    assert "$0.04" in cost
    assert len(paid.submitted) == 1
    assert [call["arguments"].get("allow_paid") for call in app.calls] == [True, None]
    assert app.calls[0]["arguments"]["max_cost_usd"] == 0.04


async def an_answer_that_was_lost_is_not_paid_for_twice(browser: Browser, folder: Path) -> None:
    paid = FakePaidProvider()
    async with shown(browser, service(folder, paid), lose=2) as (app, frame):
        await app.call("generate_image", {"prompt": "a fox"})
        for _ in range(2):
            await click(frame, "Spend up to $0.04")
            await expect(frame.locator("main")).to_contain_text("Request timed out")
        await click(frame, "Spend up to $0.04")
        await loaded(frame)
        await app.send(
            "sendToolResult", {"content": [{"type": "text", "text": '{"dry_run":true}'}]}
        )
        await expect(frame.locator("h1")).to_have_text("No route can make this")

    assert len(paid.submitted) == 1
    assert len({call["arguments"]["request_id"] for call in app.calls}) == 1


async def a_job_is_followed_and_can_be_stopped(browser: Browser, folder: Path) -> None:
    fake = engine(picture(256, 256), picture(256, 256, "red"), None)
    async with shown(browser, service(folder, fake), hurry=True) as (app, frame):
        await expect(frame.locator("main")).to_contain_text("The picture is being made.")
        await app.call("generate_image", PROMPT | {"wait_seconds": 0})
        await loaded(frame)
        await click(frame, "Again")
        await expect(frame.get_by_role("button", name="Back")).to_be_visible()
        await loaded(frame)
        asked = [call["name"] for call in app.calls]
        (told,) = await app.seen("ui/update-model-context")
        again = await file(frame)
        await app.call("generate_image", PROMPT | {"wait_seconds": 0, "seed": 9})
        await click(frame, "Stop")
        await expect(frame.locator("h1")).to_have_text("Stopped")

    assert [name for name, _ in groupby(asked)] == ["get_job", "generate_image", "get_job"]
    picture_id = again.rpartition("-20")[2].removesuffix(".png")
    assert f"With the button Again (generate_image) the user got: 20{picture_id}" in str(told)
    assert app.calls[-1]["name"] == "cancel_job"
    assert fake.cancelled == 1


async def previews_that_did_not_come_are_read(browser: Browser, folder: Path) -> None:
    await fetched(browser, folder, previews=False)


async def without_resources_they_are_viewed(browser: Browser, folder: Path) -> None:
    await fetched(browser, folder, previews=True)


async def fetched(browser: Browser, folder: Path, *, previews: bool) -> None:
    made = service(folder, engine(), output={"previews": previews})
    able: Mapping[str, Any] = {"serverTools": {}} if previews else ALL
    async with shown(browser, made, capabilities=able) as (app, frame):
        data = json.loads(said(await app.call("generate_image", PROMPT)))
        await app.send("sendToolResult", {"content": [{"type": "text", "text": json.dumps(data)}]})
        width = await loaded(frame)

    assert width == [256]
    picture_id = data["images"][0]["id"]
    if previews:
        assert app.calls[-1] == {
            "name": "view_image",
            "arguments": {"image_id": picture_id, "max_side": 1024},
        }
    else:
        assert app.reads[-1] == f"image://{picture_id}?max=1024"


async def what_the_host_says_besides_is_followed(browser: Browser, folder: Path) -> None:
    made = service(folder, engine())
    async with shown(browser, made) as (app, frame):
        await app.send("setHostContext", {"theme": "dark", "styles": {"variables": COLOURS}})
        await expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
        ground = await frame.evaluate("getComputedStyle(document.body).backgroundColor")
        await app.call("generate_image", PROMPT | {"dry_run": True})
        await expect(frame.locator("main")).to_contain_text("fake / model: free")
        await click(frame, "Make it")
        await loaded(frame)
        axe = await accessibility_faults(frame)
        await app.send("sendToolCancelled", {"reason": "the user stopped it"})
        await expect(frame.locator("main")).to_contain_text("the user stopped it")
        await app.send("sendToolResult", {"content": []})
        await expect(frame.locator("main")).to_contain_text("No picture in this answer")
        pong = await app.send("request", {"method": "ping"})
        torn_down = await app.send("teardownResource", {})

    assert ground == "rgb(1, 2, 3)"
    assert axe == []
    assert (pong, torn_down) == ({}, {})


async def what_the_sandbox_blocks_is_seen_by_these_tests(browser: Browser, folder: Path) -> None:
    server = make_server(opener(service(folder, engine())))
    async with Client(server, extensions=APPS) as session, app_host(browser, session) as app:
        frame = await app.mount()
        async with app.page.expect_console_message(lambda m: m.text.startswith("policy")):
            await frame.evaluate("new Image().src = URL.createObjectURL(new Blob(['x']))")

    assert any(fault.startswith("policy: img-src blob") for fault in app.faults)


def said(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


PICTURES = (
    a_picture_is_shown_and_the_buttons_make_more,
    money_is_spent_by_a_click_and_nothing_else,
    an_answer_that_was_lost_is_not_paid_for_twice,
    a_job_is_followed_and_can_be_stopped,
    previews_that_did_not_come_are_read,
    what_the_host_says_besides_is_followed,
)
LESSER_HOSTS = (
    content_alone_is_enough,
    without_tools_the_buttons_ask_in_the_chat,
    a_host_that_allows_nothing_shows_the_picture,
    a_refused_call_can_be_asked_for_in_the_chat,
    without_resources_they_are_viewed,
    what_the_sandbox_blocks_is_seen_by_these_tests,
)


@pytest.mark.parametrize("scenarios", [PICTURES, LESSER_HOSTS], ids=["pictures", "lesser-hosts"])
async def test_the_view_in_a_browser(
    scenarios: Sequence[Scenario], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """A browser takes seconds to start: it is shared."""
    expect.set_options(timeout=30_000)
    async with chromium() as browser:
        for scenario in scenarios:
            with subtests.test(scenario.__name__):
                await scenario(browser, tmp_path / scenario.__name__)
            await close_services()
