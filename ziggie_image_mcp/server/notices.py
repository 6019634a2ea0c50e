"""Tell clients that there are new pictures, and announce no more than there is."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourcesListChanged

from ziggie_image_mcp.app.service import Service

SEND_SECONDS = 2.0
"""A client that does not read is passed over."""


class Notices:
    """Clients of both eras, and what they are told when a picture is kept in this process."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        """Tells those of 2026-07-28, who listen."""
        self._connections: WeakKeyDictionary[Any, None] = WeakKeyDictionary()
        """Those of the handshake era."""
        self._kept = asyncio.Event()
        self._attached: Service | None = None

    def attach(self, service: Service) -> None:
        """Hear of the pictures of this service, which is open."""
        if self._attached is not service:
            self._attached = service
            loop = asyncio.get_running_loop()

            def kept() -> None:  # in whatever thread
                if not loop.is_closed():
                    loop.call_soon_threadsafe(self._kept.set)

            service.artifacts.on_save(kept)

    def new_pictures(self) -> None:
        """There are some, which another process may have made."""
        self._kept.set()

    async def send(self) -> None:
        """Tell of new pictures, until cancelled."""
        while True:
            await self._kept.wait()
            self._kept.clear()
            await self.bus.publish(ResourcesListChanged())
            for connection in list(self._connections):
                with anyio.move_on_after(SEND_SECONDS):
                    await connection.send_resource_list_changed()

    async def watch(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Answer; remember who shook hands, and correct what the SDK announces."""
        if ctx.method == "notifications/initialized":
            connection = ctx.session._connection  # pyright: ignore[reportPrivateUsage]
            self._connections[connection] = None
        answer = await call_next(ctx)
        if ctx.method in ("initialize", "server/discover") and isinstance(answer, dict):
            abilities: dict[str, dict[str, Any]] = answer["capabilities"]
            changing = {"tools": False, "prompts": False, "resources": True}
            for name, changes in changing.items():
                abilities[name] |= {"listChanged": changes}
            abilities["resources"] |= {"subscribe": False}
        return answer
