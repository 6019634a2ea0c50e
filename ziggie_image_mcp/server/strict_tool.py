"""Make tools that refuse unknown arguments, and word every anticipated error for the model."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, cast

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import ValidationError

from ziggie_image_mcp.errors import ConsentDeclined, ImageError, quote, suggestion
from ziggie_image_mcp.provider.redaction import hidden
from ziggie_image_mcp.routing.request_checks import HALF_CHARACTER, WHOLE_CHARACTERS
from ziggie_image_mcp.server.callers import answer_for_caller, for_caller
from ziggie_image_mcp.server.mcp_server import ImageServer, warning
from ziggie_image_mcp.server.spending import NO_ANSWER, unanswered


class StrictTool(Tool):
    """A tool that refuses unknown arguments and words every anticipated error for the model."""

    @cached_property
    def output_schema(self) -> dict[str, Any] | None:
        """None: what an answer holds shows by itself, and its schema would cost context."""
        return None

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        """Call the function; an anticipated error becomes words, with its code in brackets.

        Where something is wrong with the settings, answers and errors alike say so at their end.
        """
        for name, value in arguments.items():
            if HALF_CHARACTER.search(_all_text((name, value))):
                shown = f"{quote(ascii(name)[1:-1])}={quote(ascii(value))}"
                raise ToolError(f"[INVALID_ARGUMENT] {shown}: {WHOLE_CHARACTERS}.")
        warning.set("")
        server = cast(ImageServer, context.mcp_server)
        server.answering += 1
        try:
            answer = await self._run(arguments, context, convert_result)
        except ToolError as e:
            if warning.get():
                raise ToolError(for_caller(f"{e}\nWarning: {warning.get()}")) from e
            raise
        finally:
            server.answering -= 1
        if warning.get() and isinstance(answer, CallToolResult):
            text = for_caller(f"Warning: {warning.get()}")
            answer.content.append(TextContent(type="text", text=text))
        return answer_for_caller(answer) if isinstance(answer, CallToolResult) else answer

    async def _run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool
    ) -> Any:
        """What is set aside for a question stays so only while the client may still answer it."""
        unanswered.set(None)
        answer: Any = None
        unreadable = False
        try:
            answer = await super().run(arguments, context, convert_result)
        except ToolError as e:
            asked = unanswered.get() is not None
            unreadable = asked and not isinstance(e.__cause__, ImageError)
            if unreadable:
                raise ToolError(f"[{ConsentDeclined.code}] {NO_ANSWER}") from e
            if isinstance(e.__cause__, ImageError):
                message = for_caller(f"[{e.__cause__.code}] {hidden(str(e.__cause__))}")
                raise ToolError(message) from e.__cause__
            if isinstance(e.__cause__, ValidationError):
                message = " ".join(_explain(e.__cause__, list(self.parameters["properties"])))
                raise ToolError(f"[INVALID_ARGUMENT] {message}") from e.__cause__
            raise
        finally:
            open_question = unanswered.get()
            if open_question is not None and not isinstance(answer, InputRequiredResult):
                await open_question.end(declined=unreadable)
        return answer


def _all_text(value: object) -> str:
    if isinstance(value, dict):
        value = [*cast(dict[str, object], value).items()]
    if isinstance(value, list | tuple):
        return "".join(map(_all_text, cast(Sequence[object], value)))
    return value if isinstance(value, str) else ""


def strict(fn: Callable[..., Any], title: str, annotations: ToolAnnotations) -> StrictTool:
    """Make a tool of a function, with a schema that is no longer than it must be."""
    tool = cast(StrictTool, StrictTool.from_function(fn, title=title, annotations=annotations))
    arguments = tool.fn_metadata.arg_model
    arguments.model_config["extra"] = "forbid"
    arguments.model_rebuild(force=True)
    tool.description = inspect.cleandoc(tool.description or "")
    tool.parameters = _short(arguments.model_json_schema(by_alias=True))
    return tool


def _short(schema: object) -> Any:
    """Leave out what costs the model's context and tells it nothing."""
    if isinstance(schema, list):
        return [_short(part) for part in cast(list[object], schema)]
    if not isinstance(schema, dict):
        return schema
    whole = cast(dict[str, object], schema)
    short = {key: _short(value) for key, value in whole.items()}
    if isinstance(short.get("title"), str):
        del short["title"]
    branches: list[Any] = short.get("anyOf", [])
    real: list[dict[str, Any]] = [b for b in branches if b != {"type": "null"}]
    if len(real) == 1 and len(branches) == 2 and isinstance(real[0].get("type"), str):
        del short["anyOf"]
        short = real[0] | {"type": [real[0]["type"], "null"]} | short
    return _input_schema(short)


def _input_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """What comes in: null and an empty text are what an argument is that was left out."""
    if schema.get("default", 0) in (None, ""):
        del schema["default"]
    if isinstance(schema.get("type"), list):
        schema["type"] = schema["type"][0]
    return schema


def _explain(error: ValidationError, known: list[str]) -> Iterable[str]:
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            hint = suggestion(name, known)
            yield f"There is no argument {name!r}.{hint} Arguments: {', '.join(known)}."
        elif problem["type"] == "missing":
            yield f"The argument {name!r} is missing."
        else:
            value = quote(json.dumps(problem["input"], default=str))
            yield f"{name}={value}: {problem['msg']}."
