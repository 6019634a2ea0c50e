"""The commands about jobs: batch, worker, jobs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import anyio
import anyio.to_thread
import typer

from ziggie_image_mcp.billing.money import micro_usd, usd
from ziggie_image_mcp.cli.console import (
    JsonOption,
    config_option,
    err,
    fail,
    new_table,
    out,
    print_json,
    print_table,
    run,
    with_service,
)
from ziggie_image_mcp.cli.exit_codes import ExitCode
from ziggie_image_mcp.errors import InvalidRequest, StorageError
from ziggie_image_mcp.provider.files import decode_text, read_bounded

if TYPE_CHECKING:
    from ziggie_image_mcp.app.batch import Batch, Ended, Estimate, Share
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.jobs.batch_file import Item
    from ziggie_image_mcp.jobs.records import JobView
    from ziggie_image_mcp.storage.artifact_store import Cleaned

app = typer.Typer()
jobs_app = typer.Typer(help="List, show, cancel and forget jobs.", no_args_is_help=True)
app.add_typer(jobs_app, name="jobs")

MAX_BATCH_BYTES = 64 * 2**20
_AGE = re.compile(r"(\d+)([dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@app.command("batch")
def batch_(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="A request per line: JSON with generate_image's keys.")
    ],
    at: Annotated[str, typer.Option(help="Begin then: 02:00, or 2026-11-25T02:00.")] = "",
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="US dollars that the batch may spend; without it, the config."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="The contact sheet's file; by default beside FILE.")
    ] = None,
    no_sheet: Annotated[bool, typer.Option("--no-sheet", help="Draw no contact sheet.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make many pictures. Run it again to go on where it stopped; what is done is not repeated."""
    from ziggie_image_mcp.app.application import Application
    from ziggie_image_mcp.app.batch import Batch, completed
    from ziggie_image_mcp.app.leaving import Ending
    from ziggie_image_mcp.jobs import batch_file

    begin = _moment(at) if at else None

    async def work(service: Service) -> int:
        from ziggie_image_mcp.cli import following

        items = await completed(service, batch_file.read(_text(file), file.name))
        batch = Batch(service, items, None if budget is None else micro_usd(budget))
        estimate = await batch.estimate()
        _announce(estimate, budget, begin)
        if dry_run:
            if as_json:
                print_json(_estimate_data(estimate))
            return 0 if any(s.route and not s.needs_budget for s in estimate.shares) else 1
        jobs = await batch.submit(begin)
        try:
            ended = await following.stoppable(partial(_followed, batch, jobs))
        except typer.Exit:
            left = await batch.left(jobs)
            err.print(
                f"Stopped: {len(jobs) - left} of {len(jobs)} requests are done and kept, the "
                "others are cancelled. Run the same batch again to go on."
            )
            raise
        pages = [] if no_sheet else await batch.contact_sheets(ended)
        paths = _write_pages(pages, sheet or file.with_suffix(".contact.png"))
        if as_json:
            print_json([{"line": one.item.line} | _job_data(one.job) for one in ended])
        else:
            _summary(ended)
            for path in paths:
                out.print(f"contact sheet: {path}", markup=False)
        return 1 if any(one.job.status != "done" for one in ended) else 0

    async def inside() -> int:
        async with Application(config_option(ctx)) as app_:
            code = await work(await app_.service())
            await app_.leave(Ending(), code)  # other batches' jobs may run here by now
            return code

    raise typer.Exit(run(inside))


async def _followed(batch: Batch, jobs: Mapping[str, Item]) -> list[Ended]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=len(jobs))

        async def tell(ended: int, of: int) -> None:
            bar.update(task, completed=ended, total=of)

        return await batch.follow(jobs, tell)


@app.command("worker")
def worker_(ctx: typer.Context) -> None:
    """Make pictures for the servers and batches of the same `database`, until stopped."""
    from ziggie_image_mcp.app import application

    err.print("Waiting for jobs; stop with Ctrl-C.")
    run(partial(application.run_worker, config_option(ctx)))


