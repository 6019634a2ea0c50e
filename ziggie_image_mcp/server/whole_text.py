r"""Read the messages that hold half a character, so that they too are answered.

JSON may write one, as `"\ud800"`. The SDK's parser refuses the line as a whole, with the id that an
answer would need. Here it is read: the arguments of a tool stay as they are, and the tool refuses
them by name; anywhere else the half is replaced as a broken byte would be.
"""

from __future__ import annotations

import json
from typing import Any, cast

from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from pydantic import ValidationError

from ziggie_image_mcp.routing.request_checks import HALF_CHARACTER

Received = SessionMessage | Exception


def read_again(received: Received) -> Received:
    """What came in: of a line that the SDK could not read, its message, where it is one."""
    return _read(received) if isinstance(received, ValidationError) else received


def _read(error: ValidationError) -> Received:
    line: object = error.errors(include_url=False)[0]["input"]
    if not isinstance(line, str):
        return error
    try:
        message: object = json.loads(line)
        if not isinstance(message, dict):
            return error
        fields = cast(dict[str, Any], message)
        arguments = _arguments_of(fields)
        whole = _whole(fields)
        if arguments is not None:
            whole["params"]["arguments"] = arguments
        return SessionMessage(jsonrpc_message_adapter.validate_python(whole, by_name=False))
    except (ValueError, RecursionError):  # it is no message for other reasons, which are told
        return error


def _arguments_of(message: dict[str, Any]) -> Any:
    params: object = message.get("params")
    if message.get("method") != "tools/call" or not isinstance(params, dict):
        return None
    return cast(dict[str, Any], params).get("arguments")


def _whole(value: object) -> Any:
    if isinstance(value, str):
        return HALF_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list):
        return [_whole(part) for part in cast(list[object], value)]
    if isinstance(value, dict):
        return {_whole(k): _whole(v) for k, v in cast(dict[str, object], value).items()}
    return value
