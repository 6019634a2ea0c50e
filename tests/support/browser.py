"""A real headless Chromium that reaches only what a test lets it reach."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Frame, Page, async_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


def needs_chromium() -> None:
    """Skip a test that needs a browser; in CI, which sets ZIGGIE_TEST_ALL, fail it."""
    if os.access(CHROMIUM, os.X_OK):
        return
    reason = "needs Chromium: apt-get install --no-install-recommends chromium"
    if os.environ.get("ZIGGIE_TEST_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    """A browser of its own; pages and contexts are the test's affair."""
    needs_chromium()
    async with async_playwright() as running:
        browser = await running.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def accessibility_faults(page: Page | Frame) -> list[str]:
    """What axe-core calls serious or critical on a page, each with the elements that have it."""
    axe: Any = Axe()
    response = (await axe.run(page)).response
    return [
        f"{fault['id']}: {[node['target'] for node in fault['nodes']]}"
        for fault in response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