@app.command("finish", hidden=True)
def finish_(ctx: typer.Context, job_ids: Annotated[list[str], typer.Argument()]) -> None:
    """Fetch what a server that ended had paid for. The server starts it."""
    from ziggie_image_mcp.app import application

    run(partial(application.finish, job_ids, config_option(ctx)))


@jobs_app.command("list")
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first."""

    async def work(service: Service) -> list[JobView]:
        return await service.scheduler.select(limit=limit)

    report = with_service(ctx, work)
    if as_json:
        print_json([_job_data(view) for view in report])
        return
    if not report:
        out.print("There are no jobs.")
        return
    listing = new_table(
        *("job", "status", "begun (UTC)", "prompt", "pictures", "what"), whole=["job"]
    )
    for view in report:
        data = _job_data(view)
        failures = () if view.outcome is None else view.outcome.failures
        what = view.message or "; ".join(failure.code for failure in failures)
        listing.add_row(
            view.id,
            view.status,
            f"{view.created:%Y-%m-%d %H:%M:%S}" if view.created else "",
            str(data.get("prompt", ""))[:60],
            str(sum(len(r.images) for r in view.outcome.results)) if view.outcome else "",
            what,
        )
    print_table(listing)


@jobs_app.command("show")
def show(ctx: typer.Context, job_id: str, as_json: JsonOption = True) -> None:
    """Show one job whole, always as JSON."""

    async def work(service: Service) -> JobView:
        for view in await service.scheduler.select(job_id, limit=2):
            if view.id == job_id:
                return view
        from ziggie_image_mcp.jobs.errors import JobNotFound

        raise JobNotFound(job_id)

    print_json(_job_data(with_service(ctx, work)))


@jobs_app.command("cancel")
def cancel(ctx: typer.Context, job_id: str, as_json: JsonOption = False) -> None:
    """Stop a job, also while its picture is being made by another process."""

    async def work(service: Service) -> JobView:
        return await service.cancel(job_id)

    view = with_service(ctx, work)
    if as_json:
        print_json(_job_data(view))
    else:
        out.print(view.status)
    if not view.ended:
        err.print("It has not stopped yet; `jobs show` tells when it has.")
        raise typer.Exit(ExitCode.FAILED)


@jobs_app.command("clean")
def clean(
    ctx: typer.Context,
    older_than: Annotated[str, typer.Option(help="As 30d, 12h or 90m.")] = "30d",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Delete the pictures of those days too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Forget jobs that have ended. Their pictures stay, unless you say so."""
    age = _AGE.fullmatch(older_than.strip())
    if age is None:
        fail(InvalidRequest("--older-than", older_than, "say it as 30d, 12h or 90m"))
    before = datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})

    async def work(service: Service) -> tuple[int, Cleaned | None]:
        forgotten = await service.scheduler.clean(before)
        if not pictures:
            return forgotten, None
        delete = partial(service.artifacts.clean, before.date())
        return forgotten, await anyio.to_thread.run_sync(delete)

    count, cleaned = with_service(ctx, work)
    if as_json:
        deleted = {} if cleaned is None else asdict(cleaned)
        print_json({"jobs": count} | deleted)
        return
    out.print(f"{count} jobs forgotten." if count != 1 else "1 job forgotten.")
    if cleaned is not None:
        out.print(f"{cleaned.pictures} pictures deleted, {cleaned.bytes / 1e6:.1f} MB.")


