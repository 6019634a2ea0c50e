"""Find the faults of a picture that was asked for with an asset contract.

Written on Pillow and numpy alone, apart from the product's own proofs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SEAM = 1.2
"""The step over an edge by the 98th percentile of the steps inside."""


def faults(path: str | Path, asked: Mapping[str, Any]) -> list[str]:
    """What is wrong with the file.

    Args:
        path: Of a picture.
        asked: `size` (of a frame), `colors`, `palette` (colours), `grid`, `alpha`, `seamless`,
            `frames`; what is not there was not asked for.
    """
    with Image.open(path) as picture:
        picture.load()
        pixels = np.array(picture.convert("RGBA")).astype(int)
    found = [*_size(pixels, asked), *_alpha(pixels, asked), *_colours(pixels, asked)]
    found += _grid(pixels, asked) if asked.get("grid") else []
    found += _seam(pixels) if asked.get("seamless") else []
    return found + (_frames(pixels, asked) if asked.get("frames", 1) > 1 else [])


def _size(pixels: np.ndarray[Any, Any], asked: Mapping[str, Any]) -> list[str]:
    if "size" not in asked:
        return []
    height, width = pixels.shape[:2]
    frame_width, frame_height = asked["size"]
    across, down = width / frame_width, height / frame_height
    if across * down == asked.get("frames", 1) and across % 1 == 0 == down % 1:
        return []
    return [f"size: {width}x{height} for {asked.get('frames', 1)} of {frame_width}x{frame_height}"]


def _alpha(pixels: np.ndarray[Any, Any], asked: Mapping[str, Any]) -> list[str]:
    if "alpha" not in asked:
        return []
    alpha = pixels[:, :, 3]
    if asked["alpha"]:
        found = [] if (alpha == 0).any() else ["alpha: nothing is transparent"]
        return found + ([] if (alpha > 126).any() else ["alpha: nothing is seen"])
    return [] if alpha.min() == 255 else ["alpha: not all is opaque"]


def _colours(pixels: np.ndarray[Any, Any], asked: Mapping[str, Any]) -> list[str]:
    seen = {tuple(int(c) for c in one[:3]) for one in pixels.reshape(-1, 4) if one[3]}
    found: list[str] = []
    if "colors" in asked and len(seen) > asked["colors"]:
        found.append(f"colors: {len(seen)}")
    if "palette" in asked and not seen <= {tuple(one) for one in asked["palette"]}:
        found.append("palette: another colour")
    return found


def _grid(pixels: np.ndarray[Any, Any], asked: Mapping[str, Any]) -> list[str]:
    side = asked["grid"]
    if not set(np.unique(pixels[:, :, 3]).tolist()) <= {0, 255}:
        return ["grid: half transparent"]
    for y in range(0, pixels.shape[0], side):
        for x in range(0, pixels.shape[1], side):
            square = pixels[y : y + side, x : x + side].reshape(-1, 4)
            shown = square[square[:, 3] > 0]
            if len(shown) not in (0, side * side) or len({tuple(p) for p in shown.tolist()}) > 1:
                return [f"grid: the square at {x},{y}"]
    return []


def _seam(pixels: np.ndarray[Any, Any]) -> list[str]:
    found: list[str] = []
    for axis, name in ((0, "down"), (1, "across")):
        lines: Any = np.moveaxis(pixels, axis, 0)
        if len(lines) < 3:
            continue
        channels = 3 if (pixels[:, :, 3] == 255).all() else 4
        steps = [
            np.abs(lines[i + 1][:, :channels] - lines[i][:, :channels]).mean()
            for i in range(len(lines) - 1)
        ]
        over = np.abs(lines[0][:, :channels] - lines[-1][:, :channels]).mean()
        if over > 1.01 * SEAM * max(float(np.percentile(steps, 98)), 2.0):
            found.append(f"seamless: {name}")
    return found


def _frames(pixels: np.ndarray[Any, Any], asked: Mapping[str, Any]) -> list[str]:
    width, height = asked["size"]
    cells = [
        pixels[y : y + height, x : x + width]
        for y in range(0, pixels.shape[0], height)
        for x in range(0, pixels.shape[1], width)
    ]
    if len(cells) != asked["frames"]:
        return [f"frames: {len(cells)}"]
    if any(not (cell[:, :, 3] > 126).any() for cell in cells):
        return ["frames: an empty one"]
    alike = all((cell == cells[0]).all() for cell in cells)
    return ["frames: all the same"] if alike else []
