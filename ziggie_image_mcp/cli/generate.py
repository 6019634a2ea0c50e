"""Commands that make pictures: generate, edit, plan."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.cli.console import (
    JsonOption,
    err,
    fail,
    new_table,
    out,
    print_json,
    tables,
    with_service,
)
from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.routing.request import (
    DeclaredArgument,
    ImageRequest,
    Surface,
    declared_arguments,
    with_parameters,
)

if TYPE_CHECKING:
    from ziggie_image_mcp.app.processing import Processing
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.jobs.records import JobView
    from ziggie_image_mcp.routing.types import Plan

app = typer.Typer()


def option_parameters(kind: Surface) -> list[inspect.Parameter]:
    """The declared arguments as options of a command; the prompt is its argument."""
    return [
        inspect.Parameter(
            argument.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=argument.default,
            annotation=_option(argument),
        )
        for argument in declared_arguments(kind)
    ]


def _option(argument: DeclaredArgument) -> Any:
    if argument.name == "prompt":
        return Annotated[argument.type, typer.Argument(help=argument.about)]
    return Annotated[argument.type, typer.Option(*argument.options, help=argument.about)]


ReferenceOption = Annotated[
    list[str], typer.Option(help="A picture to follow: a file, or an id. May be repeated.")
]


async def _with_references(
    service: Service, request: ImageRequest, reference: list[str]
) -> ImageRequest:
    """A person at the terminal may name any file."""
    if not reference:
        return request
    from ziggie_image_mcp.storage.input_images import ANY_FILE

    names = [str(_file(name)) for name in reference]
    return await service.with_references(request, names, reach=ANY_FILE)


@app.command()
@with_parameters(option_parameters("generate"))
def generate(
    ctx: typer.Context,
    reference: ReferenceOption = [],  # noqa: B006 (typer copies it)
    as_json: JsonOption = False,
    **arguments: Any,
) -> None:
    """Make pictures and print where they are and why on that route.

    A prompt with alternatives, as {red|blue} car, makes one of each.
    """

    async def request(service: Service) -> ImageRequest:
        return await _with_references(service, ImageRequest(**arguments), reference)

    _generate(ctx, request, as_json=as_json)


@app.command()
@with_parameters(option_parameters("edit"))
def edit(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(help="A file, or the id of a picture made here.")],
    mask: Annotated[str, typer.Option(help="A file of the same size: white is painted anew.")] = "",
    expand: Annotated[
        tuple[int, int, int, int],
        typer.Option(metavar="LEFT TOP RIGHT BOTTOM", help="Pixels to add and paint there."),
    ] = (0, 0, 0, 0),
    reference: ReferenceOption = [],  # noqa: B006 (typer copies it)
    as_json: JsonOption = False,
    **arguments: Any,
) -> None:
    """Change a picture: as a whole, under a mask, or beyond its edges."""

    async def request(service: Service) -> ImageRequest:
        """A person at the terminal may name any file."""
        from ziggie_image_mcp.assets.region import Margins
        from ziggie_image_mcp.storage.input_images import ANY_FILE

        image_file, mask_file = (str(_file(name)) if name else "" for name in (image, mask))
        base = await _with_references(service, ImageRequest(**arguments), reference)
        margins = Margins(*expand)
        return await service.with_input_images(base, image_file, mask_file, margins, reach=ANY_FILE)

    _generate(ctx, request, as_json=as_json)


@app.command()
@with_parameters(option_parameters("process"))
def process(
    ctx: typer.Context,
    image: Annotated[list[str], typer.Argument(help="Files, or ids of pictures made here.")],
    as_json: JsonOption = False,
    **arguments: Any,
) -> None:
    """Work on finished pictures: cut the subject out, then enlarge it.

    A flat ground is keyed on this machine; what needs a model takes the best route.
    """

    async def prepare(service: Service) -> Processing:
        """A person at the terminal may name any file."""
        from ziggie_image_mcp.storage.input_images import ANY_FILE

        request = ImageRequest(prompt="", **arguments)
        return await service.prepare(request, [str(_file(name)) for name in image], reach=ANY_FILE)

    _run(ctx, prepare, as_json=as_json)


def _file(name: str) -> Path | str:
    """The whole path of a file; what is none is an id."""
    try:
        path = Path(name).expanduser()
        return path.absolute() if path.exists() else name
    except (OSError, RuntimeError):  # no such user, or too long: said where it is read
        return name


def _generate(
    ctx: typer.Context, request: Callable[[Service], Awaitable[ImageRequest]], *, as_json: bool
) -> None:
    from ziggie_image_mcp.app.processing import Processing
    from ziggie_image_mcp.jobs import prompts

    async def prepare(service: Service) -> Processing:
        return Processing(requests=tuple(prompts.alternatives(await request(service))))

    _run(ctx, prepare, as_json=as_json)


def _run(
    ctx: typer.Context, prepare: Callable[[Service], Awaitable[Processing]], *, as_json: bool
) -> None:
    """Do what was prepared, show how far it is, and print what came of it."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from ziggie_image_mcp.app.answers import result_data
    from ziggie_image_mcp.jobs import outcomes

    async def work(service: Service) -> JobView:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("starting", total=1.0)

            async def tell(fraction: float, message: str) -> None:
                bar.update(task, completed=fraction, description=message)

            work = await prepare(service)
            view = await service.generate_all(work.requests, tell, processing=work)
        assert view.outcome is not None
        if not view.outcome.results:
            raise outcomes.revived(view.outcome.failures[0])
        return view

    outcome = with_service(ctx, work).outcome
    assert outcome is not None
    results = [result_data(result) for result in outcome.results]
    if as_json:
        print_json(results[0] if len(results) == 1 else {"results": results})
    else:
        for data in results:
            _print_result(data)
    for failure in outcome.failures:
        err.print(f"[{failure.code}] {failure.message}", markup=False)
    if outcome.failures:
        raise typer.Exit(1)


