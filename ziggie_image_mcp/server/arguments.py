"""Turn the declared arguments of a request into the parameters of a tool."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

from pydantic import Field

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.routing.request import Surface, declared_arguments, with_parameters

MAX_WAIT_SECONDS = 3600
MAX_REQUEST_ID = 200

DryRun = Annotated[
    bool, Field(description="Only say which routes would be tried, and why not others.")
]
WaitSeconds = Annotated[float, Field(description="Then the answer is a job_id for get_job.")]
JobId = Annotated[str, Field(description="As generate_image gave it.")]
References = Annotated[str, Field(description="Pictures to follow: ids or paths, comma-separated.")]
RequestId = Annotated[str, Field(description="Repeats with the same id get the first job.")]


def tool_parameters(kind: Surface) -> list[inspect.Parameter]:
    """The declared arguments as keyword parameters, with their descriptions and defaults."""
    return [
        inspect.Parameter(
            argument.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=argument.default,
            annotation=_described(argument.type, argument.about),
        )
        for argument in declared_arguments(kind)
    ]


def _described(value_type: Any, about: str) -> Any:
    return Annotated[value_type, Field(description=about)]


takes_request = with_parameters(tool_parameters("generate"))
"""Lets a function with `**arguments` show those of generate_image."""

takes_edit = with_parameters(tool_parameters("edit"))
"""The same with those of edit_image."""

takes_processing = with_parameters(tool_parameters("process"))
"""The same with those of process_image."""


def check_call(wait_seconds: float, request_id: str = "") -> None:
    """Refuse what cannot be meant by the arguments about the call itself.

    Raises:
        InvalidRequest: Names the argument, its value and what would be accepted.
    """
    if not 0 <= wait_seconds <= MAX_WAIT_SECONDS:
        fix = f"0 to {MAX_WAIT_SECONDS} seconds, or leave it out"
        raise InvalidRequest("wait_seconds", wait_seconds, fix)
    if len(request_id) > MAX_REQUEST_ID:
        raise InvalidRequest("request_id", request_id, f"at most {MAX_REQUEST_ID} characters")
