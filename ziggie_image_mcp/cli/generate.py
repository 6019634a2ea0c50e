"""Commands that make pictures: generate, edit, process, plan."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args, get_origin

import typer

from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.cli import files, machines, plans
from ziggie_image_mcp.cli.completion import completing, provider_names
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    print_json,
    print_plain,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.errors import ImageError, InvalidRequest, duration
from ziggie_image_mcp.provider.capabilities import ProcessedFormat
from ziggie_image_mcp.routing.request import (
    DeclaredArgument,
    ImageRequest,
    Surface,
    declared_arguments,
    with_parameters,
)
from ziggie_image_mcp.routing.spellings import kind_of, read_arguments

if TYPE_CHECKING:
    from ziggie_image_mcp.app.processing import Processing
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.jobs.records import JobView

app = typer.Typer()


def option_parameters(kind: Surface) -> list[inspect.Parameter]:
    """The declared arguments as options of a command; the prompt is its argument.

    All but switches are texts, which `_request` reads as the tools read theirs.
    """
    return [
        inspect.Parameter(
            argument.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=argument.default if argument.name == "prompt" else _unset(argument),
            annotation=_option(argument),
        )
        for argument in declared_arguments(kind)
    ]


def _unset(argument: DeclaredArgument) -> bool | None:
    return False if argument.type is bool else None


def _option(argument: DeclaredArgument) -> Any:
    if argument.name == "prompt":
        return Annotated[argument.type, typer.Argument(help=argument.about)]
    if argument.type is bool:
        return Annotated[bool, typer.Option(*argument.options, help=argument.about)]
    kind = kind_of(argument.type)
    values: tuple[str, ...] = get_args(kind) if get_origin(kind) is Literal else ()
    find = provider_names if argument.name == "provider" else partial(tuple[str, ...], values)
    option = typer.Option(
        *argument.options,
        help=argument.about,
        metavar="|".join(values) or _METAVARS.get(kind, "TEXT"),
        autocompletion=completing(find),
    )
    return Annotated[str | None, option]


_METAVARS = {int: "INTEGER", float: "NUMBER"}


def _request(kind: Surface, arguments: Mapping[str, Any]) -> ImageRequest:
    """The request that the options of a command make. Who types an amount has agreed to it.

    Raises:
        InvalidArguments: One cannot be read; says what it takes.
    """
    types = {argument.name: argument.type for argument in declared_arguments(kind)}
    given = {name: value for name, value in arguments.items() if value is not None}
    required = {"prompt"} & types.keys()
    values: dict[str, Any] = {"prompt": ""} | read_arguments(given, types, required=required)
    request = ImageRequest(**values)
    return replace(request, allow_paid=True) if request.max_cost_usd else request


ReferenceOption = Annotated[
    list[str], typer.Option(help="A picture to follow: a file, or an id. May be repeated.")
]


ControlOption = Annotated[
    list[str],
    typer.Option(
        metavar="KIND:PICTURE[:WEIGHT]",
        help="A picture that guides the composition, as canny:photo.png:0.7; depth:map.png is a"
        " finished map, make-depth:photo.png has one made. May be repeated.",
    ),
]


async def _with_pictures(
    service: Service, request: ImageRequest, reference: list[str], control: list[str]
) -> ImageRequest:
    """A person at the terminal may name any file."""
    if not reference and not control:
        return request
    from ziggie_image_mcp.storage.input_images import ANY_FILE

    if reference:
        request = await service.with_references(request, files.names(reference), reach=ANY_FILE)
    if control:
        request = await service.with_control(request, ", ".join(control), reach=ANY_FILE)
    return request


LikeOption = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="A picture of ours, A1111, ComfyUI, InvokeAI, SwarmUI or Fooocus to make again.",
    ),
]


OutputOption = Annotated[
    Path | None,
    typer.Option(
        *("--output", "-o"),
        metavar="FILE",
        help="Write the picture there too, in the format of its ending; several get -1, -2.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Let -o replace a file.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say which routes would be tried, as plan does.")
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Print the job's id at once; the job goes on without you.")
]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What is to be done with what was prepared, and where the pictures go."""

    output: Path | None
    force: bool
    dry_run: bool
    detach: bool
    as_json: bool


