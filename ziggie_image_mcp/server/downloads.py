"""Give whole pictures to those over HTTP, by links that expire."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import anyio.to_thread
from mcp.server.mcpserver import Context
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import ImageError, ImageNotFound
from ziggie_image_mcp.provider.pictures import media_type
from ziggie_image_mcp.server.callers import for_caller

LINK_SECONDS = 600


class Downloads:
    """Links to pictures, sealed. A picture's id tells whose it is, and the seal covers it.

    Args:
        opener: Opens the service.
        key: Seals the links; the same for all servers behind one address. None: of this process.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        opener: Callable[[], Awaitable[Service]],
        key: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._opener, self._clock = opener, clock
        self._key = key or secrets.token_bytes(32)

    def link(self, ctx: Context[Any], image_id: str, suffix: str = "") -> str | None:
        """The address of a picture that the caller may see; None for a caller that is no HTTP.

        With a suffix, of the file that stands beside it under that.
        """
        request = ctx.request_context.request
        if not isinstance(request, Request):
            return None
        return self.url(str(request.url.replace(query="")), image_id, suffix)

    def url(self, server: str, image_id: str, suffix: str = "") -> str:
        """The address of a picture, below the server's."""
        expiry = int(self._clock()) + LINK_SECONDS
        token = f"{image_id}.{expiry}.{self._seal(image_id, expiry, suffix)}{suffix}"
        return f"{server.rstrip('/')}/download/{token}"

    async def answer(self, request: Request) -> Response:
        """The picture of a link, or why there is none."""
        image_id, _, rest = str(request.path_params["token"]).partition(".")
        expiry, _, rest = rest.partition(".")
        seal, dot, ending = rest.partition(".")
        suffix = dot + ending
        if not (expiry.isascii() and expiry.isdigit() and len(expiry) < 15) or not (
            hmac.compare_digest(seal.encode(), self._seal(image_id, int(expiry), suffix).encode())
        ):
            return PlainTextResponse("This is no link of this server.\n", 404)
        if int(expiry) < self._clock():
            return PlainTextResponse("This link has expired: ask for the picture again.\n", 410)
        try:
            store = (await self._opener()).artifacts
            path = await anyio.to_thread.run_sync(store.find, image_id)
            if suffix:
                data = await anyio.to_thread.run_sync(store.side_file, image_id, suffix)
            else:
                data = await anyio.to_thread.run_sync(store.original, image_id)
        except ImageNotFound:
            return PlainTextResponse("The picture is no longer there.\n", 404)
        except ImageError as e:
            return PlainTextResponse(f"[{e.code}] The picture cannot be read now.\n", 503)
        name = quote(PurePath(path).stem + suffix if suffix else PurePath(path).name)
        # What is no plain picture is never shown by a browser as a page of this server.
        shown = "attachment" if suffix else "inline"
        return Response(
            data,
            media_type=media_type(data),
            headers={
                "Content-Disposition": f"{shown}; filename*=UTF-8''{name}",
                "Cache-Control": "private, no-store",
                "X-Content-Type-Options": "nosniff",
            },
        )

    def _seal(self, image_id: str, expiry: int, suffix: str) -> str:
        text = f"download {image_id} {expiry}" + (f" {suffix}" if suffix else "")
        return hmac.digest(self._key, text.encode(), "sha256").hex()


def where(downloads: Downloads, ctx: Context[Any], image_id: str, path: str) -> str:
    """Where the caller gets a whole picture."""
    link = downloads.link(ctx, image_id)
    return (
        f"Download it within {LINK_SECONDS // 60} minutes: {link}"
        if link
        else for_caller(f"Its file: {path}")
    )
