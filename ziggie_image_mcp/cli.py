"""The command line: the same use cases as the tools, for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import anyio
import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ziggie_image_mcp import (
    __version__,
    cli_jobs,
    cli_keys,
    cli_money,
    clients,
    config,
    doctor,
    report,
)
from ziggie_image_mcp.app import House, serve_http, serve_stdio
from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.inputs import Margins
from ziggie_image_mcp.service import Service
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
    with_service,
)
from ziggie_image_mcp.types import ImageRequest, OutputFormat, Plan, QualityTier

app = typer.Typer(
    help="Make pictures on the best route this machine has. Alone: the MCP server on stdio.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
config_app = typer.Typer(help="Show, check and write the settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(cli_money.app)
app.add_typer(cli_keys.app)
app.add_typer(cli_jobs.app)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file instead of the default one.")
]


@app.callback(invoke_without_command=True)
def start(
    ctx: typer.Context,
    config_file: ConfigOption = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Make pictures on the best route this machine has."""
    if version:
        out.print(f"ziggie-image-mcp {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        anyio.run(serve_stdio, config_file)


@app.command()
def serve(
    ctx: typer.Context,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A name that clients use for this server; needed off loopback."),
    ] = None,
    stateless: Annotated[
        bool, typer.Option("--stateless", help="Keep no sessions: several behind one address.")
    ] = False,
) -> None:
    """Run the MCP server: stdio, or HTTP at http://HOST:PORT/mcp."""
    if not http:
        run(partial(serve_stdio, given_config(ctx)))
        return
    err.print(f"Serving MCP at http://{host}:{port}/mcp", markup=False)
    allowed = tuple(allowed_host or ())
    file = given_config(ctx)
    listen = partial(serve_http, file, host=host, port=port, allowed_hosts=allowed)
    run(partial(listen, stateless=stateless))


ModelOption = Annotated[str | None, typer.Option("--model", "-m")]
ProviderOption = Annotated[str | None, typer.Option("--provider", "-p")]
QualityOption = Annotated[QualityTier | None, typer.Option(help="At least so good a model.")]
NegativeOption = Annotated[str, typer.Option("--negative", help="What to keep out.")]
CountOption = Annotated[int, typer.Option("--count", "-n")]
FormatOption = Annotated[OutputFormat | None, typer.Option("--format")]
NameOption = Annotated[str, typer.Option("--name", help="A hint for the file's name.")]
PayOption = Annotated[bool, typer.Option("--allow-paid", help="Yes to a paid route.")]
CostOption = Annotated[
    float | None, typer.Option("--max-cost", help="US dollars that it may cost in all.")
]


@app.command()
def generate(
    ctx: typer.Context,
    prompt: str,
    negative_prompt: NegativeOption = "",
    width: Annotated[int | None, typer.Option()] = None,
    height: Annotated[int | None, typer.Option()] = None,
    aspect_ratio: Annotated[str | None, typer.Option("--aspect", help="As 16:9.")] = None,
    num_images: CountOption = 1,
    seed: Annotated[int | None, typer.Option()] = None,
    steps: Annotated[int | None, typer.Option()] = None,
    guidance_scale: Annotated[float | None, typer.Option("--guidance")] = None,
    model: ModelOption = None,
    provider: ProviderOption = None,
    quality: QualityOption = None,
    output_format: FormatOption = None,
    file_name: NameOption = "",
    allow_paid: PayOption = False,
    max_cost_usd: CostOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make pictures and print where they are and why on that route."""
    request = ImageRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        aspect_ratio=aspect_ratio,
        num_images=num_images,
        seed=seed,
        steps=steps,
        guidance_scale=guidance_scale,
        model=model,
        provider=provider,
        quality=quality,
        output_format=output_format,
        file_name=file_name,
        allow_paid=allow_paid,
        max_cost_usd=max_cost_usd,
    )

    async def asked(_: Service) -> ImageRequest:
        return request

    _make(ctx, asked, as_json=as_json)


@app.command()
def edit(
    ctx: typer.Context,
    image: Annotated[str, typer.Argument(help="A file, or the id of a picture made here.")],
    prompt: Annotated[str, typer.Argument(help="What the whole result shows.")],
    mask: Annotated[str, typer.Option(help="A file of the same size: white is painted anew.")] = "",
    expand: Annotated[
        tuple[int, int, int, int],
        typer.Option(metavar="LEFT TOP RIGHT BOTTOM", help="Pixels to add and paint there."),
    ] = (0, 0, 0, 0),
    strength: Annotated[
        float | None, typer.Option(help="How much changes: above 0, to 1 for all of it.")
    ] = None,
    negative_prompt: NegativeOption = "",
    num_images: CountOption = 1,
    seed: Annotated[int | None, typer.Option()] = None,
    steps: Annotated[int | None, typer.Option()] = None,
    model: ModelOption = None,
    provider: ProviderOption = None,
    output_format: FormatOption = None,
    file_name: NameOption = "",
    allow_paid: PayOption = False,
    max_cost_usd: CostOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change a picture: as a whole, under a mask, or beyond its edges."""
    request = ImageRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        strength=strength,
        num_images=num_images,
        seed=seed,
        steps=steps,
        model=model,
        provider=provider,
        output_format=output_format,
        file_name=file_name,
        allow_paid=allow_paid,
        max_cost_usd=max_cost_usd,
    )

    async def asked(service: Service) -> ImageRequest:
        """A person at the terminal may name any file."""
        found, over = (str(_file(name)) if name else "" for name in (image, mask))
        return await service.given(request, found, over, Margins(*expand), reach="anywhere")

    _make(ctx, asked, as_json=as_json)


