"""The commands about money: spend, advise, keys."""

from __future__ import annotations

import getpass
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar

import typer
from rich.table import Table

from ziggie_image_mcp import advice, config, keys, spend
from ziggie_image_mcp.errors import ConfigError, ImageError, InvalidRequest, StorageError
from ziggie_image_mcp.ledger import Caps, Ledger, caps_from, default_file, usd
from ziggie_image_mcp.registry import discover, provider_type
from ziggie_image_mcp.terminal import (
    JsonOption,
    err,
    fail,
    given_config,
    new_table,
    out,
    print_json,
    run,
    tables,
)
from ziggie_image_mcp.types import Hold, Spending

app = typer.Typer()
keys_app = typer.Typer(
    help="Set, list and delete the keys of paid providers. A key is never shown.",
    no_args_is_help=True,
)
app.add_typer(keys_app, name="keys")

SvgOption = Annotated[Path | None, typer.Option("--svg", help="Draw the plot into this file.")]
PngOption = Annotated[Path | None, typer.Option("--png", help="Draw the plot into this file.")]

NO_VALUE = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Lets us refuse a key on the command line ourselves: typer's own message would repeat it."""

_BARS = "█▒▓░#%"
_DOTS = "•+x*o^"
_EXTRA = 'pip install "ziggie-image-mcp[plot]"'


class ExtraMissing(ImageError):
    """Raised when the package that draws a plot is not installed."""

    code: ClassVar[str] = "DEPENDENCY_MISSING"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A plot, before it is known where it will be drawn."""

    title: str
    x: tuple[str, ...]
    """What stands below each position."""
    x_label: str
    series: Mapping[str, Sequence[float]]
    """US dollars at each position, by name."""
    stacked: bool


@app.command("spend")
def spend_(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=3660, help="Up to and with today (UTC).")] = 30,
    as_json: JsonOption = False,
    svg: SvgOption = None,
    png: PngOption = None,
) -> None:
    """Show what was spent, by day and provider, and what the caps still allow."""
    now = datetime.now(UTC)

    async def work() -> tuple[Sequence[Hold] | None, Spending, Caps]:
        settings = config.load(given_config(ctx))
        caps = caps_from(settings.budget, config.provider_budgets(settings))
        ledger = _ledger(settings)
        if ledger is None:
            return None, Spending(), caps
        try:
            since = spend.first_moment(now.date(), days)
            return await ledger.holds(since), await ledger.spending(now), caps
        finally:
            await ledger.aclose()

    holds, spending, caps = run(work)
    found = spend.summarize(holds or (), today=now.date(), days=days)
    left = spend.left(caps, spending)
    chart = _spend_chart(found)
    if found.rows:
        _draw_files(chart, svg, png)
    elif svg or png:
        err.print("There is nothing to draw.")
    if as_json:
        print_json(_spend_data(found, left))
        return
    if holds is None:
        out.print("Nothing spent yet.")
    elif not found.rows:
        out.print(f"Nothing spent from {found.first} to {found.last} (UTC).")
    else:
        tables.print(_spend_table(found))
        _draw_here(chart)
    tables.print(_caps_table(left))
    if spending.unknown:
        out.print(
            f"{spending.unknown} attempts ended without anybody knowing whether they were charged;"
            " they count as spent."
        )


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
    usd_per_kwh: Annotated[float, typer.Option(min=0)] = advice.USD_PER_KWH,
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
        ledger = _ledger(config.load(given_config(ctx)))
        if ledger is None:
            return ()
        try:
            return await ledger.holds(now - timedelta(days=advice.LOOK_BACK_DAYS))
        finally:
            await ledger.aclose()

    used = advice.usage(run(work), now)
    setups = advice.given(gpu_usd=gpu_usd, watts=watts, seconds=seconds)
    found = advice.advise(used, setups=setups, usd_per_kwh=usd_per_kwh)
    chart = _advice_chart(found)
    _draw_files(chart, svg, png)
    if as_json:
        print_json(asdict(found))
        return
    out.print(found.text, markup=False)
    tables.print(_payback_table(found))
    for setup in found.setups:
        out.print(
            f"{setup.name}: {setup.gpu}; price: {setup.source} {setup.date}".rstrip()
            + f"; {setup.watts:g} W, {setup.seconds:g} s a picture: {setup.power_source}",
            markup=False,
        )
    low, high = found.standing_usd
    out.print(
        f"Standing electricity: ${low:g} to ${high:g} a month ({advice.REPORT}). Marginal: watts x "
        f"seconds / 3.6e6 x ${found.usd_per_kwh:g} per kWh, only what the pictures draw. Resale, "
        "your time and the difference in quality are left out; a GPU you already own is paid for.",
        markup=False,
    )
    _draw_here(chart)


@keys_app.command("set", context_settings=NO_VALUE)
def keys_set(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A provider, or its variable as OPENAI_API_KEY.")],
) -> None:
    """Keep a provider's key. Asks for it, or reads one line from standard input."""
    variable = _variable(name, ctx.args)
    kept = run(partial(keys.save, variable, _read_key(variable)))
    where = "in the keyring" if "keyring" in kept.places else f"in {keys.default_file()}"
    out.print(f"{kept.name} is kept {where}.", markup=False)
    _tell(kept.notes)
    if os.environ.get(kept.name, "").strip():
        _tell([f"the environment has its own {kept.name}, and that one is used"])
    if kept.name not in _key_names().values():
        _tell([f"no provider asks for {kept.name} unless its keyName in config.json says so"])


