"""Make tools that refuse unknown arguments, and word every anticipated error for the model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import ValidationError

from ziggie_image_mcp.errors import ConsentDeclined, ImageError, quote
from ziggie_image_mcp.routing.request_checks import HALF_CHARACTER, WHOLE_CHARACTERS
from ziggie_image_mcp.routing.spellings import InvalidArguments, read_arguments
from ziggie_image_mcp.server.callers import answer_for_caller, for_caller
from ziggie_image_mcp.server.content import error_answer
from ziggie_image_mcp.server.mcp_server import ImageServer, warning
from ziggie_image_mcp.server.spending import NO_ANSWER, unanswered


class StrictTool(Tool):
    """A tool that refuses unknown arguments and words every anticipated error for the model."""

    @cached_property
    def output_schema(self) -> dict[str, Any] | None:
        """None: what an answer holds shows by itself, and its schema would cost context."""
        return None

    @cached_property
    def _types(self) -> Mapping[str, Any]:
        fields = self.fn_metadata.arg_model.model_fields
        return {name: field.annotation for name, field in fields.items()}

    @cached_property
    def _required(self) -> Sequence[str]:
        fields = self.fn_metadata.arg_model.model_fields
        return [name for name, field in fields.items() if field.is_required()]

    async def run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False
    ) -> Any:
        """Call the function; an anticipated error becomes words, with its code in brackets.

        Where something is wrong with the settings, answers and errors alike say so at their end.
        """
        warning.set("")
        server = cast(ImageServer, context.mcp_server)
        server.answering += 1
        try:
            answer = await self._run(arguments, context, convert_result)
        except ImageError as e:
            answer = error_answer(e)
        finally:
            server.answering -= 1
        if not isinstance(answer, CallToolResult):
            return answer
        if warning.get():
            text = for_caller(f"Warning: {warning.get()}")
            answer.content.append(TextContent(type="text", text=text))
        return answer_for_caller(answer)

    async def _run(
        self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool
    ) -> Any:
        """What is set aside for a question stays so only while the client may still answer it."""
        unanswered.set(None)
        answer: Any = None
        unreadable = False
        try:
            answer = await super().run(self._read(arguments), context, convert_result)
        except ToolError as e:
            if isinstance(e.__cause__, ImageError):
                raise e.__cause__ from e
            unreadable = unanswered.get() is not None
            if unreadable:
                raise ConsentDeclined(NO_ANSWER) from e
            if isinstance(e.__cause__, ValidationError):
                raise InvalidArguments(_problems(e.__cause__)) from e
            raise
        finally:
            open_question = unanswered.get()
            if open_question is not None and not isinstance(answer, InputRequiredResult):
                await open_question.end(declined=unreadable)
        return answer

    def _read(self, arguments: Mapping[str, object]) -> dict[str, Any]:
        for name, value in arguments.items():
            if HALF_CHARACTER.search(_all_text((name, value))):
                shown = f"{quote(ascii(name)[1:-1])}={quote(ascii(value))}"
                raise InvalidArguments([f"{shown}: {WHOLE_CHARACTERS}"])
        if str(arguments.get("like") or "").strip() and "like" in self._types:
            arguments = {"prompt": "", **arguments}  # the file has one
        try:
            return read_arguments(arguments, self._types, required=self._required, owner=self.name)
        except ImageError:
            raise
        except Exception as e:  # a bug, of which the model is told nothing
            raise UnexpectedToolError(f"Error executing tool {self.name}") from e


def _all_text(value: object) -> str:
    if isinstance(value, dict):
        value = [*cast(dict[str, object], value).items()]
    if isinstance(value, list | tuple):
        return "".join(map(_all_text, cast(Sequence[object], value)))
    return value if isinstance(value, str) else ""


def strict(fn: Callable[..., Any], annotations: ToolAnnotations) -> StrictTool:
    """Make a tool of a function, with a schema that is no longer than it must be."""
    tool = cast(StrictTool, StrictTool.from_function(fn, annotations=annotations))
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
    if short.get("additionalProperties") is False:
        del short["additionalProperties"]  # it is refused all the same, in better words
    branches: list[Any] = short.get("anyOf", [])
    real: list[dict[str, Any]] = [b for b in branches if b != {"type": "null"}]
    if len(real) == 1 and len(branches) == 2 and isinstance(real[0].get("type"), str):
        del short["anyOf"]
        short = real[0] | short
    short.pop("default", None)  # leaving an argument out says the same
    return short


def _problems(error: ValidationError) -> list[str]:
    """What reading the arguments did not see, as a value of a type that no client sends."""
    return [
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    ]
