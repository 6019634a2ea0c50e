"""Say how each MCP client is told to start this server, or to connect to it.

One table. What was tried in its client, and how it went, stands in docs/clients/index.md.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any, Literal, cast
from urllib.parse import quote, urlsplit

from ziggie_image_mcp.cli import jsonc
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.provider.redaction import hidden_settings
from ziggie_image_mcp.provider.shell import shell_command

SERVER = "ziggie-image"
STARTUP_SECONDS = 60
TOOL_SECONDS = 600
TOKEN_HERE = "PASTE-THE-TOKEN-HERE"  # noqa: S105 - what stands where one belongs

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Format = Literal["json", "toml", "yaml", "shell", "text"]
Entry = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a client reaches the server: by starting it, or at an address."""

    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables for the server; clients do not pass on those of the user's shell."""
    url: str = ""
    token_env: str = ""
    """The variable that holds the token; only its name is ever written."""


@dataclass(frozen=True, kw_only=True)
class Client:
    """One row of the table of clients."""

    title: str
    format: Format = "json"
    keys: tuple[str, ...] = ("mcpServers",)
    """What leads to the servers in its file."""
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    """Its file by system (win32, darwin, linux), as `client_files.place` reads them."""
    likely: bool = False
    """The place is hearsay: good for a file that is there, and no reason to make one."""
    project: str = ""
    """Its file in a project's folder."""
    first: Mapping[str, Any] = field(default_factory=dict[str, Any])
    stdio: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keys beside command, args and env."""
    url_key: str = ""
    """Empty: it starts servers, and connects to none."""
    http: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Keys beside the address."""
    bearer: str = f"Bearer {TOKEN_HERE}"
    """How it takes a token out of the variable NAME; the default where it cannot."""
    note: str = ""
    link: str = ""
    """An address that installs: {name}, and the entry as {base64} or {json}."""


@dataclass(frozen=True, kw_only=True)
class ClientSnippet:
    """What to put where, so that a client starts this server."""

    client: str
    title: str
    note: str
    text: str
    format: Format
    entry: Entry
    """What stands under the server's name."""
    link: str = ""


def client_config(name: str, launch: Launch, *, project: bool = False) -> ClientSnippet:
    """Write the lines that connect a client to this server.

    Args:
        name: One of `CLIENTS`.
        launch: How the server is reached.
        project: For a file, in a project or named, where a shell's command is no use.

    Raises:
        InvalidRequest: The client is not known, or cannot reach a server this way.
    """
    client = CLIENTS.get(name)
    if client is None:
        raise InvalidRequest("client", name, f"use one of {', '.join(CLIENTS)}")
    _check(name, client, launch)
    entry = _connect(client, launch) if launch.url else _start(client, launch)
    kind = client.format
    if kind == "shell":
        kind = "json" if project else "shell"
    if kind == "shell":
        text = add_command(launch)
    elif kind == "text":
        text = f"{launch.url}\n"
    else:
        text = written(kind, client.keys, entry)
    return ClientSnippet(
        client=name,
        title=client.title,
        note=client.note if kind == client.format else "",
        text=text,
        format=kind,
        entry=entry,
        link=_link(client, entry),
    )


def written(kind: Format, keys: Sequence[str], entry: Entry) -> str:
    """A file of this format that holds one server."""
    if kind == "toml":
        return toml_table([*keys, SERVER], entry)
    if kind == "yaml":
        return f"{keys[0]}:\n{yaml_block(entry, '  ')}"
    nested: Entry = {SERVER: entry}
    for key in reversed(keys):
        nested = {key: nested}
    return json.dumps(nested, indent=2, ensure_ascii=False) + "\n"


