"""The command line: the same use cases as the tools, for people."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from ziggie_image_mcp import __version__
from ziggie_image_mcp.cli import (
    advise,
    clients,
    gallery,
    generate,
    jobs,
    keys,
    pictures,
    setup,
    speed,
    spend,
    usage,
)
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    out,
    print_json,
    run,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.cli.models import models_app
from ziggie_image_mcp.cli.options import OptionsAnywhere
from ziggie_image_mcp.cli.settings import config_app
from ziggie_image_mcp.errors import ConfigError
from ziggie_image_mcp.provider.redaction import hidden

if TYPE_CHECKING:
    from ziggie_image_mcp.cli import doctor

app = typer.Typer(
    cls=OptionsAnywhere,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make pictures on the best route this machine has. Alone: the MCP server on stdio.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(generate.app)
app.add_typer(pictures.app)
app.add_typer(setup.app)
app.add_typer(config_app, name="config")
app.add_typer(models_app, name="models")
app.add_typer(spend.app)
app.add_typer(usage.app)
app.add_typer(speed.app)
app.add_typer(advise.app)
app.add_typer(keys.app)
app.add_typer(jobs.app)
app.add_typer(gallery.app)
app.add_typer(clients.app)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings file instead of the default one."),
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
        from ziggie_image_mcp.server.transport import serve_stdio

        anyio.run(serve_stdio, config_file)


@app.command()
def serve(
    ctx: typer.Context,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    path: Annotated[str, typer.Option(help="Where MCP is spoken.")] = "/mcp",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(help="A name that clients use for this server; needed off loopback."),
    ] = None,
    allowed_origin: Annotated[
        list[str] | None,
        typer.Option(help="A page that may call, as https://inspector.example:6274."),
    ] = None,
    stateless: Annotated[
        bool, typer.Option("--stateless", help="Keep no sessions: several behind one address.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Tell of each request on stderr, in one line.")
    ] = False,
) -> None:
    """Run the MCP server: stdio, or HTTP at http://HOST:PORT/mcp."""
    from ziggie_image_mcp.server.transport import serve_http, serve_stdio

    if not http:
        _only_with_http(ctx)
        run(partial(serve_stdio, config_option(ctx), verbose=verbose))
        return
    from ziggie_image_mcp.server.transport import Addresses
    from ziggie_image_mcp.server.web_app import Place

    def listening(at: Addresses) -> None:
        err.print(f"Serving MCP at {at.mcp}", markup=False)
        err.print(f"The gallery: {at.gallery}", markup=False)

    place = Place(path=path, allowed_hosts=allowed_host or (), allowed_origins=allowed_origin or ())
    listen = partial(serve_http, config_option(ctx), host=host, port=port, place=place)
    run(partial(listen, stateless=stateless, verbose=verbose, listening=listening))


def _only_with_http(ctx: typer.Context) -> None:
    names = ("host", "port", "path", "allowed_host", "allowed_origin", "stateless")
    given = [
        f"--{name.replace('_', '-')}"
        for name in names
        if (source := ctx.get_parameter_source(name)) is not None and source.name == "COMMANDLINE"
    ]
    if given:
        word = "concerns" if len(given) == 1 else "concern"
        fail(ConfigError(f"{', '.join(given)} {word} HTTP only: add --http, or leave it out."))


@app.command()
def hardware(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show this machine, the engines found, and what each mode would do."""
    from ziggie_image_mcp.app import reports

    report = with_service(ctx, reports.machine)
    if as_json:
        print_json(report.model_dump())
        return
    gpus = ", ".join(f"{g.name} ({g.vram_gb} GB)" for g in report.gpus) or "none found"
    for label, value in (
        ("system", f"{report.os}, {report.cpu or 'unknown CPU'}, {report.cpu_cores} cores"),
        ("memory", f"{report.ram_free_gb} of {report.ram_gb} GB free"),
        ("disk", f"{report.disk_free_gb} GB free at {report.picture_folder}"),
        ("GPU", gpus),
        ("tier", f"{report.tier}: {report.tier_means}"),
    ):
        out.print(f"{label:10} {value}", markup=False)
    for engine in report.engines:
        mark = "ok" if engine.running else "--"
        out.print(f"{engine.provider:10} {mark} {engine.detail}", markup=False)
    for title, facts in (
        ("also here", report.other_engines),
        ("paused", report.paused),
        ("in line", report.waiting),
        ("speed", report.speeds),
    ):
        for fact in facts:
            out.print(f"{title}: {fact}", markup=False)
    for name, choice in (
        ("Use local generation", report.local),
        ("Use a cloud API", report.cloud),
        ("Automatic", report.automatic),
    ):
        mark = "x" if choice.possible else " "
        out.print(f"[{mark}] {name}\n    {choice.text}", markup=False)
    for note in (*filter(None, [report.real_model]), *report.notes):
        out.print(f"note: {note}", markup=False)


@app.command("doctor")
def doctor_(
    ctx: typer.Context,
    skip_picture: Annotated[
        bool, typer.Option("--skip-picture", help="Do not run the tiny model as a self-test.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what works, what does not, and the exact fix. Runs the tiny model as a self-test."""
    from ziggie_image_mcp.app.application import Application
    from ziggie_image_mcp.cli import doctor

    application = Application(config_option(ctx))

    async def work() -> list[doctor.Finding]:
        async with application:
            return await doctor.examine(
                application.service, config_option(ctx), picture=not skip_picture
            )

    findings = run(work)
    if as_json:
        rows = [{"state": f.state, "what": hidden(f.what), "fix": hidden(f.fix)} for f in findings]
        print_json({"findings": rows})
    for finding in () if as_json else findings:
        out.print(f"{finding.state.upper():5} {hidden(finding.what)}", markup=False)
        if finding.fix:
            out.print(f"      fix: {hidden(finding.fix)}", markup=False)
    if any(f.state == "fail" for f in findings):
        raise typer.Exit(ExitCode.FAILED)
