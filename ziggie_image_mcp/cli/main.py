"""The command line: the same use cases as the tools, for people."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from ziggie_image_mcp import __version__
from ziggie_image_mcp.cli import client_config, generate, jobs, keys, money
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    new_table,
    out,
    print_json,
    run,
    tables,
    with_service,
)
from ziggie_image_mcp.cli.settings import config_app
from ziggie_image_mcp.config import config
from ziggie_image_mcp.errors import ImageError
from ziggie_image_mcp.provider.redaction import hidden

if TYPE_CHECKING:
    from ziggie_image_mcp.app import reports
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.cli import doctor

app = typer.Typer(
    help="Make pictures on the best route this machine has. Alone: the MCP server on stdio.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(generate.app)
app.add_typer(config_app, name="config")
app.add_typer(money.app)
app.add_typer(keys.app)
app.add_typer(jobs.app)

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
        from ziggie_image_mcp.server.transport import serve_stdio

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
    from ziggie_image_mcp.server.transport import serve_http, serve_stdio

    if not http:
        run(partial(serve_stdio, config_option(ctx)))
        return
    err.print(f"Serving MCP at http://{host}:{port}/mcp", markup=False)
    allowed = tuple(allowed_host or ())
    file = config_option(ctx)
    listen = partial(serve_http, file, host=host, port=port, allowed_hosts=allowed)
    run(partial(listen, stateless=stateless))


@app.command("models")
def models_(
    ctx: typer.Context,
    query: Annotated[str, typer.Argument(help="Only names that contain this.")] = "",
    provider: Annotated[str, typer.Option("--provider", "-p")] = "",
    usable: Annotated[bool, typer.Option("--usable", help="Only what would run now.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the models per provider, and why one would not run."""
    from ziggie_image_mcp.app import reports

    async def work(service: Service) -> reports.ModelReport:
        return await reports.models(service, provider=provider, query=query, usable_only=usable)

    report = with_service(ctx, work)
    if as_json:
        print_json(report.model_dump())
        return
    table = new_table("provider", "model", "usable", "seconds", "quality", "licence", "why not")
    for row in report.models:
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
    for silent in report.unavailable:
        out.print(f"{silent.provider}: {' '.join(silent.why_not)}", markup=False)
    if report.real_model:
        out.print(report.real_model, markup=False)


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
    for finding in findings:
        out.print(f"{finding.state.upper():5} {hidden(finding.what)}", markup=False)
        if finding.fix:
            out.print(f"      fix: {hidden(finding.fix)}", markup=False)
    if any(f.state == "fail" for f in findings):
        raise typer.Exit(1)


@app.command("client-config")
def client_config_(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help=", ".join(client_config.CLIENTS))],
) -> None:
    """Print what connects an MCP client to this server, and where it goes."""
    command = [str(Path(sys.executable)), "-m", "ziggie_image_mcp"]
    file = config_option(ctx)
    env = {config.ENV_FILE: str(file.absolute())} if file else {}
    try:
        snippet = client_config.client_config(name, command, env)
    except ImageError as e:
        fail(e)
    err.print(f"{snippet.title}: {snippet.where}", markup=False)
    out.print(snippet.text, markup=False)