def toml_table(keys: Sequence[str], entry: Entry) -> str:
    """One table of TOML; tables in it stand in a line."""
    lines = [f"[{'.'.join(keys)}]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]
    return "\n".join(lines) + "\n"


def yaml_block(entry: Entry, indent: str) -> str:
    """The server as YAML below `mcpServers:`; JSON's values are YAML's."""
    lines = [f"{indent}{SERVER}:"]
    for key, value in entry.items():
        lines.append(f"{indent * 2}{key}: {jsonc.dumped(value)}")
    return "\n".join(lines) + "\n"


def _check(name: str, client: Client, launch: Launch) -> None:
    token = launch.token_env
    if token and (not _VARIABLE.fullmatch(token) or hidden_settings(token) != token):
        fix = "say the name of the variable that holds the token, as ZIGGIE_IMAGE_TOKEN"
        # it may be the token itself
        raise InvalidRequest("--token-env", token[:4] + "..." * (len(token) > 4), fix)
    for word in (*launch.command, *launch.env.values(), launch.url):
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            fix = "it is no UTF-8, which a client's file must be; use another path"
            raise InvalidRequest("path", word, fix)
    if launch.url:
        try:
            parts = urlsplit(launch.url)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            fine = False
        if not fine:
            raise InvalidRequest("--http", launch.url, "say it as http://127.0.0.1:8765/mcp")
        if not client.url_key:
            raise InvalidRequest(
                "--http", launch.url, f"{client.title} starts servers only; leave --http out"
            )
    elif client.format == "text":
        raise InvalidRequest(
            "client",
            name,
            f"{client.title} connects over HTTP only: run `ziggie-image-mcp serve --http`, and add"
            " --http http://127.0.0.1:8765/mcp here",
        )
    elif launch.token_env:
        raise InvalidRequest("--token-env", launch.token_env, "it belongs to --http URL")
    elif not launch.command:
        raise InvalidRequest("command", "", "name the program that starts the server")


def _start(client: Client, launch: Launch) -> Entry:
    program, *arguments = launch.command
    env = {"env": dict(launch.env)} if launch.env else {}
    return {**client.first, "command": program, "args": arguments, **env, **client.stdio}


def _connect(client: Client, launch: Launch) -> Entry:
    entry: Entry = {client.url_key: launch.url, **client.http}
    if launch.token_env and client.format == "toml":
        entry["bearer_token_env_var"] = launch.token_env
    elif launch.token_env:
        entry["headers"] = {"Authorization": client.bearer.replace("NAME", launch.token_env)}
    if "type" in entry:  # first, as the clients' own examples have it
        entry = {"type": entry["type"], **entry}
    return entry


def add_command(launch: Launch, system: str = sys.platform) -> str:
    """A command line. The name comes first: `-e` takes every word up to the next option."""
    if launch.url:
        words = ["claude", "mcp", "add", "--transport", "http", SERVER, launch.url]
        if launch.token_env:
            words += ["--header", f"Authorization: Bearer ${{{launch.token_env}}}"]
    else:
        variables = [word for key, value in launch.env.items() for word in ("-e", f"{key}={value}")]
        words = ["claude", "mcp", "add", SERVER, *variables, "--", *launch.command]
    return shell_command(*words, system=system) + "\n"


def _link(client: Client, entry: Entry) -> str:
    if not client.link:
        return ""
    coded = base64.b64encode(json.dumps(entry).encode()).decode()
    named = json.dumps({"name": SERVER, **entry}, ensure_ascii=False)
    return client.link.format(name=SERVER, base64=quote(coded, safe=""), json=quote(named, safe=""))


def _toml(value: object) -> str:
    if isinstance(value, dict):
        pairs = cast(dict[str, object], value)
        return "{ " + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in pairs.items()) + " }"
    if isinstance(value, list):
        parts = cast(list[object], value)
        return f"[{', '.join(map(_toml, parts))}]"
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float):
        return repr(value)  # inf and nan too
    # JSON's escapes are TOML's too, but for surrogate pairs (so no ensure_ascii) and DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _below_home(path: str) -> Mapping[str, str]:
    return dict.fromkeys(("win32", "darwin", "linux"), f"HOME/{path}")


def _application(path: str, *, linux: str = "") -> Mapping[str, str]:
    """A file in the system's folder for what applications keep."""
    return {
        "win32": f"APPDATA/{path}",
        "darwin": f"HOME/Library/Application Support/{path}",
        "linux": f"CONFIG/{linux or path}",
    }


_RESTART = "Start the client again afterwards."