def _file(name: str) -> Path | str:
    """The whole path of a file; what is none is an id."""
    path = Path(name).expanduser()
    return path.absolute() if path.exists() else name


def _make(
    ctx: typer.Context, asked: Callable[[Service], Awaitable[ImageRequest]], *, as_json: bool
) -> None:
    async def work(service: Service) -> dict[str, object]:
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

            return report.result_data(await service.generate(await asked(service), tell))

    data = with_service(ctx, work)
    if as_json:
        print_json(data)
        return
    for image in cast(list[dict[str, object]], data["images"]):
        out.print(image["path"], markup=False)
    out.print(f"route: {data['provider']}/{data['model']}: {data['why']}", markup=False)
    out.print(
        f"time: {data['seconds']} s, cost: ${data['cost_usd']:g}, "
        f"seed: {cast(list[dict[str, object]], data['images'])[0]['seed']}",
        markup=False,
    )
    for note in cast(list[str], data.get("notes", [])):
        out.print(f"note: {note}", markup=False)


@app.command()
def plan(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument()] = "a picture",
    width: Annotated[int | None, typer.Option()] = None,
    height: Annotated[int | None, typer.Option()] = None,
    model: ModelOption = None,
    provider: ProviderOption = None,
    quality: QualityOption = None,
    allow_paid: PayOption = False,
    max_cost_usd: CostOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which routes would be tried, and every reason against the others. Makes nothing."""
    request = ImageRequest(
        prompt=prompt,
        width=width,
        height=height,
        model=model,
        provider=provider,
        quality=quality,
        allow_paid=allow_paid,
        max_cost_usd=max_cost_usd,
    )

    async def work(service: Service) -> Plan:
        return await service.plan(request)

    found = with_service(ctx, work)
    if as_json:
        print_json(report.plan_data(found))
        return
    routes = new_table(
        "", "route", "size", "seconds", "USD", "score", "why", title="Would be tried"
    )
    for place, c in enumerate(found.candidates, 1):
        routes.add_row(
            str(place),
            f"{c.model.provider}/{c.model.id}",
            f"{c.job.width}x{c.job.height}",
            f"{c.seconds:.3g}",
            f"{c.cost_micro_usd / 1e6:.4f}",
            f"{c.score:.5f}",
            c.why,
        )
    if found.candidates:
        tables.print(routes)
    else:
        out.print("No route is open.")
    if found.rejected:
        others = new_table("what", "code", "has", "needs", "fix", title="Left out")
        for r in found.rejected:
            what = r.provider + (f"/{r.model}" if r.model else "")
            for x in r.reasons:
                others.add_row(what, x.code, x.have, x.need, x.fix)
        tables.print(others)


@app.command("models")
def models_(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
    provider: Annotated[str, typer.Option("--provider", "-p")] = "",
    usable: Annotated[bool, typer.Option("--usable", help="Only what would run now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models per provider, and why one would not run."""

    async def work(service: Service) -> report.ModelReport:
        return await report.models(service, provider=provider, query=query, usable_only=usable)

    found = with_service(ctx, work)
    if as_json:
        print_json(found.model_dump())
        return
    table = new_table("provider", "model", "usable", "seconds", "quality", "licence", "why not")
    for row in found.models:
        table.add_row(
            row.provider,
            row.id,
            "yes" if row.usable else "no",
            "" if row.expected_seconds is None else f"{row.expected_seconds:g}",
            "" if row.quality is None else f"{row.quality:g}",
            row.license,
            "\n".join([*row.why_not, row.how_to_install] if row.why_not else []),
        )
    tables.print(table)
    for silent in found.unavailable:
        out.print(f"{silent.provider}: {' '.join(silent.why_not)}", markup=False)


