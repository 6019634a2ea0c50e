"""Make the opposite edges of a picture meet, so that it tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

OVERLAP = 0.125
"""Of a side: the strip over which one end of the picture fades into the other."""


def made_seamless(image: Image.Image) -> Image.Image:
    """A picture of the same size whose edges meet: each end fades into the other, by both axes.

    The strip that is used up is made good by scaling, over the edges too, so that what was an
    eighth of the picture away from another part is a little nearer. What has one large subject
    in the middle keeps it; what the strips show is seen twice, faded.
    """
    import numpy as np
    from PIL import Image

    has_alpha = image.has_transparency_data
    read = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    pixels: NDArray[np.floating] = read.astype(np.float32)
    if has_alpha:
        pixels[..., :3] *= pixels[..., 3:] / 255
    for axis in (0, 1):
        lines = np.moveaxis(pixels, axis, 0)
        strip = max(1, round(len(lines) * OVERLAP))
        kept = len(lines) - strip
        share = ((np.arange(strip, dtype=np.float32) + 0.5) / strip).reshape(-1, 1, 1)
        faded = share * lines[:strip] + (1 - share) * lines[kept:]
        lines = np.concatenate([faded, lines[strip:kept]])
        pixels = np.moveaxis(_stretched(lines, kept + strip), 0, axis)
    if has_alpha:
        alpha = np.maximum(pixels[..., 3:], 1e-6)
        pixels[..., :3] = np.where(pixels[..., 3:] > 0, pixels[..., :3] * 255 / alpha, 0)
    return Image.fromarray(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8))


def _stretched(lines: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """So many lines in place of fewer, linear between the nearest two; the ends are neighbours."""
    import numpy as np

    places = np.arange(count, dtype=np.float64) * len(lines) / count
    lower = np.floor(places).astype(int)
    share = (places - lower).astype(np.float32).reshape(-1, 1, 1)
    upper = (lower + 1) % len(lines)
    return np.asarray((1 - share) * lines[lower] + share * lines[upper])
