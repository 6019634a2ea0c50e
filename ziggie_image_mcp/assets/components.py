"""Label what hangs together in a mask, by runs: stretches of white pixels within a row.

Imports numpy: import it where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Components:
    """What hangs together in a mask. Positions count through the rows, each one longer by one."""

    shape: tuple[int, int]
    starts: Indices
    """Of each run, from the upper left corner on."""
    ends: Indices
    labels: Indices
    """Of each run: the number of its component."""
    count: int

    @cached_property
    def areas(self) -> Indices:
        """Pixels of each component."""
        lengths = (self.ends - self.starts).astype(np.float64)
        return np.bincount(self.labels, lengths, self.count).astype(np.intp)

    @cached_property
    def at_border(self) -> Mask:
        """Whether each component touches the edges of the picture."""
        height, width = self.shape
        row, left = np.divmod(self.starts, width + 1)
        right = self.ends - row * (width + 1)
        touches = (row == 0) | (row == height - 1) | (left == 0) | (right == width)
        result = np.zeros(self.count, np.bool_)
        result[self.labels[touches]] = True
        return result

    @cached_property
    def first_pixels(self) -> Indices:
        """The position of the uppermost pixel of each component, the leftmost of its row."""
        result = np.empty(self.count, np.intp)
        result[self.labels[::-1]] = self.starts[::-1]
        return result

    def at(self, positions: Indices) -> Indices:
        """The component at each position. There must be one."""
        return self.labels[np.searchsorted(self.ends, positions, side="right")]

    def mask(self, wanted: Mask) -> Mask:
        """The pixels of some components."""
        height, width = self.shape
        chosen = wanted[self.labels]
        steps = np.zeros(height * (width + 1), np.int8)
        steps[self.starts[chosen]] = 1
        steps[self.ends[chosen]] = -1
        return np.cumsum(steps, dtype=np.int8).astype(np.bool_).reshape(height, width + 1)[:, :-1]


def find_components(mask: Mask, *, diagonal: bool) -> Components:
    """Label a mask.

    Args:
        mask: The pixels to label are true.
        diagonal: Whether pixels that touch at their corners hang together.
    """
    height, width = mask.shape
    wide = np.zeros((height, width + 1), np.int8)
    wide[:, :width] = mask
    steps = np.diff(wide.ravel(), prepend=0)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    # Each run meets those of the next row that begin before its end and end after its start.
    below, reach = width + 1, int(diagonal)
    first: Indices = np.searchsorted(ends, np.add(starts, below - reach), side="right")
    last: Indices = np.searchsorted(starts, np.add(ends, below + reach), side="left")
    number = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(starts)), number)
    within = np.arange(len(upper)) - np.repeat(np.cumsum(number) - number, number)
    lower = np.repeat(first, number) + within
    roots = _roots(len(starts), upper, lower)
    named, labels = np.unique(roots, return_inverse=True)
    return Components((height, width), starts, ends, labels, len(named))


def _roots(count: int, one: Indices, other: Indices) -> Indices:
    """For each run the first run that it hangs together with, over pairs of runs that touch."""
    root = np.arange(count)
    while True:
        a, b = root[one], root[other]
        apart = a != b
        if not apart.any():
            return root
        one, other, a, b = one[apart], other[apart], a[apart], b[apart]
        np.minimum.at(root, np.maximum(a, b), np.minimum(a, b))
        while True:
            further = root[root]
            if (further == root).all():
                break
            root = further
