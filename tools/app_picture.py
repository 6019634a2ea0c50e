"""Take the picture of docs/apps.md: the page of results in a host, after one click.

    python tools/app_picture.py docs/apps.png      # needs Chromium and npm, as the tests do

The built-in engine makes the pictures.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from mcp import Client  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.async_api import expect  # noqa: E402

from tests.support.app_host import APPS, app_host  # noqa: E402
from tests.support.browser import chromium  # noqa: E402
from ziggie_image_mcp.app.application import Application  # noqa: E402
from ziggie_image_mcp.server.tools import make_server  # noqa: E402

WIDTH = 620
WISH = {"prompt": "a sailboat on the sea at sunset", "num_images": 3, "seed": 1}


async def take(target: Path, folder: Path) -> None:
    """Show the view of a call, choose a picture, and save what is seen."""
    config = folder / "config.json"
    config.write_text('{"providers": {"comfyui": {"enabled": false}}}', encoding="utf-8")
    async with (
        Application(config) as application,
        Client(make_server(application.service), extensions=APPS) as client,
        chromium() as browser,
        app_host(browser, client, width=WIDTH) as host,
    ):
        view = await host.mount()
        await host.call("generate_image", WISH)
        await expect(view.locator(".picture img")).to_have_count(3)
        await view.locator(".picture").nth(1).click()
        await view.evaluate("document.activeElement.blur()")
        await view.locator("body").screenshot(path=target)
    with Image.open(target) as image:
        image.convert("P", palette=Image.Palette.ADAPTIVE).save(target, optimize=True)


def main() -> int:
    """Write the picture to the path that is given."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(take(target, Path(folder)))
    print(f"{target}: {target.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
