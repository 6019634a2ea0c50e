"""Finish pictures without a model, in one order, and prove on each what was asked.

Their edges are made to meet, their grid is found and drawn pixel for pixel, they are trimmed,
padded and brought to a size, and last they get their colours, so that nothing after it adds one.
Several pictures keep one grid and one palette.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from ziggie_image_mcp.assets.framing import Resample
from ziggie_image_mcp.assets.palettes import Colour
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.pictures import MAX_PIXELS

if TYPE_CHECKING:
    from PIL import Image

MAX_SIDE = 16_384
FIND = 0
"""In place of a cell's side: find it out."""


@checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Finish:
    """What is to be done with a picture."""

    seamless: bool = False
    """Its opposite edges are to meet."""
    pixel_size: Annotated[int, Field(ge=0, le=MAX_SIDE)] | None = None
    """The side of a cell of its grid, pixels, each of which becomes one pixel; `FIND` finds it."""
    trim: bool = False
    """What surrounds the subject goes."""
    pad: Annotated[int, Field(ge=0, le=MAX_SIDE)] = 0
    """Transparent pixels on each side."""
    width: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = None
    """Pixels; with height."""
    height: Annotated[int, Field(ge=1, le=MAX_SIDE)] | None = None
    resample: Resample | None = None
    """None: nearest for pixel art, else lanczos."""
    colors: Annotated[int, Field(ge=1, le=256)] | None = None
    """At most so many, the best for the pictures."""
    palette: tuple[Colour, ...] = ()
    """Only these."""
    palette_name: str = ""
    """What the palette was called."""

    @property
    def is_shared(self) -> bool:
        """Whether several pictures must be looked at together."""
        return self.pixel_size == FIND or (self.colors is not None and not self.palette)


@dataclass(frozen=True, kw_only=True)
class FinishedPicture:
    """A picture and what was measured on it."""

    image: Image.Image
    proofs: tuple[str, ...] = field(default=())


def finish(images: Sequence[Image.Image], wanted: Finish) -> list[FinishedPicture]:
    """Finish pictures that belong together.

    Raises:
        InvalidRequest: One has no grid, nothing to trim to, or would not keep its size or edges.
    """
    proofs: list[list[str]] = [[] for _ in images]
    made = list(images)
    if wanted.seamless:
        made = [_seamless(image, said) for image, said in zip(made, proofs, strict=True)]
    if wanted.pixel_size is not None:
        made = _on_grid(made, wanted.pixel_size, proofs)
    room = _Room()
    made = [_framed(image, wanted, said, room) for image, said in zip(made, proofs, strict=True)]
    if wanted.palette or wanted.colors is not None:
        made = _coloured(made, wanted, proofs)
    return [
        FinishedPicture(image=image, proofs=tuple(said))
        for image, said in zip(made, proofs, strict=True)
    ]


def _seamless(image: Image.Image, proofs: list[str]) -> Image.Image:
    from ziggie_image_mcp.assets.tiling import made_seamless
    from ziggie_image_mcp.provider.seams import SEAMLESS, seam

    before = seam(image)
    made = image if before.tiles else made_seamless(image)
    after = seam(made)
    if not after.tiles:
        fix = "another picture: its edges do not meet after they were faded into each other"
        raise InvalidRequest("seamless", f"{max(after):.2f}", fix)
    how = "its edges met already" if made is image else "its edges were faded into each other"
    proofs.append(
        f"{how}: steps over them by strong steps inside are {after.across:.2f} left to right, "
        f"{after.down:.2f} top to bottom ({SEAMLESS:g} tiles)"
    )
    return made


def _on_grid(
    images: Sequence[Image.Image], cell: int, proofs: Sequence[list[str]]
) -> list[Image.Image]:
    """The pictures with one pixel a cell; where the side is to be found, one side for all."""
    from ziggie_image_mcp.assets.pixel_grid import draw_cells, find_grid

    side: float | None = cell or None
    if side is None:
        sides = [grid.side for image in images if (grid := find_grid(image, None)) is not None]
        side = median(sides) if sides else None
    made: list[Image.Image] = []
    for image, said in zip(images, proofs, strict=True):
        grid = None if side is None else find_grid(image, side)
        if grid is None or side is None:
            size = f"{image.width}x{image.height}"
            fix = f"no grid is found in the picture of {size}: name the side of its cells in pixels"
            raise InvalidRequest("pixel_size", cell or "auto", fix)
        made.append(draw_cells(image, grid))
        across, down = grid.size
        said.append(f"{across}x{down} cells of {side:.3g} pixels, each one pixel now")
    return made


class _Room:
    """What all pictures of a call may have once they are padded and scaled, pixels."""

    def __init__(self) -> None:
        self._left = MAX_PIXELS

    def take(self, field: str, width: int, height: int) -> None:
        """Refuse a picture that would not fit in, before memory is asked for.

        Raises:
            InvalidRequest: It would be too large, alone or with those before it.
        """
        self._left -= width * height
        if self._left < 0:
            most = f"{MAX_PIXELS / 1e6:.0f} million pixels"
            raise InvalidRequest(field, f"{width}x{height}", f"at most {most} in all at once")


def _framed(image: Image.Image, wanted: Finish, proofs: list[str], room: _Room) -> Image.Image:
    from ziggie_image_mcp.assets import framing

    if wanted.trim:
        box = framing.subject_box(image)
        if box is None:
            raise InvalidRequest("trim", True, "the picture is nothing but ground: leave trim out")
        image = image.crop(box)
        proofs.append(f"trimmed to {image.width}x{image.height}")
    if wanted.pad:
        room.take("pad", image.width + 2 * wanted.pad, image.height + 2 * wanted.pad)
        image = framing.padded(image, wanted.pad)
    if wanted.width is not None and wanted.height is not None:
        nearest = wanted.pixel_size is not None or bool(wanted.palette or wanted.colors)
        how = wanted.resample or ("nearest" if nearest else "lanczos")
        if image.size != (wanted.width, wanted.height):
            room.take("width", wanted.width, wanted.height)
            image = framing.resized(image, wanted.width, wanted.height, how)
            proofs.append(f"scaled by {how} into {image.width}x{image.height}")
    return image


def _coloured(
    images: Sequence[Image.Image], wanted: Finish, proofs: Sequence[list[str]]
) -> list[Image.Image]:
    from ziggie_image_mcp.assets.recolour import (
        count_colours,
        nearest_of,
        own_palette,
        to_palette,
    )

    palette, name = wanted.palette, wanted.palette_name
    if not palette or (wanted.colors is not None and wanted.colors < len(palette)):
        chosen = own_palette(images, wanted.colors or len(palette))
        palette, name = nearest_of(palette, chosen), name or "its own"
    made = [to_palette(image, palette) for image in images] if palette else list(images)
    for image, said in zip(made, proofs, strict=True):
        said.append(f"{count_colours(image)} colours, of {len(palette)} ({name})")
    return made
