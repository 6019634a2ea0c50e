"""The commands about money: spend, advise."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ziggie_image_mcp.billing import payback, spend_report
from ziggie_image_mcp.billing.caps import Caps, caps_from
from ziggie_image_mcp.billing.ledger import OPEN, Ledger, default_file
from ziggie_image_mcp.billing.money import micro_usd, usd
from ziggie_image_mcp.billing.owners import Owners
from ziggie_image_mcp.billing.types import Hold, OpenCharge, Spending
from ziggie_image_mcp.cli.charts import Chart, draw_files, draw_here
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    new_table,
    out,
    print_json,
    print_table,
    run,
    with_service,
)
from ziggie_image_mcp.config import config, loader
from ziggie_image_mcp.errors import InvalidRequest, duration

if TYPE_CHECKING:
    from ziggie_image_mcp.app.service import Service

app = typer.Typer()
spend_app = typer.Typer(help="Show what was spent, and settle by hand what is open.")
app.add_typer(spend_app, name="spend")

MAX_DOLLARS = 1_000_000
_FIGURES = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
"""What Python reads as a number besides, as 1_0 or 1e1, may be a slip of the hand."""

SvgOption = Annotated[Path | None, typer.Option("--svg", help="Draw the plot into this file.")]
PngOption = Annotated[Path | None, typer.Option("--png", help="Draw the plot into this file.")]


@spend_app.callback(invoke_without_command=True)
def spend_(
    ctx: typer.Context,
    only_open: Annotated[
        bool, typer.Option("--open", help="List what is not settled for good.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, max=3660, help="Up to and with today (UTC).")] = 30,
    as_json: JsonOption = False,
    svg: SvgOption = None,
    png: PngOption = None,
) -> None:
    """Show what was spent, by day and provider, and what the caps still allow."""
    if ctx.invoked_subcommand is not None:
        return
    if only_open:
        _show_open(ctx, as_json)
        return
    now = datetime.now(UTC)

    async def work() -> tuple[Sequence[Hold] | None, Spending, Caps]:
        settings = loader.load(config_option(ctx))
        caps = caps_from(settings.budget, loader.provider_budgets(settings))
        ledger = _ledger(settings)
        if ledger is None:
            return None, Spending(), caps
        try:
            since = spend_report.first_moment(now.date(), days)
            return await ledger.holds(since), await ledger.spending(now), caps
        finally:
            await ledger.aclose()

    holds, spending, caps = run(work)
    report = spend_report.summarize(holds or (), today=now.date(), days=days)
    allowances = spend_report.allowances(caps, spending)
    chart = _spend_chart(report)
    if report.rows:
        draw_files(chart, svg, png)
    elif svg or png:
        err.print("There is nothing to draw.")
    if as_json:
        print_json(_spend_data(report, allowances))
        return
    if holds is None:
        out.print("Nothing spent yet.")
    elif not report.rows:
        out.print(f"Nothing spent from {report.first} to {report.last} (UTC).")
    else:
        print_table(_spend_table(report))
        draw_here(chart)
    print_table(_caps_table(allowances))
    if spending.unknown:
        out.print(
            f"{spending.unknown} attempts ended without anybody knowing whether they were charged;"
            " they count as spent. `spend --open` lists them."
        )


@spend_app.command("settle")
def settle(
    ctx: typer.Context,
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="As `spend --open` lists it.")],
    amount: Annotated[str, typer.Argument(help="US dollars that it cost, or none.")],
    as_json: JsonOption = False,
) -> None:
    """End an open, unknown or disputed charge by hand, as the vendor's bill tells."""
    micro = _amount(amount)

    async def work(service: Service) -> Hold:
        ledger, owners = service.billing.ledger, service.billing.owners
        hold = await ledger.find(hold_id)
        if hold is not None and hold.state in OPEN and await owners.alive(hold.owner):
            fix = "its server lives and works on it: wait, or end that server"
            raise InvalidRequest("ID", hold_id, fix)
        return await ledger.settle_by_hand(hold_id, micro, datetime.now(UTC))

    hold = with_service(ctx, work)
    if as_json:
        print_json({"id": hold.id, "state": hold.state, "usd": (hold.actual or 0) / 1e6})
        return
    out.print(f"{hold.id}: {hold.state}, {usd(hold.actual or 0)}", markup=False)


def _amount(text: str) -> int | None:
    if text.strip().lower() == "none":
        return None
    figures = text.strip().removeprefix("$")
    dollars = float(figures) if _FIGURES.fullmatch(figures) else math.nan
    if not 0 <= dollars <= MAX_DOLLARS:
        fix = f"say the US dollars, from 0 to {MAX_DOLLARS:,}, or none"
        fail(InvalidRequest("AMOUNT", text, fix))
    return micro_usd(dollars)


