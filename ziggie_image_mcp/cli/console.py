"""What every command of the command line shares: its consoles, tables, errors and the service.

The service is imported by the command that needs it: `--help` and `--version` come at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import anyio
import typer
from rich.console import Console
from rich.table import Table

from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.provider.redaction import hidden

if TYPE_CHECKING:
    from ziggie_image_mcp.app.service import Service

T = TypeVar("T")

out = Console(soft_wrap=True, highlight=False, markup=False)
tables = out if out.is_terminal else Console(width=150, highlight=False, markup=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def config_option(ctx: typer.Context) -> Path | None:
    """The file that `--config`, before the command, named."""
    file = ctx.find_root().params.get("config_file")
    return None if file is None else Path(file)


def new_table(*columns: str, title: str | None = None) -> Table:
    """A table that folds long words rather than cut them."""
    new = Table(title=title)
    for column in columns:
        new.add_column(column, overflow="fold")
    return new


def print_json(data: object) -> None:
    """Print JSON, in whatever width."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + os.linesep)


def fail(error: ImageError) -> NoReturn:
    """Say an anticipated error, and end with code 1."""
    err.print(f"[{error.code}] {hidden(str(error))}", markup=False)
    raise typer.Exit(1) from None


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run one use case; an anticipated error is a message and exit code 1."""
    try:
        return anyio.run(work)
    except ImageError as e:
        fail(e)
    except KeyboardInterrupt:
        err.print("Stopped.")
        raise typer.Exit(130) from None


def with_service(ctx: typer.Context, work: Callable[[Service], Awaitable[T]]) -> T:
    """Run one use case on the service that the config describes. Others' jobs are left alone."""
    from ziggie_image_mcp.app.application import Application

    async def inside() -> T:
        async with Application(config_option(ctx), listen=False) as application:
            return await work(await application.service())

    return run(inside)
