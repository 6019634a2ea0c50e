"""Palettes: those that are known by name, and the user's own in .hex, .gpl and .png files."""

from __future__ import annotations

import functools
import io
import json
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import PurePath
from typing import Any

from ziggie_image_mcp.errors import InvalidRequest, suggestion

Colour = tuple[int, int, int]
"""Red, green, blue: 0 to 255."""

MAX_COLOURS = 256
MAX_PALETTE_PIXELS = 4_000_000
MANY_COLOURS = 4096
"""Of a picture, with alphas: one that has more is no palette."""

_ENDINGS = (".hex", ".gpl", ".png")
_HEX = re.compile(r"#?(?:0x)?([0-9a-f]{6})(?:ff)?", re.IGNORECASE)
_GIMP = re.compile(r"\s*(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\b")


def palette_names() -> tuple[str, ...]:
    """Those that need no file."""
    return tuple(_file()["palettes"])


def named_palette(name: str) -> tuple[Colour, ...] | None:
    """The colours of a palette that is known by name, in any usual spelling; None of another."""
    plain = re.sub(r"[\s_]+", "-", name.strip().lower())
    plain = _file()["aliases"].get(plain, plain)
    text = _file()["palettes"].get(plain)
    return None if text is None else tuple(_colour(word) for word in text.split())


def listed_palette(text: str) -> tuple[Colour, ...] | None:
    """The colours of a list as `#ff0044 #193c3e`; None where it is no list of colours."""
    words = [word for word in re.split(r"[\s,;]+", text.strip()) if word]
    if not words or not all(_HEX.fullmatch(word) for word in words):
        return None
    return _checked(text, dict.fromkeys(_colour(word) for word in words))


def palette_file(text: str) -> str:
    """The path that a palette's text is; empty where it is a name or colours.

    Raises:
        InvalidRequest: It is none of the three.
    """
    text = text.strip()
    if not text or named_palette(text) is not None or listed_palette(text) is not None:
        return ""
    if PurePath(text).suffix.lower() not in _ENDINGS:
        raise unknown_palette(text)
    return text


def read_palette(data: bytes, name: str) -> tuple[Colour, ...]:
    """The colours of a file.

    Args:
        data: What stands in it: one hexadecimal colour a line (.hex), a palette of GIMP (.gpl), or
            a picture, each colour of which counts once.
        name: Of the file.

    Raises:
        InvalidRequest: It is none of these, or has no colour or too many.
    """
    ending = PurePath(name).suffix.lower()
    if ending == ".png" or data[:8] == b"\x89PNG\r\n\x1a\n":
        return _of_picture(data, name)
    text = data.decode("utf-8", errors="replace")
    if text.lstrip("\ufeff").startswith("GIMP Palette"):
        rows = (_GIMP.match(line) for line in text.splitlines())
        found = [(int(r[1]), int(r[2]), int(r[3])) for r in rows if r is not None]
        if any(max(colour) > 255 for colour in found):
            raise InvalidRequest("palette", name, "each of its three numbers is 0 to 255")
        return _checked(name, dict.fromkeys(found))
    lines = [line.split("//")[0].split(";")[0].strip() for line in text.splitlines()]
    words = [line for line in lines if line]
    if not words or not all(_HEX.fullmatch(word) for word in words):
        fix = "a .hex file has one colour a line as ff0044; a .gpl file begins with GIMP Palette"
        raise InvalidRequest("palette", name, fix)
    return _checked(name, dict.fromkeys(_colour(word) for word in words))


def colours_text(colours: Iterable[Colour]) -> str:
    """Colours as `listed_palette` reads them."""
    return " ".join("#" + bytes(colour).hex() for colour in colours)


def unknown_palette(name: str) -> InvalidRequest:
    """The error for a name that stands for no palette and no file."""
    names = palette_names()
    fix = f"one of {', '.join(names)}, colours as #ff0044 #193c3e, or a .hex, .gpl or .png file"
    return InvalidRequest("palette", name, fix + suggestion(name, names))


def _of_picture(data: bytes, name: str) -> tuple[Colour, ...]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PALETTE_PIXELS:
                fix = f"a picture of at most {MAX_PALETTE_PIXELS:,} pixels"
                raise InvalidRequest("palette", name, fix)
            counted = picture.convert("RGBA").getcolors(MANY_COLOURS)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as e:
        raise InvalidRequest("palette", name, "a PNG picture of the colours") from e
    if counted is None:
        raise InvalidRequest("palette", name, f"1 to {MAX_COLOURS} colours; it has far more")
    colours = [colour for _, colour in counted if isinstance(colour, tuple)]
    return _checked(name, dict.fromkeys((r, g, b) for r, g, b, alpha in colours if alpha))


def _checked(name: str, colours: dict[Colour, None]) -> tuple[Colour, ...]:
    if not 1 <= len(colours) <= MAX_COLOURS:
        fix = f"1 to {MAX_COLOURS} colours; it has {len(colours)}"
        raise InvalidRequest("palette", name, fix)
    return tuple(colours)


def _colour(word: str) -> Colour:
    match = _HEX.fullmatch(word)
    assert match is not None
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


@functools.cache
def _file() -> dict[str, Any]:
    text = (resources.files("ziggie_image_mcp.assets") / "palettes.json").read_text("utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed
