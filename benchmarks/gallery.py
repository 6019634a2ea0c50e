"""Measure the gallery with 10,000 pictures: first paint, and a search, in a real Chromium.

    python benchmarks/gallery.py

The pictures are hard links to one picture of 1024 x 1024 and to its thumbnail; each has a sidecar
of its own. The index is built by the server, in bounded looks, before the page is opened.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

PICTURES, DAYS, ROUNDS = 10_000, 100, 5
REST_MS = 1_500
THINGS = ("fox", "lighthouse", "orange", "boat", "valley", "castle", "bird", "flower")
SEARCH = """async (word) => {
    const drawn = new Promise((resolve) => {
        new MutationObserver(resolve).observe(document.getElementById("grid"), {childList: true});
    });
    const start = performance.now();
    document.getElementById("query").value = word;
    document.getElementById("search").requestSubmit();
    await drawn;
    await new Promise(requestAnimationFrame);
    return performance.now() - start;
}"""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"


def fill(folder: Path) -> None:
    """Write 10,000 pictures of 100 days."""
    picture, small = folder / "picture.png", folder / "small.webp"
    image = Image.effect_noise((1024, 1024), 60).convert("RGB")
    image.save(picture)
    image.resize((320, 320)).save(small, quality=80)
    for n in range(PICTURES):
        day = date(2026, 11, 1) - timedelta(days=n % DAYS)
        stem = f"x-{day:%Y%m%d}-{n:016x}"
        place = folder / "pictures" / day.isoformat()
        thumbnails = folder / "pictures" / ".thumbnails" / day.isoformat()
        place.mkdir(parents=True, exist_ok=True)
        thumbnails.mkdir(parents=True, exist_ok=True)
        facts = {
            "prompt": f"a {THINGS[n % len(THINGS)]} number {n}, painted in oil",
            "provider": "builtin",
            "model": f"model-{n % 7}",
            "seed": n,
            "made": f"{day}T12:00:{n % 60:02}.000+00:00",
        }
        (place / f"{stem}.json").write_text(json.dumps(facts), encoding="utf-8")
        os.link(picture, place / f"{stem}.png")
        os.link(small, thumbnails / f"{stem.removeprefix('x-')}.webp")


def indexed(url: str) -> float:
    """Seconds until the server has taken in all pictures."""
    start = time.monotonic()
    while True:
        with urlopen(f"{url}gallery/pictures") as answer:
            if not json.load(answer)["not_indexed_yet"]:
                return time.monotonic() - start


def measure(browser: Browser, url: str) -> tuple[float, list[float], int]:
    """First contentful paint and searches, ms; thumbnails that the page asked for."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "thumbnail" in one.url else None)
    page.goto(url)
    page.wait_for_selector("#grid a")
    page.wait_for_load_state("networkidle")
    first, paint = len(asked), float(page.evaluate(PAINT))
    searches = [
        float(page.evaluate(SEARCH, word)) for word in ("fox", "number 99", "oil", "castle")
    ]
    page.close()
    return paint, searches, first


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own)
        fill(folder)
        config = folder / "config.json"
        output = {"directory": f"{own}/pictures"}
        config.write_text(json.dumps({"output": output}), encoding="utf-8")
        env = os.environ | {"HOME": own, "XDG_DATA_HOME": f"{own}/data"}
        command = [sys.executable, "-m", "ziggie_image_mcp", "--config", str(config), "gallery"]
        command += ["--no-open", "--port", "0"]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                url = server.stdout.readline().strip()
                print(f"index of {PICTURES:,} pictures: {indexed(url):.1f} s, once")
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
                    rounds = [measure(browser, url) for _ in range(ROUNDS)]
                    browser.close()
            finally:
                server.terminate()
    paints, searches = [one[0] for one in rounds], [ms for one in rounds for ms in one[1]]
    print(
        f"first contentful paint: median {statistics.median(paints):.0f}, most {max(paints):.0f} ms"
    )
    print(f"a search: median {statistics.median(searches):.0f}, most {max(searches):.0f} ms")
    print(f"thumbnails loaded at first: {max(one[2] for one in rounds)}")


if __name__ == "__main__":
    main()
