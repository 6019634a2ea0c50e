"""Turn a picture into a drawing of shapes: SVG, by vtracer."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ziggie_image_mcp.errors import InvalidOutput, InvalidRequest
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_mcp.provider.pictures import to_png

if TYPE_CHECKING:
    from PIL import Image

MAX_TRACED_PIXELS = 4_000_000
"""vtracer takes some seconds for so many, and cannot be stopped."""

MAX_EDGES = 600_000
"""Between pixels of different colours, of which each may be a shape: some 30 MB of drawing."""

_NAMESPACE = "{http://www.w3.org/2000/svg}"
_PARTS = frozenset(f"{_NAMESPACE}{name}" for name in ("svg", "g", "path", "clipPath"))
_ATTRIBUTES = frozenset(
    ("clip-path", "d", "fill", "height", "id", "transform", "version", "viewBox", "width")
)
_PATH = re.compile(r"<path .*?/>", re.DOTALL)

_SOLID = 128
"""Of 255: from here on a pixel belongs to the drawing."""
_BLEED = 4
"""Pixels by which the subject's colours reach under its edge, so that curves show no rim."""


def check_tracer() -> None:
    """Refuse to trace where vtracer is not installed.

    Raises:
        InvalidRequest: Says how it is installed.
    """
    if importlib.util.find_spec("vtracer") is None:
        install = install_command("ziggie-image-mcp[svg]")
        raise InvalidRequest("output_format", "svg", f"vtracer is missing: {install}")


def trace(image: Image.Image, *, sharp: bool) -> tuple[bytes, str]:
    """The SVG of a picture, and what was measured on it.

    Args:
        image: At most MAX_TRACED_PIXELS.
        sharp: Edges along the pixels, as pixel art has them, and all its colours; else curves.

    Raises:
        InvalidRequest: The picture is too large, or vtracer is not installed.
        InvalidOutput: vtracer gave no such drawing.
    """
    check_tracer()
    if image.width * image.height > MAX_TRACED_PIXELS:
        fix = f"at most {MAX_TRACED_PIXELS / 1e6:.0f} million pixels: a smaller width and height"
        raise InvalidRequest("output_format", "svg", fix)
    if sharp and (edges := _edges(image)) > MAX_EDGES:
        fix = (
            f"at most {MAX_EDGES:,} edges between pixels, and it has {edges:,}: fewer colors, or a "
            "smaller width and height"
        )
        raise InvalidRequest("output_format", "svg", fix)
    solid = image.convert("RGBA").getchannel("A").point([0] * _SOLID + [255] * (256 - _SOLID))
    if solid.getextrema() == (0, 0):
        raise InvalidRequest("output_format", "svg", "the picture shows nothing to draw")
    if solid.getextrema() == (255, 255):
        shapes = _paths(image.convert("RGB"), sharp=sharp)
    else:  # vtracer draws what is transparent in black, where it is little
        inside = _paths(solid.point([255 - value for value in range(256)]), sharp=sharp)
        edge = "\n".join(inside)
        shapes = [f'<clipPath id="subject">\n{edge}\n</clipPath>', '<g clip-path="url(#subject)">']
        shapes += [*_paths(_bled(image, solid), sharp=sharp), "</g>"]
    svg = "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="{image.width}"'
            f' height="{image.height}" viewBox="0 0 {image.width} {image.height}">',
            *shapes,
            "</svg>",
            "",
        )
    )
    count = _check(svg, image.width, image.height)
    proof = f"svg: {count} shapes, view box {image.width}x{image.height}, no script"
    if any(image.convert("RGBA").getchannel("A").histogram()[1:255]):
        proof += "; what is half transparent is drawn whole or not at all"
    return svg.encode(), proof


def _edges(image: Image.Image) -> int:
    """How many neighbours differ, across and down."""
    import numpy as np

    packed = np.asarray(image.convert("RGBA")).copy().view(np.uint32)[..., 0]
    across = int(np.count_nonzero(packed[:, 1:] != packed[:, :-1]))
    return across + int(np.count_nonzero(packed[1:] != packed[:-1]))


def _paths(image: Image.Image, *, sharp: bool) -> list[str]:
    """The shapes of an opaque picture, the lowest first; of a grey one those that are dark."""
    import vtracer

    library: Any = vtracer  # it has no types
    options: dict[str, object] = {"mode": "spline"}
    if sharp:
        options = {"mode": "none", "filter_speckle": 0, "color_precision": 8, "layer_difference": 0}
    colours = "binary" if image.mode == "L" else "color"
    text = str(
        library.convert_raw_image_to_svg(
            to_png(image), img_format="png", colormode=colours, **options
        )
    )
    return _PATH.findall(text)


def _bled(image: Image.Image, solid: Image.Image) -> Image.Image:
    """The picture as opaque, the colours at its edge going on for some pixels."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image.convert("RGB")).astype(np.int32)
    known = np.asarray(solid) > 0
    pixels[~known] = pixels[known].mean(axis=0)
    for _ in range(_BLEED):
        sums, counts = np.zeros_like(pixels), np.zeros(known.shape, np.int32)
        for axis in (0, 1):
            for step in (-1, 1):
                # What comes in over the border is of the other side, and as good as any.
                near = np.roll(known, step, axis)
                sums += np.roll(pixels, step, axis) * near[..., None]
                counts += near
        grown = ~known & (counts > 0)
        pixels[grown] = sums[grown] // counts[grown, None]
        known |= grown
    return Image.fromarray(pixels.astype(np.uint8))


def _check(svg: str, width: int, height: int) -> int:
    """How many shapes there are, in a drawing that holds nothing else."""
    try:
        root = ElementTree.fromstring(svg)  # noqa: S314  vtracer wrote it, here
    except ElementTree.ParseError as e:
        raise InvalidOutput("assets", f"vtracer wrote no SVG: {e}.") from e
    size = root.get("viewBox"), root.get("width"), root.get("height")
    if size != (f"0 0 {width} {height}", str(width), str(height)):
        raise InvalidOutput("assets", f"The SVG has another size: {size}.")
    for part in root.iter():
        if part.tag not in _PARTS or not _ATTRIBUTES.issuperset(part.attrib):
            raise InvalidOutput("assets", f"The SVG holds more than shapes: {part.tag}.")
    shapes = len(root.findall(f".//{_NAMESPACE}path"))
    if not shapes:
        raise InvalidOutput("assets", "The SVG is empty: the picture has no shapes to trace.")
    return shapes
