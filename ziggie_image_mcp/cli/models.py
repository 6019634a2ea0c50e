"""The commands of models: list, scan, recommend; others stand in modules of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from typer.core import TyperGroup

from ziggie_image_mcp.cli.completion import completing, provider_names
from ziggie_image_mcp.cli.console import (
    JsonOption,
    fail,
    new_table,
    out,
    print_json,
    print_table,
    run,
    with_service,
)
from ziggie_image_mcp.cli.model_measure import measure
from ziggie_image_mcp.cli.model_pull import pull, why_not
from ziggie_image_mcp.cli.model_remove import remove
from ziggie_image_mcp.errors import InvalidRequest, duration
from ziggie_image_mcp.provider.shell import shell_command

if TYPE_CHECKING:
    from ziggie_image_mcp.app import reports
    from ziggie_image_mcp.app.service import Service

LIST = "list"
_WITH_VALUE = ("--config", "--provider", "-p")


class ListsByDefault(TyperGroup):
    """A group whose `list` command is meant where no other is named: `models`, `models sdxl`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command first, where options may stand before it."""
        at = _first_word(args)
        if at is not None and args[at] in self.commands:
            args = [args[at], *args[:at], *args[at + 1 :]]
        elif not {"--help", "-h"} & set(args):
            args = [LIST, *args]
        return super().parse_args(ctx, args)


def _first_word(args: list[str]) -> int | None:
    """The place of the first argument that is no option, nor the value of one."""
    before = ""
    for at, word in enumerate(args):
        if not word.startswith("-") and before not in _WITH_VALUE:
            return at
        before = word
    return None


models_app = typer.Typer(cls=ListsByDefault, help="List the models, get more, remove some.")
models_app.command()(pull)
models_app.command()(measure)
models_app.command()(remove)


@models_app.command(LIST)
def list_(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
    provider: Annotated[
        str, typer.Option("--provider", "-p", autocompletion=completing(provider_names))
    ] = "",
    usable: Annotated[bool, typer.Option("--usable", help="Only what would run now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models per provider, and why one would not run. `models` alone does so too."""
    from ziggie_image_mcp.app import reports

    async def work(service: Service) -> reports.ModelReport:
        return await reports.models(service, provider=provider, query=query, usable_only=usable)

    report = with_service(ctx, work)
    if as_json:
        print_json(report.model_dump())
        return
    _print_models(report)
    if report.styles:
        out.print(f"Styles: {', '.join(report.styles)}", markup=False)
    if report.real_model:
        out.print(report.real_model, markup=False)


def _print_models(report: reports.ModelReport | reports.FolderReport) -> None:
    table = new_table(
        *("provider", "model", "usable", "time", "quality", "licence", "why not"), whole=["model"]
    )
    for row in report.models:
        table.add_row(
            row.provider,
            row.id,
            "yes" if row.usable else "no",
            "" if row.expected_seconds is None else duration(row.expected_seconds),
            "" if row.quality is None else f"{row.quality:g}",
            "\n".join(filter(None, (row.license, row.license_condition))),
            "\n".join(why_not(row)),
        )
    if report.models:
        print_table(table)
    for row in report.models:
        if row.note:
            out.print(f"note: {row.provider}/{row.id}: {row.note}", markup=False)
    for addition in report.additions:
        about = ", ".join(filter(None, (addition.family, addition.about)))
        line = f"{addition.kind} {addition.provider}/{addition.id}"
        out.print(f"{line} ({about})" if about else line, markup=False)
    for silent in report.unavailable:
        out.print(f"{silent.provider}: {' '.join(silent.why_not)}", markup=False)


@models_app.command()
def scan(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with models.")],
    as_json: JsonOption = False,
) -> None:
    """Say what lies in a folder: what would run now, and of the rest why not and what can be done.

    The config need not name the folder. The last line is the command that puts it there.
    """
    from ziggie_image_mcp.app import reports

    async def work(service: Service) -> tuple[reports.FolderReport, list[str]]:
        report = await reports.folder(service, folder.expanduser().absolute())
        return report, _naming(report, service.config.providers)

    report, commands = with_service(ctx, work)
    if as_json:
        print_json(report.model_dump() | {"commands": commands})
        return
    _print_models(report)
    if not report.models and not report.additions:
        out.print(f"No models in {report.folder}.", markup=False)
    for command in commands:
        out.print(command, markup=False)


def _naming(report: reports.FolderReport, sections: Mapping[str, Any]) -> list[str]:
    """The commands that put a folder into the config, where it is not and something is in it."""
    commands: list[str] = []
    for key in report.settings if report.models or report.additions else ():
        _, provider, setting = key.split(".")
        folders: list[str] = list(sections.get(provider, {}).get(setting) or ())
        if report.folder not in [str(Path(one).expanduser()) for one in folders]:
            value = json.dumps([*folders, report.folder], ensure_ascii=False)
            commands.append(shell_command("ziggie-image-mcp", "config", "set", key, value))
    return commands


@models_app.command()
def recommend(
    ctx: typer.Context,
    license: Annotated[
        str, typer.Option(help="commercial: what commercial use is allowed of; or any.")
    ] = "commercial",
    as_json: JsonOption = False,
) -> None:
    """Say which models suit this machine and this licence wish, the best first, and why."""
    from ziggie_image_mcp.inventory import recommend as catalogue
    from ziggie_image_mcp.inventory.hardware_probe import probe
    from ziggie_image_mcp.inventory.hub import cache_disk

    if license not in get_args(catalogue.LicenseWish):
        fail(InvalidRequest("license", license, "give commercial or any"))
    wish = cast(catalogue.LicenseWish, license)
    machine = run(partial(probe, cache_disk()))
    setup = catalogue.current_setup(vendors=False)
    suitable = catalogue.suitable(machine, setup, wish)
    unsuitable = catalogue.unsuitable(machine, setup, wish)
    if as_json:
        rows = [asdict(row) for row in suitable]
        print_json({"models": rows, "left_out": [asdict(row) for row in unsuitable]})
        return
    table = new_table(
        *("name", "GB on disk", "a picture takes", "licence", "gate", "why"), whole=["name"]
    )
    for row in suitable:
        table.add_row(
            row.name,
            f"{row.disk_gb:g}",
            row.pace,
            "; ".join(filter(None, (row.license, row.condition))),
            "accept its terms first" if row.gated else "none",
            row.why,
        )
    if suitable:
        print_table(table)
        out.print("Memory is computed, with a margin of 15 %; never measured on a GPU.")
    for left_out in unsuitable:
        out.print(f"left out: {left_out.name}: {left_out.why_not}", markup=False)
    best = next(iter(suitable), None)
    if best is None:
        out.print(catalogue.advice(machine, setup), markup=False)
        return
    for command in best.commands:
        out.print(command, markup=False)
