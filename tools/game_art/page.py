"""Draw the picture of docs/game-art.md: atlas, tiles and two animations, three times as large.

    python tools/game_art/page.py FOLDER docs/game-art.png

FOLDER holds items.png and tiles.png, and the pictures of two animations as moving-*.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

TIMES, GAP, GROUND = 3, 12, (58, 58, 68, 255)


def page(folder: Path) -> Image.Image:
    """The atlas on the left, tiles and animations on the right."""
    names = ["tiles.png", *sorted(file.name for file in folder.glob("moving-*.png"))[:2]]
    atlas, *others = [_large(folder / name) for name in ("items.png", *names)]
    width = atlas.width + 3 * GAP + max(image.width for image in others)
    height = max(atlas.height, sum(image.height + GAP for image in others)) + 2 * GAP
    whole = Image.new("RGBA", (width, height), GROUND)
    whole.alpha_composite(atlas, (GAP, GAP))
    y = GAP
    for image in others:
        whole.alpha_composite(image, (atlas.width + 2 * GAP, y))
        y += image.height + GAP
    return whole


def _large(file: Path) -> Image.Image:
    with Image.open(file) as image:
        size = image.width * TIMES, image.height * TIMES
        return image.convert("RGBA").resize(size, Image.Resampling.NEAREST)


if __name__ == "__main__":
    page(Path(sys.argv[1])).convert("RGB").quantize(128).save(sys.argv[2], optimize=True)
