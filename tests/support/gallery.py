"""The gallery's real server on a loopback port, in the test's own process."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
import uvicorn

from tests.support.factory import opener
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.server.gallery.application import Gallery
from ziggie_image_mcp.server.gallery.sessions import Sessions
from ziggie_image_mcp.server.transport import http_app, http_server
from ziggie_image_mcp.server.web_app import Place

NOBODY: Mapping[str, str] = {}


@asynccontextmanager
async def serving(
    made: Service, tokens: Mapping[str, str] = NOBODY, place: Place | None = None
) -> AsyncGenerator[tuple[str, Gallery]]:
    """Where the page is, and the gallery that serves it."""
    gallery = Gallery(opener(made), Sessions(tokens))
    app = http_app(http_server(opener(made), tokens), place, gallery=gallery)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/", gallery
            server.should_exit = True
