"""Take the screenshots of docs/gallery.md: pictures of the built-in engine, in a real Chromium.

    python tools/gallery/screenshots.py [FOLDER]

It works in folders of its own, starts the command `gallery` there, and ends it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

PROMPTS = (
    "a big red mushroom on a white background",
    "a sailboat on the sea at sunset",
    "a tile of grey bricks",
    "a field with trees and a rainbow by day",
    "a green potion on a blue background",
    "a pattern of yellow stars",
    "a city at night with a moon",
    "a purple gem on a white background",
    "snow with pines and mountains",
    "a desert with cacti at sunset",
    "three pink flowers on a green background",
    "an orange fish on a blue background",
)
MOST_BYTES = 150_000
COMMAND = (sys.executable, "-m", "ziggie_image_mcp")


@contextmanager
def gallery(folder: Path) -> Generator[str]:
    """The page with a picture of each prompt: its address."""
    names = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_PICTURES_DIR")
    env = os.environ | {name: str(folder / name.lower()) for name in names}
    wishes = [json.dumps({"prompt": prompt, "provider": "builtin"}) for prompt in PROMPTS]
    file = folder / "prompts.jsonl"
    file.write_text("\n".join(wishes), encoding="utf-8")
    subprocess.run([*COMMAND, "batch", str(file), "--no-sheet"], env=env, check=True)
    command = [*COMMAND, "gallery", "--no-open", "--port", "0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def shoot(browser: Browser, url: str, folder: Path) -> None:
    """Write the screenshots."""
    expect.set_options(timeout=60_000)
    wide = browser.new_page(viewport={"width": 1200, "height": 760})
    wide.goto(url)
    expect(wide.locator("#grid img")).to_have_count(len(PROMPTS))
    wide.wait_for_load_state("networkidle")
    keep(wide.screenshot(), folder / "gallery.png")
    wide.locator("#grid a").nth(3).click()
    expect(wide.locator("#picture .facts")).to_be_visible()
    wide.wait_for_load_state("networkidle")
    keep(wide.screenshot(), folder / "gallery-picture.png")
    dark = browser.new_page(
        viewport={"width": 390, "height": 844}, color_scheme="dark", reduced_motion="reduce"
    )
    dark.goto(f"{url}#/money")
    dark.wait_for_selector("#money svg.plot")
    keep(dark.screenshot(), folder / "gallery-phone.png")


def keep(png: bytes, file: Path) -> None:
    """Write a screenshot with a palette, small enough for a page of documentation."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128).save(out, "PNG", optimize=True)
    if len(out.getvalue()) > MOST_BYTES:
        sys.exit(f"{file} would have {len(out.getvalue()):,} bytes, more than {MOST_BYTES:,}.")
    file.write_bytes(out.getvalue())
    print(file, len(out.getvalue()))


def main() -> None:
    """Take them all."""
    default = Path(__file__).parents[2] / "docs"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    target.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as own,
        gallery(Path(own)) as url,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        shoot(browser, url, target)
        browser.close()


if __name__ == "__main__":
    main()
