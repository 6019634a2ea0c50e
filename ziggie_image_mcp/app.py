"""Build the house: the only place that knows which rooms there are."""

from __future__ import annotations

import hmac
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread
from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver import MCPServer

from ziggie_image_mcp import config, slots
from ziggie_image_mcp.config import ENV_TOKEN, ENV_TOKENS
from ziggie_image_mcp.errors import ConfigError, ImageError
from ziggie_image_mcp.experience import Experience
from ziggie_image_mcp.experience import default_file as experience_file
from ziggie_image_mcp.ledger import Ledger, caps_from, default_file
from ziggie_image_mcp.office import Office
from ziggie_image_mcp.paid import Cashier
from ziggie_image_mcp.registry import Registry
from ziggie_image_mcp.server import Open, make_server
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.store import Store

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WATCH_AFTER_SECONDS = 3.0
WATCH_SECONDS = 4.0
"""How often an idle server looks whether another one died."""
LEAVE_SECONDS = 3.0
_BODY_BYTES = 4 * 1024 * 1024


class House:
    """The service, built at the first use, so that a server starts fast and starts always.

    A wrong config is reported by every call until it is put right; then the next call works.
    """

    def __init__(
        self, config_file: Path | None = None, *, worker: bool = False, listen: bool = True
    ) -> None:
        self._file = config_file
        self._worker = worker
        self._listen = listen
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
        made = Service(settings, registry, store, cashier=cashier, experience=Experience(memory))
        made.office = Office(
            settings.database,
            config.data_dir(),
            made.maker.make,
            hands=self._worker or not settings.workers,
            listen=self._listen,
            keep=timedelta(days=settings.keep_jobs),
        )
        return made

    async def watch(self) -> None:
        """Take up the jobs that dead processes of this machine left.

        It looks at the names of files only, as long as there is none.
        """
        await anyio.sleep(WATCH_AFTER_SECONDS)
        while True:
            if any(await anyio.to_thread.run_sync(slots.all_orphans, config.data_dir())):
                with suppress(ImageError):  # a wrong config is told by every call
                    office = (await self.service()).office
                    if office is not None and await office.orphans():
                        await office.open()
            await anyio.sleep(WATCH_SECONDS)

    async def leave(self, code: int = 0) -> None:
        """End the process at once where it has jobs in hand, as a crash would.

        What they are doing is recorded, and the next process takes them up; to unwind them would
        be to cancel them.
        """
        service = self._service
        if service is not None and service.office is not None and service.office.busy:
            with anyio.move_on_after(LEAVE_SECONDS):
                await service.registry.aclose()  # the children that hold GPUs
            sys.stdout.flush()
            os._exit(code)

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
    async with House(config_file) as house, anyio.create_task_group() as group:
        group.start_soon(house.watch)
        await make_server(house.service).run_stdio_async()
        await house.leave()
        group.cancel_scope.cancel()


async def work(config_file: Path | None = None) -> None:
    """Take jobs off the queue until the process is told to end.

    Raises:
        ConfigError: The config makes no sense.
        StorageError: The jobs' database cannot be used.
    """
    async with House(config_file, worker=True) as house:
        office = (await house.service()).office
        assert office is not None
        await office.open()
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
        await house.leave()


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
        lacking = [] if tokens else [f"a token in the environment variable {ENV_TOKEN}"]
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
    async with House(config_file) as house, anyio.create_task_group() as group:
        group.start_soon(house.watch)
        server = (
            _guarded(house.service, tokens, host, port) if tokens else make_server(house.service)
        )
        await server.run_streamable_http_async(
            host=host,
            port=port,
            max_request_body_size=_BODY_BYTES,
            stateless_http=stateless,
            transport_security=security,
        )
        await house.leave()
        group.cancel_scope.cancel()


def _guarded(opener: Open, tokens: Mapping[str, str], host: str, port: int) -> MCPServer[Open]:
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    shown = f"[{host}]" if ":" in host else host
    url = AnyHttpUrl(f"http://{shown}:{port}")
    auth = AuthSettings(
        issuer_url=url, resource_server_url=url, required_scopes=[], validate_token_resource=False
    )
    verifier = _Tokens(tokens)
    return make_server(opener, auth=auth, token_verifier=verifier, state_keys=[_key(tokens)])


def _key(tokens: Mapping[str, str]) -> bytes:
    """Seals what goes through clients' hands; the same for all servers of the same tokens."""
    said = "\n".join(f"{name}:{token}" for name, token in sorted(tokens.items()))
    return hmac.digest(said.encode(), b"ziggie-image-mcp request state", "sha256")


def _tokens() -> dict[str, str]:
    """Who may call, by name: ZIGGIE_IMAGE_TOKEN is the owner's, ZIGGIE_IMAGE_TOKENS others'."""
    owner = os.environ.get(ENV_TOKEN, "")
    found = {"owner": owner} if owner else {}
    for part in filter(None, os.environ.get(ENV_TOKENS, "").split(",")):
        name, colon, token = part.strip().partition(":")
        if not (name and colon and token) or name in found:
            raise ConfigError(
                f"{ENV_TOKENS} must be as alice:SECRET,bob:OTHER with each name once; the part "
                f"named {name[:20]!r} is not."
            )
        found[name] = token
    return found


class _Tokens:
    """Accept the tokens that the user chose. Each name sees its own jobs only."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = tokens

    async def verify_token(self, token: str) -> AccessToken | None:
        found = None
        for name, known in self._tokens.items():
            if hmac.compare_digest(token.encode(), known.encode()):
                found = AccessToken(token=token, client_id=name, scopes=[], expires_at=None)
        return found
