"""Pack frames into one picture: on equal cells, or tightly as an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.frames import Frame, cleared
from ziggie_image_mcp.assets.framing import CLEAR
from ziggie_image_mcp.errors import InvalidOutput, InvalidRequest
from ziggie_image_mcp.provider import pictures

if TYPE_CHECKING:
    from PIL import Image

MAX_SHEET_SIDE = 16_384
"""Pixels: what graphics cards of today take; older ones stop at 4096 or 8192."""

ATLAS_GAP = 2
"""Transparent pixels between the frames of an atlas, so that none bleeds into the other."""


@dataclass(frozen=True, kw_only=True)
class SheetFrame:
    """Where a frame stands in a sheet, pixels from its upper left corner."""

    name: str
    x: int
    y: int
    width: int
    height: int
    offset_x: int = 0
    """Of what stands there, from the left edge of the frame's canvas."""
    offset_y: int = 0
    canvas_width: int
    canvas_height: int

    @property
    def is_trimmed(self) -> bool:
        """Whether the transparent margin of its canvas is left out."""
        return (self.width, self.height) != (self.canvas_width, self.canvas_height)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Frames in one picture."""

    image: Image.Image
    frames: tuple[SheetFrame, ...]
    columns: int = 0
    """Of equal cells; 0 of an atlas."""


def pack_cells(frames: Sequence[Frame], columns: int | None) -> Sheet:
    """Pack frames of one size on equal cells, row by row, without gaps.

    Args:
        frames: All of one size.
        columns: How many cells a row has; by default as many as make the sheet nearly square.

    Raises:
        InvalidRequest: The sheet would be too large.
    """
    width, height = frames[0].image.size
    if columns is None:
        columns = round(sqrt(len(frames) * height / width))
    columns = max(1, min(columns, len(frames)))
    rows = ceil(len(frames) / columns)
    _check_size(columns * width, rows * height, len(frames))
    placed = [
        SheetFrame(
            name=frame.name,
            x=place % columns * width,
            y=place // columns * height,
            width=width,
            height=height,
            canvas_width=width,
            canvas_height=height,
        )
        for place, frame in enumerate(frames)
    ]
    return _drawn(frames, placed, (columns * width, rows * height), columns)


def pack_tightly(frames: Sequence[Frame]) -> Sheet:
    """Pack frames of any sizes into a small picture, each without its transparent margin.

    By PyTexturePacker's maximal rectangles (Jylanki 2010), without rotation, which not every
    reader of these files knows.

    Raises:
        InvalidRequest: The sheet would be too large.
    """
    boxes = [cleared(frame.image).getbbox() or (0, 0, 1, 1) for frame in frames]
    sizes = [(right - left, bottom - top) for left, top, right, bottom in boxes]
    places = _places(sizes)
    placed = [
        SheetFrame(
            name=frame.name,
            x=x,
            y=y,
            width=width,
            height=height,
            offset_x=box[0],
            offset_y=box[1],
            canvas_width=frame.image.width,
            canvas_height=frame.image.height,
        )
        for frame, box, (width, height), (x, y) in zip(frames, boxes, sizes, places, strict=True)
    ]
    right = max(frame.x + frame.width for frame in placed)
    bottom = max(frame.y + frame.height for frame in placed)
    return _drawn(frames, placed, (right, bottom), 0)


def prove(png: bytes, sheet: Sheet, frames: Sequence[Frame]) -> None:
    """Cut every frame out of the encoded sheet again, and hold it to what was packed.

    Raises:
        InvalidOutput: One of them differs in a pixel.
    """
    from PIL import Image

    picture = pictures.decode(png).convert("RGBA")
    for placed, frame in zip(sheet.frames, frames, strict=True):
        canvas = Image.new("RGBA", (placed.canvas_width, placed.canvas_height), CLEAR)
        box = (placed.x, placed.y, placed.x + placed.width, placed.y + placed.height)
        canvas.paste(picture.crop(box), (placed.offset_x, placed.offset_y))
        if canvas.tobytes() != cleared(frame.image).tobytes():
            raise InvalidOutput("assets", f"The frame {frame.name!r} differs in the sheet.")


def _places(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where rectangles of these sizes stand, their upper left corners."""
    from typing import Any

    import PyTexturePacker.MaxRectsPacker.MaxRectsAtlas as packer
    from PyTexturePacker.Rect import Rect

    library: Any = packer  # it has no types
    rectangle: Any = Rect
    # Its own gap is counted against the border too, so each rectangle brings its own.
    rects = [rectangle(0, 0, width + ATLAS_GAP, height + ATLAS_GAP) for width, height in sizes]
    area = sum(rect.area for rect in rects)
    side = 1 << max(0, (max(1, area // 2) - 1).bit_length() // 2)
    most = MAX_SHEET_SIDE + ATLAS_GAP
    atlas = library.MaxRectsAtlas(side, side, most, most)
    for rect in sorted(rects, key=lambda rect: max(rect.width, rect.height), reverse=True):
        index, rank, _ = atlas.find_best_rank(rect)
        while rank == library.MAX_RANK:
            if not atlas.expand():
                _check_size(most + 1, most + 1, len(sizes))
            index, rank, _ = atlas.find_best_rank(rect)
        atlas.place_image_rect(index, rect)
    return [(int(rect.x), int(rect.y)) for rect in rects]


def _drawn(
    frames: Sequence[Frame], placed: Sequence[SheetFrame], size: tuple[int, int], columns: int
) -> Sheet:
    from PIL import Image

    _check_size(*size, len(frames))
    image = Image.new("RGBA", size, CLEAR)
    for frame, place in zip(frames, placed, strict=True):
        left, top = place.offset_x, place.offset_y
        part = cleared(frame.image).crop((left, top, left + place.width, top + place.height))
        image.paste(part, (place.x, place.y))
    return Sheet(image=image, frames=tuple(placed), columns=columns)


def _check_size(width: int, height: int, count: int) -> None:
    if max(width, height) > MAX_SHEET_SIDE or width * height > pictures.MAX_PIXELS:
        fix = (
            f"the sheet would be larger than {MAX_SHEET_SIDE} pixels a side or "
            f"{pictures.MAX_PIXELS / 1e6:.0f} million in all: fewer or smaller frames, or other "
            "columns"
        )
        raise InvalidRequest("sheet", f"{count} frames", fix)
