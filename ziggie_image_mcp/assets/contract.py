"""Read an asset contract: what a finished picture must be, to the pixel.

Written as `kind=sprite size=32x32 palette=pico-8`, or as an object with these keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

from ziggie_image_mcp.assets.animation import DEFAULT_FPS, MAX_FPS, check_animation
from ziggie_image_mcp.assets.frames import MAX_MOVING_PIXELS
from ziggie_image_mcp.assets.palettes import (
    MAX_COLOURS,
    Colour,
    listed_palette,
    named_palette,
    palette_file,
    unknown_palette,
)
from ziggie_image_mcp.assets.sheet_names import AnimationFormat, SheetFormat, read_formats
from ziggie_image_mcp.errors import InvalidRequest, quote, suggestion

Kind = Literal["picture", "sprite", "icon", "tile", "background"]
Motion = Literal["sheet", "bob", "squash", "turn"]

KINDS: tuple[str, ...] = get_args(Kind)
MOTIONS: tuple[str, ...] = get_args(Motion)
MAX_SIDE, MAX_GRID, MAX_FRAMES = 4096, 256, 64
ANIMATIONS: tuple[str, ...] = get_args(AnimationFormat)
MAX_SHEET_PIXELS = 32_000_000
MAX_SHEET_SIDE = 16_383
"""Pixels: the most of WebP, and of what graphics cards take."""

KEYS = (
    "kind",
    "size",
    "colors",
    "palette",
    "grid",
    "alpha",
    "seamless",
    "frames",
    "motion",
    "sheet",
    "animation",
    "fps",
)
"""In the order in which a contract is written."""

FORM = "as `kind=sprite size=32x32 palette=pico-8`, with " + ", ".join(KEYS)

_PAIR = re.compile(r"""([A-Za-z_]+)(?:\s*[=:]\s*("[^"]*"|'[^']*'|[^\s;]+))?[\s;,]*""")
_SIZE = re.compile(r"(\d{1,5})(?:\s*[x\u00d7*]\s*(\d{1,5}))?(?:px)?")
_YES, _NO = ("yes", "true", "1", "on"), ("no", "false", "0", "off")
_ALIASES: Mapping[str, str] = {
    "colours": "colors",
    "transparent": "alpha",
    "type": "kind",
    "tileable": "seamless",
}
_KIND_ALIASES: Mapping[str, str] = {
    "texture": "tile",
    "item": "sprite",
    "character": "sprite",
    "image": "picture",
    "illustration": "picture",
}


@dataclass(frozen=True, kw_only=True)
class AssetContract:
    """What a picture must be. None of a property: nobody asked."""

    kind: Kind = "picture"
    """`sprite` and `icon` are cut out, and fill the size; a `tile` is seamless and opaque."""
    width: int | None = None
    """Of a frame, pixels; with height."""
    height: int | None = None
    colors: int | None = None
    """At most so many; what is wholly transparent counts nothing."""
    palette: tuple[Colour, ...] = ()
    """Only these."""
    palette_name: str = ""
    """As it was written."""
    grid: int | None = None
    """The side of the squares that it consists of, pixels, each of one colour and wholly opaque or
    wholly transparent: 1 is pixel art at its own size."""
    alpha: bool | None = None
    """True: something of it is transparent, and something is seen. False: all is opaque."""
    seamless: bool = False
    """Copies side by side show no seam."""
    frames: int = 1
    """So many stand in it, row by row on equal cells of the size."""
    motion: Motion = "sheet"
    """How the frames are had: drawn as one sheet by the model, or one drawing that is moved."""

    sheet: tuple[SheetFormat, ...] = ()
    """In which formats it is told where the frames stand, in files beside it."""
    animation: AnimationFormat | None = None
    """The frames in motion, in a file beside it."""
    fps: int = DEFAULT_FPS
    """Frames a second of an animation."""

    @property
    def columns(self) -> int:
        """Frames in a row: the smallest number that leaves no gaps, and no more rows than columns.

        Of five it is five: what stands on a sheet is found by counting.
        """
        return next(
            n for n in range(1, self.frames + 1) if self.frames % n == 0 and n * n >= self.frames
        )

    @property
    def is_cut_out(self) -> bool:
        """Whether the subject stands alone, and is fitted whole into the size."""
        return self.alpha is True

    @property
    def is_pixel_art(self) -> bool:
        """Whether its pixels are to stay sharp where it is shown larger."""
        return bool(self.grid or self.palette or self.colors)

    @property
    def is_pixel_exact(self) -> bool:
        """Whether a lossy format would break it."""
        return self.is_pixel_art or bool(self.alpha)


