"""The command that connects MCP clients to this server."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Annotated, Any

import typer

from ziggie_image_mcp.cli import client_config, client_files
from ziggie_image_mcp.cli.client_config import CLIENTS, Client, ClientSnippet, Launch
from ziggie_image_mcp.cli.completion import completing
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    new_table,
    out,
    print_json,
    print_table,
)
from ziggie_image_mcp.config import config
from ziggie_image_mcp.config.environment import setting
from ziggie_image_mcp.errors import ConfigError, ImageError, InvalidRequest

app = typer.Typer()


@app.command("client-config")
def client_config_(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="A client; without it all are listed.", autocompletion=completing(lambda: CLIENTS)
        ),
    ] = "",
    write: Annotated[bool, typer.Option("--write", help="Edit the client's own file.")] = False,
    project: Annotated[
        bool, typer.Option("--project", help="For the project in this folder only.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", help="The client's file, where it is elsewhere.")
    ] = None,
    http: Annotated[
        str, typer.Option("--http", help="Connect to a server at this URL; start none.")
    ] = "",
    token_env: Annotated[
        str, typer.Option("--token-env", help="The variable that holds that server's token.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Print what connects an MCP client to this server, and where it goes; or put it there."""
    if not name:
        given = {"--write": write, "--project": project, "--file": file, "--http": http}
        alone = next((key for key, value in given.items() if value), token_env and "--token-env")
        if alone:
            fix = f"as in `ziggie-image-mcp client-config cursor {alone}`; without a name all are"
            fail(InvalidRequest("client", name, f"{alone} needs one, {fix} listed"))
        _list(as_json=as_json)
        return
    try:
        launch = _launch(config_option(ctx), http, token_env)
        snippet = client_config.client_config(name, launch, project=project or file is not None)
        client = CLIENTS[name]
        own: PurePath | None = client_files.place(client)
        if write or project or file is not None:
            folder = Path.cwd() if project else None
            own = client_files.own_file(name, client, named=file, project=folder)
    except ImageError as e:
        fail(e)
    if write:
        _write(client, snippet, Path(own or ""), as_json=as_json)
    else:
        _print(client, snippet, own, as_json=as_json)


def _launch(named: Path | None, http: str, token_env: str) -> Launch:
    """How the client reaches the server: with the settings that are in force here."""
    if http:
        if named is not None:
            fix = "the server at --http has settings of its own; leave --config out"
            raise InvalidRequest("--config", str(named), fix)
        return Launch(url=http, token_env=token_env)
    said = "--config"
    if named is None and setting(os.environ, config.ENV_FILE):
        from ziggie_image_mcp.config import loader

        said, named = config.ENV_FILE, loader.find(None)
    env: dict[str, str] = {}
    if named is not None:
        if not named.is_file():
            fix = "there is no such file; `config init` makes one"
            raise InvalidRequest(said, str(named), fix)
        env[config.ENV_FILE] = str(named.absolute())
    command = (str(Path(sys.executable)), "-m", "ziggie_image_mcp")
    return Launch(command=command, env=env, token_env=token_env)


def _list(*, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for name, client in CLIENTS.items():
        place = client_files.place(client)
        rows.append(
            {
                "name": name,
                "client": client.title,
                "file": str(place or ""),
                "here": place is not None and Path(place).exists(),
                "project_file": client.project,
            }
        )
    if as_json:
        print_json(rows)
        return
    table = new_table("name", "client", "file", "here", "in a project")
    for row in rows:
        here = "yes" if row["here"] else ""
        table.add_row(row["name"], row["client"], row["file"], here, row["project_file"])
    print_table(table)
    out.print("`client-config NAME` prints its lines; with --write they are put in.", markup=False)


def _print(
    client: Client, snippet: ClientSnippet, place: PurePath | None, *, as_json: bool
) -> None:
    if as_json:
        print_json({**asdict(snippet), "file": None if place is None else str(place)})
        return
    where = f"Merge into {place}, or add --write." if place and snippet.format != "shell" else ""
    for line in filter(None, (where, snippet.note)):
        err.print(f"{client.title}: {line}", markup=False, emoji=False)
    sys.stdout.write(snippet.text)
    if snippet.link:
        err.print(f"Or open: {snippet.link}", markup=False, emoji=False)


def _write(client: Client, snippet: ClientSnippet, own: Path, *, as_json: bool) -> None:
    try:
        change = client_files.write(own, client, snippet)
    except ConfigError as e:
        kind = "json" if client.format == "shell" else client.format
        sys.stdout.write(client_config.written(kind, client.keys, snippet.entry))
        fail(e)
    except ImageError as e:
        fail(e)
    if change.off:
        line = f"It is switched off there: `{change.off}` in its entry, which stays as you set it."
        err.print(line, markup=False)
    if as_json:
        backup = None if change.backup is None else str(change.backup)
        print_json({"file": str(change.file), "changed": change.changed, "backup": backup})
        return
    if not change.changed:
        out.print(f"{change.file} has it already; nothing was changed.", markup=False)
        return
    out.print(f"{change.file} has {client_config.SERVER} now.", markup=False)
    if change.backup is not None:
        out.print(f"It was before: {change.backup}", markup=False)
    if snippet.note and snippet.format != "shell":
        err.print(snippet.note, markup=False)
