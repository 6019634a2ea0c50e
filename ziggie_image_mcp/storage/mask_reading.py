"""Read masks as people and tools make them: white is painted anew, black stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider import pictures

if TYPE_CHECKING:
    from PIL import Image

ONE_COLOUR = 40
"""Levels of 255 between the darkest and the lightest of strokes of one colour, at most."""

BLACK = 48
"""Up to this level of 255 a colour is black."""

STRAY = 0.01
"""Of the visible pixels: so many may be of other colours, where edges were smoothed."""

PHOTO_BITS = 3.0
"""Entropy of the greys of a picture, at least; a drawing of few colours has less."""

SAME = 8
"""Levels of 255 by which a picture may differ from itself, on average, after it was saved anew."""

_FIX = (
    "make it opaque, white where it is painted anew and black elsewhere: part of it is transparent,"
    " and that may be what is painted anew as well as what stays"
)


def read_mask(mask: Image.Image, image: Image.Image | None, name: str) -> Image.Image:
    """The mask in shades of grey: white is painted anew, black stays.

    An opaque mask is read by its brightness. One that is transparent in part is either

    - OpenAI's: a picture with a hole. What is visible is the image itself, another picture of many
      colours, or black that reaches a corner. The hole is painted anew.
    - painted: strokes of one colour, white or any but black, that do not fill all four corners. The
      strokes are painted anew.

    How opaque its most opaque pixel is counts as wholly opaque: brushes let the picture through.

    Args:
        mask: As it was given, 8 bits a channel.
        image: The picture that it lies on, where it is known.
        name: Of the mask, for what is said of it.

    Raises:
        InvalidRequest: It is transparent in part, and may be read either way.
    """
    from PIL import ImageOps

    if not pictures.is_transparent(mask):
        return mask.convert("L")
    alpha, colours = mask.getchannel("A"), mask.convert("RGB")
    most = max(value for value, count in enumerate(alpha.histogram()) if count)
    if most == 0:
        raise InvalidRequest("mask", name, "nothing of it can be seen; make white what is painted")
    strokes = alpha.point([min(255, value * 255 // most) for value in range(256)])
    visible = strokes.point([0] * 128 + [255] * 128)
    right, bottom = visible.width - 1, visible.height - 1
    places = ((0, 0), (right, 0), (0, bottom), (right, bottom))
    corners = sum(visible.getpixel(place) == 255 for place in places)
    colour = _one_colour(colours, visible)
    if colour is None:
        hole, painted = _is_picture(colours, visible, image), False
    else:
        hole, painted = colour <= BLACK and corners > 0, colour > BLACK and corners < 4
    if not hole and not painted:
        raise InvalidRequest("mask", name, _FIX)
    return strokes if painted else ImageOps.invert(strokes)


def _one_colour(colours: Image.Image, visible: Image.Image) -> int | None:
    """The brightest level of the one colour of what is visible; None where it has several."""
    levels: list[int] = []
    for band in colours.split():
        low, high = _bounds(band.histogram(visible))
        if high - low > ONE_COLOUR:
            return None
        levels.append(high)
    return max(levels)


def _bounds(histogram: list[int]) -> tuple[int, int]:
    """The lowest and highest level, without the strays."""
    ends: list[int] = []
    for levels in (range(256), range(255, -1, -1)):
        strays = sum(histogram) * STRAY / 2
        for level in levels:
            strays -= histogram[level]
            if strays < 0:
                ends.append(level)
                break
    return ends[0], ends[1]


def _is_picture(colours: Image.Image, visible: Image.Image, image: Image.Image | None) -> bool:
    """Whether what is visible is the image itself, or a picture of many colours."""
    from PIL import ImageChops, ImageStat

    if image is not None and image.size == colours.size:
        difference = ImageChops.difference(colours, image.convert("RGB"))
        if max(ImageStat.Stat(difference, visible).mean) <= SAME:
            return True
    return colours.convert("L").entropy(visible) >= PHOTO_BITS
