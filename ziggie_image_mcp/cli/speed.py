"""The command speed: how long pictures took here."""

from __future__ import annotations

from typing import Annotated

import typer

from ziggie_image_mcp.cli.charts import Bars, PngOption, SvgOption, bar, draw_bars
from ziggie_image_mcp.cli.console import (
    JsonOption,
    err,
    new_table,
    out,
    print_json,
    print_table,
    with_service,
)
from ziggie_image_mcp.errors import duration

app = typer.Typer()

BAR_COLUMNS = 24


@app.command()
def speed(
    ctx: typer.Context,
    rows: Annotated[int, typer.Option(min=1, help="The most that are shown.")] = 30,
    as_json: JsonOption = False,
    svg: SvgOption = None,
    png: PngOption = None,
) -> None:
    """Show how long a picture took on this machine, by model, size and steps."""
    from ziggie_image_mcp.app import gallery_plots

    speeds = with_service(ctx, gallery_plots.speeds)[:rows]
    if as_json:
        print_json({"speeds": speeds})
    elif not speeds:
        out.print("Nothing was measured yet: pictures are, from the first one on.")
    else:
        longest = max(row["seconds"] for row in speeds)
        table = new_table("model", "picture", "takes", "runs", "", whole=("model",))
        for row in speeds:
            table.add_row(
                row["model"],
                row["what"],
                duration(row["seconds"]),
                str(row["runs"]),
                bar(row["seconds"] / longest, BAR_COLUMNS),
            )
        print_table(table)
    if not speeds:
        if svg is not None or png is not None:
            err.print("Nothing was drawn: there is nothing to draw yet.")
        return
    plot = Bars(
        title="Measured on this machine",
        label="seconds",
        values={f"{row['model']}: {row['what']}": row["seconds"] for row in speeds},
    )
    draw_bars(plot, svg, png)
