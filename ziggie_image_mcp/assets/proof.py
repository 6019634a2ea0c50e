"""Measure on a finished picture whether it keeps its asset contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ziggie_image_mcp.assets.contract import AssetContract
from ziggie_image_mcp.assets.recolour import seen_colours
from ziggie_image_mcp.provider.seams import SEAMLESS, seam

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

OPAQUE = 255


class Unproved(Exception):
    """Raised where a picture does not keep its contract.

    Attributes:
        prop: The property that failed, as the contract has it.
    """

    def __init__(self, prop: str, have: str, need: str) -> None:
        super().__init__(f"{prop}: it has {have}, and {need} was asked for")
        self.prop = prop


Measure = Callable[["Image.Image", AssetContract], str]
"""What was measured of a property; empty where the contract says nothing of it."""


def prove(image: Image.Image, contract: AssetContract) -> str:
    """What was measured, as `size=32x32 colors=9 ...`.

    Raises:
        Unproved: A property failed.
    """
    found = {name: measure(image, contract) for name, measure in PROOFS.items()}
    return " ".join(f"{name}={value}" for name, value in found.items() if value)


def sheet_size(contract: AssetContract) -> tuple[int, int] | None:
    """What all frames take together, pixels; None where no size is asked for."""
    if contract.width is None or contract.height is None:
        return None
    columns = contract.columns
    return contract.width * columns, contract.height * (contract.frames // columns)


def cells_of(image: Image.Image, contract: AssetContract) -> list[Image.Image]:
    """The frames of a sheet, row by row."""
    columns = contract.columns
    rows = contract.frames // columns
    width, height = image.width // columns, image.height // rows
    return [
        image.crop((x * width, y * height, (x + 1) * width, (y + 1) * height))
        for y in range(rows)
        for x in range(columns)
    ]


def _size(image: Image.Image, contract: AssetContract) -> str:
    size = f"{image.width}x{image.height}"
    asked = sheet_size(contract)
    if asked is not None and image.size != asked:
        raise Unproved("size", size, "{}x{}".format(*asked))
    return size


def _alpha(image: Image.Image, contract: AssetContract) -> str:
    if contract.alpha is None:
        return ""
    alpha = _rgba(image)[..., 3]
    clear, solid = float((alpha == 0).mean()), float((alpha == OPAQUE).mean())
    if not contract.alpha:
        if solid < 1:
            raise Unproved("alpha", f"{1 - solid:.1%} that is not opaque", "alpha=no")
        return "opaque"
    if clear == 0:
        raise Unproved("alpha", "nothing that is wholly transparent", "alpha=yes")
    if not (alpha >= OPAQUE // 2).any():
        raise Unproved("alpha", "nothing that is seen", "a subject")
    return f"{clear:.3f}-clear,{1 - clear - solid:.3f}-partial"


def _grid(image: Image.Image, contract: AssetContract) -> str:
    if contract.grid is None:
        return ""
    pixels, side = _rgba(image), contract.grid
    alpha = pixels[..., 3]
    if ((alpha != 0) & (alpha != OPAQUE)).any():
        raise Unproved("grid", "half transparent pixels", "squares that are seen or not")
    if image.width % side or image.height % side:
        raise Unproved("grid", f"{image.width}x{image.height}", f"squares of {side} pixels")
    rows, columns = image.height // side, image.width // side
    squares = pixels.reshape(rows, side, columns, side, 4).astype(int)
    first = squares[:, :1, :, :1]
    uneven = ((squares != first).any(axis=-1) & (squares[..., 3] > 0)).any(axis=(1, 3))
    if uneven.any():
        raise Unproved("grid", f"{int(uneven.sum())} squares of several colours", f"{side} pixels")
    return f"{columns}x{rows}-cells-of-{side}"


def _colors(image: Image.Image, contract: AssetContract) -> str:
    if contract.colors is None and not contract.palette:
        return ""
    found = seen_colours(image)
    if contract.colors is not None and len(found) > contract.colors:
        raise Unproved("colors", f"{len(found)} colours", f"{contract.colors} at most")
    return str(len(found))


def _palette(image: Image.Image, contract: AssetContract) -> str:
    if not contract.palette:
        return ""
    found = seen_colours(image)
    allowed = set(contract.palette)
    others = [colour for colour in found if colour not in allowed]
    if others:
        first = "#" + bytes(others[0]).hex()
        raise Unproved("palette", f"{len(others)} other colours, as {first}", "no other")
    return f"{len(found)}-of-{len(contract.palette)}"


def _seamless(image: Image.Image, contract: AssetContract) -> str:
    if not contract.seamless:
        return ""
    steps = seam(image)
    measured = f"{steps.across:.2f},{steps.down:.2f}"
    if not steps.tiles:
        raise Unproved("seamless", f"steps over its edges of {measured}", f"{SEAMLESS:g} at most")
    return measured


def _frames(image: Image.Image, contract: AssetContract) -> str:
    if contract.frames == 1:
        return ""
    frames = cells_of(image, contract)
    for number, frame in enumerate(frames, 1):
        if not (_rgba(frame)[..., 3] >= OPAQUE // 2).any():
            raise Unproved("frames", f"nothing in frame {number}", f"{contract.frames} frames")
    distinct = len({frame.convert("RGBA").tobytes() for frame in frames})
    if distinct < 2:
        raise Unproved("frames", "frames that are all the same", "a motion")
    return f"{len(frames)},{distinct}-distinct"


def _rgba(image: Image.Image) -> NDArray[np.uint8]:
    import numpy as np

    return np.asarray(image.convert("RGBA"))


PROOFS: Mapping[str, Measure] = {
    "size": _size,
    "alpha": _alpha,
    "grid": _grid,
    "colors": _colors,
    "palette": _palette,
    "seamless": _seamless,
    "frames": _frames,
}
"""Property -> how it is measured."""
