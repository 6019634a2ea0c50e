"""The SDK's server, and what it does not do by itself: kinds of pictures, the end of the input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

import anyio
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.stdio import stdio_server
from mcp.shared.message import SessionMessage
from mcp.types import InputRequiredResult
from pydantic import AnyUrl

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.provider.pictures import media_type
from ziggie_image_mcp.server.whole_text import read_again

Open = Callable[[], Awaitable[Service]]
"""Gives the service, built at the first call; raises ConfigError until the config is right."""


ANSWER_SECONDS = 2.0
LOOK_SECONDS = 0.1

warning: ContextVar[str] = ContextVar("warning", default="")
"""What every answer says besides, as long as something is wrong with the settings."""


def warned(opener: Open) -> Open:
    """The same; the call that opens it warns of what is wrong with the settings."""

    async def give() -> Service:
        service = await opener()
        warning.set(service.config_trouble)
        return service

    return give


class ImageServer(MCPServer[Open]):
    """The server of this project."""

    answering = 0
    """Calls that are not answered yet."""

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
                        async for message in lines:
                            await to_server.send(read_again(message))
                    finally:
                        at_end()

            group.start_soon(pass_on)
            await lowlevel.run(messages, answers, lowlevel.create_initialization_options())
