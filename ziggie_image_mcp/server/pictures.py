"""Show stored pictures as resources: by id, and as a list in pages, the newest first."""

from __future__ import annotations

import base64
import json

from mcp import MCPError
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, ListResourcesResult, Resource
from pydantic import TypeAdapter

from ziggie_image_mcp.errors import ImageError, ImageNotFound, ImageTooLarge, quote
from ziggie_image_mcp.routing.request_checks import MAX_VIEW_SIDE
from ziggie_image_mcp.server.callers import caller, for_caller
from ziggie_image_mcp.server.downloads import Downloads, where
from ziggie_image_mcp.server.mcp_server import ImageServer, Open
from ziggie_image_mcp.storage.newest import ListPosition

PAGE = 20
MAX_CURSOR = 2_000
_CURSOR: TypeAdapter[tuple[str, float, str]] = TypeAdapter(tuple[str, float, str])
_MEDIA = {".png": "image/png", ".webp": "image/webp", ".jpg": "image/jpeg"}


async def listed(opener: Open, cursor: str | None) -> ListResourcesResult:
    """A page of the caller's pictures, newest first."""
    after = None if cursor is None else _position(cursor)
    try:
        pictures = await (await opener()).newest(PAGE + 1, caller(), after)
    except ImageError as e:
        raise MCPError(INTERNAL_ERROR, for_caller(f"[{e.code}] {e}")) from e
    shown = pictures[:PAGE]
    resources = [
        Resource(
            uri=f"image://{picture.id}",
            name=picture.name,
            description=picture.description or None,
            mime_type=_MEDIA.get(picture.suffix),
            size=picture.bytes,
        )
        for picture in shown
    ]
    more = len(pictures) > PAGE
    return ListResourcesResult(
        resources=resources, next_cursor=_cursor(shown[-1].position) if more else None
    )


def _cursor(position: ListPosition) -> str:
    """A position as clients send it back: they need not understand it."""
    text = json.dumps([position.day, position.changed, position.name])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _position(cursor: str) -> ListPosition:
    try:
        text = base64.b64decode(cursor[:MAX_CURSOR], altchars="-_", validate=True)
        day, changed, name = _CURSOR.validate_json(text)
    except ValueError as e:
        shown = quote(ascii(cursor), 40)
        fix = "give nextCursor of the page before as it came, or none for the first page"
        raise MCPError(INVALID_PARAMS, f"cursor={shown} is none of this server: {fix}.") from e
    return ListPosition(day=day, changed=changed, name=name)


def show_pictures(server: ImageServer, opener: Open, downloads: Downloads) -> None:
    """Add the pictures."""

    @server.resource(
        "image://{image_id}{?max}",
        name="image",
        title="Picture",
        description="A stored picture by its id; with max, at most so many pixels long.",
        mime_type="image/png",
    )
    async def image(image_id: str, ctx: Context[Open], max: str = "") -> bytes:  # pyright: ignore[reportUnusedFunction]
        try:
            service = await ctx.request_context.lifespan_context()
            if not max:
                return await service.read(image_id, caller())
            if not (max.isascii() and max.isdigit() and 32 <= int(max[:9]) <= MAX_VIEW_SIDE):
                raise ResourceError(f"max={max[:20]!r}: 32 to {MAX_VIEW_SIDE} pixels.")
            preview, _ = await service.view(image_id, int(max), caller())
            return preview.data
        except ImageNotFound as e:
            raise ResourceNotFoundError(str(e)) from e
        except ImageTooLarge as e:
            place = where(downloads, ctx, e.image_id, e.path)
            raise ResourceError(f"[{e.code}] {e} {place}") from e
        except ImageError as e:
            raise ResourceError(for_caller(f"[{e.code}] {e}")) from e
