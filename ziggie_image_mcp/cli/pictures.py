"""The command that shows a picture on this machine: open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
import typer

from ziggie_image_mcp.cli import files
from ziggie_image_mcp.cli.console import (
    JsonOption,
    err,
    fail,
    print_json,
    print_plain,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.storage.picture_ids import unquoted

if TYPE_CHECKING:
    from ziggie_image_mcp.app.service import Service

app = typer.Typer()

FAILS_WITHIN_SECONDS = 2.0
"""A viewer that runs longer has found the picture."""


@app.command("open")
def open_(
    ctx: typer.Context,
    picture: Annotated[str, typer.Argument(help="The id of a picture or job made here, or a file")],
    as_json: JsonOption = False,
) -> None:
    """Show a picture with this system's viewer, and print its path."""
    if not picture.strip():
        fail(InvalidRequest("picture", picture, "name a picture: its id, or a file"))
    file = files.existing(picture)

    async def work(service: Service) -> str:
        name = unquoted(picture)
        if name.startswith("job-"):
            name = await _first_of(service, name)
        return await anyio.to_thread.run_sync(service.artifacts.find, name)

    path = str(file) if isinstance(file, Path) else with_service(ctx, work)
    trouble = "it is kept elsewhere, and no file here" if "://" in path else _view(path)
    if as_json:
        print_json({"path": path, "opened": not trouble, "trouble": trouble})
    else:
        print_plain(path)
        if trouble:
            err.print(f"note: not opened: {trouble}")
    if trouble:
        raise typer.Exit(ExitCode.FAILED)


async def _first_of(service: Service, job_id: str) -> str:
    """The id of the first picture of a job.

    Raises:
        InvalidRequest: It has none.
    """
    view = await service.job(job_id, 0)
    images = [i for r in (view.outcome.results if view.outcome else ()) for i in r.images]
    if not images:
        fix = f"this job is {view.status} and has no picture; `jobs show {job_id}` tells more"
        raise InvalidRequest("picture", job_id, fix)
    return images[0].id


def _view(path: str) -> str:
    """Open it; what stands in the way, empty where nothing does."""
    if sys.platform == "win32":
        start: Any = os.startfile
        try:
            start(path)
        except OSError as e:
            return f"Windows has no viewer for it: {e.strerror or e}"
        return ""
    name = "open" if sys.platform == "darwin" else "xdg-open"
    viewer = shutil.which(name)
    if viewer is None:
        return f"there is no {name} here, which would choose a viewer"
    process = subprocess.Popen(  # noqa: S603  found on the user's own path
        [viewer, path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with suppress(subprocess.TimeoutExpired):
        if process.wait(FAILS_WITHIN_SECONDS) != 0:
            return f"{name} found no viewer that can show it"
    return ""
