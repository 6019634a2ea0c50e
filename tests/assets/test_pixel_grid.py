from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.support.pixel_pictures import enlarged, noisy, pixel_art, soft
from ziggie_image_mcp.assets.pixel_grid import draw_cells, find_grid

SIZES = [(16, 16.0), (32, 32.0), (48, 10.0), (64, 16.0), (128, 8.0), (32, 5.0), (40, 12.8)]


@pytest.mark.parametrize(("cells", "cell"), SIZES)
@pytest.mark.parametrize("damage", ["soft", "noisy", "none"])
def test_the_grid_of_a_damaged_picture_is_found_and_its_cells_are_drawn(
    cells: int, cell: float, damage: str
) -> None:
    art = pixel_art(cells, seed=3)
    large = enlarged(art, cell)
    picture = {"soft": soft(large, cell), "noisy": noisy(large), "none": large}[damage]

    grid = find_grid(picture, None)

    assert grid is not None
    assert grid.size == (cells, cells)
    off = np.abs(np.asarray(draw_cells(picture, grid)).astype(int) - np.asarray(art)).max(axis=-1)
    assert (off < 40).mean() > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_a_smooth_drawing_has_no_grid(seed: int) -> None:
    assert find_grid(pixel_art(512, seed), None) is None


def test_one_colour_has_no_grid() -> None:
    assert find_grid(Image.new("RGB", (256, 256), "teal"), None) is None


def test_a_side_that_is_given_is_kept_to_where_the_picture_has_no_edges() -> None:
    grid = find_grid(Image.new("RGB", (64, 32), "teal"), 16)

    assert grid is not None
    assert (grid.size, grid.side) == ((4, 2), 16.0)


def test_a_side_that_leaves_less_than_two_cells_is_none() -> None:
    assert find_grid(Image.new("RGB", (64, 64)), 64) is None


def test_a_cell_of_which_half_is_transparent_is_so() -> None:
    art = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    art.putpixel((1, 2), (200, 10, 10, 255))
    large = art.resize((64, 64), Image.Resampling.BICUBIC)
    grid = find_grid(large, 16)
    assert grid is not None

    drawn = draw_cells(large, grid)

    assert drawn.mode == "RGBA"
    assert drawn.getpixel((1, 2))[3] == 255  # type: ignore[index]
    assert drawn.getbbox() == (1, 2, 2, 3)
