"""Draw a contact sheet: many pictures on one page, each with a line below it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

COLUMNS = 8
SIDE = 192
"""Of a cell, pixels."""
_CAPTION = 16
_GAP = 6
PER_PAGE = 96


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A picture, None where there is none, and what stands below it."""

    picture: Image.Image | None
    caption: str


def sheets(cells: Sequence[Cell]) -> list[bytes]:
    """The pages, as PNG, in the order of the cells; a cell without a picture is a grey square."""
    return [_page(cells[i : i + PER_PAGE]) for i in range(0, len(cells), PER_PAGE)]


def _page(cells: Sequence[Cell]) -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    columns = min(COLUMNS, len(cells))
    wide, high = SIDE + _GAP, SIDE + _CAPTION + _GAP
    size = (columns * wide + _GAP, ceil(len(cells) / columns) * high + _GAP)
    page = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(11)
    for i, cell in enumerate(cells):
        x, y = _GAP + i % columns * wide, _GAP + i // columns * high
        pen.rectangle((x, y, x + SIDE - 1, y + SIDE - 1), fill="#dddddd")
        if cell.picture is not None:
            small = cell.picture.convert("RGBA")
            small.thumbnail((SIDE, SIDE))
            corner = (x + (SIDE - small.width) // 2, y + (SIDE - small.height) // 2)
            page.paste(small, corner, small)
        caption = cell.caption.encode("latin-1", "replace").decode("latin-1")
        while caption and font.getlength(caption) > SIDE:
            caption = caption[:-1]
        pen.text((x, y + SIDE + 2), caption, fill="black", font=font)
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()