def _moment(text: str) -> datetime:
    """A time of day, the next one in local time, or a date and time; UTC."""
    now = datetime.now().astimezone()
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", text):
            hour, minute = map(int, text.split(":"))
            begin = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return (begin if begin > now else begin + timedelta(days=1)).astimezone(UTC)
        begin = datetime.fromisoformat(text).astimezone()
    except ValueError:
        fail(InvalidRequest("--at", text, "say it as 02:00 or 2026-11-25T02:00"))
    if begin <= now:
        fail(InvalidRequest("--at", text, "that is over; leave it out to begin now"))
    return begin.astimezone(UTC)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:  # a pipe will do: `batch <(make-requests)`
            return decode_text(read_bounded(opened, MAX_BATCH_BYTES))
    except OSError as e:
        raise StorageError(f"{file} cannot be read: {e.strerror or e}.") from e
    except ValueError as e:
        raise StorageError(f"{file} {e}.") from e


def _announce(estimate: Estimate, budget: float | None, begin: datetime | None) -> None:
    total = estimate.total
    cost = _price(total) if any(share.route for share in estimate.shares) else "no route"
    if budget is not None:
        cost += f" (budget {usd(micro_usd(budget))})"
    err.print(f"{total.requests} requests, {total.pictures} pictures, {cost}", markup=False)
    for share in estimate.shares:
        if share.route:
            by = f"; {share.rule}" if share.rule else ""
            line = f"{share.requests} by {share.route}, {_price(share)}{by}"
            err.print(f"  {line}", markup=False)
    for line in (*estimate.closed, *estimate.doubts):
        err.print(f"  {line}", markup=False)
    if begin is not None:
        err.print(f"begins {begin.astimezone():%Y-%m-%d %H:%M %Z}; keep this running", markup=False)


def _price(share: Share) -> str:
    if not share.micro_usd:
        return "free"
    cost = most = f"at most {usd(share.micro_usd)}"
    if share.expected_micro_usd != share.micro_usd:
        cost = f"about {usd(share.expected_micro_usd)}, {most}"
    return f"{cost}, if you agree by --budget" if share.needs_budget else cost


def _estimate_data(estimate: Estimate) -> dict[str, object]:
    def data(share: Share) -> dict[str, object]:
        return {
            "requests": share.requests,
            "pictures": share.pictures,
            "expected_usd": share.expected_micro_usd / 1e6,
            "at_most_usd": share.micro_usd / 1e6,
            "needs_budget": share.needs_budget,
        }

    return {
        "dry_run": True,
        "total": data(estimate.total),
        "routes": [
            {"route": share.route or None, "rule": share.rule or None} | data(share)
            for share in estimate.shares
        ],
        "no_route": list(estimate.closed),
        "notes": list(estimate.doubts),
    }


def _summary(ended: Sequence[Ended]) -> None:
    counts = Counter(one.job.status for one in ended)
    results = [r for one in ended if one.job.outcome for r in one.job.outcome.results]
    pictures = sum(len(r.images) for r in results)
    endings = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    cost = usd(sum(r.cost_micro_usd for r in results))
    out.print(f"{endings}: {pictures} pictures, {cost}", markup=False)
    failures = new_table("line", "code", "what")
    for one in ended:
        for failure in one.job.outcome.failures if one.job.outcome else ():
            failures.add_row(one.item.name, failure.code, failure.message)
    if failures.row_count:
        print_table(failures)


def _write_pages(pages: Sequence[bytes], file: Path) -> list[Path]:
    pages_written: list[Path] = []
    for i, page in enumerate(pages, 1):
        path = file if i == 1 else file.with_stem(f"{file.stem}-{i}")
        try:
            path.write_bytes(page)
        except OSError as e:
            raise StorageError(f"{path} cannot be written: {e.strerror or e}.") from e
        pages_written.append(path)
    return pages_written


def _job_data(view: JobView) -> dict[str, object]:
    from ziggie_image_mcp.app.answers import job_data, outcome_data

    data: dict[str, object] = job_data(view)
    data.pop("next", None)
    if view.created is not None:
        data["begun"] = view.created.isoformat(timespec="seconds")
    if view.spec is not None:
        data["prompt"] = " / ".join(r.prompt for r in view.spec.requests)
    if view.outcome is not None and view.outcome.results:
        data |= outcome_data(view)
    return data
