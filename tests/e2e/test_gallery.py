"""The gallery in a real browser, before the real server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from playwright.async_api import Browser, Page, expect

from tests.support.browser import accessibility_faults, chromium
from tests.support.factory import service
from tests.support.gallery import serving
from ziggie_image_mcp.errors import ContentRefused
from ziggie_image_mcp.provider import Model, ProviderRequest, Run, Submission
from ziggie_image_mcp.provider.testing import FakePaidProvider, FakeProvider, picture
from ziggie_image_mcp.routing.request import ImageRequest

MARKUP = '<img src="https://evil.example/x.png" onerror="document.title=1"> & <b>bold</b> '
"""Of a prompt, which is text and nothing else."""


class ByPrompt(FakeProvider):
    """Hangs, refuses or makes, as the prompt says."""

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        if request.prompt == "refused":
            raise ContentRefused(self.name, "blocked by its filter")
        if request.prompt != "never ends":
            return await super().submit(request, model, run)
        await run.progress(0.5, "halfway")
        if run.preview is not None:
            run.preview(picture(16, 16))
        try:
            while True:
                await anyio.sleep_forever()
        finally:
            self.cancelled += 1


def image_id(file: Path) -> str:
    return "-".join(file.stem.rsplit("-", 2)[1:])


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: Any) -> AsyncGenerator[Page]:
    """A page of a context of its own, in which nothing fails and nothing is asked elsewhere."""
    context = await browser.new_context(**options)
    requests: list[str] = []
    troubles: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    page = await context.new_page()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda said: (
            troubles.append(said.text) if said.type == "error" and "401" not in said.text else None
        ),
    )
    page.set_default_timeout(20_000)
    await page.goto(url)
    yield page
    foreign = [
        asked for asked in requests if not asked.startswith((url.partition("#")[0], "data:"))
    ]
    await context.close()
    assert foreign == []
    assert troubles == []


async def test_pictures_are_found_shown_made_again_and_jobs_are_watched_and_stopped(
    tmp_path: Path,
) -> None:
    fake = ByPrompt()
    made = service(tmp_path, fake)
    for prompt in ("a red fox", MARKUP * 6, "a blue whale"):
        await made.generate(ImageRequest(prompt=prompt))
    async with serving(made) as (url, _), chromium() as browser, opened(browser, url) as page:
        tiles = page.locator("#grid a")
        await expect(tiles).to_have_count(3)
        await expect(page.locator("#total")).to_have_text("3 pictures")
        assert await accessibility_faults(page) == []

        await page.keyboard.press("/")
        await page.keyboard.type("FOX")
        await page.keyboard.press("Enter")
        await expect(tiles).to_have_count(1)
        assert page.url.endswith("#/pictures?query=FOX")
        await page.keyboard.press("Tab")
        await page.locator("#search-clear").click()
        await expect(tiles).to_have_count(3)

        await page.locator("#main").focus()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Enter")
        dialog = page.locator("#picture")
        await expect(dialog.locator("h2")).to_have_text("Picture 2 of 3")
        await expect(dialog.locator(".prompt")).to_have_text(re.compile(re.escape("<b>bold</b>")))
        await expect(dialog.locator(".prompt")).to_have_class(re.compile("folded"))
        await expect(dialog.locator(".facts")).to_contain_text("fake/")
        await expect(dialog.locator(".facts")).to_contain_text("why")
        assert await accessibility_faults(page) == []
        await page.keyboard.press("ArrowRight")
        await expect(dialog.locator(".prompt")).to_have_text("a red fox")
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(tiles.nth(1)).to_be_focused()

        seeds = [request.seed for request in fake.seen]
        await tiles.nth(2).click()
        await page.locator("#again").click()
        await expect(page.locator("#jobs-ended li")).to_have_count(4)
        assert len(fake.seen) == 4
        assert fake.seen[3].prompt == "a red fox"
        assert fake.seen[3].seed not in seeds

        await made.start([ImageRequest(prompt="never ends")])
        await page.keyboard.press("1")
        await expect(tiles).to_have_count(4)
        await expect(page.locator("#open-jobs")).to_have_text("1")
        await tiles.nth(1).click()
        await expect(dialog).to_be_visible()
        await page.locator("#picture-close").click()
        await expect(tiles.nth(1)).to_be_focused()
        await page.keyboard.press("2")
        job = page.locator("#jobs-open li")
        await expect(job.locator(".doing")).to_contain_text("halfway")
        await expect(job.locator("progress")).to_have_js_property("value", 0.495)
        await expect(job.locator("img.preview")).to_have_js_property("naturalWidth", 16)
        await job.get_by_role("button", name="Cancel").click()
        await expect(page.locator("#jobs-open")).to_contain_text("Nothing runs")
        await expect(page.locator("#jobs-ended li").first).to_contain_text(
            "CANCELLED: It was cancelled."
        )
        assert fake.cancelled == 1
        view = await made.start([ImageRequest(prompt="refused")])
        await made.job(view.id, 20)
        await page.keyboard.press("1")
        await page.keyboard.press("2")
        await expect(page.locator("#jobs-ended li").first).to_contain_text("CONTENT_REFUSED")
        assert await accessibility_faults(page) == []

        await page.keyboard.press("4")
        await expect(page.locator("#models-body")).to_contain_text("fake")
        assert await accessibility_faults(page) == []
        await page.keyboard.press("?")
        await expect(page.locator("#keys")).to_be_visible()

        first = next((tmp_path / "pictures").glob("2*/*.png"))
        copy = first
        for n in range(2200):  # more than one look reads
            copy = first.with_name(f"x-{first.parent.name.replace('-', '')}-{n:016x}.png")
            os.link(first, copy)
            os.link(first.with_suffix(".json"), copy.with_suffix(".json"))
        long_names = {"prompt": "x" * 300, "provider": "vendor" * 9, "model": "model" * 30}
        copy.with_suffix(".json").unlink()
        copy.with_suffix(".json").write_text(json.dumps(long_names), encoding="utf-8")
        async with opened(browser, f"{url}#/picture/{image_id(copy)}") as direct:
            await expect(direct.locator("#picture h2")).to_be_visible()
            await direct.locator("#picture-close").click()
            await expect(direct.locator("#picture")).to_be_hidden()
            await expect(direct.locator("#grid a")).to_have_count(60)
            await expect(direct.locator("#total")).to_have_text("2,204 pictures", timeout=20_000)
            assert direct.url.endswith("#/pictures")
            for odd, status, page_number in (
                ("#/picture/", "", "1"),
                ("#/picture/%E0%A4%A", "There is no picture at this address.", "1"),
                ("#/pictures?page=999", "", "37"),
            ):
                await direct.goto(url + odd)
                await expect(direct.locator("#page")).to_have_value(page_number)
                await expect(direct.locator("#status")).to_have_text(status)
        phone: dict[str, Any] = {
            "viewport": {"width": 360, "height": 780},
            "color_scheme": "dark",
            "reduced_motion": "reduce",
        }
        async with opened(browser, url, **phone) as small:
            await expect(small.locator("#total")).to_have_text("2,204 pictures")
            await expect(small.locator("#grid img")).to_have_count(60)
            await small.locator("#older").click()
            await expect(small.locator("#page")).to_have_value("2")
            await expect(small.locator("#grid img")).to_have_count(60)
            for view_name in ("jobs", "money", "models", "pictures"):
                await small.locator(f"nav a[data-view={view_name}]").click()
                await expect(small.locator(f"#{view_name}")).to_be_visible()
                await small.wait_for_load_state("networkidle")
                wide = await small.evaluate("document.documentElement.scrollWidth")
                assert wide <= 360, view_name
            assert await accessibility_faults(small) == []
            ground = await small.evaluate("getComputedStyle(document.body).backgroundColor")
            assert ground == "rgb(20, 22, 26)"


async def test_money_is_asked_for_in_the_page_and_a_token_or_a_code_opens_it(
    tmp_path: Path,
) -> None:
    paid = FakePaidProvider()
    made = service(tmp_path, paid)
    await made.generate(ImageRequest(prompt="gold", allow_paid=True))
    tokens = {"owner": "open sesame"}
    async with serving(made, tokens) as (url, gallery), chromium() as browser:
        async with opened(browser, f"{url}#code={gallery.sessions.new_code()}") as page:
            await page.locator("#grid a").click()
            await expect(page.locator("#picture h2")).to_be_visible()
            assert "code" not in page.url
            await page.locator("#again").click()
            question = page.locator("#question")
            await expect(question).to_contain_text("Spend up to $0.04 on 1 picture by paid/")
            assert await accessibility_faults(page) == []
            await question.get_by_role("button", name="No").click()
            await expect(page.locator("#status")).to_have_text("Nothing was spent.")
            assert len(paid.charged) == 1
            assert not await made.billing.ledger.holds(states=["reserved"])

            await page.locator("#again").click()
            await expect(question).to_be_visible()
            await page.go_back()
            await expect(question).to_be_hidden()
            await expect(page.locator("#picture")).to_be_hidden()
            await expect(page.locator("#status")).to_have_text("Nothing was spent.")
            assert not await made.billing.ledger.holds(states=["reserved"])

            await page.locator("#grid a").click()
            await page.locator("#again").click()
            await expect(question).to_be_visible()
            assert await made.billing.ledger.holds(states=["reserved"])
            await page.reload()
            await expect(page.locator("#picture h2")).to_be_visible()
            with anyio.fail_after(20):
                while await made.billing.ledger.holds(states=["reserved"]):
                    await anyio.sleep(0.05)

            await page.locator("#again").click()
            await question.get_by_role("button", name="Yes").click()
            await expect(page.locator("#jobs-ended")).to_contain_text("done")
            assert len(paid.charged) == 2
            await page.goto(f"{url}#/money")
            await expect(page.locator("#money svg.plot rect")).not_to_have_count(0)
            await expect(page.locator("#money-body")).to_contain_text("$0.08")
            assert await accessibility_faults(page) == []

        async with opened(browser, url) as page:
            await expect(page.locator("#sign-in")).to_be_visible()
            assert await accessibility_faults(page) == []
            await page.fill("#token", "wrong")
            await page.keyboard.press("Enter")
            await expect(page.locator("#status")).to_contain_text("no token of this server")
            await page.fill("#token", "open sesame")
            await page.keyboard.press("Enter")
            await expect(page.locator("#grid a")).to_have_count(2)
            assert await page.evaluate("document.cookie") == ""
            await page.locator("#sign-out").click()
            await expect(page.locator("#sign-in")).to_be_visible()