def _show_open(ctx: typer.Context, as_json: bool) -> None:
    async def work(service: Service) -> list[dict[str, Any]]:
        if _ledger(service.config) is None:
            return []
        charges = await service.billing.ledger.open_charges()
        return [await _open_data(charge, service.billing.owners) for charge in charges]

    rows = with_service(ctx, work)
    if as_json:
        print_json(rows)
        return
    if not rows:
        out.print("Nothing is open.")
        return
    listing = new_table(
        *("id", "made (UTC)", "model", "state", "counts as", "what is known"), whole=["id"]
    )
    for row in rows:
        counts = usd(row["micro_usd"])
        made = row["created"][:16].replace("T", " ")
        listing.add_row(row["id"], made, row["model"], row["state"], counts, row["known"])
    print_table(listing)
    out.print("End one as the vendor's bill tells: ziggie-image-mcp spend settle ID AMOUNT|none")


async def _open_data(charge: OpenCharge, owners: Owners) -> dict[str, Any]:
    hold = charge.hold
    known = [hold.note] if hold.note else []
    state: str = hold.state
    if charge.disputed:
        state = "disputed"
        known.insert(0, f"the vendor claims {charge.disputed}")
    elif hold.state in OPEN:
        lives = await owners.alive(hold.owner)
        words = {True: "its server works on it", False: "its server died", None: "on another host"}
        known.append(words[lives])
    if hold.remote_id:
        known.append(f"the vendor's id is {hold.remote_id}")
    return {
        "id": hold.id,
        "created": hold.created.isoformat(timespec="seconds"),
        "model": f"{hold.provider}/{hold.model}",
        "images": hold.images,
        "state": state,
        "micro_usd": hold.estimate if hold.actual is None else hold.actual,
        "claim": charge.disputed,
        "remote_id": hold.remote_id,
        "known": "; ".join(known),
    }


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
        ledger = _ledger(loader.load(config_option(ctx)))
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
    print_table(_payback_table(report))
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


def _ledger(settings: config.Config) -> Ledger | None:
    """The ledger, or None where its file does not exist yet: looking must not make one."""
    database = settings.database or default_file()
    if isinstance(database, Path):
        file = database
    elif database.startswith("sqlite"):
        from ziggie_image_mcp.storage import engine as database_engine

        file = Path(database_engine.name(database))
    else:
        return Ledger(database)
    return Ledger(database) if file.exists() else None


def _spend_table(report: spend_report.Summary) -> Table:
    title = f"Spent from {report.first} to {report.last} (UTC)"
    table = new_table("day", "provider", title=title)
    for column in ("pictures", "settled", "held", "unknown"):
        table.add_column(column, justify="right")
    day: date | None = None
    for row in report.rows:
        period = "" if row.day == day else str(row.day)
        day = row.day
        table.add_row(period, row.provider, *_cells(row.amounts))
    table.add_section()
    table.add_row("total", "", *_cells(report.total))
    return table


def _cells(amounts: spend_report.Amounts) -> tuple[str, ...]:
    money = (amounts.settled, amounts.held, amounts.unknown)
    return str(amounts.pictures), *(usd(m) if m else "" for m in money)


def _caps_table(allowances: Sequence[spend_report.Allowance]) -> Table:
    table = new_table("cap", title="Caps, with what is held counted as used")
    for column in ("US dollars", "used", "left"):
        table.add_column(column, justify="right")
    for row in allowances:
        cells = ("" if value is None else usd(value) for value in (row.used, row.left))
        table.add_row(row.setting, "none" if row.cap is None else usd(row.cap), *cells)
    return table


def _spend_data(
    report: spend_report.Summary, allowances: Sequence[spend_report.Allowance]
) -> dict[str, Any]:
    return {
        "first_day": str(report.first),
        "last_day": str(report.last),
        "rows": [
            {"day": str(row.day), "provider": row.provider, **_amounts_data(row.amounts)}
            for row in report.rows
        ],
        "total": _amounts_data(report.total),
        "caps": [
            {
                "setting": row.setting,
                "cap_usd": _dollars(row.cap),
                "used_usd": _dollars(row.used),
                "left_usd": _dollars(row.left),
            }
            for row in allowances
        ],
    }


def _amounts_data(amounts: spend_report.Amounts) -> dict[str, float]:
    return {
        "pictures": amounts.pictures,
        "settled_usd": amounts.settled / 1e6,
        "held_usd": amounts.held / 1e6,
        "unknown_usd": amounts.unknown / 1e6,
    }


def _dollars(micro: int | None) -> float | None:
    return None if micro is None else micro / 1e6


def _payback_table(report: payback.Advice) -> Table:
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


def _spend_chart(report: spend_report.Summary) -> Chart:
    length = (report.last - report.first).days + 1
    return Chart(
        title="Spent by day, US dollars",
        x=tuple(f"{report.first + timedelta(days=n):%m-%d}" for n in range(length)),
        x_label="day (UTC)",
        series={
            name: [micro / 1e6 for micro in amounts]
            for name, amounts in spend_report.by_day(report).items()
        },
        stacked=True,
    )


def _advice_chart(report: payback.Advice) -> Chart:
    assumed = "" if report.usage else ", assumed use"
    return Chart(
        title=f"Cost added up, US dollars{assumed}",
        x=tuple(str(n) for n in range(payback.HORIZON_MONTHS + 1)),
        x_label="months",
        series={line.label: line.usd for line in payback.cumulative(report)},
        stacked=False,
    )
