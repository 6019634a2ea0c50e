"""Fit the pictures that a transformer looks at to what its class accepts."""

from __future__ import annotations

from dataclasses import replace

from ziggie_image_mcp.provider import Model, ProviderRequest, RequestRejected
from ziggie_image_mcp.provider.pictures import decode, to_png
from ziggie_image_providers.diffusers.families import Family

SIDE_BESIDE_MASK = 16
"""The classes that take a mask too round sides down to multiples of it, and have no check."""

ASPECT_BESIDE_MASK = 100


def fit_pictures(
    request: ProviderRequest, model: Model, known: Family | None
) -> tuple[ProviderRequest, list[str]]:
    """Enlarge what is too small for the class; say what was enlarged, a sentence each.

    Raises:
        RequestRejected: A picture is too long and narrow for the class.
    """
    if known is None or not known.references:
        return request, []
    least, aspect = known.reference_side, known.reference_aspect
    if request.mask is not None:
        least, aspect = SIDE_BESIDE_MASK, ASPECT_BESIDE_MASK
    notes: list[str] = []

    def fit(png: bytes, name: str) -> bytes:
        picture = decode(png)
        short, long = sorted(picture.size)
        if long > short * aspect:
            raise RequestRejected(
                model.provider,
                f"{name} is {picture.width}x{picture.height}, and {model.id} looks at no pictures "
                f"longer than {aspect}:1: crop it, or give it margins.",
            )
        if short >= least:
            return png
        width, height = (round(side * least / short) for side in picture.size)
        notes.append(
            f"{name} was enlarged from {picture.width}x{picture.height} to {width}x{height}: "
            f"this model looks at no side below {least} px"
        )
        from PIL.Image import Resampling  # 0.1 s, for few requests

        return to_png(picture.resize((width, height), Resampling.LANCZOS))

    image = request.image
    if image is not None and request.mask is None:
        image = fit(image, "the picture to change")
    references = tuple(
        fit(png, _name(request, number)) for number, png in enumerate(request.references)
    )
    return replace(request, image=image, references=references), notes


def _name(request: ProviderRequest, number: int) -> str:
    ids = request.reference_ids
    return f"reference {number + 1}" + (f" ({ids[number]})" if number < len(ids) else "")
