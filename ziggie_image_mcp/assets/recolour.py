"""Reduce a picture to few colours: of a given palette, or of its own. Alpha is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.oklab import TO_LAB, TO_LMS
from ziggie_image_mcp.assets.palettes import Colour

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_ROUNDS = 8
"""In which the colours move to the middle of those that they stand for."""

_SAMPLES = 200_000
"""Pixels that are looked at to choose colours: of more, every nth."""


def to_palette(image: Image.Image, palette: Sequence[Colour]) -> Image.Image:
    """Each pixel in the nearest colour of the palette, without dithering.

    Nearest in Oklab (Ottosson 2020), in which equal distances look about equal.
    """
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image.convert("RGBA"))
    packed = pixels[..., :3].astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    found, places = np.unique(packed, return_inverse=True)
    rgb = np.stack([found >> 16 & 255, found >> 8 & 255, found & 255], axis=-1).astype(np.uint8)
    colours = np.array(palette, np.uint8)
    chosen = colours[_nearest(_oklab(rgb), _oklab(colours))]
    result = pixels.copy()
    result[..., :3] = chosen[places.reshape(packed.shape)]
    result[pixels[..., 3] == 0] = 0
    return _as_before(Image.fromarray(result), image)


def own_palette(images: Sequence[Image.Image], count: int) -> tuple[Colour, ...]:
    """The colours that stand best for these pictures together; at most `count`, 1 to 256.

    Transparent pixels count nothing. Empty where all is transparent.
    """
    import numpy as np
    from PIL import Image

    seen: list[NDArray[np.uint8]] = []
    for image in images:
        pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4)
        opaque = pixels[pixels[:, 3] > 0, :3]
        seen.append(opaque[:: 1 + len(opaque) * len(images) // _SAMPLES])
    colours = np.concatenate(seen)
    if not len(colours):
        return ()
    distinct = np.unique(colours, axis=0)
    if len(distinct) <= count:
        return _tuples(distinct)
    row = Image.fromarray(np.ascontiguousarray(colours[None]))
    first = row.quantize(count, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    flat = first.getpalette() or []
    centres = _oklab(np.array(flat[: 3 * count], np.uint8).reshape(-1, 3))
    lab, rgb = _oklab(colours), colours.astype(np.float64)
    result = np.array(flat[: 3 * count], np.uint8).reshape(-1, 3)
    for _ in range(_ROUNDS):
        places = _nearest(lab, centres)
        counts = np.bincount(places, minlength=len(centres))
        held = counts > 0
        sums = [np.bincount(places, rgb[:, c], len(centres)) for c in range(3)]
        means = np.stack(sums, axis=-1)[held] / counts[held, None]
        result = np.rint(means).astype(np.uint8)
        centres = _oklab(result)
    return _tuples(np.unique(result, axis=0))


def nearest_of(palette: Sequence[Colour], chosen: Sequence[Colour]) -> tuple[Colour, ...]:
    """The colours of a palette nearest to those that were chosen; these where there is none."""
    from PIL import Image

    if not palette or not chosen:
        return tuple(chosen)
    row = Image.new("RGB", (len(chosen), 1))
    row.putdata(list(chosen))
    nearest = to_palette(row, palette)
    found = [nearest.getpixel((x, 0)) for x in range(len(chosen))]
    return tuple(dict.fromkeys((c[0], c[1], c[2]) for c in found if isinstance(c, tuple)))


def seen_colours(image: Image.Image) -> tuple[Colour, ...]:
    """Its colours, each once; what is wholly transparent counts nothing."""
    import numpy as np

    pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4)
    return _tuples(np.unique(pixels[pixels[:, 3] > 0, :3], axis=0))


def count_colours(image: Image.Image) -> int:
    """How many colours it has; what is wholly transparent counts nothing."""
    return len(seen_colours(image))


def _as_before(result: Image.Image, image: Image.Image) -> Image.Image:
    """Without the alpha that the picture had not."""
    return result if image.has_transparency_data else result.convert("RGB")


def _nearest(lab: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.intp]:
    import numpy as np

    places = np.empty(len(lab), np.intp)
    lengths = (centres**2).sum(axis=-1)
    for start in range(0, len(lab), 65_536):  # a table of all distances would be too large
        part = lab[start : start + 65_536]
        # The square of a distance, less the length of the one that is the same for all.
        places[start : start + 65_536] = (lengths - 2 * part @ centres.T).argmin(axis=1)
    return places


def _oklab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Oklab of sRGB."""
    import numpy as np

    share = rgb.astype(np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ np.array(TO_LMS).T) @ np.array(TO_LAB).T)


def _tuples(colours: NDArray[np.uint8]) -> tuple[Colour, ...]:
    return tuple((int(r), int(g), int(b)) for r, g, b in colours)