@lru_cache(maxsize=256)
def read_contract(text: str) -> AssetContract:
    """The contract of a text that `contract_text` gave, or that a person wrote.

    Raises:
        InvalidRequest: A property is unknown, has no such value, or two cannot be had together.
    """
    values = contract_pairs(text)
    kind = _kind(values.get("kind", ""))
    width, height = _size(values.get("size", ""))
    palette_text = values.get("palette", "")
    contract = AssetContract(
        kind=kind,
        width=width,
        height=height,
        colors=_number("colors", values.get("colors", ""), MAX_COLOURS),
        palette=_palette(palette_text),
        palette_name=palette_text,
        grid=_number("grid", values.get("grid", ""), MAX_GRID),
        alpha=_alpha(values.get("alpha", ""), kind),
        seamless=_flag("seamless", values.get("seamless", "")) or "seamless" not in values
        if kind == "tile"
        else bool(_flag("seamless", values.get("seamless", ""))),
        frames=_number("frames", values.get("frames", ""), MAX_FRAMES) or 1,
        motion=_motion(values.get("motion", "")),
        sheet=_sheet(values.get("sheet", "")),
        animation=_animation(values.get("animation", "")),
        fps=_number("fps", values.get("fps", ""), MAX_FPS) or DEFAULT_FPS,
    )
    _check_together(contract, values)
    return contract


def contract_text(value: object) -> str:
    """A contract as text in one spelling; one that says nothing is empty.

    Args:
        value: A text as `kind=sprite size=32x32`, JSON of an object, or that object.

    Raises:
        InvalidRequest: It is none of these, or a property is unknown.
    """
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError as e:
            raise InvalidRequest("asset", str(value), FORM) from e
    if isinstance(value, Mapping):
        facts = cast(Mapping[object, object], value)
        value = " ".join(
            f"{key}={_word(str(key), one)}" for key, one in facts.items() if one is not None
        )
    if not isinstance(value, str):
        raise InvalidRequest("asset", str(value), FORM)
    values = _pairs(value)
    return " ".join(f"{key}={_quoted(values[key])}" for key in KEYS if values.get(key))


def contract_pairs(text: str) -> dict[str, str]:
    """The properties of a contract, as they are written.

    Raises:
        InvalidRequest: As `contract_text` tells.
    """
    return _pairs(contract_text(text))


def with_palette(text: str, palette: str) -> str:
    """The contract with this palette, in place of its own."""
    values = contract_pairs(text) | {"palette": palette}
    return " ".join(f"{key}={_quoted(values[key])}" for key in KEYS if values.get(key))


def contract_palette_file(text: str) -> str:
    """The file that the contract's palette names; empty where it needs none.

    Raises:
        InvalidRequest: As `contract_text` tells, or there is no such palette.
    """
    return palette_file(contract_pairs(text).get("palette", ""))


def _pairs(text: str) -> dict[str, str]:
    values = dict[str, str]()
    rest = text.strip()
    while rest:
        match = _PAIR.match(rest)
        if match is None:
            raise InvalidRequest("asset", text, FORM)
        rest = rest[match.end() :]
        key, value = match[1].lower(), (match[2] or "").strip("\"'").rstrip(",")
        key = _ALIASES.get(key, key)
        if key == "opaque":
            key, value = "alpha", "no" if value.lower() not in _NO else "yes"
        elif match[2] is None and key in (*KINDS, *_KIND_ALIASES):
            key, value = "kind", key
        elif match[2] is None and key in ("alpha", "seamless"):
            value = "yes"
        if key not in KEYS:
            fix = f"one of {', '.join(KEYS)}{suggestion(key, KEYS)}"
            raise InvalidRequest("asset", key, fix)
        if key in values:
            raise InvalidRequest("asset", key, "say each property once")
        if not value:
            raise InvalidRequest("asset", key, f"give it a value, {FORM}")
        values[key] = value
    return values


