"""The command usage: every picture by route, free ones too, and what it cost or would have."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ziggie_image_mcp.billing import payback, usage_report
from ziggie_image_mcp.billing.usage_report import Line
from ziggie_image_mcp.cli.advise import payback_table
from ziggie_image_mcp.cli.charts import Chart, PngOption, SvgOption, draw_files, draw_here
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
from ziggie_image_mcp.cli.spend import ledger_of
from ziggie_image_mcp.errors import InvalidRequest, duration

if TYPE_CHECKING:
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.app.usage import UsageReport

app = typer.Typer()

MOST_NAMES = 4
_COLUMNS = (
    *("day", "provider", "model", "local", "pictures", "timed_pictures", "seconds", "kwh"),
    *("electricity_usd", "paid_usd", "cheapest_usd", "unpriced_pictures", "cheapest"),
)


@app.command("usage")
def usage_(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=3660, help="Up to and with today (UTC).")] = 30,
    watts: Annotated[
        float | None, typer.Option(min=0, help="What the engine draws; else by the GPU's name.")
    ] = None,
    usd_per_kwh: Annotated[float, typer.Option(min=0)] = payback.USD_PER_KWH,
    gpu_usd: Annotated[
        float | None, typer.Option(min=0, help="What a GPU would cost, US dollars.")
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a line per day and route, for a spreadsheet.")
    ] = False,
    as_json: JsonOption = False,
    svg: SvgOption = None,
    png: PngOption = None,
) -> None:
    """Count every picture by route, free ones too, beside what the cheapest vendor would take."""
    for name, value in (("watts", watts), ("usd_per_kwh", usd_per_kwh), ("gpu_usd", gpu_usd)):
        if value is not None and not math.isfinite(value):
            fail(InvalidRequest(f"--{name.replace('_', '-')}", value, "give a number"))

    async def work(service: Service) -> UsageReport:
        from ziggie_image_mcp.app import usage

        return await usage.report(
            service,
            days=days,
            watts=watts,
            usd_per_kwh=usd_per_kwh,
            gpu_usd=gpu_usd,
            with_money=ledger_of(service.config) is not None,
        )

    report = with_service(ctx, work)
    chart = _chart(report)
    if report.total.pictures:
        draw_files(chart, svg, png)
    elif svg or png:
        err.print("There is nothing to draw.")
    if report.trouble:
        err.print(report.trouble, markup=False)
    if as_csv:
        _print_csv(report)
    elif as_json:
        print_json(_data(report))
    else:
        _print(report, chart)


def _print(report: UsageReport, chart: Chart) -> None:
    if not report.lines:
        out.print(f"No picture was made from {report.first} to {report.last} (UTC).")
    else:
        print_table(_table(report))
    for line in _assumptions(report):
        out.print(line, markup=False)
    if report.advice is not None:
        out.print(report.advice.text, markup=False)
        print_table(payback_table(report.advice))
    if report.total.pictures:
        draw_here(chart)


def _table(report: UsageReport) -> Table:
    table = new_table(
        "route", title=f"Pictures from {report.first} to {report.last} (UTC)", whole=["route"]
    )
    for column in ("pictures", "time", "kWh", "electricity", "paid", "cheapest vendor"):
        table.add_column(column, justify="right")
    table.add_column("which")
    for line in report.routes:
        table.add_row(f"{line.provider}/{line.model}", *_cells(line), _names(list(line.cheapest)))
    table.add_section()
    table.add_row("total", *_cells(report.total), "")
    return table


def _cells(line: Line) -> tuple[str, ...]:
    return (
        str(line.pictures),
        duration(line.seconds) if line.timed else "",
        f"{line.kwh:.3g}" if line.local else "",
        _usd(line.electricity_usd) if line.local else "",
        _usd(line.paid_usd) if line.paid_usd else "",
        _usd(line.cheapest_usd) if line.cheapest else "",
    )


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def _names(names: Sequence[str]) -> str:
    rest = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + rest


def _assumptions(report: UsageReport) -> list[str]:
    power, total = report.power, report.total
    lines = [
        f"Electricity: {power.watts:g} W ({power.source}) x seconds x ${power.usd_per_kwh:g} per "
        "kWh, of engines of your own; --watts and --usd-per-kwh change it.",
    ]
    if report.vendor_models:
        vendors = ", ".join(sorted({name.partition("/")[0] for name in report.vendor_models}))
        lines.append(
            "Cheapest vendor: today's expected price in the nearest size, among "
            f"{len(report.vendor_models)} models of {vendors}, however good they are."
        )
    if report.vendors_without_prices:
        lines.append(f"Not compared, without a key: {', '.join(report.vendors_without_prices)}.")
    if total.unpriced:
        lines.append(f"{total.unpriced} pictures are of a kind that no vendor here makes.")
    if untimed := total.pictures - total.timed:
        lines.append(f"Of {untimed} pictures nobody knows the time: their process died.")
    if report.counted_since and report.counted_since > report.first:
        lines.append(f"Pictures are counted from {report.counted_since} on.")
    return lines


def _data(report: UsageReport) -> dict[str, Any]:
    return {
        "first_day": str(report.first),
        "last_day": str(report.last),
        "counted_since": None if report.counted_since is None else str(report.counted_since),
        "routes": [_line_data(line) for line in report.routes],
        "days": [_line_data(line) for line in report.lines],
        "total": _line_data(report.total),
        "assumptions": {
            **asdict(report.power),
            "priced_models": list(report.vendor_models),
            "vendors_not_compared": list(report.vendors_without_prices),
        },
        "break_even": None if report.advice is None else asdict(report.advice),
    }


def _line_data(line: Line) -> dict[str, Any]:
    data = {
        "day": None if line.day is None else str(line.day),
        "provider": line.provider,
        "model": line.model,
        "local": line.local,
        "pictures": line.pictures,
        "timed_pictures": line.timed,
        "seconds": round(line.seconds, 3),
        "kwh": line.kwh,
        "electricity_usd": line.electricity_usd,
        "paid_usd": line.paid_usd,
        "cheapest_usd": line.cheapest_usd,
        "unpriced_pictures": line.unpriced,
        "cheapest": dict(line.cheapest),
    }
    return {key: value for key, value in data.items() if value not in ("", None)}


def _print_csv(report: UsageReport) -> None:
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(_COLUMNS)
    for line in report.lines:
        data = _line_data(line) | {"cheapest": " ".join(line.cheapest)}
        rows.writerow(data.get(column, "") for column in _COLUMNS)


def _chart(report: UsageReport) -> Chart:
    length = (report.last - report.first).days + 1
    days: list[date] = [report.first + timedelta(days=n) for n in range(length)]
    own, vendor = usage_report.cumulative(report.lines, days)
    return Chart(
        title="Cost added up by day, US dollars",
        x=tuple(f"{day:%m-%d}" for day in days),
        x_label="day (UTC)",
        series={"paid and electricity": own, "cheapest vendor": vendor},
        stacked=False,
    )
