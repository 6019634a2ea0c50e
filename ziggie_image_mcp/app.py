"""Build the house: the only place that knows which rooms there are."""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import anyio
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer

from ziggie_image_mcp import config
from ziggie_image_mcp.config import ENV_TOKEN
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.experience import Experience
from ziggie_image_mcp.experience import default_file as experience_file
from ziggie_image_mcp.ledger import Ledger, caps_from, default_file
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.server import Open, make_server
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.store import Store

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_BODY_BYTES = 4 * 1024 * 1024


class House:
    """The service, built at the first use, so that a server starts fast and starts always.

    A wrong config is reported by every call until it is put right; then the next call works.
    """

    def __init__(self, config_file: Path | None = None) -> None:
        self._file = config_file
        self._service: Service | None = None
        self._lock = anyio.Lock()

    async def service(self) -> Service:
        """The one service of this process.

        Raises:
            ConfigError: The config, or one provider's section of it, makes no sense.
        """
        async with self._lock:
            if self._service is None:
                service = await anyio.to_thread.run_sync(self._build)
                await service.registry.open()
                self._service = service
        return self._service

    def _build(self) -> Service:
        settings = config.load(self._file)
        store = Store(
            config.output_dir(settings),
            format=settings.output.format,
            metadata=settings.output.metadata,
        )
        registry = Registry(settings, config.data_dir())
        ledger = Ledger(settings.database or default_file())
        memory = settings.database or experience_file()
        cashier = Cashier(ledger, caps_from(settings.budget, config.provider_budgets(settings)))
        return Service(settings, registry, store, cashier=cashier, experience=Experience(memory))

    async def aclose(self) -> None:
        """Close the providers, if any were built."""
        if self._service is not None:
            await self._service.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose()


async def serve_stdio(config_file: Path | None = None) -> None:
    """Speak MCP on stdin and stdout until stdin ends."""
    async with House(config_file) as house:
        await make_server(house.service).run_stdio_async()


async def serve_http(
    config_file: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    allowed_hosts: Sequence[str] = (),
) -> None:
    """Speak MCP over streamable HTTP at /mcp.

    Without a token only this machine is served. The token comes from ZIGGIE_IMAGE_TOKEN and is
    then asked for on loopback too.

    Raises:
        ConfigError: The host is not loopback, and a token or the allowed hosts are missing.
    """
    from mcp.server.transport_security import TransportSecuritySettings

    token = os.environ.get(ENV_TOKEN, "")
    if host not in LOOPBACK and not (token and allowed_hosts):
        lacking = [] if token else [f"a token in the environment variable {ENV_TOKEN}"]
        lacking += [] if allowed_hosts else ["--allowed-host with the name that clients use"]
        raise ConfigError(
            f"--host {host} can be reached from other machines, so it needs "
            f"{' and '.join(lacking)}. Use 127.0.0.1 to serve this machine only."
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
    async with House(config_file) as house:
        server = _guarded(house.service, token, host, port) if token else make_server(house.service)
        await server.run_streamable_http_async(
            host=host,
            port=port,
            max_request_body_size=_BODY_BYTES,
            transport_security=security,
        )


def _guarded(opener: Open, token: str, host: str, port: int) -> MCPServer[Open]:
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    shown = f"[{host}]" if ":" in host else host
    url = AnyHttpUrl(f"http://{shown}:{port}")
    auth = AuthSettings(
        issuer_url=url, resource_server_url=url, required_scopes=[], validate_token_resource=False
    )
    return make_server(opener, auth=auth, token_verifier=_OneToken(token))


class _OneToken:
    """Accept one token that the user chose."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        if not hmac.compare_digest(token.encode(), self._token):
            return None
        return AccessToken(token=token, client_id="owner", scopes=[], expires_at=None)
