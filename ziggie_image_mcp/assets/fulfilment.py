"""Make a picture keep its asset contract, without a model.

The frames are had, each is brought to its size, becomes pixel art where a grid is asked for, and
gets its colours; then they are laid on one sheet. What comes out is measured by `proof`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.contract import AssetContract
from ziggie_image_mcp.assets.framing import padded
from ziggie_image_mcp.assets.motion import moved
from ziggie_image_mcp.assets.proof import Unproved, cells_of
from ziggie_image_mcp.provider.seams import seam

if TYPE_CHECKING:
    from PIL import Image

SEEN = 16
"""Of 255: fainter pixels are no part of the subject's box."""

LANCZOS_REACH = 3
"""Pixels of the larger of both pictures, to each side: the widest filter that is used."""

CRUMB = 0.004
"""Of the largest connected part: what is smaller is a rest of the ground. A judgement."""

HARD = 128
"""Alpha from which a square of pixel art is seen."""


def fulfilled(image: Image.Image, contract: AssetContract) -> Image.Image:
    """The picture as the contract asks for it.

    Raises:
        Unproved: A property cannot be had of it.
    """
    if contract.is_cut_out:
        frames = _on_one_canvas(_frames(_with_alpha(image), contract), contract)
    else:
        frames = [_covering(_opaque(image, contract), contract)]
    if contract.grid is not None:
        frames = [_hard(frame) for frame in frames]
    frames = _coloured(frames, contract)
    if contract.seamless and not seam(frames[0]).tiles:
        from ziggie_image_mcp.assets.tiling import made_seamless

        frames = _coloured([made_seamless(frames[0])], contract)
    return _enlarged(_sheet(frames, contract), contract.grid)


def _with_alpha(image: Image.Image) -> Image.Image:
    alpha = image.convert("RGBA").getchannel("A").getextrema()
    if alpha[0] == 255:
        raise Unproved("alpha", "nothing transparent", "alpha=yes")
    return image.convert("RGBA")


def _opaque(image: Image.Image, contract: AssetContract) -> Image.Image:
    """Without alpha where it is to be opaque: on white."""
    from PIL import Image

    if contract.alpha is None or not image.has_transparency_data:
        return image
    ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB")


def _cells(contract: AssetContract, image: Image.Image) -> tuple[int, int]:
    """The size to draw at: one pixel for each square of the grid."""
    if contract.width is None or contract.height is None:
        return image.size
    side = contract.grid or 1
    return contract.width // side, contract.height // side


def _frames(image: Image.Image, contract: AssetContract) -> list[Image.Image]:
    """The subject of each frame, all of one scale."""
    if contract.frames == 1:
        return [_trimmed(image, "the picture")]
    if contract.motion != "sheet":
        return moved(_trimmed(image, "the picture"), contract.motion, contract.frames)
    return [
        _trimmed(cell, f"frame {number}", prop="frames")
        for number, cell in enumerate(cells_of(image, contract), 1)
    ]


def _trimmed(image: Image.Image, where: str, prop: str = "alpha") -> Image.Image:
    image = _without_specks(image)
    box = image.getchannel("A").getbbox()
    if box is None:
        raise Unproved(prop, f"no subject in {where}", "something that is seen")
    return image.crop(box)


def _without_specks(image: Image.Image) -> Image.Image:
    """Without what is hardly seen, and without crumbs, which would make the subject small."""
    import numpy as np
    from PIL import Image

    from ziggie_image_mcp.assets.components import find_components

    pixels = np.array(image)
    parts = find_components(pixels[..., 3] >= SEEN, diagonal=True)
    if parts.count == 0:
        return Image.new("RGBA", image.size)
    large = parts.areas >= CRUMB * parts.areas.max()
    pixels[~parts.mask(large)] = 0
    return Image.fromarray(pixels)


def _on_one_canvas(frames: Sequence[Image.Image], contract: AssetContract) -> list[Image.Image]:
    """The frames by one scale on canvases of the size, in the middle, on a common ground line.

    A single picture stands in the middle both ways. Without a size nothing is scaled. Of what
    would fill it all, as a crate does, one pixel around stays free: a cut-out shows its ground.
    """
    if contract.width is None:
        if any(_is_clear_somewhere(frame, contract) for frame in frames):
            return list(frames)
        return [padded(frame, 1) for frame in frames]
    placed = _placed(frames, contract, free=0)
    if any(_is_clear_somewhere(frame, contract) for frame in placed):
        return placed
    return _placed(frames, contract, free=1)  # a crate that fills its square


