"""Of how many damaged pixel pictures is the grid found? Beside perfect-pixel, where installed.

python benchmarks/pixel_grid.py

Each of nine sizes is drawn eight times and damaged in two ways: blurred by a sixth of a cell and
saved as JPEG 70, or with noise of 6 and saved as JPEG 80.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.pixel_pictures import enlarged, noisy, pixel_art, soft
from ziggie_image_mcp.assets.pixel_grid import find_grid

SIZES = (
    (16, 16.0),
    (24, 20.0),
    (32, 16.0),
    (32, 32.0),
    (48, 10.0),
    (64, 16.0),
    (128, 8.0),
    (32, 5.0),
    (40, 12.8),
)
Size = tuple[int, int] | None


def ours(picture: Image.Image) -> Size:
    grid = find_grid(picture, None)
    return None if grid is None else grid.size


def theirs() -> Callable[[Image.Image], Size] | None:
    """The finder of perfect-pixel; None where it is not installed."""
    with suppress(ImportError):
        library: Any = importlib.import_module("perfect_pixel.perfect_pixel_noCV2")
        vars(library)["print"] = str  # it tells of its work

        def find(picture: Image.Image) -> Size:
            with suppress(TypeError, IndexError):  # of its own, where it finds none
                width, height, _ = library.get_perfect_pixel(np.asarray(picture))
                return width, height
            return None

        return find
    return None


def main() -> None:
    finders = {"ziggie-image-mcp": ours, "perfect-pixel": theirs()}
    for name, find in finders.items():
        if find is None:
            print(f"{name} is not installed")
            continue
        found, total, slowest = 0, 0, 0.0
        for cells, cell in SIZES:
            for seed in range(8):
                large = enlarged(pixel_art(cells, seed), cell)
                for picture in (soft(large, cell), noisy(large)):
                    began = time.perf_counter()
                    found += find(picture) == (cells, cells)
                    slowest = max(slowest, time.perf_counter() - began)
                    total += 1
        print(f"{name}: {found} of {total} grids, at most {slowest:.2f} s each")


main()
