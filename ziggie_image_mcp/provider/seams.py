"""Measure whether a picture tiles: whether its opposite edges meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

SEAMLESS = 1.2
"""Up to this the step over an edge is one as the picture has inside. True tiles of bricks, whose
edge lies on a joint, come to 1.15; what does not tile, to 1.6 and more (docs/tiny-model.md)."""

_LEAST_STEP = 2.0
"""Of 255: what no eye sees, so that flat pictures tile."""

_SAMPLES = 512
"""Pixels of a line that are looked at: more of a large picture say no more, and take memory."""

_INNER_SHARE = 98
"""Percentile of the inner steps that the step over the edge is compared with."""


class Seam(NamedTuple):
    """The step over an edge by the 98th percentile of the steps inside."""

    across: float
    """From the right edge to the left one."""
    down: float
    """From the bottom to the top."""

    @property
    def tiles(self) -> bool:
        """Whether copies side by side show no seam."""
        return max(self) <= SEAMLESS


def seam(image: Image.Image) -> Seam:
    """Measure a picture's seams: steps are means over a line of pixels, all channels together."""
    import numpy as np

    pixels = np.asarray(image.convert("RGBA" if "A" in image.getbands() else "RGB"))

    def step(axis: int) -> float:
        lines = np.moveaxis(pixels, axis, 0)
        if len(lines) < 3:
            return 0.0
        lines = lines[:, :: max(1, lines.shape[1] // _SAMPLES)].astype(np.float32)
        inner = np.abs(np.diff(lines, axis=0)).mean(axis=(1, 2))
        over = float(np.abs(lines[0] - lines[-1]).mean())
        return over / max(float(np.percentile(inner, _INNER_SHARE)), _LEAST_STEP)

    return Seam(across=step(1), down=step(0))
