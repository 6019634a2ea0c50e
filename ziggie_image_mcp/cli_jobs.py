"""The commands about jobs: batch, worker, jobs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import anyio.to_thread
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ziggie_image_mcp import app as app_
from ziggie_image_mcp import batchfile, report
from ziggie_image_mcp.batch import Batch, Ended, Estimate
from ziggie_image_mcp.batchfile import Item
from ziggie_image_mcp.config import micro_usd
from ziggie_image_mcp.errors import ImageError, InvalidRequest, JobNotFound, StorageError
from ziggie_image_mcp.ledger import usd
from ziggie_image_mcp.office import Office
from ziggie_image_mcp.orders import JobView
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.store import Cleaned
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

app = typer.Typer()
jobs_app = typer.Typer(help="List, show, cancel and forget jobs.", no_args_is_help=True)
app.add_typer(jobs_app, name="jobs")

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
    begin = _moment(at) if at else None

    async def work(service: Service) -> int:
        items = batchfile.read(_text(file), file.name)
        batch = Batch(service, items, None if budget is None else micro_usd(budget))
        _announce(await batch.estimate(), budget, begin)
        if dry_run:
            return 0
        ended = await _followed(batch, await batch.submit(begin))
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
        async with app_.House(given_config(ctx)) as house:
            code = await work(await house.service())
            await house.leave(code)  # other batches' jobs may be in hand by now
            return code

    raise typer.Exit(run(inside))


async def _followed(batch: Batch, jobs: Mapping[str, Item]) -> list[Ended]:
    columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=len(jobs))

        async def tell(ended: int, of: int) -> None:
            bar.update(task, completed=ended, total=of)

        return await batch.follow(jobs, tell)


@app.command("worker")
def worker_(ctx: typer.Context) -> None:
    """Make pictures for the servers and batches of the same `database`, until stopped."""
    err.print("Waiting for jobs; stop with Ctrl-C.")
    run(partial(app_.work, given_config(ctx)))


@jobs_app.command("list")
def list_(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first."""

    async def work(service: Service) -> list[JobView]:
        return await _office(service).select(limit=limit)

    found = with_service(ctx, work)
    if as_json:
        print_json([_job_data(view) for view in found])
        return
    if not found:
        out.print("There are no jobs.")
        return
    shown = new_table("job", "status", "begun (UTC)", "prompt", "pictures", "what")
    for view in found:
        data = _job_data(view)
        what = view.message or "; ".join(f.code for f in view.made.failures) if view.made else ""
        shown.add_row(
            view.id,
            view.status,
            f"{view.created:%Y-%m-%d %H:%M:%S}" if view.created else "",
            str(data.get("prompt", ""))[:60],
            str(sum(len(r.images) for r in view.made.results)) if view.made else "",
            what,
        )
    tables.print(shown)


@jobs_app.command("show")
def show(ctx: typer.Context, job_id: str) -> None:
    """Show one job whole, as JSON."""

    async def work(service: Service) -> JobView:
        for view in await _office(service).select(job_id, limit=2):
            if view.id == job_id:
                return view
        raise JobNotFound(job_id)

    print_json(_job_data(with_service(ctx, work)))


@jobs_app.command("cancel")
def cancel(ctx: typer.Context, job_id: str) -> None:
    """Stop a job, also while its picture is being made by another process."""

    async def work(service: Service) -> JobView:
        return await service.cancel(job_id)

    out.print(with_service(ctx, work).status)


@jobs_app.command("clean")
def clean(
    ctx: typer.Context,
    older_than: Annotated[str, typer.Option(help="As 30d, 12h or 90m.")] = "30d",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Delete the pictures of those days too.")
    ] = False,
) -> None:
    """Forget jobs that have ended. Their pictures stay, unless you say so."""
    age = _AGE.fullmatch(older_than.strip())
    if age is None:
        fail(InvalidRequest("--older-than", older_than, "say it as 30d, 12h or 90m"))
    before = datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})

    async def work(service: Service) -> tuple[int, Cleaned | None]:
        forgotten = await _office(service).clean(before)
        if not pictures:
            return forgotten, None
        delete = partial(service.store.clean, before.date())
        return forgotten, await anyio.to_thread.run_sync(delete)

    count, gone = with_service(ctx, work)
    out.print(f"{count} jobs forgotten." if count != 1 else "1 job forgotten.")
    if gone is not None:
        out.print(f"{gone.pictures} pictures deleted, {gone.bytes / 1e6:.1f} MB.")


def _office(service: Service) -> Office:
    if service.office is None:
        raise ImageError("There is no database of jobs.")
    return service.office


def _moment(text: str) -> datetime:
    """A time of day, the next one in local time, or a date and time; UTC."""
    now = datetime.now().astimezone()
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}", text):
            hour, minute = map(int, text.split(":"))
            found = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
            return (found if found > now else found + timedelta(days=1)).astimezone(UTC)
        found = datetime.fromisoformat(text).astimezone()
    except ValueError:
        fail(InvalidRequest("--at", text, "say it as 02:00 or 2026-11-25T02:00"))
    if found <= now:
        fail(InvalidRequest("--at", text, "that is over; leave it out to begin now"))
    return found.astimezone(UTC)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as e:
        raise StorageError(f"{file} cannot be read: {e}.") from e


def _announce(found: Estimate, budget: float | None, begin: datetime | None) -> None:
    cost = f"at most {usd(found.micro_usd)}" if found.micro_usd else "free"
    if budget is not None:
        cost += f" (budget {usd(micro_usd(budget))})"
    err.print(f"{found.requests} requests, {found.pictures} pictures, {cost}", markup=False)
    for route, count in found.routes.items():
        if route != "none":
            err.print(f"  {count} by {route}", markup=False)
    for reason in found.closed:
        err.print(f"  {reason}", markup=False)
    if begin is not None:
        err.print(f"begins {begin.astimezone():%Y-%m-%d %H:%M %Z}; keep this running", markup=False)


def _summary(ended: Sequence[Ended]) -> None:
    counts = Counter(one.job.status for one in ended)
    results = [r for one in ended if one.job.made for r in one.job.made.results]
    pictures = sum(len(r.images) for r in results)
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    cost = usd(sum(r.cost_micro_usd for r in results))
    out.print(f"{said}: {pictures} pictures, {cost}", markup=False)
    failures = new_table("line", "code", "what")
    for one in ended:
        for failure in one.job.made.failures if one.job.made else ():
            failures.add_row(one.item.name, failure.code, failure.message)
    if failures.row_count:
        tables.print(failures)


def _write_pages(pages: Sequence[bytes], file: Path) -> list[Path]:
    found: list[Path] = []
    for i, page in enumerate(pages, 1):
        path = file if i == 1 else file.with_stem(f"{file.stem}-{i}")
        try:
            path.write_bytes(page)
        except OSError as e:
            raise StorageError(f"{path} cannot be written: {e.strerror or e}.") from e
        found.append(path)
    return found


def _job_data(view: JobView) -> dict[str, object]:
    data: dict[str, object] = report.job_data(view)
    data.pop("next", None)
    if view.created is not None:
        data["begun"] = view.created.isoformat(timespec="seconds")
    if view.order is not None:
        data["prompt"] = " / ".join(r.prompt for r in view.order.requests)
    if view.made is not None and view.made.results:
        data |= report.made_data(view)
    return data
