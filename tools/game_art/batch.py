"""Write the batch file of a small game's art: 48 items, 16 tiles and 4 animations in one palette.

    python tools/game_art/batch.py > game.jsonl
    ziggie-image-mcp batch game.jsonl

`docs/game-art.md` goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

PALETTE = "endesga-32"
ITEMS = ("apple", "mushroom", "potion", "sword", "fish", "flower", "gem", "heart")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
TILES = ("bricks", "stone", "grass", "water", "sand", "wood", "checkers", "dots")
MOVING = {"gem": "turn", "potion": "bob", "mushroom": "squash", "fish": "bob"}


def lines() -> Iterator[dict[str, Any]]:
    """The requests, one a line of the file."""
    pixels = {"palette": PALETTE, "grid": 1}
    for item in ITEMS:
        for place, colour in enumerate(COLOURS):
            yield {
                "prompt": f"a {colour} {item}",
                "seed": 100 + place,
                "file_name": f"item-{item}-{colour}",
                "asset": {"kind": "sprite", "size": [32, 32], **pixels},
            }
    for tile in TILES:
        for seed in (1, 2):
            yield {
                "prompt": f"{tile} tile",
                "seed": seed,
                "file_name": f"tile-{tile}-{seed}",
                "asset": {"kind": "tile", "size": [32, 32], **pixels},
            }
    for item, motion in MOVING.items():
        yield {
            "prompt": f"a {'blue' if item == 'gem' else 'red'} {item}",
            "seed": 7,
            "file_name": f"moving-{item}",
            "asset": {
                "kind": "sprite",
                "size": [32, 32],
                **pixels,
                "frames": 8,
                "motion": motion,
                "sheet": "texturepacker,godot,unity,tiled",
                "animation": "gif",
            },
        }


if __name__ == "__main__":
    for line in lines():
        print(json.dumps(line))
