"""Work on regions of a picture: the margins that an outpaint adds.

A mask is white where the picture is painted anew, and black where it stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.storage.image_codec import MAX_PIXELS

if TYPE_CHECKING:
    from PIL import Image

BLUR_SHARE = 1 / 16
"""Of the longer side: how far the picture is blurred into its margins."""


class Margins(NamedTuple):
    """How far a picture grows at each side, pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


def add_margins(
    picture: Image.Image, mask: Image.Image | None, by: Margins
) -> tuple[Image.Image, Image.Image]:
    """The picture with margins to be painted, and the mask that has them painted.

    `mask` is of the picture's size, in shades of grey; None where all of the picture stays.

    Raises:
        InvalidRequest: A margin is negative, or the picture would be too large.
    """
    from PIL import Image, ImageFilter

    if min(by) < 0:
        raise InvalidRequest("expand", tuple(by), "pixels to add, none below 0")
    size = (picture.width + by.left + by.right, picture.height + by.top + by.bottom)
    if size[0] * size[1] > MAX_PIXELS:
        fix = f"keep the picture within {MAX_PIXELS / 1e6:.0f} million pixels"
        raise InvalidRequest("expand", tuple(by), fix)
    inner, corner = picture.convert("RGB"), (by.left, by.top)
    # What the model sees in the margins is the picture itself, blurred: a flat ground would show
    # through where little of it is changed.
    grown = inner.resize(size).filter(ImageFilter.GaussianBlur(max(size) * BLUR_SHARE))
    grown.paste(inner, corner)
    painted = Image.new("L", size, 255)
    painted.paste(Image.new("L", inner.size, 0) if mask is None else mask, corner)
    return grown, painted