@app.command()
def hardware(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show this machine, the engines found, and what each mode would do."""
    found = with_service(ctx, report.machine)
    if as_json:
        print_json(found.model_dump())
        return
    gpus = ", ".join(f"{g.name} ({g.vram_gb} GB)" for g in found.gpus) or "none found"
    for label, value in (
        ("system", f"{found.os}, {found.cpu or 'unknown CPU'}, {found.cpu_cores} cores"),
        ("memory", f"{found.ram_free_gb} of {found.ram_gb} GB free"),
        ("disk", f"{found.disk_free_gb} GB free at {found.picture_folder}"),
        ("GPU", gpus),
        ("tier", f"{found.tier}: {found.tier_means}"),
    ):
        out.print(f"{label:10} {value}", markup=False)
    for engine in found.engines:
        mark = "ok" if engine.running else "--"
        out.print(f"{engine.provider:10} {mark} {engine.detail}", markup=False)
    for title, facts in (
        ("paused", found.paused),
        ("in line", found.waiting),
        ("speed", found.speeds),
    ):
        for fact in facts:
            out.print(f"{title}: {fact}", markup=False)
    for name, choice in (
        ("Use local generation", found.local),
        ("Use a cloud API", found.cloud),
        ("Automatic", found.automatic),
    ):
        mark = "x" if choice.possible else " "
        out.print(f"[{mark}] {name}\n    {choice.text}", markup=False)
    for note in found.notes:
        out.print(f"note: {note}", markup=False)


@app.command("doctor")
def doctor_(
    ctx: typer.Context,
    skip_picture: Annotated[
        bool, typer.Option("--skip-picture", help="Do not run the tiny model as a self-test.")
    ] = False,
) -> None:
    """Say what works, what does not, and the exact fix. Runs the tiny model as a self-test."""
    house = House(given_config(ctx))

    async def work() -> list[doctor.Finding]:
        async with house:
            return await doctor.examine(house.service, given_config(ctx), picture=not skip_picture)

    findings = run(work)
    for finding in findings:
        out.print(f"{finding.state.upper():5} {finding.what}", markup=False)
        if finding.fix:
            out.print(f"      fix: {finding.fix}", markup=False)
    if any(f.state == "fail" for f in findings):
        raise typer.Exit(1)


@app.command("client-config")
def client_config(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help=", ".join(clients.CLIENTS))],
) -> None:
    """Print what connects an MCP client to this server, and where it goes."""
    command = [str(Path(sys.executable)), "-m", "ziggie_image_mcp"]
    file = given_config(ctx)
    env = {config.ENV_FILE: str(file.absolute())} if file else {}
    try:
        snippet = clients.client_config(name, command, env)
    except ImageError as e:
        fail(e)
    err.print(f"{snippet.title}: {snippet.where}", markup=False)
    out.print(snippet.text, markup=False)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of config.json."""
    print_json(config.json_schema())


@config_app.command("path")
def config_path(ctx: typer.Context) -> None:
    """Print where config.json is looked for."""
    out.print(str(config.find(given_config(ctx))), markup=False)


@config_app.command("show")
def config_show(ctx: typer.Context) -> None:
    """Print the settings in force, after the environment's overrides."""
    try:
        print_json(config.load(given_config(ctx)).model_dump(by_alias=True, mode="json"))
    except ImageError as e:
        fail(e)


@config_app.command("init")
def config_init(ctx: typer.Context) -> None:
    """Write a config.json to start from, and its schema beside it. Never overwrites."""
    path = config.find(given_config(ctx))
    start = {"$schema": "./config.schema.json", "provider": "auto", "preference": "balanced"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            json.dump(start, file, indent=2)
        schema = json.dumps(config.json_schema(), indent=2)
        (path.parent / "config.schema.json").write_text(schema, encoding="utf-8")
    except FileExistsError:
        err.print(f"{path} is there already; nothing was changed.", markup=False)
        raise typer.Exit(1) from None
    except OSError as e:
        err.print(f"{path} cannot be written: {e.strerror or e}.", markup=False)
        raise typer.Exit(1) from None
    out.print(str(path), markup=False)