def _completed(kind: Surface, arguments: dict[str, Any], delivery: Delivery) -> ImageRequest:
    """The request, with the prompt of standard input, and the format that the file asks for."""
    try:
        if arguments.get("prompt") == "-":
            arguments["prompt"] = files.prompt_from_stdin()
        request = _request(kind, arguments)
        if delivery.output is not None:
            kept = _format(kind, request, delivery.output)
            request = replace(request, output_format=kept)
            if note := files.misnamed(delivery.output, kept):
                err.print(f"note: {note}", markup=False)
            files.targets(delivery.output, 1, force=True)  # before anything is opened
            if delivery.detach:
                fix = "leave it out with --detach: nobody is there to write it"
                raise InvalidRequest("--output", str(delivery.output), fix)
    except ImageError as e:
        fail(e)
    return request


def _format(kind: Surface, request: ImageRequest, output: Path) -> ProcessedFormat:
    """The format of the picture: by the file's name, unless what belongs to it is called so."""
    if kind != "process":
        return files.format_of(output, request.output_format)
    from ziggie_image_mcp.jobs.exporting import export_of

    exported = export_of(request)
    if exported is not None and files.names_side_file(output, exported.suffixes):
        return request.output_format or "png"
    return files.format_of(output, request.output_format, processed=True)


@app.command()
@with_parameters(
    [p.replace(default=None) if p.name == "prompt" else p for p in option_parameters("generate")]
)
def generate(
    ctx: typer.Context,
    reference: ReferenceOption = [],  # noqa: B006 (typer copies it)
    control: ControlOption = [],  # noqa: B006
    like: LikeOption = "",
    output: OutputOption = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    detach: DetachOption = False,
    as_json: JsonOption = False,
    **arguments: Any,
) -> None:
    """Make pictures and print where they are and why on that route.

    A prompt with alternatives, as {red|blue} car, makes one of each. - reads it from stdin.
    --max-cost agrees to paying up to so much, where no free route is open.
    --like makes a picture's file again: what is not said here is as it tells.
    """
    delivery = Delivery(output=output, force=force, dry_run=dry_run, detach=detach, as_json=as_json)
    if like and arguments.get("prompt") is None:
        arguments["prompt"] = ""  # the file has one
    wanted = _completed("generate", arguments, delivery)

    async def request(service: Service) -> ImageRequest:
        from ziggie_image_mcp.storage.input_images import ANY_FILE

        file = str(files.existing(like)) if like else ""
        base = await _with_pictures(service, wanted, reference, control)
        return await service.completed(base, file, reach=ANY_FILE)

    _generate(ctx, request, delivery)


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
    control: ControlOption = [],  # noqa: B006
    output: OutputOption = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    detach: DetachOption = False,
    as_json: JsonOption = False,
    **arguments: Any,
) -> None:
    """Change a picture: as a whole, under a mask, or beyond its edges."""
    delivery = Delivery(output=output, force=force, dry_run=dry_run, detach=detach, as_json=as_json)
    wanted = _completed("edit", arguments, delivery)

    async def request(service: Service) -> ImageRequest:
        """A person at the terminal may name any file."""
        from ziggie_image_mcp.assets.region import Margins
        from ziggie_image_mcp.storage.input_images import ANY_FILE

        image_file, mask_file = (str(files.existing(n)) if n else "" for n in (image, mask))
        base = await _with_pictures(service, wanted, reference, control)
        margins = Margins(*expand)
        names = image_file, mask_file
        base = await service.with_input_images(base, *names, margins, reach=ANY_FILE)
        return await service.completed(base, reach=ANY_FILE)

    _generate(ctx, request, delivery)