def _print_result(data: dict[str, Any]) -> None:
    for image in cast(list[dict[str, object]], data["images"]):
        out.print(image["path"], markup=False)
    out.print(f"route: {data['provider']}/{data['model']}: {data['why']}", markup=False)
    seed = cast(list[dict[str, object]], data["images"])[0]["seed"]
    facts = f"time: {data['seconds']} s, cost: ${data['cost_usd']:g}"
    out.print(facts + ("" if seed is None else f", seed: {seed}"), markup=False)
    for note in cast(list[str], data.get("notes", [])):
        out.print(f"note: {note}", markup=False)


@app.command()
@with_parameters(
    [
        p.replace(default="a picture") if p.name == "prompt" else p
        for p in option_parameters("generate")
    ]
)
def plan(ctx: typer.Context, as_json: JsonOption = False, **arguments: Any) -> None:
    """Show which routes would be tried, and every reason against the others. Makes nothing.

    Where none is open, it ends with code 1, as generate would.
    """
    from ziggie_image_mcp.app.answers import plan_data
    from ziggie_image_mcp.jobs import prompts
    from ziggie_image_mcp.routing import explain

    request = ImageRequest(**arguments)

    async def work(service: Service) -> tuple[Plan, list[str], ImageError | None]:
        requests = prompts.alternatives(request)
        decisions = [
            (await service.snapshot(request), await service.plan(request)) for request in requests
        ]
        closed = explain.nothing_open(decisions)
        return decisions[0][1], [r.prompt for r in requests], closed

    decision, alternatives, closed = with_service(ctx, work)
    if as_json:
        several = {"prompts": alternatives} if len(alternatives) > 1 else {}
        print_json(plan_data(decision) | several)
    else:
        _print_plan(decision, alternatives)
    if closed is not None:
        fail(closed)


def _print_plan(decision: Plan, alternatives: list[str]) -> None:
    from ziggie_image_mcp.jobs import prompts
    from ziggie_image_mcp.routing.types import delivered_size

    routes = new_table(
        "", "route", "size", "seconds", "price", "score", "why", title="Would be tried"
    )
    for place, c in enumerate(decision.candidates, 1):
        routes.add_row(
            str(place),
            f"{c.model.provider}/{c.model.id}",
            str(delivered_size(c)),
            f"{c.seconds:.3g}",
            usd(c.cost_micro_usd) if c.cost_micro_usd else "free",
            f"{c.score:.5f}",
            c.why,
        )
    if decision.candidates:
        tables.print(routes)
        if len(alternatives) > 1:
            out.print(f"Each of {len(alternatives)} prompts takes such a route.")
        if doubt := prompts.doubt(decision.candidates[0].request.prompt):
            out.print(f"note: {doubt}", markup=False)
        for note in decision.candidates[0].notes:
            out.print(f"note: {note}", markup=False)
    else:
        out.print("No route is open.")
        if decision.advice:
            out.print(f"note: {decision.advice}", markup=False)
    if decision.rejected:
        others = new_table("what", "code", "has", "needs", "fix", title="Left out")
        for r in decision.rejected:
            what = r.provider + (f"/{r.model}" if r.model else "")
            for x in r.reasons:
                others.add_row(what, x.code, x.have, x.need, x.fix)
        tables.print(others)
