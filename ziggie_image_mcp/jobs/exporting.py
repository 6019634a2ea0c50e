"""Say what is made of a request's finished pictures, by the fields that it has for that."""

from __future__ import annotations

from ziggie_image_mcp.assets import animation
from ziggie_image_mcp.assets.export import Export
from ziggie_image_mcp.assets.frames import read_slice
from ziggie_image_mcp.assets.sheet_names import SheetFormat, read_formats
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.capabilities import OutputFormat
from ziggie_image_mcp.routing.request import ImageRequest

FIELDS = ("slice", "sheet", "columns", "animation", "fps", "icons")
"""Of a request, in the order in which they are done."""


def export_of(request: ImageRequest) -> Export | None:
    """What is made of the finished pictures; None where nothing is.

    Raises:
        InvalidRequest: It cannot be had together, or a value is none of those that there are.
    """
    drawn = request.output_format in ("svg", "gif")
    if not drawn and not any(getattr(request, name) not in (None, "") for name in FIELDS):
        return None
    formats, atlas = read_formats(request.sheet)
    _check(request, formats, atlas=atlas)
    if request.output_format == "svg":
        from ziggie_image_mcp.assets.tracing import check_tracer

        check_tracer()
    return Export(
        slice=read_slice(request.slice) if request.slice else None,
        formats=formats,
        atlas=atlas,
        columns=request.columns,
        animation=request.animation,
        fps=request.fps,
        icons=request.icons,
        svg=request.output_format == "svg",
        gif=request.output_format == "gif",
        pixel_art=request.pixel_size is not None
        or request.resample == "nearest"
        or bool(request.palette)
        or request.colors is not None,
    )


def kept_format(request: ImageRequest) -> OutputFormat | None:
    """The format of the picture itself: beside an SVG or a GIF it is PNG; None: as usual."""
    if request.output_format == "svg" or request.output_format == "gif":
        return "png"
    return request.output_format


def _check(request: ImageRequest, formats: tuple[SheetFormat, ...], *, atlas: bool) -> None:
    """Refuse what cannot be had together, or would do nothing."""
    packs = bool(formats) or request.animation is not None
    if request.columns is not None and (not formats or atlas):
        fix = "give sheet too, without atlas: only a sheet on equal cells has columns"
        raise InvalidRequest("columns", request.columns, fix)
    timed = request.animation is not None or {"godot", "tiled"} & set(formats)
    if request.fps is not None and not timed:
        raise InvalidRequest("fps", request.fps, "give animation too, or sheet=godot or tiled")
    if request.animation is not None:
        animation.check_animation(request.animation, request.fps or animation.DEFAULT_FPS)
    if atlas and "tiled" in formats:
        fix = "leave out atlas: Tiled reads tiles on equal cells"
        raise InvalidRequest("sheet", request.sheet, fix)
    if packs and request.icons is not None:
        fix = "icons are of one picture: leave out sheet and animation, or ask for them apart"
        raise InvalidRequest("icons", request.icons, fix)
    kind = request.output_format
    if packs and kind not in (None, "png"):
        what = "sheet and animation keep a png: leave output_format out"
        fix = f"{what}; animation=gif moves" if kind == "gif" else what
        raise InvalidRequest("output_format", kind, fix)
    if request.icons is not None and kind in ("jpeg", "webp"):
        raise InvalidRequest("output_format", kind, "icons are of a png: leave output_format out")
