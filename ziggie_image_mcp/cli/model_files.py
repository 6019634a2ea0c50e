"""Pull single files into the folders in which an engine looks for them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ziggie_image_mcp.cli.console import (
    agree,
    config_option,
    err,
    fail,
    out,
    print_json,
    run,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.config import loader, secrets
from ziggie_image_mcp.config.config import data_dir
from ziggie_image_mcp.config.environment import setting
from ziggie_image_mcp.errors import ImageError, InvalidRequest
from ziggie_image_mcp.provider.contract import MODELS_FOLDER

if TYPE_CHECKING:
    from ziggie_image_mcp.app import reports
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.inventory.civitai import Version
    from ziggie_image_mcp.inventory.engine_files import Engine, EngineFile, Kind
    from ziggie_image_mcp.inventory.hub import Hub, Repository
    from ziggie_image_mcp.inventory.placement import Placement

OWN_ENGINE = "diffusers"


def is_meant(name: str, *, to: str) -> bool:
    """Whether a pull is one of single files: from CivitAI, or into an engine's folders."""
    from ziggie_image_mcp.inventory import civitai

    return bool(to) or civitai.reference(name) is not None


def pull(
    ctx: typer.Context,
    name: str,
    *,
    to: str,
    folder: Path | None,
    kind: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what would be downloaded and under which terms, ask, download, say who lists it."""
    from ziggie_image_mcp.cli.transfer import Transfer
    from ziggie_image_mcp.inventory import placement

    try:
        places = _Places(ctx, to, folder)
        placements = _placements(name, kind, places)
        _tell_size(placements)
        placement.check(placements)
        missing = sum(one.missing for one in placements)
        if missing and not yes:
            agree("Download?", to="download", declined="Nothing was downloaded.")
        with Transfer({one.file.path: one.file.size for one in placements}) as transfer:
            locks = data_dir() / MODELS_FOLDER / ".locks"
            placement.execute(placements, locks, transfer.told)
    except ImageError as e:
        fail(e)
    except KeyboardInterrupt:
        err.print("Stopped. The same command goes on where it ended.")
        raise typer.Exit(ExitCode.STOPPED) from None
    _tell_result(ctx, placements, to or OWN_ENGINE, as_json=as_json)


class _Places:
    """Where each kind of file goes: into the folders of an engine, or into our own."""

    def __init__(self, ctx: typer.Context, to: str, folder: Path | None) -> None:
        from ziggie_image_mcp.inventory.engine_files import engine_named

        self._engine: Engine | None = engine_named(to) if to else None
        if folder is not None and self._engine is None:
            raise InvalidRequest("folder", str(folder), "it goes with --to comfyui or --to a1111")
        self._installed_in = folder
        if self._engine is not None and folder is None:
            section = loader.load(config_option(ctx)).providers.get(self._engine, {})
            named = section.get("folder")
            fix = (
                f"give --folder, or: ziggie-image-mcp config set providers.{to}.folder DIR, the "
                "folder in which it is installed"
            )
            if named is None:
                raise InvalidRequest("folder", "", fix)
            self._installed_in = Path(str(named))
        if self._engine is not None:
            self.of("checkpoint")  # a wrong folder is told before anybody is asked

    def of(self, kind: Kind) -> Path:
        """Where a kind of file goes."""
        from ziggie_image_mcp.inventory.engine_files import OWN_FOLDERS, engine_folder

        if self._engine is not None and self._installed_in is not None:
            return engine_folder(self._engine, self._installed_in, kind)
        if kind not in OWN_FOLDERS:
            fix = "the engine diffusers takes no such file: add --to comfyui or --to a1111"
            raise InvalidRequest("kind", kind, fix)
        return data_dir() / MODELS_FOLDER / OWN_FOLDERS[kind]


def _placements(name: str, kind: str, places: _Places) -> list[Placement]:
    from ziggie_image_mcp.inventory import civitai
    from ziggie_image_mcp.inventory.placement import Placement

    wanted = civitai.reference(name)
    if wanted is None:
        return _from_hub(name, kind, places)
    token = run(partial(secrets.find, civitai.KEY))
    source = civitai.Civitai(endpoint=setting(os.environ, civitai.ENDPOINT), token=token)
    version = source.version(wanted)
    _tell_version(version)
    return [
        Placement(
            file=version.file,
            kind=version.kind,
            folder=places.of(version.kind),
            read=lambda to, start: source.read(version, to, start),
            source=f"CivitAI's {version.title}",
        )
    ]


def _from_hub(name: str, kind: str, places: _Places) -> list[Placement]:
    from ziggie_image_mcp.cli.model_pull import split, tell_terms
    from ziggie_image_mcp.inventory.engine_files import EngineFile, files_of
    from ziggie_image_mcp.inventory.hub import Hub
    from ziggie_image_mcp.inventory.pull import one_file
    from ziggie_image_mcp.inventory.recommend import current_setup, hub_install, repository_of

    hub = Hub(install=hub_install(current_setup(vendors=False)))
    wanted, _, revision = repository_of(name).partition("@")
    files: Sequence[EngineFile] = files_of(name)
    if not files and "/" not in name:
        fix = "its single files are not known here: give owner/repo/file.safetensors"
        raise InvalidRequest("name", name, fix)
    repositories: dict[str, Repository] = {}
    for repo in [file.repo for file in files] or [split(wanted)[0]]:
        if repo not in repositories:
            repositories[repo] = hub.repository(repo, "main" if files else revision or "main")
            tell_terms(repositories[repo])
    if not files:
        repo, path = split(wanted)
        path = one_file(repositories[repo], path).path
        files = [EngineFile(repo=repo, path=path, kind=_kind(kind, repositories[repo]))]
    return [_of_hub(hub, repositories[one.repo], one, places) for one in files]


def _of_hub(hub: Hub, repository: Repository, wanted: EngineFile, places: _Places) -> Placement:
    from ziggie_image_mcp.inventory.placement import Placement
    from ziggie_image_mcp.inventory.pull import one_file

    file = one_file(repository, wanted.path)
    return Placement(
        file=file,
        kind=wanted.kind,
        folder=places.of(wanted.kind),
        read=lambda to, start: hub.read(repository, file, to, start),
        source=f"the Hub's {repository.name}",
    )


def _kind(named: str, repository: Repository) -> Kind:
    """What a file is: as it was said, or as the Hub's tags say."""
    from ziggie_image_mcp.inventory.engine_files import kind_named

    if named:
        return kind_named(named)
    tag = next((tag for tag in repository.tags if tag in ("lora", "controlnet")), "")
    if not tag:
        fix = f"{repository.name} does not tell what the file is: add --kind lora, checkpoint, ..."
        raise InvalidRequest("kind", "", fix)
    return kind_named(tag)


def _tell_version(version: Version) -> None:
    rows = {
        "model": f"{version.title} ({version.air or version.id})",
        "page": version.page,
        "kind": f"{version.kind} for {version.base_model or 'a base model that is not told'}",
        "words": ", ".join(version.trigger_words) or "no trigger words",
        "licence": f"{'; '.join(version.licence)} (CivitAI's flags; no legal advice)",
    }
    for name, text in rows.items():
        err.print(f"{name + ':':9} {text}", markup=False)


def _tell_size(placements: Sequence[Placement]) -> None:
    from ziggie_image_mcp.inventory.pull import gigabytes

    for one in placements:
        here = one.file.size - one.missing
        already = f", {gigabytes(here)} of it here already" if here else ""
        size = gigabytes(one.file.size)
        err.print(f"file:     {size}{already}, {one.kind}: {one.whole}", markup=False)


def _tell_result(
    ctx: typer.Context, placements: Sequence[Placement], engine: str, *, as_json: bool
) -> None:
    """Say where the files are and whether the engine lists them: asked of it, not assumed."""
    from ziggie_image_mcp.app import reports

    async def work(service: Service) -> reports.ModelReport:
        return await reports.models(service)

    report = with_service(ctx, work)
    rows = [
        {
            "file": str(one.whole),
            "kind": one.kind,
            "bytes": one.whole.stat().st_size,
            "listed_as": _listed_as(one, engine, report),
        }
        for one in placements
    ]
    silent = [s for one in report.unavailable if one.provider == engine for s in one.why_not]
    if as_json:
        print_json({"engine": engine, "files": rows, "why_not": silent})
        return
    for row in rows:
        listed = f"; {engine} lists it as {row['listed_as']}" if row["listed_as"] else ""
        out.print(f"{row['file']} is there{listed}.", markup=False)
    if silent:
        out.print(f"{engine} does not list models now: {' '.join(silent)}", markup=False)


def _listed_as(placement: Placement, engine: str, report: reports.ModelReport) -> str:
    """What an engine calls a file; empty where it lists none of this name, as of parts."""
    name = placement.whole.name
    listed = [(row.provider, row.id) for row in report.models]
    listed += [(row.provider, row.id) for row in report.additions]
    return next(
        (
            id
            for provider, id in listed
            if provider == engine and id.replace("\\", "/").rpartition("/")[2] == name
        ),
        "",
    )
