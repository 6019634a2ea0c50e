"""Ask a route for what an asset contract needs of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import gcd

from ziggie_image_mcp.assets.contract import (
    AssetContract,
    contract_pairs,
    contract_palette_file,
    contract_text,
    read_contract,
    with_palette,
)
from ziggie_image_mcp.assets.palettes import colours_text, read_palette
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.routing.request import ImageRequest, is_processing

MOST_RATIO = 4.0
"""Of the sides of what a route is asked for; what is longer is cut or fitted into its size."""

SHEET_WORDS = (
    "sprite sheet of {frames} frames of the same character in {columns} columns and {rows} rows, "
    "evenly spaced, each whole and alone in its cell"
)
"""Added to the prompt where the frames are to be drawn as one picture."""


def with_palette_of_file(request: ImageRequest, read: Callable[[str], bytes]) -> ImageRequest:
    """The request with the colours of the file that its contract names for a palette.

    Raises:
        InvalidRequest: The file may not be read, or is no palette.
    """
    path = contract_palette_file(request.asset)
    if not path:
        return request
    colours = colours_text(read_palette(read(path), path))
    return replace(request, asset=with_palette(request.asset, colours))


def with_contract(request: ImageRequest) -> ImageRequest:
    """The request with what its contract asks of the route: alpha, seamless edges, a shape.

    Done twice it is done once.

    Raises:
        InvalidRequest: The contract makes no sense, or what else is asked speaks against it.
    """
    if is_processing(request):
        return request
    text = _with_palette(request)
    if not text:
        return request
    if request.image is None:
        text = _with_wishes(text, request)
    contract = read_contract(text)
    if request.image is not None and contract != AssetContract(
        colors=contract.colors, palette=contract.palette, palette_name=contract.palette_name
    ):
        fix = "make the picture by edit_image, then bring it to its size by process_image"
        raise InvalidRequest("asset", request.asset, fix)
    if contract.is_pixel_exact and request.output_format == "jpeg":
        fix = "png or webp: a JPEG keeps neither colours nor pixels exactly"
        raise InvalidRequest("output_format", "jpeg", fix)
    if "unity" in contract.sheet and request.output_format not in (None, "png"):
        fix = "leave it out: Unity reads a png with what stands beside it"
        raise InvalidRequest("output_format", request.output_format, fix)
    if contract.alpha is False and request.transparent:
        raise InvalidRequest("transparent", True, "the asset says alpha=no: leave one out")
    shaped = request.width is not None or request.aspect_ratio is not None
    return replace(
        request,
        asset=contract_text(text),
        transparent=request.transparent or contract.alpha is True,
        seamless=request.seamless or contract.seamless,
        aspect_ratio=request.aspect_ratio if shaped else _shape(contract),
    )


def _with_palette(request: ImageRequest) -> str:
    """The contract, with the palette of a style where it has none of its own."""
    if not request.palette or "palette" in contract_pairs(request.asset):
        return request.asset
    return with_palette(request.asset, request.palette)


def _with_wishes(text: str, request: ImageRequest) -> str:
    """The contract of a size, with what the request asks beside it: fitted whole, not cut."""
    values, contract = contract_pairs(text), read_contract(text)
    if contract.width is None:
        return text
    if request.transparent and contract.alpha is None:
        text += " alpha=yes"
    if request.seamless and "seamless" not in values and contract.frames == 1:
        text += " seamless=yes"
    return text


def sheet_words(request: ImageRequest) -> str:
    """What the prompt is told of a sheet; empty where no sheet is to be drawn."""
    contract = read_contract(request.asset) if request.asset else None
    if contract is None or contract.frames == 1 or contract.motion != "sheet":
        return ""
    columns = contract.columns
    rows = contract.frames // columns
    return SHEET_WORDS.format(frames=contract.frames, columns=columns, rows=rows)


def _shape(contract: AssetContract) -> str | None:
    """The shape of the picture that holds all frames that a model is to draw, as `3:2`."""
    if contract.width is None or contract.height is None:
        return None
    width, height = contract.width, contract.height
    if contract.frames > 1 and contract.motion == "sheet":
        width, height = width * contract.columns, height * (contract.frames // contract.columns)
    ratio = min(max(width / height, 1 / MOST_RATIO), MOST_RATIO)
    common = gcd(width, height)
    exact = width // common, height // common
    if ratio != width / height or max(exact) > 100:
        return f"{ratio:.4f}:1"
    return f"{exact[0]}:{exact[1]}"
