"""Serve only those who call this server by one of its names, in Host and in Origin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ziggie_image_mcp.errors import ConfigError, quote

_HOST = re.compile(
    r"(?P<name>[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])\.?(?::(?P<port>[0-9]{1,5}))?"
)


class NamesGuard:
    """An application behind the names that it is called by: a rebound DNS name meets a refusal.

    Args:
        app: What is served.
        names: As `pictures.lan`, `[::1]`, or `pictures.lan:8443` for that port only.
        origins: Pages that may call besides those of these names, as `https://inspector.example`.

    Raises:
        ConfigError: One is no name.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str], origins: Iterable[str] = ()) -> None:
        self._app = app
        self._names = set(map(_allowed, names))
        self._origins = set(map(_allowed_origin, origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refusal: Any = None
            if not self._is_ours(headers.getlist("host")):
                refusal = Response("Invalid Host header", status_code=421)
            elif not self._comes_from_us(headers.getlist("origin")):
                refusal = Response("Invalid Origin header", status_code=403)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_ours(self, hosts: Sequence[str]) -> bool:
        place = _parsed(hosts[0]) if len(hosts) == 1 else None
        return place is not None and (place in self._names or (place[0], None) in self._names)

    def _comes_from_us(self, origins: Sequence[str]) -> bool:
        """Whether the page that asks is one of ours; what is no browser names none."""
        if not any(origins):
            return True
        if len(origins) == 1 and _origin(origins[0]) in self._origins:
            return True
        match = re.fullmatch(r"https?://(.*)", origins[0].lower(), re.DOTALL)
        return len(origins) == 1 and match is not None and self._is_ours([match[1]])


def _parsed(host: str) -> tuple[str, str | None] | None:
    """Name and port of a Host header; None for what is not one name and at most one port."""
    match = _HOST.fullmatch(host.lower())
    return None if match is None else (match["name"], match["port"])


def _allowed(name: str) -> tuple[str, str | None]:
    place = _parsed(f"[{name}]" if name.count(":") > 1 and name[:1] != "[" else name)
    if place is None:
        fix = "give a name without http://, as pictures.lan"
        raise ConfigError(f"--allowed-host {quote(repr(name))} is no name of a host: {fix}.")
    return place


def _origin(text: str) -> tuple[str, str, str] | None:
    """Scheme, name and port of a page; None for what is no origin."""
    match = re.fullmatch(r"(https?)://(.*)", text.lower(), re.DOTALL)
    place = None if match is None else _parsed(match[2])
    if match is None or place is None:
        return None
    return match[1], place[0], place[1] or ("443" if match[1] == "https" else "80")


def _allowed_origin(text: str) -> tuple[str, str, str]:
    origin = _origin(text)
    if origin is None:
        fix = "give scheme, name and port only, as https://inspector.example:6274"
        raise ConfigError(f"--allowed-origin {quote(repr(text))} is no origin: {fix}.")
    return origin
