"""Read the names of the formats in which the data of a sheet are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, get_args

from ziggie_image_mcp.errors import InvalidRequest, suggestion

SheetFormat = Literal["texturepacker", "godot", "unity", "tiled"]
AnimationFormat = Literal["gif", "apng", "webp"]
ATLAS = "atlas"
SHEETS: tuple[str, ...] = (*get_args(SheetFormat), ATLAS)
_OTHER_NAMES: Mapping[str, SheetFormat] = {
    "phaser": "texturepacker",
    "pixi": "texturepacker",
    "json": "texturepacker",
    "tres": "godot",
    "tsx": "tiled",
}
_FORMS = f"{', '.join(SHEETS[:-1])} or {SHEETS[-1]}, several with commas"


def read_formats(text: str) -> tuple[tuple[SheetFormat, ...], bool]:
    """The formats that are named, and whether the sheet is an atlas.

    Raises:
        InvalidRequest: One is no format.
    """
    words = [word for word in re.split(r"[,;+\s]+", text.strip().lower()) if word]
    formats: list[SheetFormat] = []
    for word in words:
        known = next((kind for kind in get_args(SheetFormat) if kind == word), None)
        kind = known or _OTHER_NAMES.get(word)
        if kind is None and word != ATLAS:
            raise InvalidRequest("sheet", text, _FORMS + suggestion(word, SHEETS))
        if kind is not None and kind not in formats:
            formats.append(kind)
    atlas = ATLAS in words
    return tuple(formats or (["texturepacker"] if atlas else [])), atlas