def _word(key: str, value: object) -> str:
    """A value of an object as the text has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        parts = [str(one) for one in cast(list[object], value)]
        return "x".join(parts) if key == "size" else f'"{" ".join(parts)}"'
    return _quoted(str(value))


def _quoted(value: str) -> str:
    return f'"{value}"' if re.search(r"[\s;]", value) else value


def _kind(text: str) -> Kind:
    kind = _KIND_ALIASES.get(text.lower(), text.lower()) or "picture"
    if kind not in KINDS:
        fix = f"{', '.join(KINDS)}{suggestion(kind, KINDS)}"
        raise InvalidRequest("asset", f"kind={text}", fix)
    return cast(Kind, kind)


def _motion(text: str) -> Motion:
    motion = text.lower() or "sheet"
    if motion not in MOTIONS:
        fix = f"{', '.join(MOTIONS)}{suggestion(motion, MOTIONS)}"
        raise InvalidRequest("asset", f"motion={text}", fix)
    return cast(Motion, motion)


def _sheet(text: str) -> tuple[SheetFormat, ...]:
    formats, atlas = read_formats(text)
    if atlas:
        fix = "frames stand on equal cells: process_image packs pictures into an atlas"
        raise InvalidRequest("asset", f"sheet={text}", fix)
    return formats


def _animation(text: str) -> AnimationFormat | None:
    if not text:
        return None
    if text.lower() not in ANIMATIONS:
        fix = f"{', '.join(ANIMATIONS)}{suggestion(text.lower(), ANIMATIONS)}"
        raise InvalidRequest("asset", f"animation={text}", fix)
    return cast(AnimationFormat, text.lower())


def _size(text: str) -> tuple[int | None, int | None]:
    if not text:
        return None, None
    match = _SIZE.fullmatch(text.lower())
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        fix = f"two sides of 1 to {MAX_SIDE} pixels, as size=32x48"
        raise InvalidRequest("asset", f"size={text}", fix)
    return width, height


def _number(key: str, text: str, most: int) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise InvalidRequest("asset", f"{key}={text}", f"a whole number of 1 to {most}")
    return int(text)


def _flag(key: str, text: str) -> bool | None:
    if not text:
        return None
    if text.lower() not in (*_YES, *_NO):
        raise InvalidRequest("asset", f"{key}={text}", "yes or no")
    return text.lower() in _YES


def _alpha(text: str, kind: Kind) -> bool | None:
    asked = _flag("alpha", text)
    if asked is not None:
        return asked
    return {"sprite": True, "icon": True, "tile": False, "background": False}.get(kind)


def _palette(text: str) -> tuple[Colour, ...]:
    if not text:
        return ()
    colours = named_palette(text) or listed_palette(text)
    if colours is None:
        raise unknown_palette(text)
    return colours


def _check_together(contract: AssetContract, values: Mapping[str, str]) -> None:
    for key in ("grid", "frames"):
        if values.get(key, "1") != "1" and contract.width is None:
            fix = f"give size too: that of {'a frame' if key == 'frames' else 'the picture'}"
            raise InvalidRequest("asset", f"{key}={values[key]}", fix)
    if contract.grid and (contract.width or 0) % contract.grid + (contract.height or 0) % (
        contract.grid
    ):
        fix = f"a divisor of both sides of {contract.width}x{contract.height}"
        raise InvalidRequest("asset", f"grid={contract.grid}", fix)
    for key in ("motion", "sheet", "animation", "fps"):
        if key in values and contract.frames == 1:
            raise InvalidRequest("asset", f"{key}={values[key]}", "say how many frames")
    if (
        "fps" in values
        and contract.animation is None
        and not {"godot", "tiled"} & {*contract.sheet}
    ):
        raise InvalidRequest("asset", f"fps={contract.fps}", "give animation, or sheet=godot")
    if contract.frames > 1 and contract.seamless:
        raise InvalidRequest("asset", quote("seamless=yes"), "a tile has one frame")
    if contract.frames > 1 and contract.alpha is not True:
        fix = "frames stand on transparent ground: kind=sprite, or alpha=yes"
        raise InvalidRequest("asset", f"frames={contract.frames}", fix)
    if contract.alpha and contract.width and contract.height:
        side = contract.grid or 1
        if contract.width // side * (contract.height // side) == 1:
            fix = "larger, or alpha=no: one square cannot be both seen and transparent"
            raise InvalidRequest("asset", f"size={contract.width}x{contract.height}", fix)
    if contract.animation is not None:
        check_animation(contract.animation, contract.fps)
    most = MAX_MOVING_PIXELS if contract.animation else MAX_SHEET_PIXELS
    pixels = (contract.width or 0) * (contract.height or 0) * contract.frames
    if pixels > most:
        fix = f"fewer or smaller frames: at most {most / 1e6:.0f} million pixels"
        raise InvalidRequest("asset", f"frames={contract.frames}", fix)
    if (contract.width or 0) * contract.columns > MAX_SHEET_SIDE or (contract.height or 0) * (
        contract.frames // contract.columns
    ) > MAX_SHEET_SIDE:
        fix = (
            f"smaller frames, or another number of them: a sheet of {contract.columns} columns "
            f"would be larger than {MAX_SHEET_SIDE} pixels a side"
        )
        raise InvalidRequest("asset", f"frames={contract.frames}", fix)
