"""What every command of the command line shares: its consoles, tables, errors and the service.

The service is imported by the command that needs it: `--help` and `--version` come at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import anyio
import typer
from rich.console import Console
from rich.table import Table

from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.errors import ImageError, InvalidRequest
from ziggie_image_mcp.provider.redaction import hidden

if TYPE_CHECKING:
    from ziggie_image_mcp.app.service import Service

T = TypeVar("T")

LEAST_CELL = 10
"""Columns of a terminal below which a cell that folds cannot be read."""

out = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
tables = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document; an error stays a text on stderr."),
]


def config_option(ctx: typer.Context) -> Path | None:
    """The file that `--config` named."""
    file = ctx.find_root().params.get("config_file")
    return None if file is None else Path(file)


def new_table(*columns: str, title: str | None = None, whole: Sequence[str] = ()) -> Table:
    """A table that folds long words rather than cut them.

    Args:
        columns: Their names.
        title: What stands above it.
        whole: The columns whose cells are copied, ids and names: these are never folded.
    """
    new = Table(title=title)
    for column in columns:
        new.add_column(column, overflow="fold", no_wrap=column in whole)
    return new


def print_table(table: Table) -> None:
    """Print a table for who reads it: with lines on a terminal, else a line per row, with tabs.

    On a terminal that is too narrow for its columns each row is a list of its own.
    """
    names = [str(column.header) for column in table.columns]
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    lines = [[str(cell) for cell in row] for row in rows]
    if not tables.is_terminal:
        if table.title:
            print_plain(str(table.title))
        for line in [names, *lines]:
            print_plain("\t".join(" ".join(cell.split()) for cell in line))
        return
    widest = [max(len(cell) for cell in column) for column in zip(names, *lines, strict=True)]
    need = sum(
        wide if column.no_wrap else min(wide, LEAST_CELL)
        for column, wide in zip(table.columns, widest, strict=True)
    )
    if need + 3 * len(names) + 1 <= tables.width:
        tables.print(table)
        return
    if table.title:
        out.print(str(table.title))
    for line in lines:
        for place, (name, cell) in enumerate(zip(names, line, strict=True)):
            if cell:
                out.print(f"{'  ' if place else ''}{name}: {cell}".lstrip(":").rstrip())


def print_plain(line: str) -> None:
    """Print a line as it is, tabs too, for who copies it or reads it by program."""
    sys.stdout.write(line + "\n")


def print_json(data: object) -> None:
    """Print JSON, in whatever width and encoding."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    text = json.dumps(data, ensure_ascii=encoding != "utf8", indent=2)
    sys.stdout.write(text + "\n")


def fail(error: ImageError) -> NoReturn:
    """Say an anticipated error, and end so."""
    err.print(f"[{error.code}] {hidden(str(error))}", markup=False)
    raise typer.Exit(ExitCode.FAILED) from None


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run one use case; an anticipated error is a message and exit code 1."""
    try:
        return anyio.run(work)
    except ImageError as e:
        fail(e)
    except KeyboardInterrupt:
        err.print("Stopped.")
        raise typer.Exit(ExitCode.STOPPED) from None


def agree(question: str, *, to: str, declined: str) -> None:
    """Ask who sits at the terminal, after all that could be refused was. A no ends the command.

    Args:
        question: With its question mark.
        to: What `--yes` is needed for where nobody sits there.
        declined: What a no came to.

    Raises:
        InvalidRequest: Nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise InvalidRequest("yes", False, f"nobody can be asked here: add --yes to {to}")
    if not typer.confirm(question, err=True):
        err.print(declined)
        raise typer.Exit(ExitCode.FAILED)


def with_service(ctx: typer.Context, work: Callable[[Service], Awaitable[T]]) -> T:
    """Run one use case on the service that the config describes. Others' jobs are left alone."""
    from ziggie_image_mcp.app.application import Application

    async def inside() -> T:
        async with Application(config_option(ctx), listen=False) as application:
            return await work(await application.service())

    return run(inside)
