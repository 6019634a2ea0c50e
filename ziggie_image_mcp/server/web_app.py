"""Serve over HTTP what stands around MCP: browsers' questions, health, and the path's spellings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ziggie_image_mcp import __version__
from ziggie_image_mcp.errors import ConfigError, quote

HEALTH = "/healthz"
GALLERY = "/gallery"
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_ASKED = [
    "Accept",
    "Authorization",
    "Content-Type",
    "Last-Event-ID",
    "Mcp-Method",
    "Mcp-Name",
    "Mcp-Protocol-Version",
    "Mcp-Session-Id",
]
"""Headers that a page may send."""
_EXPOSED = ["Mcp-Session-Id", "Mcp-Protocol-Version", "WWW-Authenticate", "Content-Disposition"]
"""Headers that a page may read."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the server is found, and by whom.

    Args:
        path: Where MCP is spoken.
        allowed_hosts: Names that clients call it by, besides those of loopback.
        allowed_origins: Pages that may call it, besides those of allowed hosts.
    """

    path: str = "/mcp"
    allowed_hosts: Sequence[str] = ()
    allowed_origins: Sequence[str] = ()


def checked_path(path: str) -> str:
    """The path as it is compared.

    Raises:
        ConfigError: It is none, or is needed for something else.
    """
    bare = path.rstrip("/")
    if _PATH.fullmatch(bare) is None or re.search(r"/\.\.?(/|$)", bare):
        fix = "give one as /images/mcp: letters, digits and -._~ between slashes"
        raise ConfigError(f"--path {quote(repr(path))} is no path: {fix}.")
    if bare == HEALTH or f"{bare}/".startswith(f"{GALLERY}/"):
        raise ConfigError(f"--path {bare} is taken by this server itself: choose another.")
    return bare


def for_pages(app: ASGIApp) -> ASGIApp:
    """The same, readable by the pages that come so far: the guard before it knows which may."""
    return CORSMiddleware(
        app,
        allow_origin_regex=".*",
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=[*_ASKED, "Mcp-Param-*"],
        expose_headers=_EXPOSED,
        allow_private_network=True,  # from whom, NamesGuard has asked
        max_age=600,
    )


class Health:
    """Say that the server serves, to whoever asks and by whatever name; pass on the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["path"] == HEALTH:
            answer = JSONResponse({"status": "ok", "version": __version__})
            if scope["method"] not in ("GET", "HEAD"):
                answer = JSONResponse({"error": "Only GET."}, 405, {"Allow": "GET, HEAD"})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


class OnePath:
    """The path with and without a slash at its end; a stream that cannot be resumed is refused."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self._app, self._path = app, path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["path"].rstrip("/") == self._path:
            scope = {**scope, "path": self._path, "raw_path": self._path.encode()}
            if scope["method"] == "GET" and "last-event-id" in Headers(scope=scope):
                await _not_replayed(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _not_replayed(scope: Scope, receive: Receive, send: Send) -> None:
    message = (
        "Events are not kept, so none can be sent again: ask without Last-Event-ID, and call "
        "get_job for what became of a job."
    )
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": message}}
    await JSONResponse(body, 400)(scope, receive, send)
