"""The command models measure: by which ways a model runs faster on this machine."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ziggie_image_mcp.cli.console import (
    JsonOption,
    err,
    fail,
    new_table,
    out,
    print_json,
    print_table,
    with_service,
)
from ziggie_image_mcp.errors import InvalidRequest, duration

if TYPE_CHECKING:
    from ziggie_image_mcp.app.measuring import SpeedReport
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.provider.nouns import Progress


def measure(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="As `models` lists it.")],
    width: Annotated[int | None, typer.Option(min=1, help="Pixels; the model's own.")] = None,
    height: Annotated[int | None, typer.Option(min=1, help="Pixels; the model's own.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="The model's own.")] = None,
    pictures: Annotated[
        int, typer.Option(min=1, max=20, help="Timed after the first of each way.")
    ] = 3,
    as_json: JsonOption = False,
) -> None:
    """Time a model compiled and by each attention that is installed, and keep which of them pay.

    Let nothing else run meanwhile. Where `attention` or `compile` of its provider is `auto`, the
    fastest way that pays is taken from then on, until torch, diffusers or the driver changes.
    """
    from ziggie_image_mcp.app.measuring import measure_speed

    if (width is None) != (height is None):
        value = width or height
        fail(InvalidRequest("width" if height is None else "height", value, "give both, or none"))
    size = (width, height) if width is not None and height is not None else None

    async def work(service: Service) -> SpeedReport:
        with _progress() as tell:
            return await measure_speed(
                service, name, size=size, steps=steps, pictures=pictures, progress=tell
            )

    report = with_service(ctx, work)
    if as_json:
        print_json(report.model_dump())
        return
    _print(report)


@contextmanager
def _progress() -> Generator[Progress]:
    """A bar on a terminal; elsewhere a line for each way, and one now and then within it."""
    from ziggie_image_mcp.cli.following import progress_bar
    from ziggie_image_mcp.cli.transfer import LINE_SECONDS

    if err.is_terminal:
        with progress_bar(None) as tell:
            yield tell
        return
    last_way, printed = "", 0.0

    async def print_line(share: float, message: str) -> None:
        nonlocal last_way, printed
        way, now = message.partition(":")[0], time.monotonic()
        if way != last_way or now - printed >= LINE_SECONDS:
            last_way, printed = way, now
            err.print(f"{share:4.0%} {message}", markup=False)

    yield print_line


def _print(report: SpeedReport) -> None:
    table = new_table(
        *("way", "a picture", "the first", "differs by", "pays from", "why not"), whole=["way"]
    )
    for row in report.rows:
        table.add_row(
            row.name,
            "" if row.seconds is None else duration(row.seconds),
            "" if row.first_seconds is None else duration(row.first_seconds),
            "" if row.difference is None else f"{row.difference:.2f} of 255",
            "" if row.pays_from is None else f"picture {row.pays_from}",
            row.why_not,
        )
    print_table(table)
    size = f"{report.width} x {report.height}"
    steps = "" if report.steps is None else f", {report.steps} steps"
    out.print(
        f"{report.provider}/{report.model}, {size}{steps}: medians of {report.pictures}, the first "
        "picture of each way apart.",
        markup=False,
    )
    usual = report.rows[0].seconds
    if usual is None or not any(row.pays for row in report.rows):
        out.print("Nothing pays here: pictures are made as before.")
        return
    section = f"ziggie-image-mcp config set providers.{report.provider}"
    out.print("What pays is taken where the settings leave it:", markup=False)
    for key in ("attention", "compile"):
        out.print(f"{section}.{key} auto", markup=False)
