"""The SDK's server, and what it does not do by itself: kinds of pictures, the end of the input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import (
    InputRequiredResult,
    JSONRPCError,
    ListResourcesResult,
    PaginatedRequestParams,
    Resource,
    Tool,
)
from pydantic import AnyUrl

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.provider.pictures import media_type
from ziggie_image_mcp.server.callers import caller, hide
from ziggie_image_mcp.server.downloads import Downloads
from ziggie_image_mcp.server.notices import Notices
from ziggie_image_mcp.server.whole_text import read_again

Open = Callable[[], Awaitable[Service]]
"""Gives the service, built at the first call; raises ConfigError until the config is right."""


ANSWER_SECONDS = 2.0
LOOK_SECONDS = 0.1

warning: ContextVar[str] = ContextVar("warning", default="")
"""What every answer says besides, as long as something is wrong with the settings."""


def warned(opener: Open, opened: Callable[[Service], None]) -> Open:
    """The same, and `opened` is told; the call that opens it warns of what is wrong in settings."""

    async def give() -> Service:
        service = await opener()
        opened(service)
        if caller() is not None:
            hide(service.folders())
        warning.set(service.config_trouble)
        return service

    return give


class ImageServer(MCPServer[Open]):
    """The server of this project.

    Args:
        name: What it is called.
        listed: Gives a page of the resources by its cursor; the first without one.
        downloads: Links to whole pictures.
        settings: Of the SDK's server.
    """

    answering = 0
    """Calls that are not answered yet."""

    def __init__(
        self,
        name: str,
        listed: Callable[[str | None], Awaitable[ListResourcesResult]],
        downloads: Downloads,
        notices: Notices,
        *,
        reaches_out: Callable[[], Awaitable[bool]] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(name, **settings)
        self._listed, self.downloads, self.notices = listed, downloads, notices
        self._reaches_out = reaches_out
        self._lowlevel_server.add_request_handler(
            "resources/list", PaginatedRequestParams, self._list_page
        )

    async def _list_page(
        self, _: ServerRequestContext[Any], params: PaginatedRequestParams
    ) -> ListResourcesResult:
        """The page of a cursor, which the SDK's own handler passes over."""
        return await self._listed(params.cursor)

    async def list_resources(self) -> list[Resource]:
        """The newest pictures: the first page."""
        return (await self._listed(None)).resources

    async def list_tools(self) -> list[Tool]:
        """The tools, with an open world only where the settings let a prompt out."""
        tools = await super().list_tools()
        if self._reaches_out is None or await self._reaches_out():
            return tools
        closed = {"open_world_hint": False}
        return [
            tool.model_copy(update={"annotations": tool.annotations.model_copy(update=closed)})
            if tool.annotations is not None
            else tool
            for tool in tools
        ]

    async def answered(self) -> None:
        """Wait until every call has its answer, for a little while."""
        with anyio.move_on_after(ANSWER_SECONDS):
            while self.answering:  # noqa: ASYNC110  once in a process' life
                await anyio.sleep(LOOK_SECONDS)
            await anyio.sleep(LOOK_SECONDS)  # until it is written

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Open, Any] | None = None
    ) -> Iterable[ReadResourceContents] | InputRequiredResult:
        """Read a picture, and say what kind of picture it is."""
        contents = await super().read_resource(uri, context)
        if not isinstance(contents, InputRequiredResult):
            contents = list(contents)
            for item in contents:
                if isinstance(item.content, bytes):
                    item.mime_type = media_type(item.content)
        return contents

    async def serve_stdio(self, at_end: Callable[[], None]) -> None:
        """Speak on stdin and stdout until stdin ends.

        `at_end` is called then, before the calls are cancelled that are still being answered.
        """
        to_server, messages = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        lowlevel = self._lowlevel_server
        async with stdio_server() as (lines, answers), anyio.create_task_group() as group:

            async def pass_on() -> None:
                async with to_server:
                    try:
                        async for line in lines:
                            message = read_again(line)
                            if isinstance(message, JSONRPCError):
                                await answers.send(SessionMessage(message))
                            else:
                                await to_server.send(message)
                    finally:
                        at_end()

            group.start_soon(pass_on)
            await lowlevel.run(messages, answers, lowlevel.create_initialization_options())
