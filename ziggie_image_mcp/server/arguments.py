"""Turn the declared arguments of a request into the parameters of a tool."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from pydantic import Field, WithJsonSchema

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.routing.request import Surface, declared_arguments, with_parameters
from ziggie_image_mcp.routing.request_checks import MAX_WAIT_SECONDS, TAKES

MAX_REQUEST_ID = 200

CLIENT_SECONDS: Mapping[str, float] = {
    "jan": 25,  # it gives up after 30
    "librechat": 25,  # after 30
    "zed": 50,  # after 60
    "lmstudio": 50,  # after 60
    "claudeai": 50,  # Claude Desktop: after 60 in some versions, 240 in others
    "cherrystudio": 50,  # after 60
    "codex": 110,  # 130 silent seconds went well
    "visualstudiocode": 240,  # it hangs beyond 300
    "cursor": 240,  # after 300
    "geminicli": 540,  # after 600
    "claudecode": 1500,  # no limit of its own; idle ones of 30 minutes
}
"""Seconds that a call may take, less a margin, by the beginning of the client's name in small
letters. Sources: the clients' documents and issues, and runs of Claude Code and Codex."""
UNKNOWN_CLIENT_SECONDS = 25.0

DryRun = Annotated[bool, Field(description="Only explain the route.")]
WaitSeconds = Annotated[float | None, Field(description="Then a job_id comes.")]
Expand = Annotated[
    Sequence[int],
    Field(description="Pixels to add: left,top,right,bottom."),
    WithJsonSchema({"type": "string"}),
]
JobId = Annotated[str, Field(description="As given.")]
References = Annotated[str, Field(description="Ids or paths to follow.")]
ControlText = Annotated[str, Field(description="As canny:ID:0.7, depth:ID, make-pose:ID.")]
Like = Annotated[str, Field(description="A file to make again.")]
RequestId = Annotated[str, Field(description="A repeat gets the first job.")]


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


def patience_of(ctx: Context[Any], wait_seconds: float | None) -> float:
    """How long the answer may take, seconds: as asked, or what the client bears by its name."""
    if wait_seconds is not None:
        return wait_seconds
    params = ctx.session.client_params
    name = "" if params is None else re.sub("[^a-z]", "", params.client_info.name.lower())
    known = (seconds for start, seconds in CLIENT_SECONDS.items() if name.startswith(start))
    return next(known, UNKNOWN_CLIENT_SECONDS)


def check_call(wait_seconds: float | None, request_id: str = "") -> None:
    """Refuse what cannot be meant by the arguments about the call itself.

    Raises:
        InvalidRequest: Names the argument, its value and what would be accepted.
    """
    if wait_seconds is not None and not 0 <= wait_seconds <= MAX_WAIT_SECONDS:
        raise InvalidRequest("wait_seconds", wait_seconds, TAKES["wait_seconds"])
    if len(request_id) > MAX_REQUEST_ID:
        raise InvalidRequest("request_id", request_id, f"at most {MAX_REQUEST_ID} characters")
