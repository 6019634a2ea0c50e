from __future__ import annotations

import json
import shlex
import tomllib
from typing import Any

import pytest

from ziggie_image_mcp.cli.client_config import CLIENTS, client_config
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
    snippet = client_config(name, command, env)
    loads = {"json": json.loads, "toml": tomllib.loads}[snippet.format]
    result: dict[str, Any] = loads(snippet.text)
    return result


def expected(command: list[str], env: dict[str, str], **extra: object) -> dict[str, object]:
    start: dict[str, object] = {"command": command[0], "args": command[1:], **extra}
    return {**start, "env": env} if env else start


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("name", ["claude-desktop", "cursor"])
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


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("env", ENVS)
def test_codex_is_given_time_to_start_and_to_draw(command: list[str], env: dict[str, str]) -> None:
    config = parsed("codex", command, env)

    timeouts = {"startup_timeout_sec": 60, "tool_timeout_sec": 600}
    assert config == {"mcp_servers": {SERVER: expected(command, env, **timeouts)}}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("env", ENVS)
def test_claude_code_is_one_command_line_with_the_variables_before_the_dashes(
    command: list[str], env: dict[str, str]
) -> None:
    snippet = client_config("claude-code", command, env)

    variables = [word for key, value in env.items() for word in ("-e", f"{key}={value}")]
    assert snippet.format == "shell"
    assert shlex.split(snippet.text) == [
        *("claude", "mcp", "add", SERVER),
        *variables,
        "--",
        *command,
    ]


@pytest.mark.parametrize("name", CLIENTS)
def test_a_snippet_says_whose_it_is_and_where_it_goes(name: str) -> None:
    snippet = client_config(name, ["ziggie-image-mcp"], {})

    assert snippet.client == name
    assert snippet.title
    assert snippet.where.endswith(".")


def test_an_unknown_client_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidRequest) as caught:
        client_config("emacs", ["ziggie-image-mcp"], {})

    assert caught.value.field == "client"
    assert caught.value.value == "emacs"
    assert all(name in str(caught.value) for name in CLIENTS)


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="command"):
        client_config("vscode", [], {})
