"""Write GIF: all frames in one palette, what is transparent in one of its places."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.palettes import Colour
from ziggie_image_mcp.assets.recolour import own_palette, to_palette

if TYPE_CHECKING:
    from PIL import Image

HOLE = 255
"""The place in the palette of what is transparent."""

_SAMPLES = 40_000
"""Pixels of all frames together that are looked at to choose 255 colours."""

SOLID = 128
"""Of 255: from here on a pixel counts as opaque, for GIF knows nothing between."""


@dataclass(frozen=True, kw_only=True)
class GifFrames:
    """Pictures as GIF can hold them."""

    images: tuple[Image.Image, ...]
    """RGBA, of the palette's colours, each pixel opaque or not there."""
    palette: tuple[Colour, ...]
    changes: tuple[str, ...]
    """What of the pictures was lost."""


def for_gif(images: Sequence[Image.Image]) -> GifFrames:
    """The pictures in one palette of at most 255 colours, with hard edges."""
    from PIL import Image

    changes: list[str] = []
    hard: list[Image.Image] = []
    soft = 0
    for image in images:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        soft += sum(alpha.histogram()[1:255])
        mask = alpha.point([0] * SOLID + [255] * (256 - SOLID))
        solid = rgba.convert("RGB")
        whole = Image.new("RGBA", image.size, (0, 0, 0, 0))
        whole.paste(solid, mask=mask)
        hard.append(whole)
    if soft:
        share = soft / sum(image.width * image.height for image in images)
        changes.append(f"gif has no soft edges: {share:.1%} of the pixels were half transparent")
    colours = _colours(hard)
    if len(colours) <= HOLE:
        return GifFrames(images=tuple(hard), palette=colours, changes=tuple(changes))
    palette = own_palette([_sample(image, len(hard)) for image in hard], HOLE)
    reduced = _reduced(hard, palette)
    changes.append(f"gif has {len(palette)} colours for all frames, and they had more")
    return GifFrames(images=reduced, palette=palette, changes=tuple(changes))


def _colours(images: Sequence[Image.Image]) -> tuple[Colour, ...]:
    """The colours of all that is opaque, or so many of them that they are too many."""
    import numpy as np

    found: set[int] = set()
    for image in images:
        pixels = np.asarray(image)
        packed = pixels[..., :3].astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
        found.update(np.unique(packed[pixels[..., 3] > 0])[: HOLE + 1].tolist())
        if len(found) > HOLE:
            break
    return tuple((key >> 16, key >> 8 & 255, key & 255) for key in sorted(found))


def _sample(image: Image.Image, count: int) -> Image.Image:
    """Enough of one of so many pictures to choose a palette by."""
    from PIL import Image

    share = (_SAMPLES / (count * image.width * image.height)) ** 0.5
    if share >= 1:
        return image
    size = max(1, round(image.width * share)), max(1, round(image.height * share))
    return image.resize(size, Image.Resampling.NEAREST)


def _reduced(images: Sequence[Image.Image], palette: Sequence[Colour]) -> tuple[Image.Image, ...]:
    """The pictures in the palette's colours, by a table of 32 steps a channel.

    A photo's million colours, each held to each of the palette, would take a minute a frame.
    """
    import numpy as np
    from PIL import Image

    steps = np.arange(32, dtype=np.uint8) * 8 + 4
    red, green, blue = np.meshgrid(steps, steps, steps, indexing="ij")
    cells = Image.fromarray(np.stack([red, green, blue], axis=-1).reshape(1, -1, 3))
    table = np.asarray(to_palette(cells, palette)).reshape(32, 32, 32, 3)
    reduced: list[Image.Image] = []
    for image in images:
        pixels = np.asarray(image).copy()
        places = pixels[..., :3] >> 3
        pixels[..., :3] = table[places[..., 0], places[..., 1], places[..., 2]]
        pixels[pixels[..., 3] == 0] = 0
        reduced.append(Image.fromarray(pixels))
    return tuple(reduced)


def encode(frames: GifFrames, durations: Sequence[int]) -> bytes:
    """The file; it runs without end.

    Args:
        frames: The pictures.
        durations: Milliseconds that each is shown, multiples of 10.
    """
    colours = [band for colour in frames.palette for band in colour]
    flat = colours + [0] * (3 * 256 - len(colours))
    indexed = [_indexed(image, frames.palette, flat) for image in frames.images]
    has_hole = any(HOLE in image.tobytes() for image in indexed)
    options: dict[str, object] = {"optimize": False}
    if has_hole:
        options |= {"transparency": HOLE, "disposal": 2}  # else frames would show through
    if len(indexed) > 1:
        options |= {
            "save_all": True,
            "append_images": indexed[1:],
            "duration": list(durations),
            "loop": 0,
        }
    out = io.BytesIO()
    indexed[0].save(out, "GIF", **options)
    return out.getvalue()


def _indexed(image: Image.Image, palette: Sequence[Colour], flat: Sequence[int]) -> Image.Image:
    """The picture as places in the palette."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image.convert("RGBA"))
    packed = pixels[..., :3].astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    keys = np.array([r << 16 | g << 8 | b for r, g, b in palette] or [0], np.uint32)
    order = np.argsort(keys)
    places = order[np.searchsorted(keys[order], packed).clip(0, len(keys) - 1)]
    places[pixels[..., 3] == 0] = HOLE
    result = Image.fromarray(places.astype(np.uint8))
    result = result.convert("L")
    result.putpalette(flat)
    return result
