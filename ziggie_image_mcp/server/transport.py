"""Serve MCP on stdio and streamable HTTP."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer

from ziggie_image_mcp.app.application import Application
from ziggie_image_mcp.config.config import ENV_TOKEN, ENV_TOKENS
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.server.tools import Open, make_server

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BODY_BYTES = 4 * 1024 * 1024


async def serve_stdio(config_file: Path | None = None) -> None:
    """Speak MCP on stdin and stdout until stdin ends."""
    async with Application(config_file) as application, anyio.create_task_group() as group:
        group.start_soon(application.watch)
        await make_server(application.service).run_stdio_async()
        await application.leave()
        group.cancel_scope.cancel()


async def serve_http(
    config_file: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    allowed_hosts: Sequence[str] = (),
    stateless: bool = False,
) -> None:
    """Speak MCP over streamable HTTP at /mcp.

    A `stateless` server keeps no sessions, so that several may stand behind one address; clients of
    the handshake era can then not be asked about money.

    Without a token only this machine is served. The token comes from ZIGGIE_IMAGE_TOKEN and is
    then asked for on loopback too.

    Raises:
        ConfigError: The host is not loopback, and a token or the allowed hosts are missing.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    tokens = _tokens()
    if host not in LOOPBACK and not (tokens and allowed_hosts):
        missing = [] if tokens else [f"a token in the environment variable {ENV_TOKEN}"]
        missing += [] if allowed_hosts else ["--allowed-host with the name that clients use"]
        raise ConfigError(
            f"--host {host} can be reached from other machines, so it needs "
            f"{' and '.join(missing)}. Use 127.0.0.1 to serve this machine only."
        )
    names = [*LOOPBACK[:2], "[::1]", *allowed_hosts]
    security = TransportSecuritySettings(
        allowed_hosts=[n for name in names for n in (name, f"{name}:*")],
        allowed_origins=[
            f"{scheme}://{name}{suffix}"
            for name in names
            for scheme in ("http", "https")
            for suffix in ("", ":*")
        ],
    )
    async with Application(config_file) as application, anyio.create_task_group() as group:
        group.start_soon(application.watch)
        server = (
            _guarded(application.service, tokens, host, port)
            if tokens
            else make_server(application.service)
        )
        await server.run_streamable_http_async(
            host=host,
            port=port,
            max_request_body_size=_BODY_BYTES,
            stateless_http=stateless,
            transport_security=security,
        )
        await application.leave()
        group.cancel_scope.cancel()


def _guarded(opener: Open, tokens: Mapping[str, str], host: str, port: int) -> MCPServer[Open]:
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    display_host = f"[{host}]" if ":" in host else host
    url = AnyHttpUrl(f"http://{display_host}:{port}")
    auth = AuthSettings(
        issuer_url=url, resource_server_url=url, required_scopes=[], validate_token_resource=False
    )
    verifier = _Tokens(tokens)
    return make_server(opener, auth=auth, token_verifier=verifier, state_keys=[_key(tokens)])


def _key(tokens: Mapping[str, str]) -> bytes:
    """Seals what clients carry for us; the same for all servers of the same tokens."""
    text = "\n".join(f"{name}:{token}" for name, token in sorted(tokens.items()))
    return hmac.digest(text.encode(), b"ziggie-image-mcp request state", "sha256")


def _tokens() -> dict[str, str]:
    """Who may call, by name: ZIGGIE_IMAGE_TOKEN is the owner's, ZIGGIE_IMAGE_TOKENS others'."""
    owner = os.environ.get(ENV_TOKEN, "")
    by_name = {"owner": owner} if owner else {}
    for part in filter(None, os.environ.get(ENV_TOKENS, "").split(",")):
        name, colon, token = part.strip().partition(":")
        if not (name and colon and token) or name in by_name:
            raise ConfigError(
                f"{ENV_TOKENS} must be as alice:SECRET,bob:OTHER with each name once; the part "
                f"named {name[:20]!r} is not."
            )
        by_name[name] = token
    return by_name


class _Tokens:
    """Accept the tokens that the user chose. Each name sees its own jobs only."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = tokens

    async def verify_token(self, token: str) -> AccessToken | None:
        by_name = None
        for name, known in self._tokens.items():
            if hmac.compare_digest(token.encode(), known.encode()):
                by_name = AccessToken(token=token, client_id=name, scopes=[], expires_at=None)
        return by_name
