"""The commands of models: list, scan, recommend, pull."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from typer.core import TyperGroup

from ziggie_image_mcp.cli.console import (
    JsonOption,
    err,
    fail,
    new_table,
    out,
    print_json,
    print_table,
    run,
    with_service,
)
from ziggie_image_mcp.errors import ImageError, InvalidRequest, duration

if TYPE_CHECKING:
    from ziggie_image_mcp.app import reports
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.inventory.hub import Hub, Repository
    from ziggie_image_mcp.inventory.pull import Pull

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


models_app = typer.Typer(cls=ListsByDefault, help="List the models, and get more.")


@models_app.command(LIST)
def list_(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
    provider: Annotated[str, typer.Option("--provider", "-p")] = "",
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
            "\n".join(_why_not(row)),
        )
    if report.models:
        print_table(table)
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
            value = shlex.quote(json.dumps([*folders, report.folder], ensure_ascii=False))
            commands.append(f"ziggie-image-mcp config set {key} {value}")
    return commands


def _why_not(row: reports.ModelRow) -> list[str]:
    """Why it would not run, and what helps."""
    return [*row.why_not, row.how_to_install] if row.why_not else []


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


@models_app.command()
def pull(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="A name of `models recommend`, or owner/repo[/file.safetensors][@revision]."
        ),
    ],
    settings_only: Annotated[
        bool, typer.Option("--settings-only", help="No weights: what a single file lacks.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download a pipeline, LoRA or ControlNet from the Hugging Face Hub: what is loaded, checked.

    Broken off, it goes on where it ended. HF_TOKEN, HF_ENDPOINT and HF_HUB_CACHE are honoured.
    """
    from ziggie_image_mcp.cli.transfer import Transfer
    from ziggie_image_mcp.inventory import pull as pulling
    from ziggie_image_mcp.inventory.hub import Hub
    from ziggie_image_mcp.inventory.recommend import current_setup, hub_install, repository_of

    if not yes and not sys.stdin.isatty():
        fail(InvalidRequest("yes", False, "nobody can be asked here: add --yes to download"))
    try:
        wanted, _, revision = repository_of(name).partition("@")
        repo, path = _split(wanted)
        hub = Hub(install=hub_install(current_setup(vendors=False)))
        repository = hub.repository(repo, revision or "main")
        _tell_terms(repository)
        plan = pulling.prepare(hub, repository, path=path, settings_only=settings_only)
        _tell_size(plan, hub)
        pulling.check_disk(plan, hub)
        if plan.missing and not yes and not typer.confirm("Download?", err=True):
            err.print("Nothing was downloaded.")
            raise typer.Exit(1)
        with Transfer({file.path: file.size for file in plan.selection.files}) as transfer:
            folder = pulling.execute(hub, plan, transfer.told)
    except ImageError as e:
        fail(e)
    except KeyboardInterrupt:
        err.print("Stopped. The same command goes on where it ended.")
        raise typer.Exit(130) from None
    _tell_result(ctx, plan, folder, path, settings_only=settings_only, as_json=as_json)


def _split(name: str) -> tuple[str, str]:
    """Repository and file of owner/repo/file."""
    owner, _, rest = name.partition("/")
    repo, _, path = rest.partition("/")
    return f"{owner}/{repo}", path


def _tell_terms(repository: Repository) -> None:
    from ziggie_image_mcp.inventory.recommend import license_facts

    name = f"{repository.name} at {repository.revision} ({repository.commit[:8]})"
    err.print(f"model:    {name}", markup=False)
    said = repository.license or "none told by the repository"
    facts = license_facts(repository.name)
    err.print(f"licence:  {said}; read it at {repository.page}", markup=False)
    if facts:
        err.print(f"          {facts}", markup=False)
    gate = "its terms must be accepted on that page first" if repository.gated else "none"
    err.print(f"gate:     {gate}", markup=False)


def _tell_size(plan: Pull, hub: Hub) -> None:
    from ziggie_image_mcp.inventory.pull import gigabytes

    everything = sum(file.size for file in plan.repository.files)
    chosen = f"{gigabytes(plan.selection.size)} in {len(plan.selection.files)} files"
    variant = f", variant {plan.selection.variant}" if plan.selection.variant else ""
    err.print(
        f"files:    {chosen}{variant}, of {gigabytes(everything)} that the repository has; "
        f"{gigabytes(plan.bytes_here)} are here already",
        markup=False,
    )
    err.print(f"disk:     {gigabytes(plan.disk_free)} free in {hub.cache}", markup=False)


def _tell_result(
    ctx: typer.Context,
    plan: Pull,
    folder: Path,
    path: str,
    *,
    settings_only: bool,
    as_json: bool,
) -> None:
    """Say where it is, and whether it would run now: asked of the provider, not assumed."""
    from ziggie_image_mcp.app import reports

    repository = plan.repository
    names = (repository.name, f"{repository.name}/{path or plan.selection.files[0].path}")

    async def work(service: Service) -> reports.ModelReport:
        return await reports.models(service, query=repository.name)

    report = with_service(ctx, work)
    row = next((row for row in report.models if row.id in names), None)
    addition = next((one for one in report.additions if one.id in names), None)
    if settings_only:
        usable, why_not = False, ["Only its settings were asked for, which single files borrow."]
    elif addition is not None:
        usable, why_not = True, []
    elif row is None:
        usable = False
        why_not = [
            "No provider lists it: diffusers is off, or its useHubCache is false in config.json, "
            "or it is of no use to it.",
            *(sentence for silent in report.unavailable for sentence in silent.why_not),
        ]
    else:
        usable, why_not = row.usable, _why_not(row)
    role = addition.kind if addition else "model"
    if as_json:
        print_json(
            {
                "model": addition.id if addition else row.id if row else repository.name,
                "role": role,
                "revision": repository.revision,
                "commit": repository.commit,
                "license": repository.license,
                "gated": repository.gated,
                "variant": plan.selection.variant,
                "bytes": plan.selection.size,
                "downloaded_bytes": plan.missing,
                "folder": str(folder),
                "usable": usable,
                "why_not": why_not,
            }
        )
        return
    out.print(f"{repository.name} is in {folder}", markup=False)
    if addition is not None:
        family = f" for {addition.family} models" if addition.family else ""
        what = {"lora": "LoRA"}.get(role, role)
        out.print(f"It is listed as the {what} {addition.id}{family}.", markup=False)
    elif usable:
        out.print(f'ziggie-image-mcp generate "a red fox" --model {repository.name}', markup=False)
    else:
        out.print(f"It would not run now: {' '.join(filter(None, why_not))}", markup=False)
