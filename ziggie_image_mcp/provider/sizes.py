"""Work with size rules: what they take, what is nearest, what a ratio becomes. Pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

from ziggie_image_mcp.provider.capabilities import Bucket, Buckets, FreeSize, SameAsInput, SizeRule

APPROXIMATE = 0.06
"""By how much a shape may differ where a rule promises only a ratio."""

SAME_SHAPE = 0.01
"""By how much the sides of one shape differ in small and large sizes, as they are rounded."""

RESCALED = 2.0
"""How many times larger or smaller the sides may be there."""

REPEATS_ABOVE = 1.5
"""Times its native area, above which a UNet draws the same thing twice: a rule of thumb, which
nobody has measured here."""


class Size(NamedTuple):
    """Width and height, pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        """As messages write it."""
        return f"{self.width}x{self.height}"


def first_pass_size(
    size: Size, native_area: int, *, step: int, least: int = 0, above: float = REPEATS_ABOVE
) -> Size | None:
    """The size of a hires pass's first picture; None where the picture can be drawn at once.

    Args:
        size: What is asked for.
        native_area: What the model is best at, pixels.
        step: Sides are multiples of it.
        least: No side is smaller.
        above: Times the native area, up to which one pass will do.

    >>> first_pass_size(Size(1024, 768), 512 * 512, step=8)
    Size(width=592, height=440)
    """
    area = size.width * size.height
    if area <= above * native_area:
        return None
    scale = math.sqrt(native_area / area)
    return Size(*(max(step, least, round(side * scale / step) * step) for side in size))


def native_size(rule: SizeRule) -> Size:
    """What the model makes where no size is asked."""
    if isinstance(rule, Buckets):
        return Size(rule.sizes[0].width, rule.sizes[0].height)
    box = free_part(rule)
    return Size(box.native_width, box.native_height)


def free_part(rule: FreeSize | SameAsInput) -> FreeSize:
    """The bounds of a rule that is no list."""
    return rule.accepts if isinstance(rule, SameAsInput) else rule


def bucket_of(rule: SizeRule, size: Size) -> Bucket | None:
    """The entry of this very size, where the rule is a list."""
    if not isinstance(rule, Buckets):
        return None
    return next((b for b in rule.sizes if (b.width, b.height) == size), None)


def is_exact(rule: SizeRule) -> bool:
    """Whether a picture comes to the pixel in the size that was sent."""
    return rule.exact if isinstance(rule, Buckets) else free_part(rule).exact


def keeps_shape(size: Size, asked: Size) -> bool:
    """Whether a picture has the shape that was asked for, and about as many pixels."""
    wider, higher = size.width / asked.width, size.height / asked.height
    is_near = min(wider, higher) >= 1 / RESCALED and max(wider, higher) <= RESCALED
    return is_near and abs(wider / higher - 1) <= APPROXIMATE


def problem(rule: SizeRule, size: Size) -> str:
    """What the rule takes, as messages say it, where it does not take this size; else empty."""
    if isinstance(rule, Buckets):
        if bucket_of(rule, size) is not None:
            return ""
        sizes = [str(Size(b.width, b.height)) for b in rule.sizes]
        more = f" and {len(sizes) - 12} more" if len(sizes) > 12 else ""
        return ", ".join(sizes[:12]) + more
    box, (width, height) = free_part(rule), size
    step = box.multiple_of
    if not box.min_side <= min(size) or max(size) > box.max_side or width % step or height % step:
        return f"{box.min_side} to {box.max_side} px in steps of {step}"
    if not box.min_pixels <= width * height <= _most_pixels(box):
        return f"{box.min_pixels:,} to {_most_pixels(box):,} pixels in all"
    if box.max_ratio is not None and max(size) > box.max_ratio * min(size):
        return f"at most {box.max_ratio:g}:1"
    return ""


def nearest_size(rule: SizeRule, width: float, height: float) -> Size:
    """The size of the rule that is most like this one: its shape first, then its area."""
    if isinstance(rule, Buckets):

        def distance(bucket: Bucket) -> tuple[float, float]:
            shape = abs(math.log(bucket.width / bucket.height * height / width))
            area = abs(math.log(bucket.width * bucket.height / (width * height)))
            return round(max(0.0, shape - SAME_SHAPE), 3), area

        best = min(rule.sizes, key=distance)
        return Size(best.width, best.height)
    box = free_part(rule)
    ratio = width / height
    if box.max_ratio is not None:
        ratio = min(max(ratio, 1 / box.max_ratio), box.max_ratio)
    area = min(max(width * height, float(box.min_pixels)), float(_most_pixels(box)))
    width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
    scale = max(1.0, box.min_side / min(width, height))
    scale = min(scale, box.max_side / max(width, height))
    rounded = Size(*(nearest_side(side * scale, box) for side in (width, height)))
    return rounded if not problem(rule, rounded) else _repaired(box, rounded, ratio)


def _repaired(box: FreeSize, size: Size, ratio: float) -> Size:
    """A neighbour of this size that is within all bounds, the one most like the ratio."""
    step = box.multiple_of
    neighbours = [
        Size(width, height)
        for width in range(size.width - 3 * step, size.width + 4 * step, step)
        for height in range(size.height - 3 * step, size.height + 4 * step, step)
        if width > 0 and height > 0 and not problem(box, Size(width, height))
    ]
    if not neighbours:
        return native_size(box)
    return min(neighbours, key=lambda s: abs(math.log(s.width / s.height / ratio)))


def nearest_side(side: float, box: FreeSize) -> int:
    """The nearest side within the bounds of a rule."""
    step = box.multiple_of
    low, high = math.ceil(box.min_side / step), box.max_side // step
    return max(low, min(high, round(side / step))) * step


def shaped(rule: SizeRule, ratio: float) -> Size:
    """The model's own area in another shape; `ratio` is width by height."""
    native = native_size(rule)
    area = native.width * native.height
    return nearest_size(rule, math.sqrt(area * ratio), math.sqrt(area / ratio))


def like(rule: SizeRule, width: int, height: int) -> Size:
    """The size at which to work on a picture: its own, or less where the model's area is less."""
    native = native_size(rule)
    scale = min(1.0, math.sqrt(native.width * native.height / (width * height)))
    if isinstance(rule, Buckets):
        scale = 1.0
    return nearest_size(rule, width * scale, height * scale)


def ratio_text(width: int, height: int) -> str:
    """A shape as people say it: 16:9, or 1.53:1 where no small numbers tell it."""
    divisor = math.gcd(width, height)
    wide, high = width // divisor, height // divisor
    if max(wide, high) <= 32:
        return f"{wide}:{high}"
    return f"{width / height:.2f}:1" if width > height else f"1:{height / width:.2f}"


def corners(rule: SizeRule) -> list[Size]:
    """The extreme sizes of a rule: what a backend takes if it takes what the rule says."""
    if isinstance(rule, Buckets):
        return [Size(b.width, b.height) for b in rule.sizes]
    box = free_part(rule)
    least, most = nearest_side(box.min_side, box), nearest_side(box.max_side, box)
    extremes = [(least, least), (most, most), (least, most), (most, least)]
    found = [native_size(rule), *(nearest_size(rule, *extreme) for extreme in extremes)]
    return [size for size in dict.fromkeys(found) if not problem(rule, size)]


def _most_pixels(box: FreeSize) -> int:
    return box.max_side**2 if box.max_pixels is None else box.max_pixels
