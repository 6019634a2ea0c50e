"""Draw a plot: on the terminal, or into an SVG or PNG file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar

import typer

from ziggie_image_mcp.cli.console import err, fail, out
from ziggie_image_mcp.errors import ImageError, StorageError
from ziggie_image_mcp.provider.installing import install_command

SvgOption = Annotated[Path | None, typer.Option("--svg", help="Draw the plot into this file.")]
PngOption = Annotated[Path | None, typer.Option("--png", help="Draw the plot into this file.")]

_BARS = "█▒▓░#%"
_DOTS = "•+x*o^"
FIGURE_INCHES = 10.0, 5.0


class ExtraMissing(ImageError):
    """Raised when the package that draws a plot is not installed."""

    code: ClassVar[str] = "EXTRA_MISSING"


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


@dataclass(frozen=True, kw_only=True)
class Bars:
    """A bar for each of some names."""

    title: str
    label: str
    """What the values are."""
    values: Mapping[str, float]


def bar(share: float, columns: int) -> str:
    """A bar on the terminal, of as many columns at most; at least one of them."""
    sign = "#" if out.options.ascii_only else "█"
    return sign * max(1, round(share * columns))


def draw_here(chart: Chart) -> None:
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


def draw_files(chart: Chart, svg: Path | None, png: Path | None) -> None:
    """Draw into the files that were named."""

    def draw(axes: Any) -> None:
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

    _draw_files(draw, FIGURE_INCHES, svg, png)


def draw_bars(bars: Bars, svg: Path | None, png: Path | None) -> None:
    """Draw into the files that were named, the first bar on top."""

    def draw(axes: Any) -> None:
        drawn = axes.barh(list(bars.values), list(bars.values.values()))
        axes.bar_label(drawn, fmt="{:.3g}", padding=3)
        axes.invert_yaxis()
        axes.set(title=bars.title, xlabel=bars.label)

    width, height = FIGURE_INCHES
    _draw_files(draw, (width, max(height / 2, 1 + 0.3 * len(bars.values))), svg, png)


def _draw_files(
    draw: Callable[[Any], None], inches: tuple[float, float], svg: Path | None, png: Path | None
) -> None:
    for kind, file in (("svg", svg), ("png", png)):
        if file is not None:
            try:
                _draw_file(draw, inches, kind, file)
            except ImageError as e:
                fail(e)
            err.print(f"drawn: {file}", markup=False)


def _draw_file(
    draw: Callable[[Any], None], inches: tuple[float, float], kind: str, file: Path
) -> None:
    matplotlib: Any = _plotter("matplotlib")
    drawing: Any = _plotter("matplotlib.figure")
    with matplotlib.rc_context({"svg.fonttype": "none", "text.parse_math": False}):
        figure = drawing.Figure(figsize=inches, layout="constrained")
        draw(figure.subplots())
        try:
            figure.savefig(file, format=kind)
        except OSError as e:
            raise StorageError(f"{file}: cannot be written: {e.strerror or e}.") from e


def _plotter(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as e:
        package = name.partition(".")[0]
        install = install_command("ziggie-image-mcp[plot]")
        raise ExtraMissing(f"A plot needs {package}: {install}.") from e
