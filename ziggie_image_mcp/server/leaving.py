"""Notice that the client of an HTTP request has gone away before it was answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio
from mcp.server.mcpserver import Context

from ziggie_image_mcp.jobs.errors import JobCancelled

if TYPE_CHECKING:
    from starlette.requests import Request

LOOK_SECONDS = 1.0


class Hearing:
    """Whether there still is somebody who hears the answer."""

    lost = False


@asynccontextmanager
async def while_heard(ctx: Context[Any]) -> AsyncGenerator[Hearing]:
    """Cancel the block once nobody can hear the answer.

    That newer clients leave, the protocol itself tells; of those of the handshake era it does not.

    Raises:
        JobCancelled: The client has gone away.
    """
    hearing = Hearing()
    request = cast("Request[Any] | None", ctx.request_context.request)
    if request is None:  # of a pipe, whose end is the server's
        yield hearing
        return
    with anyio.CancelScope() as scope:
        watch = asyncio.get_running_loop().create_task(_watch(request, hearing, scope))
        try:
            yield hearing
        finally:
            watch.cancel()
    if scope.cancelled_caught:
        raise JobCancelled("Its caller went away.")


async def _watch(request: Request[Any], hearing: Hearing, scope: anyio.CancelScope) -> None:
    while True:
        if await request.is_disconnected():
            hearing.lost = True
            scope.cancel()
            return
        await anyio.sleep(LOOK_SECONDS)
