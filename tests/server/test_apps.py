"""What clients that show MCP Apps are told, what others are not, and that `ping` is answered."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.extension import advertise
from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID
from mcp.types import TextResourceContents

from tests.e2e.test_http import ACCEPT, HELLO
from tests.e2e.test_stdio import MODERN_META
from tests.server.test_callers import TOKENS, serving
from tests.support.app_host import APPS
from tests.support.factory import opener, service
from tests.support.wire import Wire
from ziggie_image_mcp import server
from ziggie_image_mcp.provider.testing import FakeProvider
from ziggie_image_mcp.server.apps import RESULT_APP, SHOWN, result_page
from ziggie_image_mcp.server.tools import make_server

ERAS = pytest.mark.parametrize("mode", ["auto", "legacy"])


async def listed(folder: Path, mode: str, extensions: Any = None) -> list[dict[str, Any]]:
    made = make_server(opener(service(folder, FakeProvider())))
    async with Client(made, mode=mode, extensions=extensions) as session:
        tools = await session.list_tools()
    return [tool.model_dump(by_alias=True, exclude_none=True) for tool in tools.tools]


@ERAS
async def test_only_a_client_that_shows_apps_is_told_which_tools_have_one(
    mode: str, tmp_path: Path
) -> None:
    plain = await listed(tmp_path, mode)
    other = await listed(tmp_path, mode, [advertise(EXTENSION_ID, {"mimeTypes": ["text/html"]})])
    told = await listed(tmp_path, mode, APPS)

    named = {tool["name"]: tool.pop("_meta")["ui"] for tool in told if "_meta" in tool}
    assert set(named) == SHOWN
    assert all(ui == {"resourceUri": RESULT_APP} for ui in named.values())
    assert other == told == plain


@ERAS
async def test_the_page_is_a_resource_that_is_not_listed_among_the_pictures(
    mode: str, tmp_path: Path
) -> None:
    made = make_server(opener(service(tmp_path, FakeProvider())))
    async with Client(made, mode=mode, extensions=APPS) as session:
        (content,) = (await session.read_resource(RESULT_APP)).contents
        pictures = (await session.list_resources()).resources

    assert isinstance(content, TextResourceContents)
    assert content.mime_type == APP_MIME_TYPE
    assert content.meta == {"ui": {"prefersBorder": True}}
    assert content.text == result_page()
    assert pictures == []


def test_the_page_is_one_small_file_with_all_its_parts() -> None:
    page = result_page()

    parts = (files(server) / "result_app").iterdir()
    texts = [part.read_text(encoding="utf-8") for part in parts if part.name != "page.html"]
    assert len(texts) == 6
    assert all(text in page for text in texts)
    assert len(page.encode()) < 100_000
    assert page.count("</script>") == page.count("</style>") == 1
    assert re.findall(r"\b(?:src|href)=|url\(|@import|https?://", page) == []


@pytest.mark.usefixtures("warm")
def test_ping_is_answered_on_a_pipe_in_both_eras() -> None:
    with Wire() as wire:
        modern = wire.ask(1, "ping", {"_meta": MODERN_META})
        wire.end()
    with Wire() as wire:
        wire.hello()
        legacy = wire.ask(2, "ping", {})
        wire.end()

    assert modern["result"] == {"resultType": "complete"}
    assert legacy["result"] == {}


async def test_ping_is_answered_over_http_in_both_eras(tmp_path: Path) -> None:
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    headers = {**ACCEPT, "Authorization": f"Bearer {TOKENS['alice']}"}
    modern_headers = {"Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": "ping"}
    async with (
        serving(service(tmp_path, FakeProvider())) as url,
        httpx2.AsyncClient(headers=headers) as http,
    ):
        modern = await http.post(
            url, json=ping | {"params": {"_meta": MODERN_META}}, headers=modern_headers
        )
        hello = await http.post(url, json=HELLO)
        session = {"Mcp-Session-Id": hello.headers["mcp-session-id"]}
        legacy = await http.post(url, json=ping, headers=session)

    assert modern.json()["result"] == {"resultType": "complete"}
    assert '"result":{}' in legacy.text
