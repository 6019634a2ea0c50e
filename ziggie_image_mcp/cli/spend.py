"""The command spend: what was spent, by whom, and what is open."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich.table import Table

from ziggie_image_mcp.billing import spend_report
from ziggie_image_mcp.billing.caps import Caps, caps_from
from ziggie_image_mcp.billing.ledger import OPEN, Ledger, default_file
from ziggie_image_mcp.billing.money import micro_usd, usd
from ziggie_image_mcp.billing.owners import Owners
from ziggie_image_mcp.billing.types import Hold, OpenCharge, Spending
from ziggie_image_mcp.cli.charts import Chart, PngOption, SvgOption, draw_files, draw_here
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
from ziggie_image_mcp.errors import InvalidRequest

if TYPE_CHECKING:
    from ziggie_image_mcp.app.service import Service

app = typer.Typer()
spend_app = typer.Typer(help="Show what was spent, and settle by hand what is open.")
app.add_typer(spend_app, name="spend")

MAX_DOLLARS = 1_000_000
_FIGURES = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")
"""What Python reads as a number besides, as 1_0 or 1e1, may be a slip of the hand."""


@spend_app.callback(invoke_without_command=True)
def spend_(
    ctx: typer.Context,
    only_open: Annotated[
        bool, typer.Option("--open", help="List what is not settled for good.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, max=3660, help="Up to and with today (UTC).")] = 30,
    by: Annotated[str, typer.Option(help="Add up by provider, model or day.")] = "",
    balance: Annotated[
        bool, typer.Option("--balance", help="Ask what is left on the accounts; costs nothing.")
    ] = False,
    as_json: JsonOption = False,
    svg: SvgOption = None,
    png: PngOption = None,
) -> None:
    """Show what was spent, by day and provider, and what the caps still allow."""
    if by and by not in get_args(spend_report.By):
        fail(InvalidRequest("--by", by, "say provider, model or day"))
    if ctx.invoked_subcommand is not None:
        return
    if only_open:
        _show_open(ctx, as_json)
        return
    now = datetime.now(UTC)

    async def work() -> tuple[Sequence[Hold] | None, Spending, Caps]:
        settings = loader.load(config_option(ctx))
        caps = caps_from(settings.budget, loader.provider_budgets(settings))
        ledger = ledger_of(settings)
        if ledger is None:
            return None, Spending(), caps
        try:
            since = spend_report.first_moment(now.date(), days)
            return await ledger.holds(since), await ledger.spending(now), caps
        finally:
            await ledger.aclose()

    holds, spending, caps = run(work)
    key = cast(spend_report.By, by) if by else None
    report = spend_report.summarize(holds or (), today=now.date(), days=days, by=key or "provider")
    accounts = with_service(ctx, _accounts) if balance else None
    allowances = spend_report.allowances(caps, spending)
    chart = _spend_chart(report)
    if report.rows:
        draw_files(chart, svg, png)
    elif svg or png:
        err.print("There is nothing to draw.")
    if as_json:
        beside = {} if accounts is None else {"accounts": accounts}
        print_json(_spend_data(report, allowances, key) | beside)
        return
    if holds is None:
        out.print("Nothing spent yet.")
    elif not report.rows:
        out.print(f"Nothing spent from {report.first} to {report.last} (UTC).")
    else:
        print_table(_group_table(report, key) if key else _spend_table(report))
        draw_here(chart)
    print_table(_caps_table(allowances))
    if accounts is not None:
        _print_accounts(accounts)
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
        if ledger_of(service.config) is None:
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


def ledger_of(settings: config.Config) -> Ledger | None:
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
    for column in ("pictures asked", "settled", "held", "unknown"):
        table.add_column(column, justify="right")
    day: date | None = None
    for row in report.rows:
        period = "" if row.day == day else str(row.day)
        day = row.day
        table.add_row(period, row.provider, *_cells(row.amounts))
    table.add_section()
    table.add_row("total", "", *_cells(report.total))
    return table


def _group_table(report: spend_report.Summary, by: spend_report.By) -> Table:
    title = f"Spent from {report.first} to {report.last} (UTC)"
    table = new_table(by, title=title, whole=[by])
    for column in ("pictures asked", "settled", "held", "unknown"):
        table.add_column(column, justify="right")
    for group in report.groups:
        table.add_row(group.name, *_cells(group.amounts))
    table.add_section()
    table.add_row("total", *_cells(report.total))
    return table


async def _accounts(service: Service) -> list[dict[str, Any]]:
    from ziggie_image_mcp.inventory.engine_status import balances

    return [
        {
            "provider": name,
            "left_usd": None if account.balance is None else account.balance.micro_usd / 1e6,
            "trouble": account.trouble,
        }
        for name, account in sorted((await balances(service.registry.providers())).items())
        if account.balance is not None or account.trouble
    ]


def _print_accounts(accounts: Sequence[dict[str, Any]]) -> None:
    if not accounts:
        out.print("No provider here tells what is left on its account.")
        return
    table = new_table("account", "what is known", title="Left on the accounts", whole=["account"])
    table.add_column("US dollars", justify="right")
    for row in accounts:
        left = "" if row["left_usd"] is None else f"{row['left_usd']:,.2f}"
        table.add_row(row["provider"], row["trouble"], left)
    print_table(table)


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
    report: spend_report.Summary,
    allowances: Sequence[spend_report.Allowance],
    by: spend_report.By | None,
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {by: group.name, **group.amounts.as_data()} for group in report.groups if by
    ]
    return {
        "first_day": str(report.first),
        "last_day": str(report.last),
        "rows": rows
        if by
        else [
            {"day": str(row.day), "provider": row.provider, **row.amounts.as_data()}
            for row in report.rows
        ],
        "total": report.total.as_data(),
        "caps": [row.as_data() for row in allowances],
    }


def _spend_chart(report: spend_report.Summary) -> Chart:
    length = (report.last - report.first).days + 1
    return Chart(
        title="Spent by day, US dollars",
        x=tuple(f"{report.first + timedelta(days=n):%m-%d}" for n in range(length)),
        x_label="day (UTC)",
        series={group.name: [micro / 1e6 for micro in group.daily] for group in report.groups},
        stacked=True,
    )
