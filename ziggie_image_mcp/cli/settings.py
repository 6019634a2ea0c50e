"""Commands about config.json: show, path, schema, init."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ziggie_image_mcp.cli.console import (
    config_option,
    err,
    fail,
    out,
    print_json,
    run,
)
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.provider.redaction import hidden_settings

config_app = typer.Typer(help="Show, check and write the settings.", no_args_is_help=True)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of config.json."""
    print_json(loader.json_schema())


@config_app.command("path")
def config_path(ctx: typer.Context) -> None:
    """Print where config.json is looked for."""
    out.print(str(loader.find(config_option(ctx))), markup=False)


@config_app.command("show")
def config_show(ctx: typer.Context) -> None:
    """Print the settings in force, after the environment's overrides. What is secret is hidden."""
    try:
        settings = loader.load(config_option(ctx)).model_dump(by_alias=True, mode="json")
    except ImageError as e:
        fail(e)
    print_json(hidden_settings(settings))


@config_app.command("check")
def config_check(
    ctx: typer.Context,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="This file instead of the one in force.")
    ] = None,
) -> None:
    """Check the settings to the last key, those of every provider too."""
    file = config_file or config_option(ctx)

    async def work() -> None:
        from ziggie_image_mcp.app.application import Application

        async with Application(file, listen=False) as application:
            await application.service()

    run(work)
    place = loader.find(file)
    found = f"{place} is right." if place.exists() else f"There is no {place}; nothing is set."
    out.print(found, markup=False)


@config_app.command("init")
def config_init(ctx: typer.Context) -> None:
    """Write a config.json to start from, and its schema beside it. Never overwrites."""
    path = loader.find(config_option(ctx))
    start = {"$schema": "./config.schema.json", "provider": "auto", "preference": "balanced"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            json.dump(start, file, indent=2)
        schema = json.dumps(loader.json_schema(), indent=2)
        (path.parent / "config.schema.json").write_text(schema, encoding="utf-8")
    except FileExistsError:
        err.print(f"{path} is there already; nothing was changed.", markup=False)
        raise typer.Exit(1) from None
    except OSError as e:
        err.print(f"{path} cannot be written: {e.strerror or e}.", markup=False)
        raise typer.Exit(1) from None
    out.print(str(path), markup=False)
