"""What clients are told of the tools, and how long their calls are waited for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client
from mcp.server.mcpserver import Context
from mcp.types import Implementation

from tests.support.factory import opener, service
from ziggie_image_mcp.app.application import Application
from ziggie_image_mcp.provider.testing import FakeProvider
from ziggie_image_mcp.server.arguments import patience_of
from ziggie_image_mcp.server.mcp_server import Open
from ziggie_image_mcp.server.tools import make_server

Mode = Literal["auto", "legacy"]
LOOK = (True, None, None, False)
MAKE = (None, False, None, None)
HINTS: dict[str, tuple[bool | None, ...]] = {
    "generate_image": MAKE,
    "edit_image": MAKE,
    "process_image": MAKE,
    "list_models": LOOK,
    "check_hardware": LOOK,
    "view_image": LOOK,
    "get_job": LOOK,
    "cancel_job": (None, None, True, False),
}
"""Read only, destructive, idempotent, open world; None: the protocol's default, False, True, False
and True."""


@pytest.mark.parametrize("is_open", [True, False])
async def test_the_annotations_are_right_and_follow_the_settings(
    is_open: bool, tmp_path: Path
) -> None:
    async def reaches_out() -> bool:
        return is_open

    made = service(tmp_path, FakeProvider())
    async with Client(make_server(opener(made), reaches_out=reaches_out)) as client:
        tools = (await client.list_tools()).tools

    hints = {
        tool.name: (
            tool.annotations.read_only_hint,
            tool.annotations.destructive_hint,
            tool.annotations.idempotent_hint,
            tool.annotations.open_world_hint,
        )
        for tool in tools
        if tool.annotations is not None
    }
    closed = {name: (*hint[:3], False) for name, hint in HINTS.items()}
    assert hints == (HINTS if is_open else closed)


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        ({}, True),
        ({"provider": "local"}, False),
        ({"provider": "local", "allowPaidFallback": "ask"}, True),
        ({"provider": "local", "allowPaidFallback": "never"}, False),
        ({"privacy": "local_only"}, False),
        ({"provider": "cloud"}, True),
        ({"privacy": "nonsense"}, True),
    ],
)
async def test_an_open_world_is_one_that_a_prompt_may_reach(
    settings: dict[str, Any], is_open: bool, tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(settings), encoding="utf-8")

    assert await Application(file).reaches_out() is is_open


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("claude-code", 1500),
        ("claude-ai", 50),
        ("codex-mcp-client", 110),
        ("gemini-cli-mcp-client", 540),
        ("Visual Studio Code", 240),
        ("cursor-vscode", 240),
        ("Zed", 50),
        ("LM Studio", 50),
        ("lm-studio", 50),
        ("Cherry Studio", 50),
        ("Jan", 25),
        ("LibreChat", 25),
        ("mcp", 25),
        ("somebody else's", 25),
    ],
)
async def test_the_default_wait_is_what_the_client_bears_by_its_name(
    name: str, seconds: float, mode: Mode, tmp_path: Path
) -> None:
    server = make_server(opener(service(tmp_path, FakeProvider())))

    @server.tool(structured_output=False)
    def tell(ctx: Context[Open]) -> str:
        return f"{patience_of(ctx, None):g} {patience_of(ctx, 7):g}"

    info = Implementation(name=name, version="1")
    async with Client(server, mode=mode, client_info=info) as client:
        answer: Any = await client.call_tool("tell", {})

    assert answer.content[0].text == f"{seconds:g} 7"
