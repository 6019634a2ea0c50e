"""Over HTTP with tokens, what a caller made is that caller's; who comes in, and by which name."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.types import CallToolResult, TextContent

from tests.e2e.test_http import ACCEPT, HELLO
from tests.support.factory import opener, service
from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import ConfigError, ProviderUnavailable
from ziggie_image_mcp.provider.testing import FakeProvider, model
from ziggie_image_mcp.server.callers import for_caller, hide
from ziggie_image_mcp.server.tools import make_server
from ziggie_image_mcp.server.transport import http_app, http_server, serve_http
from ziggie_image_mcp.server.web_app import Place

TOKENS = {"owner": "owners-secret", "alice": "one-secret", "bob": "other-secret"}


@asynccontextmanager
async def serving(made: Service, place: Place | None = None) -> AsyncGenerator[str]:
    """The service on a loopback port, for those who have a token: its URL."""
    app = http_app(http_server(opener(made), TOKENS), place)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        settings = uvicorn.Config(app, log_level="error")
        server = uvicorn.Server(settings)
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
            server.should_exit = True


@asynccontextmanager
async def client(url: str, name: str) -> AsyncGenerator[Client]:
    headers = {"Authorization": f"Bearer {TOKENS[name]}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(url, http_client=http)) as session,
    ):
        yield session


def text(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def image_id(result: CallToolResult) -> str:
    assert not result.is_error, text(result)
    return str(json.loads(text(result))["images"][0]["id"])


def editor() -> FakeProvider:
    tasks = ("text_to_image", "image_to_image", "inpaint")
    able = {"max_references": 4}
    return FakeProvider(models=[model(tasks=tasks, capability=able)])


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("view_image", {"image_id": "ID"}),
        ("edit_image", {"prompt": "x", "image": "ID"}),
        ("edit_image", {"prompt": "x", "image": "OWN", "mask": "ID"}),
        ("edit_image", {"prompt": "x", "image": "OWN", "references": "ID"}),
        ("generate_image", {"prompt": "x", "references": "ID"}),
    ],
)
async def test_no_tool_gives_a_picture_to_another_caller(
    tool: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    async with serving(service(tmp_path, editor())) as url:
        async with client(url, "alice") as alice, client(url, "bob") as bob:
            hers = image_id(await alice.call_tool("generate_image", {"prompt": "hers"}))
            his = image_id(await bob.call_tool("generate_image", {"prompt": "his"}))
            wish = {
                k: v.replace("ID", hers).replace("OWN", his) if isinstance(v, str) else v
                for k, v in arguments.items()
            }
            refused = await bob.call_tool(tool, wish)
            allowed = await alice.call_tool(tool, json.loads(json.dumps(wish).replace(his, hers)))

    assert refused.is_error
    assert "o picture has th" in text(refused)
    assert "no picture has this id" not in text(allowed)
    assert "NOT_FOUND" not in text(allowed)


async def test_a_resource_is_its_callers_and_the_machines_own_user_sees_all(tmp_path: Path) -> None:
    made = service(tmp_path, editor())
    async with serving(made) as url:
        async with client(url, "alice") as alice, client(url, "bob") as bob:
            hers = image_id(await alice.call_tool("generate_image", {"prompt": "hers"}))
            wish = {"prompt": "blue", "image": hers, "expand": [16, 0, 0, 0]}
            edited = json.loads(text(await alice.call_tool("edit_image", wish)))["edited"]
            for picture in (hers, edited):
                own = await alice.read_resource(f"image://{picture}")
                with pytest.raises(MCPError, match="No picture has the id"):
                    await bob.read_resource(f"image://{picture}")
        async with Client(make_server(opener(made))) as here:
            seen = await here.call_tool("view_image", {"image_id": hers})

    assert own.contents
    assert not seen.is_error
    assert Path(json.loads(text(seen))["path"]).is_file()


async def test_what_is_made_without_a_token_is_the_owners_and_nobody_elses(tmp_path: Path) -> None:
    made = service(tmp_path, editor())
    async with Client(make_server(opener(made))) as here:
        picture = image_id(await here.call_tool("generate_image", {"prompt": "x"}))
    async with serving(made) as url:
        async with client(url, "owner") as owner, client(url, "bob") as bob:
            seen = await owner.call_tool("view_image", {"image_id": picture})
            refused = await bob.call_tool("view_image", {"image_id": picture})

    assert not seen.is_error
    assert refused.is_error


async def test_the_picture_of_a_seed_is_looked_up_among_the_callers_own(tmp_path: Path) -> None:
    fake = editor()
    wish = {"prompt": "x", "seed": 7}
    made = service(tmp_path, fake)
    async with Client(make_server(opener(made))) as here:
        owners = image_id(await here.call_tool("generate_image", wish))
    async with serving(made) as url:
        async with client(url, "alice") as alice, client(url, "bob") as bob:
            first = image_id(await alice.call_tool("generate_image", wish))
            again = image_id(await alice.call_tool("generate_image", wish))
            two = {"prompt": "{x|y}", "seed": 7}  # a job of several is looked up where it runs
            both = json.loads(text(await alice.call_tool("generate_image", two)))["results"]
            his = image_id(await bob.call_tool("generate_image", wish))

    assert first == again == both[0]["images"][0]["id"]
    assert len({owners, first, his}) == 3
    assert len(fake.seen) == 4


async def test_who_is_not_on_this_machine_is_told_none_of_its_paths(tmp_path: Path) -> None:
    made = service(tmp_path, editor())
    async with serving(made) as url, client(url, "alice") as alice:
        answers = [await alice.call_tool("generate_image", {"prompt": "a cat, and/or a dog"})]
        picture = image_id(answers[0])
        answers += [
            await alice.call_tool("view_image", {"image_id": picture}),
            await alice.call_tool("check_hardware", {}),
            await alice.call_tool("list_models", {}),
            await alice.call_tool("generate_image", {"prompt": "x", "dry_run": True}),
        ]
        file = next((tmp_path / "pictures").rglob("*.png"))
        file.unlink()
        file.mkdir()  # it is found, and cannot be read
        broken = await alice.call_tool("view_image", {"image_id": picture})

    assert "[STORAGE_FAILED]" in text(broken)
    for answer in (*answers, broken):
        assert str(tmp_path.parent) not in answer.model_dump_json()
        assert str(Path.home()) not in answer.model_dump_json()


async def test_names_are_matched_whole_and_in_any_case(tmp_path: Path) -> None:
    secret = {"Authorization": f"Bearer {TOKENS['alice']}"}
    expected = {
        ("Host", "127.0.0.1"): 200,
        ("Host", "LOCALHOST"): 200,
        ("Host", "localhost.:8765"): 200,
        ("Host", "[::1]:1"): 200,
        ("Origin", "HTTP://LocalHost:3000"): 200,
        ("Host", "localhost:evil.com"): 421,
        ("Host", "localhost:80:evil.com"): 421,
        ("Host", "localhost@evil.com"): 421,
        ("Host", "localhost.evil.com"): 421,
        ("Host", "127.0.0.1:"): 421,
        ("Origin", "http://localhost:evil.com"): 403,
        ("Origin", "http://localhost:80@evil.com"): 403,
        ("Origin", "http://localhost/"): 403,
        ("Origin", "null"): 403,
    }
    async with serving(service(tmp_path)) as url, httpx2.AsyncClient() as http:
        answers = {
            (name, value): await http.post(url, json=HELLO, headers=ACCEPT | secret | {name: value})
            for name, value in expected
        }

    assert {place: answer.status_code for place, answer in answers.items()} == expected


async def test_a_refusal_names_no_sign_in_that_is_not_there(tmp_path: Path) -> None:
    async with serving(service(tmp_path)) as url, httpx2.AsyncClient() as http:
        refused = await http.post(url, json=HELLO, headers=ACCEPT)
        root = url.removesuffix("/mcp")
        places = [
            await http.get(f"{root}/.well-known/{name}")
            for name in ("oauth-protected-resource", "oauth-protected-resource/mcp")
        ]

    assert refused.status_code == 401
    assert "resource_metadata" not in refused.headers["WWW-Authenticate"]
    assert [place.status_code for place in places] == [404, 404]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ZIGGIE_IMAGE_TOKEN", "   "),
        ("ZIGGIE_IMAGE_TOKEN", "\t"),
        ("ZIGGIE_IMAGE_TOKEN", "gehe\u00efm"),
        ("ZIGGIE_IMAGE_TOKENS", ","),
        ("ZIGGIE_IMAGE_TOKENS", " "),
        ("ZIGGIE_IMAGE_TOKENS", "alice:  "),
        ("ZIGGIE_IMAGE_TOKENS", "alice:one,bob: "),
        ("ZIGGIE_IMAGE_TOKENS", "alice:same,bob:same"),
    ],
)
async def test_what_nobody_can_send_or_two_share_is_no_token(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError, match=name):
        await serve_http(host="0.0.0.0", place=Place(allowed_hosts=["pictures.lan"]))


@pytest.mark.parametrize("name", ["http://pictures.lan", "pictures lan", "", "a:b", "*"])
async def test_an_allowed_host_is_a_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIGGIE_IMAGE_TOKEN", "secret")

    with pytest.raises(ConfigError, match="allowed-host"):
        await serve_http(host="0.0.0.0", place=Place(allowed_hosts=[name]))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("image='/home/My Name/My Pictures/cat.png' cannot", "image='…/cat.png' cannot"),
        ('at "C:\\Users\\My Name\\a b\\cat.png": no', 'at "…/cat.png": no'),
        ("/home/me/cat.png: no such file", "…/cat.png: no such file"),
        ("aspect_ratio='16/9' cannot be used", "aspect_ratio='16/9' cannot be used"),
        ("see https://example.com/a/b and image://x", "see https://example.com/a/b and image://x"),
    ],
)
def test_a_remote_caller_is_told_no_folder_of_this_machine(message: str, told: str) -> None:
    token = AccessToken(token="t", client_id="alice", scopes=[])
    context = auth_context_var.set(AuthenticatedUser(token))
    try:
        assert for_caller(message) == told
    finally:
        auth_context_var.reset(context)


async def test_a_folder_with_blanks_is_hidden_where_nothing_is_quoted(tmp_path: Path) -> None:
    home = tmp_path / "John Doe"
    down = ProviderUnavailable("down", f"no models in {home}/my models/hub: put one there")
    made = service(home, FakeProvider("down", down=down), FakeProvider())
    token = AccessToken(token="t", client_id="alice", scopes=[])
    context = auth_context_var.set(AuthenticatedUser(token))
    made.config = made.config.model_copy(update={"input_directories": (str(home),)})
    try:
        hide(made.folders())
        told = for_caller(str(down))
    finally:
        auth_context_var.reset(context)

    assert "John" not in told
    assert "Doe" not in told
