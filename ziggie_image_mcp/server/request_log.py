"""Tell of each request in one line, and answer a client's mistakes without a traceback."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import INVALID_PARAMS, CallToolResult
from pydantic import ValidationError

from ziggie_image_mcp.errors import quote
from ziggie_image_mcp.server.callers import caller


async def log_request(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Answer, and print method, tool, outcome, milliseconds and caller; never what was sent."""
    began = time.monotonic()
    status = "cancelled"
    try:
        answer = await call_next(ctx)
        status = "error" if _is_tool_error(answer) else "ok"
        return answer
    except MCPError as e:
        status = f"error {e.error.code}"
        raise
    except Exception as e:
        status = f"error {type(e).__name__}"
        raise
    finally:
        if ctx.request_id is not None:
            spent = round((time.monotonic() - began) * 1000)
            name = " ".join(filter(None, [_word(ctx.method), _tool(ctx)]))
            print(f"{name}: {status}, {spent} ms, {caller() or 'local'}", file=sys.stderr)


async def answer_mistakes(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Say what is wrong with a prompt's name or arguments; the SDK takes it for a bug of ours."""
    try:
        return await call_next(ctx)
    except ValidationError:
        raise  # of malformed parameters, which the SDK words
    except ValueError as e:
        if ctx.method != "prompts/get":
            raise
        raise MCPError(code=INVALID_PARAMS, message=str(e)) from e


def _tool(ctx: ServerRequestContext[Any, Any]) -> str:
    name = ctx.params.get("name") if isinstance(ctx.params, Mapping) else None
    return _word(name) if ctx.method in ("tools/call", "prompts/get") else ""


def _word(text: object) -> str:
    """A peer's word on one line."""
    return quote(text if isinstance(text, str) and text.isprintable() else ascii(text), 60)


def _is_tool_error(answer: HandlerResult) -> bool:
    if isinstance(answer, dict):
        return bool(answer.get("isError"))
    return isinstance(answer, CallToolResult) and bool(answer.is_error)
