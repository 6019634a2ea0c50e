"""Call the tools of a service through the in-memory client, and read what they say."""

from __future__ import annotations

import json
from typing import Any

from mcp import Client
from mcp.types import CallToolResult, TextContent

from tests.support.factory import opener
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.server.tools import make_server


def client(made: Service) -> Client:
    return Client(make_server(opener(made)), raise_exceptions=True)


def said(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def data(result: CallToolResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(result))
    return found
