"""Commands about config.json: show, path, schema, init, check, get, set, unset."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from ziggie_image_mcp.cli import config_file
from ziggie_image_mcp.cli.config_file import ConfigFile
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    print_json,
    print_plain,
    run,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.errors import ConfigError, ImageError
from ziggie_image_mcp.provider.redaction import hidden_settings

config_app = typer.Typer(help="Show, check and write the settings.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="As budget.perDay.")]


@config_app.command("schema")
def config_schema(as_json: JsonOption = True) -> None:
    """Print the JSON Schema of config.json."""
    print_json(loader.json_schema())


@config_app.command("path")
def config_path(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Print where config.json is looked for."""
    path = _find(ctx)
    if as_json:
        print_json({"path": str(path), "exists": path.exists()})
    else:
        print_plain(str(path))


@config_app.command("show")
def config_show(ctx: typer.Context, as_json: JsonOption = True) -> None:
    """Print the settings in force, after the environment's overrides. What is secret is hidden."""
    print_json(hidden_settings(_in_force(ctx)))


@config_app.command("check")
def config_check(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Check the settings to the last key, those of every provider too."""
    file = config_option(ctx)

    async def work() -> None:
        from ziggie_image_mcp.app.application import Application

        async with Application(file, listen=False) as application:
            await application.service()

    run(work)
    place = _find(ctx)
    if as_json:
        print_json({"path": str(place), "exists": place.exists()})
        return
    found = f"{place} is right." if place.exists() else f"There is no {place}; nothing is set."
    print_plain(found)


@config_app.command("init")
def config_init(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Write a config.json to start from, and its schema beside it. Never overwrites."""
    path = _find(ctx)
    start = {"$schema": "./config.schema.json", "provider": "auto", "preference": "balanced"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            json.dump(start, file, indent=2)
        schema = json.dumps(loader.json_schema(), indent=2)
        (path.parent / "config.schema.json").write_text(schema, encoding="utf-8")
    except FileExistsError:
        err.print(f"{path} is there already; nothing was changed.", markup=False)
        raise typer.Exit(ExitCode.FAILED) from None
    except OSError as e:
        err.print(f"{path} cannot be written: {e.strerror or e}.", markup=False)
        raise typer.Exit(ExitCode.FAILED) from None
    if as_json:
        print_json({"path": str(path)})
    else:
        print_plain(str(path))


@config_app.command("get")
def config_get(ctx: typer.Context, key: KeyArgument, as_json: JsonOption = False) -> None:
    """Print one setting in force, its default where nothing sets it. What is secret is hidden."""
    value: Any = _in_force(ctx)
    try:
        keys, _ = loader.setting_named(key)
        variables = loader.overriding(keys)
    except ImageError as e:
        fail(e)
    for part in keys:
        if not isinstance(value, dict) or part not in value:
            value = None
            break
        value = cast(dict[str, Any], value)[part]
    value = hidden_settings(value, keys[-1])
    if as_json:
        print_json({"key": ".".join(keys), "value": value, "variables": variables})
        return
    print_plain(config_file.shown(value))
    for name in variables:
        err.print(f"note: {name} in the environment has a say in it", markup=False)


@config_app.command("set", context_settings={"ignore_unknown_options": True})
def config_set(
    ctx: typer.Context,
    key: KeyArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="JSON, or a text.")],
    as_json: JsonOption = False,
) -> None:
    """Write one setting, once the whole file is right with it. A running server follows."""

    def change(file: ConfigFile) -> tuple[tuple[str, ...], str]:
        keys, meant = config_file.meaning(key, value)
        return keys, config_file.with_value(file.text, file, keys, meant)

    _change(ctx, change, as_json=as_json)


@config_app.command("unset")
def config_unset(ctx: typer.Context, key: KeyArgument, as_json: JsonOption = False) -> None:
    """Take one setting out of the file, so that its default is in force again."""

    def change(file: ConfigFile) -> tuple[tuple[str, ...], str]:
        keys = tuple(key.split("."))
        text = config_file.without(file.text, file, keys)  # no setting's name may stand there too
        if text == file.text:
            keys, _ = loader.setting_named(key)
            text = config_file.without(file.text, file, keys)
        return keys, text

    _change(ctx, change, as_json=as_json)


def _change(
    ctx: typer.Context,
    change: Callable[[ConfigFile], tuple[tuple[str, ...], str]],
    *,
    as_json: bool,
) -> None:
    async def work() -> tuple[ConfigFile, tuple[str, ...], bool]:
        file = config_file.read(loader.find(config_option(ctx)))
        keys, text = change(file)
        changed = text != file.text
        if changed:
            await config_file.check(text, file.path)
            config_file.replace(file, text)
        return file, keys, changed

    file, keys, changed = run(work)
    try:
        variables = loader.overriding(keys)
    except ConfigError as e:  # of the environment, which is not what was changed
        variables = []
        err.print(f"note: {e}", markup=False)
    name = ".".join(keys)
    if as_json:
        data = {"path": str(file.path), "key": name, "changed": changed, "variables": variables}
        print_json(data)
        return
    print_plain(str(file.path))
    if not changed:
        err.print(f"note: {name} is so already; nothing was changed", markup=False)
    for variable in variables:
        err.print(f"note: {name} is overridden by {variable} in the environment", markup=False)


def _find(ctx: typer.Context) -> Path:
    try:
        return loader.find(config_option(ctx))
    except ImageError as e:
        fail(e)


def _in_force(ctx: typer.Context) -> dict[str, Any]:
    try:
        return loader.load(config_option(ctx)).model_dump(by_alias=True, mode="json")
    except ImageError as e:
        fail(e)