CLIENTS: Mapping[str, Client] = {
    "claude-code": Client(
        title="Claude Code",
        format="shell",
        places=_below_home(".claude.json"),
        project=".mcp.json",
        url_key="url",
        http={"type": "http"},
        bearer="Bearer ${NAME}",
        note="Run this in a terminal, in the project's folder.",
    ),
    "claude-desktop": Client(
        title="Claude Desktop",
        places=_application("Claude/claude_desktop_config.json"),
        note=f"{_RESTART} Calls end after four minutes at most; its answers are a job_id by then.",
    ),
    "vscode": Client(
        title="VS Code",
        keys=("servers",),
        places=_application("Code/User/mcp.json"),
        project=".vscode/mcp.json",
        first={"type": "stdio"},
        url_key="url",
        http={"type": "http"},
        bearer="Bearer ${env:NAME}",
        link="vscode:mcp/install?{json}",
    ),
    "cursor": Client(
        title="Cursor",
        places=_below_home(".cursor/mcp.json"),
        project=".cursor/mcp.json",
        url_key="url",
        bearer="Bearer ${env:NAME}",
        link="cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={base64}",
    ),
    "codex": Client(
        title="Codex",
        format="toml",
        keys=("mcp_servers",),
        places=_below_home(".codex/config.toml"),
        stdio={
            "startup_timeout_sec": STARTUP_SECONDS,
            "tool_timeout_sec": TOOL_SECONDS,
            "required": True,
        },
        url_key="url",
        http={
            "startup_timeout_sec": STARTUP_SECONDS,
            "tool_timeout_sec": TOOL_SECONDS,
            "required": True,
        },
        note="Without `required` the first turn may lack the tools; with it Codex does not start "
        "while this server cannot.",
    ),
    "gemini": Client(
        title="Gemini CLI",
        places=_below_home(".gemini/settings.json"),
        project=".gemini/settings.json",
        stdio={"timeout": TOOL_SECONDS * 1000},
        url_key="httpUrl",
        http={"timeout": TOOL_SECONDS * 1000},
        bearer="Bearer $NAME",
        note='It hands no secrets of the shell on: name them in env, as "OPENAI_API_KEY": '
        '"$OPENAI_API_KEY".',
    ),
    "lm-studio": Client(
        title="LM Studio",
        places=_below_home(".lmstudio/mcp.json"),
        likely=True,
        url_key="url",
        note="Program > Install > Edit mcp.json. It shows pictures, but not to the model.",
        link="lmstudio://add_mcp?name={name}&config={base64}",
    ),
    "librechat": Client(
        title="LibreChat",
        format="yaml",
        project="librechat.yaml",
        first={"type": "stdio"},
        stdio={"timeout": TOOL_SECONDS * 1000, "initTimeout": STARTUP_SECONDS * 1000},
        url_key="url",
        http={
            "type": "streamable-http",
            "timeout": TOOL_SECONDS * 1000,
            "initTimeout": STARTUP_SECONDS * 1000,
        },
        bearer="Bearer ${NAME}",
        note="librechat.yaml lies in LibreChat's own folder. Over HTTP it blocks private addresses "
        'but for those in mcpSettings.allowedAddresses, as "host.docker.internal:8765".',
    ),
    "jan": Client(
        title="Jan",
        places=_application("Jan/data/mcp_config.json"),
        likely=True,
        stdio={"active": True},
        url_key="url",
        http={"type": "http", "command": "", "args": [], "env": {}, "active": True},
        note="mcp_config.json lies in the data folder that Jan's settings show. There too: raise "
        "the tool call timeout (30 s) to 600.",
    ),
    "zed": Client(
        title="Zed",
        keys=("context_servers",),
        places={**_below_home(".config/zed/settings.json"), "win32": "APPDATA/Zed/settings.json"},
        stdio={"timeout": TOOL_SECONDS},
        url_key="url",
        http={"timeout": TOOL_SECONDS},
    ),
    "windsurf": Client(
        title="Windsurf",
        places=_below_home(".codeium/windsurf/mcp_config.json"),
        url_key="serverUrl",
        bearer="Bearer ${env:NAME}",
    ),
    "cherry-studio": Client(
        title="Cherry Studio",
        first={"name": SERVER, "type": "stdio"},
        stdio={"isActive": True, "timeout": str(TOOL_SECONDS), "longRunning": True},
        url_key="url",
        http={"type": "streamableHttp", "name": SERVER, "isActive": True, "longRunning": True}
        | {"timeout": str(TOOL_SECONDS)},
        note="Settings > MCP > add > import from JSON.",
    ),
    "ziggie": Client(
        title="Ziggie",
        stdio={"timeout": TOOL_SECONDS * 1000},
        url_key="url",
        note="For Ziggie's list of MCP servers; docs/ziggie.md has clients in Node and Python.",
    ),
    "open-webui": Client(
        title="Open WebUI",
        format="text",
        url_key="url",
        note="Admin > Integrations > + > Type: MCP (Streamable HTTP), with this URL; from Docker "
        "write host.docker.internal for 127.0.0.1. Auth: None, or Bearer and the token.",
    ),
}