@app.command()
@with_parameters(option_parameters("process"))
def process(
    ctx: typer.Context,
    image: Annotated[list[str], typer.Argument(help="Files, or ids of pictures made here.")],
    output: OutputOption = None,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    detach: DetachOption = False,
    as_json: JsonOption = False,
    **arguments: Any,
) -> None:
    """Work on finished pictures: cut out, enlarge, make a tile, pixel art, a sheet, icons.

    In this order, whatever the order of the options: --remove-background, --upscale, --seamless,
    --pixel-size, --trim, --pad, --width and --height, --colors or --palette, --slice, --sheet,
    --animation, --icons, --format. What needs a model takes the best route; all else is done on
    this machine. Several pictures keep one grid and one palette, and go into one sheet.
    """
    delivery = Delivery(output=output, force=force, dry_run=dry_run, detach=detach, as_json=as_json)
    wanted = _completed("process", arguments, delivery)

    async def prepare(service: Service) -> Processing:
        """A person at the terminal may name any file."""
        from ziggie_image_mcp.storage.input_images import ANY_FILE

        return await service.prepare(wanted, files.names(image), reach=ANY_FILE)

    _run(ctx, prepare, delivery)


def _generate(
    ctx: typer.Context, request: Callable[[Service], Awaitable[ImageRequest]], delivery: Delivery
) -> None:
    from ziggie_image_mcp.app.processing import Processing
    from ziggie_image_mcp.jobs import prompts

    async def prepare(service: Service) -> Processing:
        return Processing(requests=tuple(prompts.alternatives(await request(service))))

    _run(ctx, prepare, delivery)


def _run(
    ctx: typer.Context, prepare: Callable[[Service], Awaitable[Processing]], delivery: Delivery
) -> None:
    """Do what was prepared, show how far it is, and print what came of it."""
    if delivery.dry_run:
        plans.show(ctx, prepare, as_json=delivery.as_json)
        return
    if delivery.detach:
        _detach(ctx, prepare, as_json=delivery.as_json)
        return
    from ziggie_image_mcp.app.answers import result_data
    from ziggie_image_mcp.cli import following
    from ziggie_image_mcp.cli.numbering import Numbering
    from ziggie_image_mcp.jobs import outcomes

    async def work(service: Service) -> tuple[list[str], list[dict[str, Any]]]:
        work = await prepare(service)
        targets: list[files.Target] = []
        numbering = Numbering(work)
        if delivery.output is not None:
            targets = files.targets(
                delivery.output, numbering.count, force=delivery.force, suffixes=work.suffixes
            )
        expected = await following.expected_seconds(service, work)
        with following.progress_bar(expected, service) as tell:
            view = await following.make(service, work, tell)
        assert view.outcome is not None
        if not view.outcome.results:
            raise outcomes.revived(view.outcome.failures[0])
        numbered = numbering.results(view.outcome)
        results = [result_data(result) for _, result in numbered]
        for data, (first, _) in zip(results, numbered, strict=True):
            _write_files(service, data, targets[first:], force=delivery.force)
        return numbering.failures(view.outcome), results

    async def until_stopped(service: Service) -> tuple[list[str], list[dict[str, Any]]]:
        return await following.stoppable(partial(work, service))

    failures, results = with_service(ctx, until_stopped)
    if delivery.as_json:
        print_json(results[0] if len(results) == 1 else {"results": results})
    else:
        for data in results:
            _print_result(data)
    for failure in failures:
        err.print(failure, markup=False)
    if failures:
        raise typer.Exit(ExitCode.FAILED)


def _write_files(
    service: Service, data: dict[str, Any], targets: Sequence[files.Target], *, force: bool
) -> None:
    from ziggie_image_mcp.storage.side_files import renamed

    images = cast(list[dict[str, Any]], data["images"])
    for image, target in zip(images, targets, strict=False):  # the others belong to other results
        kept, path = image["path"], target.picture
        files.write(path, service.artifacts.original(image["id"]), kept, force=force)
        image["file"] = str(path)
        for suffix, place in target.side_files.items():
            content = service.artifacts.side_file(image["id"], suffix)
            content = renamed(content, suffix, PurePath(kept).name, path.name)
            files.write(place, content, kept, force=force)
            image.setdefault("side_files", []).append(str(place))


