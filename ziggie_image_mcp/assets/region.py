"""Work on a region of a picture: cut out what a model takes, and put back what it made.

A mask is white where the picture is painted anew, and black where it stays: there every pixel of
the result is the one of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ziggie_image_mcp.assets.mask_edges import fade_edges, scale_mask
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.capabilities import SizeRule
from ziggie_image_mcp.provider.pictures import MAX_PIXELS, has_alpha, is_transparent, on_white
from ziggie_image_mcp.provider.sizes import Size, like, native_size, problem

if TYPE_CHECKING:
    from PIL import Image

BLUR_SHARE = 1 / 16
"""Of the longer side: how far the picture is blurred into its margins."""

FADE_SHARE = 1 / 128
"""Of the shorter side of what is worked on: half of how far it fades into the picture."""

CONTEXT_SHARE = 0.25
"""Of a masked box's longer side: how much of the picture around it the model is shown, to each
side."""

LEAST_CONTEXT = 32
"""The same in pixels, at least."""


class Margins(NamedTuple):
    """How far a picture grows at each side, pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Which part of a picture a model works on. Pixels of that picture."""

    left: int
    top: int
    width: int
    height: int
    image_width: int
    """Of the whole picture, and so of the result."""
    image_height: int


def whole(image: Size) -> Placement:
    """All of a picture of this size."""
    return Placement(
        left=0,
        top=0,
        width=image.width,
        height=image.height,
        image_width=image.width,
        image_height=image.height,
    )


def place(
    rule: SizeRule, image: Size, box: tuple[int, int, int, int] | None
) -> tuple[Size, Placement]:
    """The size that a model is sent, and the part of the picture that it stands for.

    Where only a box is painted anew, and the model's own area does not take in the whole picture,
    it gets the box with the picture around it: unscaled as far as that goes.

    Args:
        rule: What sizes the model takes.
        image: Of the whole picture.
        box: Left, top, right and bottom of what is painted anew; None for the whole.
    """
    native = native_size(rule)
    fits = image.width * image.height <= native.width * native.height
    if box is None or (fits and not problem(rule, image)):
        return like(rule, image.width, image.height), whole(image)
    context = max(LEAST_CONTEXT, round(CONTEXT_SHARE * max(box[2] - box[0], box[3] - box[1])))
    least = Size(
        min(image.width, box[2] - box[0] + 2 * context),
        min(image.height, box[3] - box[1] + 2 * context),
    )
    wanted = Size(
        min(image.width, max(least.width, native.width)),
        min(image.height, max(least.height, native.height)),
    )
    size = like(rule, *wanted)
    width, height = _unscaled(size, least, image) or _of_shape(size, least, image) or image
    center_x, center_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    placement = Placement(
        left=_start(center_x, width, image.width),
        top=_start(center_y, height, image.height),
        width=width,
        height=height,
        image_width=image.width,
        image_height=image.height,
    )
    if (width, height) == image:
        return like(rule, image.width, image.height), placement
    return size, placement


def _unscaled(size: Size, least: Size, image: Size) -> Size | None:
    """A part of the very size that is sent, where that takes in the box and lies in the picture."""
    inside = size.width <= image.width and size.height <= image.height
    return size if inside and size.width >= least.width and size.height >= least.height else None


def _of_shape(size: Size, least: Size, image: Size) -> Size | None:
    """The smallest part in the shape that is sent that takes in the box, if the picture has it."""
    scale = max(least.width / size.width, least.height / size.height)
    width, height = round(size.width * scale), round(size.height * scale)
    return Size(width, height) if width <= image.width and height <= image.height else None


def _start(center: float, length: int, whole: int) -> int:
    return max(0, min(whole - length, round(center - length / 2)))


def cut_out(
    picture: Image.Image, mask: Image.Image | None, placement: Placement, size: Size
) -> tuple[Image.Image, Image.Image | None]:
    """The part of a picture that a model gets, and of its mask, in the size that it takes."""
    from PIL import Image

    part = _part(picture, placement)
    if part.size != size:
        part = part.resize(size, Image.Resampling.LANCZOS)
    if mask is None:
        return part, None
    return part, scale_mask(_mask_part(mask, placement), size)


def put_back(
    picture: Image.Image, mask: Image.Image | None, patch: Image.Image, placement: Placement
) -> Image.Image:
    """The whole picture with what a model made of its part.

    Without a mask the part is replaced. Under a mask it is painted in where the mask is white,
    fading into the picture inside the edge, as far as the mask is thick enough for its middle to be
    painted fully; where the mask is black no pixel changes.

    Args:
        picture: The whole, as it was given.
        mask: Of its size, in shades of grey.
        patch: What the model made.
        placement: The part that it stands for.
    """
    from PIL import Image

    base = _whole(picture, placement)
    box = (placement.width, placement.height)
    if patch.size != box:
        patch = patch.resize(box, Image.Resampling.LANCZOS)
    if mask is None:
        if box == base.size:
            return patch
        over = Image.new("L", box, 255)
    else:
        over = fade_edges(_mask_part(mask, placement), max(1, round(min(box) * FADE_SHARE)))
    mode = "RGBA" if has_alpha(base) or is_transparent(patch) else "RGB"
    result = base.convert(mode)
    corner = (placement.left, placement.top)
    part = result.crop((*corner, corner[0] + box[0], corner[1] + box[1]))
    result.paste(Image.composite(patch.convert(mode), part, over), corner)
    return result


def _whole(picture: Image.Image, placement: Placement) -> Image.Image:
    """The picture in the size in which it is worked on."""
    from PIL import Image

    size = (placement.image_width, placement.image_height)
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def _part(picture: Image.Image, placement: Placement) -> Image.Image:
    return _whole(picture, placement).crop(_box(placement))


def _mask_part(mask: Image.Image, placement: Placement) -> Image.Image:
    size = (placement.image_width, placement.image_height)
    return scale_mask(mask.convert("L"), size).crop(_box(placement))


def _box(placement: Placement) -> tuple[int, int, int, int]:
    right, bottom = placement.left + placement.width, placement.top + placement.height
    return placement.left, placement.top, right, bottom


def add_margins(
    picture: Image.Image, mask: Image.Image | None, by: Margins
) -> tuple[Image.Image, Image.Image]:
    """The picture with margins to be painted, and the mask that has them painted.

    A picture with transparency keeps it to the bit; its margins are opaque.

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
    corner = (by.left, by.top)
    # What the model sees in the margins is the picture itself, blurred: a flat ground would show
    # through where little of it is changed.
    ground = on_white(picture).resize(size).filter(ImageFilter.GaussianBlur(max(size) * BLUR_SHARE))
    mode = "RGBA" if has_alpha(picture) else "RGB"
    grown = ground.convert(mode)
    grown.paste(picture.convert(mode), corner)
    painted = Image.new("L", size, 255)
    painted.paste(Image.new("L", picture.size, 0) if mask is None else mask, corner)
    return grown, painted
