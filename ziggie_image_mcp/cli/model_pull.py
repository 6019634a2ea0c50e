"""The command that gets models: models pull."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ziggie_image_mcp.cli.console import (
    JsonOption,
    agree,
    err,
    fail,
    out,
    print_json,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.errors import ImageError, InvalidRequest

if TYPE_CHECKING:
    from ziggie_image_mcp.app import reports
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.inventory.hub import Hub, Repository
    from ziggie_image_mcp.inventory.pull import Pull


def pull(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="A name of `models recommend`, owner/repo[/file][@revision], or a version's id, a "
            "URL or an AIR of CivitAI."
        ),
    ],
    to: Annotated[
        str, typer.Option("--to", help="Into the folders of an engine: comfyui or a1111.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Of --to: where it is installed, if no config says so.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="Of --to: what the file is, as lora, vae or checkpoint.")
    ] = "",
    settings_only: Annotated[
        bool, typer.Option("--settings-only", help="No weights: what a single file lacks.")
    ] = False,
    without: Annotated[
        str,
        typer.Option(
            help="A component whose weights are left out: transformer, where a GGUF file has them."
        ),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download a pipeline, LoRA or ControlNet from the Hub or CivitAI: what is loaded, checked.

    Broken off, it goes on where it ended. HF_TOKEN, HF_ENDPOINT and HF_HUB_CACHE are honoured.
    """
    from ziggie_image_mcp.cli import model_files
    from ziggie_image_mcp.cli.transfer import Transfer
    from ziggie_image_mcp.inventory import pull as pulling
    from ziggie_image_mcp.inventory.hub import Hub
    from ziggie_image_mcp.inventory.recommend import current_setup, hub_install, repository_of

    if model_files.is_meant(name, to=to):
        if settings_only:
            fail(InvalidRequest("settings_only", True, "only pipelines of the Hub have settings"))
        if without:
            fail(InvalidRequest("without", without, "only pipelines of the Hub have components"))
        model_files.pull(ctx, name, to=to, folder=folder, kind=kind, yes=yes, as_json=as_json)
        return
    if folder is not None or kind:
        fail(InvalidRequest("to", to, "--folder and --kind go with --to comfyui or --to a1111"))
    try:
        wanted, _, revision = repository_of(name).partition("@")
        repo, path = split(wanted)
        hub = Hub(install=hub_install(current_setup(vendors=False)))
        repository = hub.repository(repo, revision or "main")
        tell_terms(repository)
        plan = pulling.prepare(
            hub, repository, path=path, settings_only=settings_only, without=without
        )
        _tell_size(plan, hub)
        pulling.check_disk(plan, hub)
        if plan.missing and not yes:
            agree("Download?", to="download", declined="Nothing was downloaded.")
        with Transfer({file.path: file.size for file in plan.selection.files}) as transfer:
            place = pulling.execute(hub, plan, transfer.told)
    except ImageError as e:
        fail(e)
    except KeyboardInterrupt:
        err.print("Stopped. The same command goes on where it ended.")
        raise typer.Exit(ExitCode.STOPPED) from None
    left_out = ""
    if settings_only:
        left_out = "Only its settings were asked for, which single files borrow."
    elif without:
        left_out = f"Its {without} was left out, which another file brings."
    _tell_result(ctx, plan, place, path, left_out=left_out, as_json=as_json)


def split(name: str) -> tuple[str, str]:
    """Repository and file of owner/repo/file."""
    owner, _, rest = name.partition("/")
    repo, _, path = rest.partition("/")
    return f"{owner}/{repo}", path


def tell_terms(repository: Repository) -> None:
    """Say what a repository is, and under which terms."""
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
    left_out: str,
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
    if left_out:
        usable, reasons = False, [left_out]
    elif addition is not None:
        usable, reasons = True, []
    elif row is None:
        usable = False
        reasons = [
            "No provider lists it: diffusers is off, or its useHubCache is false in config.json, "
            "or it is of no use to it.",
            *(sentence for silent in report.unavailable for sentence in silent.why_not),
        ]
    else:
        usable = row.usable
        reasons = [*filter(None, [row.note])] if usable else why_not(row)
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
                "why_not": reasons,
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
        for sentence in reasons:
            out.print(sentence, markup=False)
    else:
        out.print(f"It would not run now: {' '.join(filter(None, reasons))}", markup=False)


def why_not(row: reports.ModelRow) -> list[str]:
    """Why it would not run, and what helps."""
    told = any(row.how_to_install in sentence for sentence in row.why_not)
    return row.why_not if told or not row.why_not else [*row.why_not, row.how_to_install]
