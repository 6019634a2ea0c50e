"""Cut pictures into frames, and bring frames onto one canvas with one baseline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.framing import CLEAR
from ziggie_image_mcp.errors import InvalidRequest

if TYPE_CHECKING:
    from PIL import Image

MAX_FRAMES = 1024
"""Of one call."""

MAX_FRAME_PIXELS, MAX_MOVING_PIXELS = 40_000_000, 16_000_000
"""Of all frames together, once they have one canvas, and of an animation: some seconds of work."""

SLICE_FORMS = "columns x rows as 4x2, or the size of a cell as 32x32px"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """How a picture is cut: into so many columns and rows, or into cells of so many pixels."""

    across: int
    down: int
    in_pixels: bool

    def __str__(self) -> str:
        return f"{self.across}x{self.down}" + ("px" if self.in_pixels else "")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One of the pictures that belong together, and its name, which no other of them has."""

    name: str
    image: Image.Image


def read_slice(text: str) -> Slice:
    """How a picture is to be cut, out of the words for it.

    Raises:
        InvalidRequest: They have another form, or would give too many frames.
    """
    match = re.fullmatch(r"(\d{1,5})\s*(?:[x\u00d7*]\s*(\d{1,5}))?\s*(px)?", text.strip().lower())
    if match is None or not (match[2] or match[3]):
        raise InvalidRequest("slice", text, SLICE_FORMS)
    across, down = int(match[1]), int(match[2] or match[1])
    wanted = Slice(across=across, down=down, in_pixels=bool(match[3]))
    if not across or not down or (not wanted.in_pixels and across * down > MAX_FRAMES):
        raise InvalidRequest("slice", text, f"{SLICE_FORMS}; 1 to {MAX_FRAMES} frames")
    return wanted


def slice_picture(image: Image.Image, wanted: Slice) -> list[Image.Image]:
    """The cells of a picture, row by row.

    Raises:
        InvalidRequest: They would not be of whole pixels, or are too many.
    """
    width, height = image.size
    if wanted.in_pixels:
        cell_width, cell_height = wanted.across, wanted.down
    else:
        cell_width, cell_height = width // wanted.across, height // wanted.down
    across, down = width // max(1, cell_width), height // max(1, cell_height)
    if not across or not down or (across * cell_width, down * cell_height) != (width, height):
        raise InvalidRequest("slice", wanted, _does_not_divide(width, height, wanted))
    if across * down > MAX_FRAMES:
        fix = f"{across * down:,} frames are more than {MAX_FRAMES:,}: larger cells"
        raise InvalidRequest("slice", wanted, fix)
    return [
        image.crop((x, y, x + cell_width, y + cell_height))
        for y in range(0, height, cell_height)
        for x in range(0, width, cell_width)
    ]


def is_empty(image: Image.Image) -> bool:
    """Whether all of it is transparent."""
    return bool(
        image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() == (0, 0)
    )


def cleared(image: Image.Image) -> Image.Image:
    """The picture as RGBA, without colours where it is wholly transparent."""
    from PIL import Image

    rgba = image.convert("RGBA")
    whole = Image.new("RGBA", rgba.size, CLEAR)
    shown = rgba.getchannel("A").point([0] + [255] * 255)
    whole.paste(rgba, mask=shown)
    return whole


def align(frames: Sequence[Frame]) -> list[Frame]:
    """The frames on one canvas, the subject of each on the middle of its lower edge.

    The subject is what is not transparent; an opaque frame is one as a whole. The canvas is as
    wide as the widest of them, and as high as the highest.
    """
    boxes = [_subject(frame.image) for frame in frames]
    width = max(right - left for left, _, right, _ in boxes)
    height = max(bottom - top for _, top, _, bottom in boxes)
    aligned: list[Frame] = []
    for frame, box in zip(frames, boxes, strict=True):
        left, top, right, bottom = box
        place = (width - (right - left)) // 2, height - (bottom - top)
        aligned.append(_placed(frame, box, (width, height), place))
    return aligned


def _placed(
    frame: Frame, box: tuple[int, int, int, int], size: tuple[int, int], place: tuple[int, int]
) -> Frame:
    """A frame whose subject stands there on a canvas of that size."""
    from PIL import Image

    if box == (0, 0, *size):
        return frame
    canvas = Image.new("RGBA", size, CLEAR)
    canvas.paste(frame.image.convert("RGBA").crop(box), place)
    return Frame(name=frame.name, image=canvas)


def check_room(frames: Sequence[Frame], canvas: tuple[int, int], field: str, most: int) -> None:
    """Refuse frames that would have more than so many pixels on one canvas.

    Raises:
        InvalidRequest: Says how large they would be together.
    """
    pixels = len(frames) * canvas[0] * canvas[1]
    if pixels > most:
        fix = (
            f"{len(frames)} frames of {canvas[0]}x{canvas[1]} are {pixels / 1e6:.0f} million "
            f"pixels, more than {most / 1e6:.0f}: fewer frames, or a smaller width "
            "and height"
        )
        raise InvalidRequest(field, f"{len(frames)} frames", fix)


def canvas_of(frames: Sequence[Frame], *, aligned: bool) -> tuple[int, int]:
    """The width and height that hold each of the frames, or, once aligned, each subject."""
    if not aligned:
        return max(f.image.width for f in frames), max(f.image.height for f in frames)
    boxes = [_subject(frame.image) for frame in frames]
    return max(b[2] - b[0] for b in boxes), max(b[3] - b[1] for b in boxes)


def _subject(image: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is not transparent; of nothing, a pixel."""
    if not image.has_transparency_data:
        return 0, 0, image.width, image.height
    return image.convert("RGBA").getchannel("A").getbbox() or (0, 0, 1, 1)


def _does_not_divide(width: int, height: int, wanted: Slice) -> str:
    if wanted.in_pixels:
        rest = f"{width % wanted.across} and {height % wanted.down}"
        return (
            f"cells of {wanted.across}x{wanted.down} leave {rest} pixels of {width}x{height}: "
            "another size of cell, or width and height that they divide"
        )
    across, down = max(1, width // wanted.across), max(1, height // wanted.down)
    return (
        f"{width}x{height} pixels do not divide into {wanted.across}x{wanted.down} cells: another "
        f"grid, or width={across * wanted.across} and height={down * wanted.down}"
    )