@keys_app.command("list")
def keys_list(as_json: JsonOption = False) -> None:
    """Show which providers have a key, and where it was found. The first place is in force."""
    names = _key_names()
    found = {s.name: s for s in run(partial(keys.sources, dict.fromkeys(names.values())))}
    if as_json:
        rows = [
            {"provider": provider, "variable": name, "found_in": list(found[name].places)}
            for provider, name in names.items()
        ]
        notes = dict.fromkeys(note for source in found.values() for note in source.notes)
        print_json({"keys": rows, "notes": list(notes)})
        return
    table = new_table("provider", "variable", "key found in")
    for provider, name in names.items():
        table.add_row(provider, name, ", then ".join(found[name].places) or "nowhere")
    tables.print(table)
    _tell(note for source in found.values() for note in source.notes)


@keys_app.command("delete", context_settings=NO_VALUE)
def keys_delete(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A provider, or its variable as OPENAI_API_KEY.")],
) -> None:
    """Forget a provider's key, in the keyring and in the key file."""
    gone = run(partial(keys.delete, _variable(name, ctx.args)))
    if gone.places:
        out.print(f"{gone.name} is deleted from the {' and the '.join(gone.places)}.", markup=False)
    _tell(gone.notes)
    if os.environ.get(gone.name, "").strip():
        _tell([f"{gone.name} is still in the environment, which is not ours to change"])
    if not gone.places:
        err.print(f"No {gone.name} was kept here.", markup=False)
        raise typer.Exit(1)


def _key_names() -> dict[str, str]:
    return keys.key_names({name: provider_type(entry) for name, entry in discover().items()})


def _variable(name: str, more: Sequence[str]) -> str:
    """The variable that is meant. A key given by mistake is not repeated."""
    if more:
        fail(
            ConfigError(
                "Give only the name: a key on the command line stays in the shell's history. Make "
                "a new key, and enter it when asked or send it to standard input."
            )
        )
    known = _key_names()
    try:
        return keys.variable(name, known)
    except ConfigError:
        near = config.nearest(name, list(known))
    fail(
        ConfigError(
            f"No provider of this name takes a key.{f' Did you mean `{near}`?' if near else ''} "
            f"Known: {', '.join(known)}; or give the variable's name, as OPENAI_API_KEY."
        )
    )


def _read_key(variable: str) -> str:
    if sys.stdin.isatty():
        return getpass.getpass(f"{variable}: ")
    return sys.stdin.buffer.readline().decode("utf-8-sig", errors="replace")


