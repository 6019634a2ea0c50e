"""Answer `ping` in every era: 2026-07-28 has none, and some hosts send it all the same."""

from __future__ import annotations

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS


async def answer_ping(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Answer a `ping` of 2026-07-28 as an empty result; the SDK answers those of older eras.

    Claude sends it before it shows an App, and shows none after "Method not found"
    (modelcontextprotocol/ext-apps#671).
    """
    if ctx.method == "ping" and ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return {"resultType": "complete"}
    return await call_next(ctx)
