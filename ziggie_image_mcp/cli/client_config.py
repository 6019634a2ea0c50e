"""Say how each MCP client is told to start this server.

The formats are those of the clients' documentation; no snippet was tried in its client.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ziggie_image_mcp.errors import InvalidRequest

SERVER = "ziggie-image"
STARTUP_SECONDS = 60
TOOL_SECONDS = 600

Format = Literal["json", "toml", "shell"]
Writer = Callable[[Sequence[str], Mapping[str, str]], str]


@dataclass(frozen=True, kw_only=True)
class ClientSnippet:
    """What to put where, so that a client starts this server."""

    client: str
    title: str
    where: str
    text: str
    format: Format


@dataclass(frozen=True, kw_only=True)
class Client:
    """One row of the table of clients."""

    title: str
    where: str
    format: Format
    write: Writer


def client_config(name: str, command: Sequence[str], env: Mapping[str, str]) -> ClientSnippet:
    """Write the lines that make a client start this server.

    Args:
        name: One of `CLIENTS`.
        command: The program and its arguments.
        env: Variables for the server; clients do not pass on those of the user's shell.

    Raises:
        InvalidRequest: The client is not known, or the command is empty.
    """
    client = CLIENTS.get(name)
    if client is None:
        raise InvalidRequest("client", name, f"use one of {', '.join(CLIENTS)}")
    if not command:
        raise InvalidRequest("command", list(command), "name the program that starts the server")
    return ClientSnippet(
        client=name,
        title=client.title,
        where=client.where,
        text=client.write(command, env),
        format=client.format,
    )


def claude_code(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Write a command line. The name comes first: `-e` takes every word up to the next option."""
    variables = [word for key, value in env.items() for word in ("-e", f"{key}={value}")]
    return shlex.join(["claude", "mcp", "add", SERVER, *variables, "--", *command]) + "\n"


def mcp_servers(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Write the JSON that Claude Desktop began and most clients follow."""
    return _json({"mcpServers": {SERVER: _start(command, env)}})


def vscode(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Write VS Code's JSON, which has another key and names the transport."""
    return _json({"servers": {SERVER: {"type": "stdio", **_start(command, env)}}})


def gemini(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Write Gemini CLI's JSON; its timeout is in milliseconds."""
    server = {**_start(command, env), "timeout": TOOL_SECONDS * 1000}
    return _json({"mcpServers": {SERVER: server}})


def codex(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Write Codex's TOML; its own timeouts would end a long generation."""
    program, *arguments = command
    lines = [
        f"[mcp_servers.{SERVER}]",
        f"command = {_toml(program)}",
        f"args = [{', '.join(map(_toml, arguments))}]",
    ]
    if env:
        pairs = ", ".join(f"{_toml(key)} = {_toml(value)}" for key, value in env.items())
        lines.append(f"env = {{ {pairs} }}")
    lines += [
        f"startup_timeout_sec = {STARTUP_SECONDS}",
        f"tool_timeout_sec = {TOOL_SECONDS}",
    ]
    return "\n".join(lines) + "\n"


def _start(command: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    program, *arguments = command
    start: dict[str, Any] = {"command": program, "args": arguments}
    return {**start, "env": dict(env)} if env else start


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _toml(text: str) -> str:
    # JSON's escapes are TOML's too, but for surrogate pairs (so no ensure_ascii) and DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


CLIENTS: Mapping[str, Client] = {
    "claude-code": Client(
        title="Claude Code",
        where="Run this in a terminal, in the project's folder. Quoted for POSIX shells.",
        format="shell",
        write=claude_code,
    ),
    "claude-desktop": Client(
        title="Claude Desktop",
        where=(
            "Merge into claude_desktop_config.json. "
            "macOS: ~/Library/Application Support/Claude/; Windows: %APPDATA%\\Claude\\."
        ),
        format="json",
        write=mcp_servers,
    ),
    "vscode": Client(
        title="VS Code",
        where="Merge into .vscode/mcp.json in the project's folder.",
        format="json",
        write=vscode,
    ),
    "codex": Client(
        title="Codex",
        where=(
            "Append to config.toml. "
            "macOS, Linux: ~/.codex/config.toml; Windows: %USERPROFILE%\\.codex\\config.toml."
        ),
        format="toml",
        write=codex,
    ),
    "cursor": Client(
        title="Cursor",
        where=(
            "Merge into .cursor/mcp.json in the project's folder, or for all projects into "
            "~/.cursor/mcp.json (Windows: %USERPROFILE%\\.cursor\\mcp.json)."
        ),
        format="json",
        write=mcp_servers,
    ),
    "gemini": Client(
        title="Gemini CLI",
        where=(
            "Merge into settings.json. "
            "macOS, Linux: ~/.gemini/settings.json; Windows: %USERPROFILE%\\.gemini\\settings.json."
        ),
        format="json",
        write=gemini,
    ),
}
