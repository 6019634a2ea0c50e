r"""Read the messages that the SDK's parser refuses as a whole, so that they too are answered.

JSON may write half a character, as `"\ud800"`. Here it is read: the arguments of a tool stay as
they are, and the tool refuses them by name; anywhere else the half is replaced as a broken byte
would be. A number of thousands of digits stays a text, which the tool refuses by name as well. What
is no message at all gets the protocol's error, with the id that it came with where one shows.
"""

from __future__ import annotations

import json
import re
from typing import Any, cast

from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from ziggie_image_mcp.routing.request_checks import HALF_CHARACTER

Received = SessionMessage | Exception
MAX_DIGITS = 4_000
MAX_DEPTH = 200
"""Of brackets: as deep as the SDK reads."""
_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*"(?P<colon>\s*:\s*(?P<value>-?\d{1,18}(?![\d.eE])|"(?:[^"\\]|\\.){0,200}"))?'
    r"|[\[\]{}]"
)


def read_again(received: Received) -> Received | JSONRPCError:
    """What came in: of a line that the SDK could not read, its message, or what answers it."""
    return _read(received) if isinstance(received, ValidationError) else received


def _read(error: ValidationError) -> Received | JSONRPCError:
    problems = error.errors(include_url=False)
    line: object = problems[0]["input"]
    if problems[0]["type"] != "json_invalid" or not isinstance(line, str):
        # It is JSON, but no message: what lacks a field is given as a whole.
        whole_ones = [p["input"] for p in problems if p["type"] == "missing" and len(p["loc"]) == 2]
        line = json.dumps(whole_ones[0] if whole_ones else [])
    if not line.strip():
        return error
    depth, id_ = _outline(line)
    if depth > MAX_DEPTH:
        text = f"The message nests {depth} brackets; at most {MAX_DEPTH} are read"
        return _error(id_, INVALID_REQUEST, text)
    try:
        message: object = json.loads(line, parse_int=_number)
    except ValueError as e:
        return _error(None, PARSE_ERROR, f"The line is no JSON: {e}")
    if not isinstance(message, dict):
        text = "A message is one JSON object; batches are not taken"
        return _error(None, INVALID_REQUEST, text)
    fields = cast(dict[str, Any], message)
    arguments = _arguments_of(fields)
    whole = _whole(fields)
    if arguments is not None:
        whole["params"]["arguments"] = arguments
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_python(whole, by_name=False))
    except ValidationError as e:
        if "id" not in fields and "method" in fields:
            return error  # notifications are never answered
        return _error(id_, INVALID_REQUEST, f"The message is no request: {_problem(e)}")


def _problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    request = [p for p in problems if p["loc"][:1] == (JSONRPCRequest.__name__,)]
    problem = (request or problems)[0]
    where = ".".join(str(part) for part in problem["loc"][1:]) or "message"
    return f"{where}: {problem['msg']}"


def _error(id_: str | int | None, code: int, message: str) -> JSONRPCError:
    return JSONRPCError(jsonrpc="2.0", id=id_, error=ErrorData(code=code, message=f"{message}."))


def _outline(line: str) -> tuple[int, str | int | None]:
    """How deep the brackets of a line go, and the id of its outermost object."""
    depth = deepest = 0
    id_: str | int | None = None
    for token in _TOKEN.finditer(line):
        if token[0] in ("[", "{"):
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in ("]", "}"):
            depth -= 1
        elif depth == 1 and token["value"] and token[0].startswith('"id"'):
            id_ = json.loads(token["value"])
    return deepest, id_


def _number(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits


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