def _ledger(settings: config.Config) -> Ledger | None:
    """The ledger, or None where its file does not exist yet: looking must not make one."""
    database = settings.database or default_file()
    if isinstance(database, Path):
        file = database
    elif database.startswith("sqlite"):
        from ziggie_image_mcp import ledger_schema

        file = Path(ledger_schema.name(database))
    else:
        return Ledger(database)
    return Ledger(database) if file.exists() else None


def _spend_table(found: spend.Summary) -> Table:
    title = f"Spent from {found.first} to {found.last} (UTC)"
    table = new_table("day", "provider", title=title)
    for column in ("pictures", "settled", "held", "unknown"):
        table.add_column(column, justify="right")
    day: date | None = None
    for row in found.rows:
        shown = "" if row.day == day else str(row.day)
        day = row.day
        table.add_row(shown, row.provider, *_cells(row.amounts))
    table.add_section()
    table.add_row("total", "", *_cells(found.total))
    return table


def _cells(amounts: spend.Amounts) -> tuple[str, ...]:
    money = (amounts.settled, amounts.held, amounts.unknown)
    return str(amounts.pictures), *(usd(m) if m else "" for m in money)


def _caps_table(left: Sequence[spend.Left]) -> Table:
    table = new_table("cap", title="Caps, with what is held counted as used")
    for column in ("US dollars", "used", "left"):
        table.add_column(column, justify="right")
    for row in left:
        cells = ("" if value is None else usd(value) for value in (row.used, row.left))
        table.add_row(row.setting, "none" if row.cap is None else usd(row.cap), *cells)
    return table


def _spend_data(found: spend.Summary, left: Sequence[spend.Left]) -> dict[str, Any]:
    return {
        "first_day": str(found.first),
        "last_day": str(found.last),
        "rows": [
            {"day": str(row.day), "provider": row.provider, **_amounts_data(row.amounts)}
            for row in found.rows
        ],
        "total": _amounts_data(found.total),
        "caps": [
            {
                "setting": row.setting,
                "cap_usd": _dollars(row.cap),
                "used_usd": _dollars(row.used),
                "left_usd": _dollars(row.left),
            }
            for row in left
        ],
    }


def _amounts_data(amounts: spend.Amounts) -> dict[str, float]:
    return {
        "pictures": amounts.pictures,
        "settled_usd": amounts.settled / 1e6,
        "held_usd": amounts.held / 1e6,
        "unknown_usd": amounts.unknown / 1e6,
    }


def _dollars(micro: int | None) -> float | None:
    return None if micro is None else micro / 1e6


def _payback_table(found: advice.Advice) -> Table:
    low, high = found.standing_usd
    table = new_table("pictures a day", "cloud a month", "setup", "price")
    table.title = "Months until a GPU has paid for itself"
    table.add_column(f"at ${low:g}-{high:g} a month for electricity", justify="right")
    table.add_column("marginal electricity a month", justify="right")
    table.add_column("months at that", justify="right")
    prices = {setup.name: setup for setup in found.setups}
    last: float | None = None
    for row in found.paybacks:
        if last is not None and row.pictures_a_day != last:
            table.add_section()
        first = row.pictures_a_day != last
        last = row.pictures_a_day
        table.add_row(
            advice.number(row.pictures_a_day) if first else "",
            f"${row.cloud_usd:,.2f}" if first else "",
            row.setup,
            advice.price_text(prices[row.setup]),
            advice.span(row.best, row.worst),
            f"${row.marginal_usd:,.2f}",
            advice.span(row.marginal_best, row.marginal_worst),
        )
    return table


def _spend_chart(found: spend.Summary) -> Chart:
    length = (found.last - found.first).days + 1
    return Chart(
        title="Spent by day, US dollars",
        x=tuple(f"{found.first + timedelta(days=n):%m-%d}" for n in range(length)),
        x_label="day (UTC)",
        series={
            name: [micro / 1e6 for micro in amounts]
            for name, amounts in spend.by_day(found).items()
        },
        stacked=True,
    )