def _print_result(data: dict[str, Any]) -> None:
    """Print the paths, and on stderr all else."""
    images = cast(list[dict[str, Any]], data["images"])
    for image in images:
        print_plain(image.get("file") or image["path"])
        for file in image.get("side_files") or image.get("files", ()):
            print_plain(file)
    err.print(f"route: {data['provider']}/{data['model']}: {data['why']}", markup=False)
    seed = images[0]["seed"]
    cost = usd(round(data["cost_usd"] * 1e6)) if data["cost_usd"] else "$0"
    facts = f"time: {duration(data['seconds'])}, cost: {cost}"
    err.print(facts + ("" if seed is None else f", seed: {seed}"), markup=False)
    for image in images:
        if "file" in image:
            err.print(f"kept: {image['path']}")
    for image in images:
        if "proof" in image:
            err.print(f"measured: {image['proof']}", markup=False)
    for note in cast(list[str], data.get("notes", [])):
        err.print(f"note: {note}", markup=False)


def _detach(
    ctx: typer.Context, prepare: Callable[[Service], Awaitable[Processing]], *, as_json: bool
) -> None:
    """Leave the work to the queue, a job for each picture that is asked for, and see to it."""
    from ziggie_image_mcp.app import leaving
    from ziggie_image_mcp.jobs.records import BATCH

    async def work(service: Service) -> tuple[list[JobView], bool]:
        work = await prepare(service)
        parts = [replace(work, requests=(r,), made=()) for r in work.requests]
        if work.made:
            parts.append(replace(work, requests=()))
        views = [
            await service.start(part.requests, processing=part, priority=BATCH) for part in parts
        ]
        return views, service.scheduler.leaves_work

    views, left = with_service(ctx, work)
    ids = [view.id for view in views if not view.ended]
    results = [result for view in views if view.outcome for result in view.outcome.results]
    ended = [
        path for result in results for image in result.images for path in (image.path, *image.files)
    ]
    if ids and not left:
        leaving.start_finisher(ids, config_option(ctx))
    if as_json:
        print_json({"job_ids": ids, "paths": ended})
        return
    for line in (*ids, *ended):
        print_plain(line)
    if ended:
        err.print("note: what stands here with its path is there already")
    if ids and left:
        err.print("note: a worker makes it; `ziggie-image-mcp worker` starts one where none runs")
    elif ids:
        err.print("note: a process of its own makes it; `jobs show ID` tells how far it is")


@app.command()
@with_parameters(
    [
        p.replace(default="a picture") if p.name == "prompt" else p
        for p in option_parameters("generate")
    ]
)
def plan(
    ctx: typer.Context,
    on: machines.OnOption = None,
    ram: machines.RamOption = None,
    os: machines.OsOption = None,
    as_json: JsonOption = False,
    **arguments: Any,
) -> None:
    """Show which routes would be tried, and every reason against the others. Makes nothing.

    Where none is open, it ends with code 1, as generate would. With --on it tells what another
    machine would do with the models of the catalogue.
    """
    delivery = Delivery(output=None, force=False, dry_run=True, detach=False, as_json=as_json)
    wanted = _completed("generate", arguments, delivery)
    if on is not None:
        plans.show_on(ctx, wanted, machines.Wish(on=on, ram=ram, os=os), as_json=as_json)
        return
    if ram is not None or os is not None:
        fail(InvalidRequest("--ram, --os", "without --on", "name the other machine's card by --on"))

    async def request(service: Service) -> ImageRequest:
        from ziggie_image_mcp.storage.input_images import ANY_FILE

        return await service.completed(wanted, reach=ANY_FILE)

    _generate(ctx, request, delivery)
