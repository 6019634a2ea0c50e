"""Scale masks and soften their edges, so that nothing white is lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_STEPS = 8
"""In how many the way from what is thick to the bumps of its edge is gone."""


def scale_mask(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A mask in another size; each pixel is as white as the whitest that it stands for."""
    from PIL import Image

    if mask.size == size:
        return mask
    across, down = (a / b for a, b in zip(mask.size, size, strict=True))
    wide = _spread(mask, *(math.ceil(f / 2) if f > 1 else 0 for f in (across, down)))
    return wide.resize(size, Image.Resampling.NEAREST)


def fade_edges(mask: Image.Image, radius: int) -> Image.Image:
    """A mask that fades inside its edges, over twice the radius where it is thick enough.

    What is thinner fades over less, down to nothing, so that the middle of all that is white stays
    white. Black stays black. The edges of the picture are no edges of the mask.
    """
    from PIL import Image, ImageChops

    box = mask.getbbox()
    if box is None:
        return mask
    box = _around(box, 1, mask.size)
    part = mask.crop(box)
    support = part.point([0] + [255] * 255)
    faded = Image.new("L", mask.size)
    faded.paste(ImageChops.darker(part, _faded(support, support, radius)), box)
    return faded


def _faded(support: Image.Image, rest: Image.Image, radius: int) -> Image.Image:
    """The fade of `support`, which is black or white, where `rest` of it is white."""
    from PIL import ImageChops, ImageFilter

    if radius < 1:
        return support
    inner = ImageChops.invert(_spread(ImageChops.invert(support), radius, radius))
    fade = inner.filter(ImageFilter.BoxBlur(radius))  # white from twice the radius inwards
    middle = fade.point([0] * 255 + [255])
    thick = ImageChops.darker(_spread(middle, 2 * radius, 2 * radius), support)
    left = ImageChops.subtract(rest, thick)
    # A round or ragged edge has bumps that are no thicker than a line, and fade as it does.
    thin = ImageChops.subtract(left, _grown(thick, support, radius)) if left.getbbox() else left
    left = ImageChops.darker(_spread(thin, radius + 1, radius + 1), left)
    box = left.getbbox()
    if box is None:
        return fade
    narrower = radius // 3
    part = _around(box, 8 * narrower + 1, support.size)  # no further does a fade look
    left = left.crop(part)
    fade.paste(_faded(support.crop(part), left, narrower), part, left)
    return fade


def _around(
    box: tuple[int, int, int, int], by: int, size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A box with so many pixels more to each side, as far as the picture goes."""
    left, top, right, bottom = box
    return max(0, left - by), max(0, top - by), min(size[0], right + by), min(size[1], bottom + by)


def _grown(thick: Image.Image, support: Image.Image, by: int) -> Image.Image:
    """What is so near to the thick parts and hangs together with them."""
    from PIL import ImageChops

    step = math.ceil(by / _STEPS)
    for _ in range(math.ceil(by / step)):
        thick = ImageChops.darker(_spread(thick, step, step), support)
    return thick


def _spread(mask: Image.Image, across: int, down: int) -> Image.Image:
    """The whitest of all pixels up to so far away. Beyond the edges all is black."""
    from PIL import ImageChops

    width, height = mask.size
    for reach, (x, y) in ((across, (1, 0)), (down, (0, 1))):
        done = 0
        while done < reach:
            step = min(done + 1, reach - done)  # more would skip what is at the edge
            dx, dy = step * x, step * y
            before = mask.crop((-dx, -dy, width - dx, height - dy))
            behind = mask.crop((dx, dy, width + dx, height + dy))
            mask = ImageChops.lighter(mask, ImageChops.lighter(before, behind))
            done += step
    return mask