def _advice_chart(found: advice.Advice) -> Chart:
    assumed = "" if found.usage else ", assumed use"
    return Chart(
        title=f"Cost added up, US dollars{assumed}",
        x=tuple(str(n) for n in range(advice.HORIZON_MONTHS + 1)),
        x_label="months",
        series={line.label: line.usd for line in advice.cumulative(found)},
        stacked=False,
    )


def _draw_here(chart: Chart) -> None:
    """Plot on the terminal, in signs rather than colours: they hold in a pipe and on any ground."""
    try:
        plotext: Any = _plotter("plotext")
    except ExtraMissing as e:
        err.print(str(e), markup=False)
        return
    if out.options.ascii_only:
        err.print("A plot needs a terminal that shows UTF-8; --svg and --png draw into a file.")
        return
    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.plot_size(min(max(out.width, 40), 110), 16)
    figure.theme("colorless")
    at = list(range(len(chart.x)))
    drawn: list[tuple[str, list[float], list[float]]] = []
    base = [0.0] * len(at)
    for place, values in enumerate(chart.series.values()):
        top = [low + value for low, value in zip(base, values, strict=True)]
        drawn.append((_sign(chart, place), base, top))
        if chart.stacked:
            base = top
    highest = max(value for _, _, top in drawn for value in top)
    if not highest:
        return
    for sign, low, top in reversed(drawn):  # what is below stays in sight where two share a cell
        if chart.stacked:
            figure.draw(figure.bar(at, low, top, marker=sign))
        else:
            figure.draw(figure.signal(at, top, marker=sign).lines())
    digits = 0 if highest >= 100 else 2 if highest >= 0.1 else 4
    marks = [highest * n / 4 for n in range(5)]
    figure.ruler("y").ticks(marks, labels=[f"{mark:,.{digits}f}" for mark in marks])
    ticks = at[:: -(-len(at) // 7)]
    figure.ruler("x").ticks(ticks, labels=[chart.x[n] for n in ticks])
    figure.title(chart.title)
    figure.label(chart.x_label, "x")
    out.print(plotext.uncolorize(figure.build().string()), markup=False, end="")
    legend = "   ".join(f"{_sign(chart, n)} {name}" for n, name in enumerate(chart.series))
    out.print(legend, markup=False)


def _sign(chart: Chart, place: int) -> str:
    signs = _BARS if chart.stacked else _DOTS
    return signs[place % len(signs)]


def _draw_files(chart: Chart, svg: Path | None, png: Path | None) -> None:
    for kind, file in (("svg", svg), ("png", png)):
        if file is not None:
            try:
                _draw_file(chart, kind, file)
            except ImageError as e:
                fail(e)
            err.print(f"drawn: {file}", markup=False)


def _draw_file(chart: Chart, kind: str, file: Path) -> None:
    matplotlib: Any = _plotter("matplotlib")
    drawing: Any = _plotter("matplotlib.figure")
    with matplotlib.rc_context({"svg.fonttype": "none", "text.parse_math": False}):
        figure = drawing.Figure(figsize=(10, 5), layout="constrained")
        axes = figure.subplots()
        at = list(range(len(chart.x)))
        base = [0.0] * len(at)
        for name, values in chart.series.items():
            if chart.stacked:
                axes.bar(at, values, bottom=base, label=name)
                base = [low + value for low, value in zip(base, values, strict=True)]
            else:
                axes.plot(at, values, label=name)
        ticks = at[:: -(-len(at) // 13)]
        axes.set_xticks(ticks, [chart.x[n] for n in ticks])
        axes.set(title=chart.title, xlabel=chart.x_label, ylabel="US dollars")
        axes.legend()
        try:
            figure.savefig(file, format=kind)
        except OSError as e:
            raise StorageError(f"{file}: cannot be written: {e.strerror or e}.") from e


def _plotter(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as e:
        package = name.partition(".")[0]
        raise ExtraMissing(f"A plot needs {package}: {_EXTRA}.") from e


def _tell(notes: Iterable[str]) -> None:
    for note in dict.fromkeys(notes):
        err.print(f"note: {note}", markup=False)
