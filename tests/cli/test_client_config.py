from __future__ import annotations

import base64
import json
import shlex
import tomllib
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml

from ziggie_image_mcp.cli.client_config import Launch, client_config
from ziggie_image_mcp.errors import InvalidRequest

SERVER = "ziggie-image"
COMMANDS = [
    ["uvx", "ziggie-image-mcp"],
    ["ziggie-image-mcp"],
    [
        "C:\\Program Files\\Python\\python.exe",
        "-m",
        "ziggie_image_mcp",
        "--config",
        "C:\\new\\t.json",
    ],
    ['/opt/it\'s "here"/python', "-c", "a\nb\t\x01\x7f", "", "$HOME `x` #", "é 😀"],
]
ENVS: list[dict[str, str]] = [
    {},
    {"OPENAI_API_KEY": "sk-1"},
    {
        "ZIGGIE_IMAGE_CONFIG": "C:\\Users\\A B\\config.json",
        "EMPTY": "",
        "ODD": "a=b 'c' \"d\" \x7f😀",
    },
]


def parsed(name: str, command: list[str], env: dict[str, str]) -> dict[str, Any]:
    snippet = client_config(name, Launch(command=command, env=env))
    loads: Any = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
    result: dict[str, Any] = loads[snippet.format](snippet.text)
    return result


def expected(command: list[str], env: dict[str, str], **extra: object) -> dict[str, object]:
    start: dict[str, object] = {"command": command[0], "args": command[1:], **extra}
    return {**start, "env": env} if env else start


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("name", ["claude-desktop", "cursor", "windsurf", "lm-studio"])
def test_mcp_servers_json_starts_exactly_the_command(
    name: str, command: list[str], env: dict[str, str]
) -> None:
    config = parsed(name, command, env)

    assert config == {"mcpServers": {SERVER: expected(command, env)}}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("env", ENVS)
def test_vscode_has_its_own_key_and_names_the_transport(
    command: list[str], env: dict[str, str]
) -> None:
    config = parsed("vscode", command, env)

    assert config == {"servers": {SERVER: expected(command, env, type="stdio")}}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("env", ENVS)
def test_gemini_is_given_ten_minutes_in_milliseconds(
    command: list[str], env: dict[str, str]
) -> None:
    config = parsed("gemini", command, env)

    assert config == {"mcpServers": {SERVER: expected(command, env, timeout=600_000)}}


ROWS: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
    (
        "codex",
        ("mcp_servers",),
        {"startup_timeout_sec": 60, "tool_timeout_sec": 600, "required": True},
    ),
    ("librechat", ("mcpServers",), {"type": "stdio", "timeout": 600_000, "initTimeout": 60_000}),
    ("jan", ("mcpServers",), {"active": True}),
    ("ziggie", ("mcpServers",), {"timeout": 600_000}),
    ("zed", ("context_servers",), {"timeout": 600}),
    (
        "cherry-studio",
        ("mcpServers",),
        {
            "name": SERVER,
            "type": "stdio",
            "isActive": True,
            "timeout": "600",
            "longRunning": True,
        },
    ),
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize(("name", "keys", "extra"), ROWS)
def test_a_client_is_given_its_own_keys_and_time(
    name: str, keys: tuple[str, ...], extra: dict[str, Any], command: list[str], env: dict[str, str]
) -> None:
    config = parsed(name, command, env)

    (key,) = keys
    assert config == {key: {SERVER: expected(command, env, **extra)}}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("env", ENVS)
def test_claude_code_is_one_command_line_with_the_variables_before_the_dashes(
    command: list[str], env: dict[str, str]
) -> None:
    snippet = client_config("claude-code", Launch(command=command, env=env))

    variables = [word for key, value in env.items() for word in ("-e", f"{key}={value}")]
    assert snippet.format == "shell"
    assert shlex.split(snippet.text) == [
        *("claude", "mcp", "add", SERVER),
        *variables,
        "--",
        *command,
    ]


URL = "http://127.0.0.1:8765/mcp"
HTTP: list[tuple[str, dict[str, Any]]] = [
    ("vscode", {"type": "http", "url": URL, "headers": {"Authorization": "Bearer ${env:TOKEN}"}}),
    ("cursor", {"url": URL, "headers": {"Authorization": "Bearer ${env:TOKEN}"}}),
    ("windsurf", {"serverUrl": URL, "headers": {"Authorization": "Bearer ${env:TOKEN}"}}),
    (
        "gemini",
        {"httpUrl": URL, "timeout": 600_000, "headers": {"Authorization": "Bearer $TOKEN"}},
    ),
    (
        "codex",
        {
            "url": URL,
            "startup_timeout_sec": 60,
            "tool_timeout_sec": 600,
            "required": True,
            "bearer_token_env_var": "TOKEN",
        },
    ),
    (
        "librechat",
        {
            "type": "streamable-http",
            "url": URL,
            "timeout": 600_000,
            "initTimeout": 60_000,
            "headers": {"Authorization": "Bearer ${TOKEN}"},
        },
    ),
    (
        "zed",
        {
            "url": URL,
            "timeout": 600,
            "headers": {"Authorization": "Bearer PASTE-THE-TOKEN-HERE"},
        },
    ),
]


@pytest.mark.parametrize(("name", "entry"), HTTP)
def test_over_http_a_client_is_given_the_address_and_the_name_of_the_variable(
    name: str, entry: dict[str, Any]
) -> None:
    assert client_config(name, Launch(url=URL, token_env="TOKEN")).entry == entry


def test_claude_code_over_http_is_one_command_line() -> None:
    words = shlex.split(client_config("claude-code", Launch(url=URL, token_env="TOKEN")).text)
    shared = client_config("claude-code", Launch(url=URL), project=True)

    assert words[:7] == ["claude", "mcp", "add", "--transport", "http", SERVER, URL]
    assert words[7:] == ["--header", "Authorization: Bearer ${TOKEN}"]
    assert json.loads(shared.text) == {"mcpServers": {SERVER: {"type": "http", "url": URL}}}


@pytest.mark.parametrize(
    ("name", "launch", "said"),
    [
        ("emacs", Launch(command=["x"]), "claude-code"),
        ("vscode", Launch(), "name the program"),
        ("claude-desktop", Launch(url=URL), "starts servers only"),
        ("open-webui", Launch(command=["x"]), "connects over HTTP only"),
        ("cursor", Launch(url="127.0.0.1:8765"), "say it as http://127.0.0.1:8765/mcp"),
        ("cursor", Launch(url="ftp://h/mcp"), "say it as http://127.0.0.1:8765/mcp"),
        ("cursor", Launch(command=["x"], token_env="T"), "belongs to --http"),
    ],
)
def test_what_a_client_cannot_do_is_refused_with_the_way_out(
    name: str, launch: Launch, said: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client_config(name, launch)

    assert said in str(caught.value)


def test_links_carry_the_entry() -> None:
    launch = Launch(command=["C:\\a b\\python.exe", "-m", "x"], env={"K": "v&w=1"})
    entry = {"command": launch.command[0], "args": ["-m", "x"], "env": {"K": "v&w=1"}}

    for name in ("cursor", "lm-studio"):
        query = parse_qs(urlsplit(client_config(name, launch).link).query)
        assert query["name"] == [SERVER]
        assert json.loads(base64.b64decode(query["config"][0])) == entry
    vscode = client_config("vscode", launch).link.partition("?")[2]
    assert json.loads(unquote(vscode)) == {"name": SERVER, "type": "stdio", **entry}
