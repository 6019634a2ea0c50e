"""Load sheets in the real Phaser, in a headless Chromium that reaches no network."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.support.browser import CHROMIUM, needs_chromium

VERSION = "4.2.1"
PAGE = """<!doctype html><canvas></canvas><script src="/phaser.js"></script><script>
const names = NAMES;
window.frames_of = new Promise((resolve, reject) => new Phaser.Game({
  type: Phaser.CANVAS, canvas: document.querySelector("canvas"), width: 64, height: 64,
  banner: false, audio: {noAudio: true},
  scene: {
    preload() {
      this.load.on("loaderror", file => reject(new Error("cannot load " + file.key)));
      for (const name of names) this.load.atlas(name, `/${name}.png`, `/${name}.json`);
    },
    create() {
      const found = {};
      for (const name of names) {
        const texture = this.textures.get(name);
        found[name] = {};
        for (const key of texture.getFrameNames()) {
          const f = texture.get(key);
          const x = Math.floor(f.cutWidth / 2), y = Math.floor(f.cutHeight / 2);
          const colour = this.textures.getPixel(x + f.x, y + f.y, name, key);
          found[name][key] = {
            cutX: f.cutX, cutY: f.cutY, realWidth: f.realWidth, realHeight: f.realHeight,
            sampleX: f.cutX + x, sampleY: f.cutY + y,
            pixel: colour && [colour.red, colour.green, colour.blue, colour.alpha],
          };
          this.add.image(0, 0, name, key);
        }
      }
      resolve(found);
    },
  },
}));
</script>"""


def read_by_phaser(sheets: Mapping[str, tuple[Path, Path]]) -> dict[str, dict[str, Any]]:
    """The frames that Phaser finds in each sheet, by their names, with a pixel of each.

    Args:
        sheets: The picture and the JSON of each, by its name.
    """
    needs_chromium()
    with tempfile.TemporaryDirectory() as folder:
        npm = ["npm", "install", "--silent", "--prefix", folder, f"phaser@{VERSION}"]
        subprocess.run(npm, check=True, capture_output=True)
        script = (Path(folder) / "node_modules/phaser/dist/phaser.min.js").read_bytes()
    bodies = {"/phaser.js": (script, "text/javascript")}
    for name, (picture, data) in sheets.items():
        bodies[f"/{name}.png"] = picture.read_bytes(), "image/png"
        bodies[f"/{name}.json"] = data.read_bytes(), "application/json"
    html = PAGE.replace("NAMES", repr(list(sheets)))
    bodies["/"] = html.encode(), "text/html"

    def answer(route: Any) -> None:
        body, kind = bodies.get(route.request.url.removeprefix("http://game.test"), (None, ""))
        if body is None:
            route.abort()
        else:
            route.fulfill(body=body, content_type=kind)

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page()
        page.route("**/*", answer)
        page.goto("http://game.test/")
        read: dict[str, dict[str, Any]] = page.evaluate("window.frames_of")
        browser.close()
    return read
