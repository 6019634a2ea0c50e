"""Find the grid of a picture that only looks like pixel art, and draw it pixel for pixel.

The cells' side is the period of the picture's edges (`benchmarks/pixel_grid.py`: all of 144 damaged
pictures, of which perfect-pixel 0.1.4 finds 47).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

LEAST_CELL = 2
"""Pixels: a smaller cell is a pixel."""

LEAST_FOUND = 3.5
"""Pixels: smaller cells cannot be told from texture, and must be named."""

LEAST_CELLS = 8
"""Across the shorter side: of fewer no period can be told."""

FOUND = 0.6
"""How well the edges keep to a grid, of 1, to be called one. Pictures of 16 to 128 cells, blurred
by a sixth of a cell and saved as JPEG 70, or with noise of 6 and JPEG 80, came to 0.71 and more;
smooth drawings come to 0.42."""

NEARLY = 0.75
"""Of the best: the largest period that keeps so well is the cell; its halves and thirds do too."""

_PERIODS = 1200
_FLOOR, _OVER_NOISE = 24.0, 6.0
"""What an edge must step by, all three channels together, and by how many times the usual step."""

OPAQUE = 128
"""Alpha from which a cell is seen: pixel art has no half transparent edges."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where the cells of a picture begin and end, pixels."""

    columns: tuple[int, ...]
    """The left edges, and the right edge of the last."""
    rows: tuple[int, ...]

    @property
    def side(self) -> float:
        """Of a cell on the average, pixels."""
        return (self.columns[-1] / self.size[0] + self.rows[-1] / self.size[1]) / 2

    @property
    def size(self) -> tuple[int, int]:
        """Cells across and down."""
        return len(self.columns) - 1, len(self.rows) - 1


def find_grid(image: Image.Image, cell: float | None) -> Grid | None:
    """The grid of a picture: evenly spaced lines, each drawn to the strongest edge near it.

    Args:
        image: Any.
        cell: Its cells' side, pixels; None finds it out.

    Returns:
        None where none is found, or where fewer than two cells would remain.
    """
    import numpy as np

    width, height = image.size
    if cell is not None and width % cell == 0 == height % cell:
        step = int(cell)
        return _checked(range(0, width + 1, step), range(0, height + 1, step))
    pixels = np.asarray(image.convert("RGB"))
    across, down = _edges(pixels, 1), _edges(pixels, 0)
    side = _cell_side(across, down) if cell is None else cell
    if side is None or min(width, height) < 2 * side:
        return None
    return _checked(_lines(across, side), _lines(down, side))


def draw_cells(image: Image.Image, grid: Grid) -> Image.Image:
    """The picture with one pixel for each cell: the median of the cell's middle.

    A cell of which half is transparent is wholly so.
    """
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image.convert("RGBA"))
    across, down = grid.size
    result = np.zeros((down, across, 4), np.uint8)
    for j in range(down):
        top, bottom = _middle(grid.rows[j], grid.rows[j + 1])
        for i in range(across):
            left, right = _middle(grid.columns[i], grid.columns[i + 1])
            cell = pixels[top:bottom, left:right].reshape(-1, 4)
            opaque = cell[cell[:, 3] >= OPAQUE]
            if 2 * len(opaque) > len(cell):
                result[j, i, :3] = np.median(opaque[:, :3], axis=0)
                result[j, i, 3] = 255
    drawn = Image.fromarray(result)
    return drawn if image.has_transparency_data else drawn.convert("RGB")


def _middle(start: int, end: int) -> tuple[int, int]:
    """The inner half of a cell: at its edges colours run into each other."""
    quarter = (end - start) // 4
    return start + quarter, max(start + quarter + 1, end - quarter)


def _cell_side(across: NDArray[np.float64], down: NDArray[np.float64]) -> float | None:
    """The period to which the picture's edges keep, pixels; None where they keep to none."""
    import numpy as np

    most = (min(len(across), len(down)) + 1) / LEAST_CELLS
    if most <= LEAST_FOUND:
        return None
    periods = np.geomspace(LEAST_FOUND, most, _PERIODS)
    keeps = (np.abs(_kept(across, periods)) + np.abs(_kept(down, periods))) / 2
    if keeps.max() < FOUND:
        return None
    at = int(np.nonzero(keeps >= NEARLY * keeps.max())[0][-1])
    while at and keeps[at - 1] > keeps[at]:  # from its flank to its peak
        at -= 1
    return float(periods[at])


def _kept(edges: NDArray[np.float64], periods: NDArray[np.float64]) -> NDArray[np.complex128]:
    """How well edges keep to each period, 0 to 1, as its length; where its lines lie, as its angle.

    Edge i lies between the pixels i and i + 1.
    """
    import numpy as np

    turns = np.exp(2j * np.pi * np.arange(1, len(edges) + 1) / periods[:, None])
    return np.asarray(turns @ edges / max(float(edges.sum()), 1e-9), np.complex128)


def _edges(pixels: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
    """How much of an edge lies between each two lines: it counts where it is steepest."""
    import numpy as np

    steps = np.moveaxis(np.abs(np.diff(pixels.astype(np.int16), axis=axis)).sum(-1), axis, 0)
    nothing = np.zeros_like(steps[:1])
    before, after = np.concatenate([nothing, steps[:-1]]), np.concatenate([steps[1:], nothing])
    is_edge = (steps > before) & (steps >= after)
    is_edge &= steps > max(_FLOOR, _OVER_NOISE * float(np.median(steps)))
    return np.asarray((np.sqrt(steps) * is_edge).mean(axis=1))


def _lines(edges: NDArray[np.float64], side: float) -> list[int]:
    """The grid's lines along one axis, from the first pixel to the last.

    A first or last cell of less than half the side is added to its neighbour.
    """
    import numpy as np

    end = len(edges) + 1
    count = max(1, round(end / side))
    if abs(end / count - side) * count < side / 2:
        side = end / count  # as many whole cells as fill the picture
    offset = float(np.angle(_kept(edges, np.array([side]))[0])) / (2 * np.pi) * side
    lines, reach = [0], max(1, int(side / 4))
    at = offset % side
    while at < end:
        first = max(1, round(at) - reach)
        near = edges[first - 1 : round(at) + reach]
        line = first + int(near.argmax()) if near.size and near.max() > 0 else round(at)
        if line - lines[-1] >= side / 2 and end - line >= side / 2:
            lines.append(line)
        at += side
    return [*lines, end]


def _checked(columns: Any, rows: Any) -> Grid | None:
    grid = Grid(columns=tuple(columns), rows=tuple(rows))
    return grid if min(grid.size) >= 2 else None
