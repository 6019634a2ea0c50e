"""Work out what size a model is sent: exact sizes, ratios, and the parts of pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ziggie_image_mcp.assets.region import Placement, place
from ziggie_image_mcp.inventory.types import Reason
from ziggie_image_mcp.provider.capabilities import FreeSize, SizeRule
from ziggie_image_mcp.provider.sizes import (
    APPROXIMATE,
    Size,
    bucket_of,
    free_part,
    is_exact,
    native_size,
    nearest_size,
    problem,
    ratio_text,
    shaped,
)
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import ratio

SAID_FROM = 0.01
"""A ratio that is further off is said in the result."""


class FittedSize(NamedTuple):
    """What a model is sent, and how that differs from what was asked."""

    size: Size
    bucket: str = ""
    notes: tuple[str, ...] = ()
    reason: Reason | None = None
    """Why the model cannot serve the request; then the size is only the nearest."""
    placement: Placement | None = None
    """Of an edit: the part of the picture that is worked on."""


def fit_size(rule: SizeRule, request: ImageRequest, model_id: str, *, lenient: bool) -> FittedSize:
    """The size for this model.

    Args:
        rule: What sizes the model takes.
        request: What was asked.
        model_id: For what is said of it.
        lenient: Whether any shape is better than none, as of the demo model.
    """
    if request.image is not None and (request.upscale or request.remove_background):
        fitted = _exact(rule, Size(request.image.width, request.image.height))
        if fitted.reason is None:
            return fitted
        fix = "a smaller picture, or a smaller factor" if request.upscale else "a smaller picture"
        return fitted._replace(reason=replace(fitted.reason, fix=fix))
    if request.image is not None:
        return _edit(rule, request, lenient=lenient)
    if request.width is not None and request.height is not None:
        return _exact(rule, Size(request.width, request.height))
    if request.aspect_ratio is None:
        return _named(rule, native_size(rule))
    return _ratio(rule, request.aspect_ratio, model_id, lenient=lenient)


def _exact(rule: SizeRule, size: Size) -> FittedSize:
    takes = problem(rule, size)
    if not takes:
        return _named(rule, size)
    near = nearest_size(rule, *size)
    reason = Reason(
        code="SIZE_UNSUPPORTED",
        have=takes,
        need=str(size),
        fix=f"ask for {near}{_enlarged(rule, size)}, or leave out width and height",
    )
    return FittedSize(near, reason=reason)


def _enlarged(rule: SizeRule, size: Size) -> str:
    """How upscaling leads to a size that is too large for the model."""
    for times in (2, 4):
        part = Size(size.width // times, size.height // times)
        if Size(part.width * times, part.height * times) == size and not problem(rule, part):
            return f", or for {part} and enlarge it {times} times by process_image (upscale)"
    return ""


def _ratio(rule: SizeRule, text: str, model_id: str, *, lenient: bool) -> FittedSize:
    target = ratio(text)
    size = shaped(rule, target)
    fitted = _named(rule, size)
    off = abs(size.width / size.height / target - 1)
    if off > APPROXIMATE and not lenient:
        box = free_part(rule) if isinstance(rule, FreeSize) else None
        have = f"at most {box.max_ratio:g}:1" if box and box.max_ratio else f"{size} at the nearest"
        reason = Reason(
            code="SIZE_UNSUPPORTED",
            have=have,
            need=f"aspect_ratio {text}",
            fix=f"ask for {size}, or for another shape",
        )
        return fitted._replace(reason=reason)
    if off > SAID_FROM:
        note = f"aspect_ratio {text} is made as {size}, the nearest that {model_id} makes"
        return fitted._replace(notes=(*fitted.notes, note))
    return fitted


def _edit(rule: SizeRule, request: ImageRequest, *, lenient: bool) -> FittedSize:
    """The part of the picture that is worked on, and at what size. The whole keeps its own."""
    image, mask = request.image, request.mask
    assert image is not None
    whole = Size(image.width, image.height)
    box, notes = mask.box if mask is not None else None, list[str]()
    if request.width is not None and request.height is not None:
        whole, box = Size(request.width, request.height), None
        notes += _about_shape(Size(image.width, image.height), whole)
    size, placement = place(rule, whole, box)
    fitted = _named(rule, size)
    part = Size(placement.width, placement.height)
    off = abs(size.width / size.height * part.height / part.width - 1)
    if off > APPROXIMATE and not lenient:
        reason = Reason(
            code="SIZE_UNSUPPORTED",
            have=problem(rule, part) or f"{size} at the nearest",
            need=f"the shape of {part}",
            fix="crop the image to another shape",
        )
        return fitted._replace(reason=reason, placement=placement)
    if part != whole:
        notes.append(f"of the image of {whole} the part of {part} around the mask is worked on")
    if size != part:
        notes.append(f"{part} is worked on at {size}, and scaled back")
    return fitted._replace(notes=(*fitted.notes, *notes), placement=placement)


def _about_shape(image: Size, asked: Size) -> list[str]:
    """Say it where an image is stretched or squeezed into the size that was asked."""
    if abs(asked.width / asked.height * image.height / image.width - 1) <= SAID_FROM:
        return []
    shapes = f"{ratio_text(*image)} to {ratio_text(*asked)}"
    return [f"the image's shape is changed from {shapes}: width and height ask for {asked}"]


def _named(rule: SizeRule, size: Size) -> FittedSize:
    bucket = bucket_of(rule, size)
    notes = () if is_exact(rule) else (f"the vendor promises the shape of {size}, not its pixels",)
    return FittedSize(size, bucket=bucket.name if bucket else "", notes=notes)
