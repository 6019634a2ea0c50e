"""The command that removes models: models remove."""

from __future__ import annotations

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
from ziggie_image_mcp.errors import ImageError

if TYPE_CHECKING:
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.inventory.removal import Removal


def remove(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="As `models` lists it, or a name of `models recommend`.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a model from the Hub's cache or from our own folder, never from folders of yours."""
    from ziggie_image_mcp.inventory import removal
    from ziggie_image_mcp.inventory.pull import gigabytes

    try:
        plan = _plan(ctx, name)
        removal.check_unused(plan)
        err.print(f"model:    {plan.name}", markup=False)
        err.print(f"folder:   {plan.path}", markup=False)
        err.print(f"frees:    {gigabytes(plan.freed_bytes)}", markup=False)
        if not yes:
            agree("Remove?", to="remove", declined="Nothing was removed.")
        removal.execute(plan)
    except ImageError as e:
        fail(e)
    if as_json:
        print_json({"model": plan.name, "path": str(plan.path), "freed_bytes": plan.freed_bytes})
        return
    out.print(f"{plan.name} is removed; {gigabytes(plan.freed_bytes)} are free.", markup=False)


def _plan(ctx: typer.Context, name: str) -> Removal:
    from ziggie_image_mcp.config.config import data_dir
    from ziggie_image_mcp.inventory import removal
    from ziggie_image_mcp.inventory.hub import cache_disk

    plan = removal.prepare(name, cache_disk(), data_dir())
    if plan is not None:
        return plan

    async def work(service: Service) -> ImageError:
        survey = await service.survey()
        return removal.refusal(name, survey)

    fail(with_service(ctx, work))
