"""Say how a request's pictures are finished, by the fields that it has for that."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from ziggie_image_mcp.assets.finish import Finish
from ziggie_image_mcp.assets.palettes import (
    Colour,
    colours_text,
    listed_palette,
    named_palette,
    palette_file,
    read_palette,
    unknown_palette,
)
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.jobs import exporting
from ziggie_image_mcp.routing.request import ImageRequest

FIELDS = (
    "seamless",
    "pixel_size",
    "trim",
    "pad",
    "width",
    "height",
    "resample",
    "colors",
    "palette",
)
"""Of a request, in the order in which they are done."""

ReadFile = Callable[[str], bytes]
"""Gives what stands in a file that the caller may name; raises InvalidRequest."""


def resolved(request: ImageRequest, read: ReadFile) -> tuple[ImageRequest, Finish | None]:
    """The request with the colours of its palette's file in place of the path, and its finish.

    Raises:
        InvalidRequest: There is no such palette, or what is asked cannot be had together.
    """
    if path := palette_file(request.palette):
        colours = read_palette(read(path), PurePath(path).name)
        request = replace(request, palette=colours_text(colours))
    return request, finish_of(request)


def finish_of(request: ImageRequest) -> Finish | None:
    """What is to be done with each picture; None where nothing is.

    Raises:
        InvalidRequest: It cannot be had together, or there is no such palette.
    """
    if not any(_is_set(getattr(request, name)) for name in FIELDS):
        return None
    if (request.width is None) != (request.height is None):
        return None  # what checks requests says so
    framed = request.trim or bool(request.pad)
    if request.seamless and framed:
        fix = "leave out trim and pad: the edges of a tile are part of it"
        raise InvalidRequest("seamless", True, fix)
    if request.resample is not None and request.width is None:
        raise InvalidRequest("resample", request.resample, "give width and height to scale to")
    if needs_lossless(request) and request.output_format == "jpeg":
        fix = "png or webp: a JPEG keeps neither colours nor pixels exactly"
        raise InvalidRequest("output_format", "jpeg", fix)
    return Finish(
        seamless=request.seamless,
        pixel_size=request.pixel_size,
        trim=request.trim,
        pad=request.pad or 0,
        width=request.width,
        height=request.height,
        resample=request.resample,
        colors=request.colors,
        palette=_colours(request.palette),
        palette_name=_palette_name(request.palette),
    )


def needs_lossless(request: ImageRequest) -> bool:
    """Whether every pixel and colour counts, so that no lossy format will do."""
    return request.pixel_size is not None or request.colors is not None or bool(request.palette)


def described(request: ImageRequest) -> str:
    """What was asked, as a recipe has it: `trim=true width=64 height=64 palette=pico-8`."""
    values: dict[str, Any] = {
        name: value
        for name in (*FIELDS, *exporting.FIELDS)
        if _is_set(value := getattr(request, name))
    }
    words = {k: "true" if v is True else re.sub(r"[,\s]+", ",", str(v)) for k, v in values.items()}
    return " ".join(f"{name}={word}" for name, word in words.items())


def _colours(text: str) -> tuple[Colour, ...]:
    if not text.strip():
        return ()
    colours = named_palette(text) or listed_palette(text)
    if colours is None:
        raise unknown_palette(text)
    return colours


def _palette_name(text: str) -> str:
    return text if not text or named_palette(text) else "the colours given"


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value != ""
