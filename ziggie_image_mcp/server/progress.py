"""Tell an MCP client how far a call is, and that it still goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
from mcp.server.mcpserver import Context

HEARTBEAT_SECONDS = 4.0
"""Clients give up on a silent call; the protocol's rule here is a word every five seconds."""


class ProgressStream:
    """Tell the client about progress, and at least every few seconds that the work goes on.

    The protocol wants each value above the last, so a repeated word moves the bar by a hair.
    """

    def __init__(self, ctx: Context[Any]) -> None:
        self._ctx = ctx
        self._value = -1.0
        self._message = "working"
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> ProgressStream:
        await self._group.__aenter__()
        self._group.start_soon(self._beat)
        return self

    async def __aexit__(self, *exc: Any) -> bool | None:
        self._group.cancel_scope.cancel()
        try:
            return await self._group.__aexit__(*exc)
        except BaseExceptionGroup as group:
            # one failure is that failure: the work's own error, not a group around it
            inner: Sequence[BaseException] = group.exceptions
            if len(inner) == 1:
                raise inner[0] from inner[0].__cause__
            raise

    async def report(self, fraction: float, message: str) -> None:
        """Tell how far the work is."""
        self._message = message
        await self._send(fraction)

    async def _beat(self) -> None:
        while True:
            await anyio.sleep(HEARTBEAT_SECONDS)
            await self._send(self._value)

    async def _send(self, fraction: float) -> None:
        if fraction <= self._value:
            fraction = self._value + (1.0 - self._value) * 0.001
        self._value = fraction
        await self._ctx.report_progress(fraction, 1.0, self._message)
