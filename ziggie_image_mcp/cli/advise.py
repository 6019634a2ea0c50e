"""The command advise: when a GPU would pay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from ziggie_image_mcp.billing import payback
from ziggie_image_mcp.billing.types import Hold
from ziggie_image_mcp.cli.charts import Chart, PngOption, SvgOption, draw_files, draw_here
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    new_table,
    out,
    print_json,
    print_table,
    run,
)
from ziggie_image_mcp.cli.spend import ledger_of
from ziggie_image_mcp.config import loader
from ziggie_image_mcp.errors import InvalidRequest, duration

app = typer.Typer()


@app.command("advise")
def advise_(
    ctx: typer.Context,
    gpu_usd: Annotated[
        float | None, typer.Option(min=0, help="What your GPU would cost, US dollars.")
    ] = None,
    watts: Annotated[float | None, typer.Option(min=0, help="What it draws under load.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="What it takes for one picture.")
    ] = None,
    usd_per_kwh: Annotated[float, typer.Option(min=0)] = payback.USD_PER_KWH,
    as_json: JsonOption = False,
    svg: SvgOption = None,
    png: PngOption = None,
) -> None:
    """Say when a GPU would pay for itself at your own use. Advice: no route is chosen by it."""
    now = datetime.now(UTC)

    async def work() -> Sequence[Hold]:
        for name, value in (
            ("gpu_usd", gpu_usd),
            ("watts", watts),
            ("seconds", seconds),
            ("usd_per_kwh", usd_per_kwh),
        ):
            if value is not None and not math.isfinite(value):
                raise InvalidRequest(name, value, "give a number")
        ledger = ledger_of(loader.load(config_option(ctx)))
        if ledger is None:
            return ()
        try:
            return await ledger.holds(now - timedelta(days=payback.LOOK_BACK_DAYS))
        finally:
            await ledger.aclose()

    used = payback.usage(run(work), now)
    setups = payback.own_setups(gpu_usd=gpu_usd, watts=watts, seconds=seconds)
    report = payback.advise(used, setups=setups, usd_per_kwh=usd_per_kwh)
    chart = _advice_chart(report)
    draw_files(chart, svg, png)
    if as_json:
        print_json(asdict(report))
        return
    out.print(report.text, markup=False)
    print_table(payback_table(report))
    for setup in report.setups:
        out.print(
            f"{setup.name}: {setup.gpu}; price: {setup.source} {setup.date}".rstrip()
            + f"; {setup.watts:g} W, {duration(setup.seconds)} a picture: {setup.power_source}",
            markup=False,
        )
    low, high = report.standing_usd
    out.print(
        f"Standing electricity: ${low:g} to ${high:g} a month ({payback.REPORT}). Marginal: watts "
        f"x seconds / 3.6e6 x ${report.usd_per_kwh:g} per kWh, only what the pictures draw. "
        "Resale, your time and the difference in quality are left out; a GPU you already own is "
        "paid for.",
        markup=False,
    )
    draw_here(chart)


def payback_table(report: payback.Advice) -> Table:
    """When each setup pays."""
    low, high = report.standing_usd
    table = new_table("pictures a day", "cloud a month", "setup", "price")
    table.title = "Months until a GPU has paid for itself"
    table.add_column(f"at ${low:g}-{high:g} a month for electricity", justify="right")
    table.add_column("marginal electricity a month", justify="right")
    table.add_column("months at that", justify="right")
    prices = {setup.name: setup for setup in report.setups}
    last: float | None = None
    for row in report.paybacks:
        if last is not None and row.pictures_a_day != last:
            table.add_section()
        first = row.pictures_a_day != last
        last = row.pictures_a_day
        table.add_row(
            payback.number(row.pictures_a_day) if first else "",
            f"${row.cloud_usd:,.2f}" if first else "",
            row.setup,
            payback.price_text(prices[row.setup]),
            payback.span(row.best, row.worst),
            f"${row.marginal_usd:,.2f}",
            payback.span(row.marginal_best, row.marginal_worst),
        )
    return table


def _advice_chart(report: payback.Advice) -> Chart:
    assumed = "" if report.usage else ", assumed use"
    return Chart(
        title=f"Cost added up, US dollars{assumed}",
        x=tuple(str(n) for n in range(payback.HORIZON_MONTHS + 1)),
        x_label="months",
        series={line.label: line.usd for line in payback.cumulative(report)},
        stacked=False,
    )
