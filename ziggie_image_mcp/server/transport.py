"""Serve MCP on stdio and streamable HTTP."""

from __future__ import annotations

import errno
import hmac
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from mcp.server.auth.provider import AccessToken

from ziggie_image_mcp.app.application import Application
from ziggie_image_mcp.app.leaving import signals
from ziggie_image_mcp.config.config import ENV_TOKEN, ENV_TOKENS
from ziggie_image_mcp.config.environment import answered
from ziggie_image_mcp.errors import ConfigError, quote
from ziggie_image_mcp.jobs.owners import OWNER
from ziggie_image_mcp.server.callers import name_of_token
from ziggie_image_mcp.server.http_names import NamesGuard
from ziggie_image_mcp.server.mcp_server import ImageServer, Open
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.server.web_app import Health, OnePath, Place, checked_path, for_pages

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

    from ziggie_image_mcp.server.gallery.application import Gallery


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where a server that listens is found."""

    mcp: str
    gallery: str
    """Of the page."""
    code: str
    """What opens it once for the owner, put behind its address; empty where nobody signs in. A
    browser does not send it, and the page takes it off the address."""


LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BODY_BYTES = 4 * 1024 * 1024


async def serve_stdio(config_file: Path | None = None, *, verbose: bool = False) -> None:
    """Speak MCP on stdin and stdout until stdin ends or a signal comes."""
    async with Application(config_file) as application, anyio.create_task_group() as group:
        server = make_server(
            application.service, verbose=verbose, reaches_out=application.reaches_out
        )
        with signals() as ending:

            async def speak() -> None:
                try:
                    await server.serve_stdio(application.begin_to_leave)
                except* (OSError, anyio.BrokenResourceError):  # the client closed its end
                    pass
                ending.begin()

            group.start_soon(application.watch)
            group.start_soon(speak)
            await ending.wait()
            await application.leave(ending, answered=server.answered)
            group.cancel_scope.cancel()
    application.end()


async def serve_http(
    config_file: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    place: Place | None = None,
    stateless: bool = False,
    verbose: bool = False,
    only_gallery: bool = False,
    listening: Callable[[Addresses], None] = lambda _: None,
) -> None:
    """Speak MCP over streamable HTTP, with the gallery's page at the root; or serve that page only.

    `listening` is told the addresses once the server listens; port 0 is any that is free.

    A `stateless` server keeps no sessions, so that several may stand behind one address; clients of
    the handshake era can then not be asked about money.

    Without a token only this machine is served. The token comes from ZIGGIE_IMAGE_TOKEN and is
    then asked for on loopback too.

    Raises:
        ConfigError: The host is not loopback, and a token or the allowed hosts are missing; or
            the address cannot be listened on.
    """
    from ziggie_image_mcp.server.gallery.application import Gallery
    from ziggie_image_mcp.server.gallery.sessions import Sessions

    tokens = _tokens()
    place = place or Place()
    host = host.strip().strip("[]").lower()
    if not _is_loopback(host) and not (tokens and place.allowed_hosts):
        missing = [] if tokens else [f"a token in the environment variable {ENV_TOKEN}"]
        missing += [] if place.allowed_hosts else ["--allowed-host with the name that clients use"]
        raise ConfigError(
            f"--host {host} can be reached from other machines, so it needs "
            f"{' and '.join(missing)}. Use 127.0.0.1 to serve this machine only."
        )
    application = Application(config_file)
    server = http_server(
        application.service, tokens, verbose=verbose, reaches_out=application.reaches_out
    )
    if _is_loopback(host):  # its clients may call it so
        place = replace(place, allowed_hosts=(*place.allowed_hosts, host))
    gallery = Gallery(application.service, Sessions(tokens))
    app = (
        gallery_app(gallery, place)
        if only_gallery
        else http_app(server, place, stateless=stateless, gallery=gallery)
    )
    with _listener(host, port) as listener:
        root = f"http://{_in_url(host)}:{listener.getsockname()[1]}"
        code = f"#code={gallery.sessions.new_code()}" if OWNER in tokens else ""
        listening(Addresses(mcp=f"{root}{checked_path(place.path)}", gallery=f"{root}/", code=code))
        async with application, anyio.create_task_group() as group:
            group.start_soon(application.watch)
            with signals() as ending:
                web = _web_server(app)

                async def speak() -> None:
                    await web.serve([listener])
                    ending.begin()

                group.start_soon(speak)
                await ending.wait()
                await application.leave(ending, answered=server.answered)
                web.should_exit = True
            group.cancel_scope.cancel()
        application.end()


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listener(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigError: The address cannot be used, as where another server has it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except UnicodeError as e:
        raise ConfigError(f"--host {quote(repr(host))} is no name of a host. {_OWN_NAME}") from e
    except OSError as e:
        fix = _FIXES.get(e.errno or 0, "Choose another --host or --port.")
        if (e.errno or 0) < 0:  # of the resolver: a name that it does not know
            fix = _OWN_NAME
        why = (e.strerror or str(e)).partition(" (while")[0]
        raise ConfigError(f"{_in_url(host)}:{port} cannot be listened on: {why}. {fix}") from e


_OWN_NAME = "Give --host a name or an address of this machine, as 127.0.0.1."
_FIXES = {
    errno.EADDRINUSE: "Choose another --port, or end what has this one.",
    errno.EADDRNOTAVAIL: _OWN_NAME,
    errno.EACCES: "Choose a --port of 1024 or more.",
    errno.EPERM: "Choose a --port of 1024 or more.",
}


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _web_server(app: ASGIApp) -> uvicorn.Server:
    import uvicorn

    class Web(uvicorn.Server):
        """It leaves signals to the process."""

        @contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    return Web(uvicorn.Config(app, log_level="warning"))


def http_app(
    server: ImageServer,
    place: Place | None = None,
    *,
    stateless: bool = False,
    gallery: Gallery | None = None,
) -> ASGIApp:
    """The server as an ASGI application, with the gallery's page at its root where one is given.

    Raises:
        ConfigError: An allowed host is no name, an allowed origin none, or the path is none.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    place = place or Place()
    path = checked_path(place.path)
    server.custom_route(f"{path}/download/{{token}}", methods=["GET"])(server.downloads.answer)
    app = server.streamable_http_app(
        streamable_http_path=path,
        max_request_body_size=_BODY_BYTES,
        stateless_http=stateless,
        # The SDK compares the beginnings of names only; NamesGuard stands before it.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    pages = for_pages(OnePath(app, path))
    return _guarded(pages if gallery is None else gallery.before(pages), place)


def gallery_app(gallery: Gallery, place: Place) -> ASGIApp:
    """The gallery alone: MCP, which pages of other ports of this machine may call, is not here."""
    from starlette.applications import Starlette

    return _guarded(gallery.before(Starlette()), place)


def _guarded(app: ASGIApp, place: Place) -> ASGIApp:
    return Health(NamesGuard(app, [*LOOPBACK, *place.allowed_hosts], place.allowed_origins))


def http_server(
    opener: Open,
    tokens: Mapping[str, str],
    *,
    verbose: bool = False,
    reaches_out: Callable[[], Awaitable[bool]] | None = None,
) -> ImageServer:
    """The server for callers over HTTP: those who have one of the tokens, where there are any."""
    if not tokens:
        return make_server(opener, verbose=verbose, reaches_out=reaches_out)
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    # There is no sign-in that issues tokens: without the URL of a resource none is announced.
    nobody = AnyHttpUrl("http://localhost")
    auth = AuthSettings(issuer_url=nobody, resource_server_url=None, required_scopes=[])
    verifier = _Tokens(tokens)
    return make_server(
        opener,
        auth=auth,
        token_verifier=verifier,
        state_keys=[_key(tokens)],
        verbose=verbose,
        reaches_out=reaches_out,
    )


def _key(tokens: Mapping[str, str]) -> bytes:
    """Seals what clients carry for us; the same for all servers of the same tokens."""
    text = "\n".join(f"{name}:{token}" for name, token in sorted(tokens.items()))
    return hmac.digest(text.encode(), b"ziggie-image-mcp request state", "sha256")


def _tokens() -> dict[str, str]:
    """Who may call, by name: ZIGGIE_IMAGE_TOKEN is the owner's, ZIGGIE_IMAGE_TOKENS others'."""
    owner = answered(os.environ.get(ENV_TOKEN, ""))
    by_name: dict[str, str] = {}
    if owner:
        by_name[OWNER] = owner.strip()
        if not _is_token(owner.strip()):
            raise ConfigError(f"{ENV_TOKEN} is no token: {_A_TOKEN}, or unset it.")
    others = answered(os.environ.get(ENV_TOKENS, ""))
    for part in others.split(",") if others else ():
        name, _, token = (piece.strip() for piece in part.partition(":"))
        if not (name and _is_token(token)) or name in by_name or token in by_name.values():
            raise ConfigError(
                f"{ENV_TOKENS} must be as alice:SECRET,bob:OTHER with each name and token once; "
                f"the part named {name[:20]!r} is not. A token: {_A_TOKEN}."
            )
        by_name[name] = token
    return by_name


_A_TOKEN = "letters, digits and signs of ASCII, not blanks alone"  # noqa: S105 - what one is


def _is_token(text: str) -> bool:
    """Whether a header can carry it: a token of blanks would let in whoever sends none."""
    return bool(text.strip()) and text.isascii() and text.isprintable()


class _Tokens:
    """Accept the tokens that the user chose. Each name sees its own jobs and pictures only."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = tokens

    async def verify_token(self, token: str) -> AccessToken | None:
        name = name_of_token(self._tokens, token)
        if name is None:
            return None
        return AccessToken(token=token, client_id=name, scopes=[], expires_at=None)