def _is_clear_somewhere(frame: Image.Image, contract: AssetContract) -> bool:
    """Whether a pixel of it will be wholly transparent."""
    most = HARD - 1 if contract.grid else 0
    return any(frame.getchannel("A").histogram()[: most + 1])


def _placed(
    frames: Sequence[Image.Image], contract: AssetContract, *, free: int
) -> list[Image.Image]:
    """The frames on canvases of the size, which the largest of them fills one way.

    So many pixels, or squares of the grid, stay free around it.
    """
    from PIL import Image

    canvas_size = _cells(contract, frames[0])
    width, height = (max(1, side - 2 * free) for side in canvas_size)
    largest = max(f.width for f in frames), max(f.height for f in frames)
    scale = min(width / largest[0], height / largest[1])
    how = Image.Resampling.LANCZOS if contract.grid is None else Image.Resampling.BOX
    if scale > 1 and contract.grid is not None:
        how = Image.Resampling.NEAREST
    placed: list[Image.Image] = []
    for frame in frames:
        near = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        scaled = frame.resize((min(near[0], width), min(near[1], height)), how)
        canvas = Image.new("RGBA", canvas_size, (0, 0, 0, 0))
        above = canvas.height - scaled.height
        top = above if contract.frames > 1 else above // 2
        canvas.paste(scaled, ((canvas.width - scaled.width) // 2, top))
        placed.append(canvas)
    return placed


def _covering(image: Image.Image, contract: AssetContract) -> Image.Image:
    """The whole size filled: scaled, and what is too much of one side cut away on both ends.

    A tile that is not cut is scaled over its edges, so that they go on meeting.
    """
    from PIL import Image

    width, height = _cells(contract, image)
    scale = max(width / image.width, height / image.height)
    size = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    how = Image.Resampling.LANCZOS if contract.grid is None else Image.Resampling.BOX
    if size != image.size and contract.seamless and size == (width, height):
        return _scaled_tile(image, size, how)
    scaled = image if size == image.size else image.resize(size, how)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return scaled.crop((left, top, left + width, top + height))


def _scaled_tile(image: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    """A tile scaled as if copies of it lay all around."""
    import numpy as np
    from PIL import Image

    shrinks = max(1.0, image.width / size[0], image.height / size[1])
    margin = math.ceil(LANCZOS_REACH * shrinks) + 1
    pixels = np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))
    wide = Image.fromarray(np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), "wrap"))
    # Pillow's filters look beyond the box, as far as the picture goes.
    box = (margin, margin, margin + image.width, margin + image.height)
    return wide.resize(size, how, box)


def _hard(image: Image.Image) -> Image.Image:
    """Each pixel seen or not."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    image.putalpha(image.getchannel("A").point([0] * HARD + [255] * (256 - HARD)))
    return image


def _coloured(frames: Sequence[Image.Image], contract: AssetContract) -> list[Image.Image]:
    """All in one palette."""
    from ziggie_image_mcp.assets.recolour import nearest_of, own_palette, to_palette

    palette, count = contract.palette, contract.colors
    if palette and (count is None or count >= len(palette)):
        chosen = palette
    elif count is not None:
        chosen = own_palette(frames, count)
        chosen = nearest_of(palette, chosen) if palette else chosen
    else:
        return list(frames)
    return [to_palette(frame, chosen) if chosen else frame for frame in frames]


def _sheet(frames: Sequence[Image.Image], contract: AssetContract) -> Image.Image:
    from PIL import Image

    if contract.frames == 1:
        return frames[0]
    columns = contract.columns
    width, height = frames[0].size
    sheet = Image.new("RGBA", (width * columns, height * (contract.frames // columns)))
    for i, frame in enumerate(frames):
        sheet.paste(frame, (i % columns * width, i // columns * height))
    return sheet


def _enlarged(image: Image.Image, grid: int | None) -> Image.Image:
    from PIL import Image

    if grid in (None, 1):
        return image
    return image.resize((image.width * grid, image.height * grid), Image.Resampling.NEAREST)
