"""Show how far a job is and how long it will take, and stop it in order."""

from __future__ import annotations

import math
import signal
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio
import typer
from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from ziggie_image_mcp.app import leaving
from ziggie_image_mcp.billing.money import usd
from ziggie_image_mcp.cli.console import err
from ziggie_image_mcp.cli.preview import Preview
from ziggie_image_mcp.errors import duration
from ziggie_image_mcp.provider.nouns import Progress as Tell

if TYPE_CHECKING:
    from ziggie_image_mcp.app.processing import Processing
    from ziggie_image_mcp.app.service import Service
    from ziggie_image_mcp.jobs.records import JobView

T = TypeVar("T")

_COLOURS = ("256", "truecolor")


class Remaining(ProgressColumn):
    """What is left of the expected seconds; that they are not known where they are not."""

    def __init__(self, expected: float | None) -> None:
        super().__init__()
        self._expected = expected

    def render(self, task: Task) -> Text:
        """Draw it."""
        return Text(remaining(self._expected, task.elapsed or 0.0))


def remaining(expected: float | None, elapsed: float) -> str:
    """How long it will still take."""
    if expected is None:
        return "time not known"
    if elapsed >= expected:
        return f"longer than the {duration(expected)} expected"
    left = expected - elapsed
    return f"about {duration(left if left < 1 else round(left))} left"


class _Bar(Progress):
    """A bar below the latest picture of the work."""

    preview: Preview | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """The picture, where there is one, and the bar."""
        if self.preview is not None:
            yield self.preview
        yield from super().get_renderables()


@contextmanager
def progress_bar(expected: float | None, service: Service | None = None) -> Generator[Tell]:
    """A bar on the terminal, with what is being done and how long it will take.

    On a terminal with colours, pictures of the work of this process's jobs are shown above it.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        Remaining(expected),
    )
    with _Bar(*columns, console=err, transient=True) as bar:
        if service is not None and err.is_terminal and err.color_system in _COLOURS:
            bar.preview = Preview()
            service.scheduler.show_previews(bar.preview.show)
        task = bar.add_task("starting", total=1.0)

        async def tell(fraction: float, message: str) -> None:
            bar.update(task, completed=fraction, description=message)

        try:
            yield tell
        finally:
            if service is not None:
                service.scheduler.show_previews(None)


async def expected_seconds(service: Service, work: Processing) -> float | None:
    """How long the best routes take, one after the other; None where nobody here can tell."""
    if service.scheduler.leaves_work:
        return None
    from ziggie_image_mcp.routing.route_rules import bulk_of

    total, bulk = 0.0, bulk_of(work.requests)
    for request in work.requests:
        plan = await service.plan(request, bulk)
        if not plan.candidates:
            return None
        total += plan.candidates[0].seconds
    return total


async def make(service: Service, work: Processing, tell: Tell) -> JobView:
    """Make what was prepared. When cancelled, the job is too, and it is said what became of it."""
    job_id = ""
    try:
        view = await service.start(work.requests, progress=tell, processing=work)
        job_id = view.id
        while not view.ended:
            view = await service.job(job_id, math.inf, tell)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            err.print(await _stop(service, job_id))
        raise
    return view


async def _stop(service: Service, job_id: str) -> str:
    if not job_id:
        return "Stopped before anything was begun."
    view = await service.cancel(job_id)
    text = f"Stopped: job {job_id} is {view.status}"
    if not view.ended:
        return f"{text} and stops soon; `jobs show {job_id}` tells when it has."
    cost = 0 if view.outcome is None else view.outcome.cost_micro_usd
    return f"{text}; {f'it cost {usd(cost)}' if cost else 'it cost nothing'}."


async def stoppable(work: Callable[[], Awaitable[T]]) -> T:
    """Do work that Ctrl-C, or a system that shuts down, cancels in order. The second ends at once.

    Raises:
        Exit: It was stopped.
    """
    results: list[T] = []
    failure: Exception | None = None
    with leaving.signals() as ending:
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await ending.wait()
                signal.signal(ending.signal, signal.SIG_DFL)
                group.cancel_scope.cancel()

            group.start_soon(stop)
            try:
                results.append(await work())
            except Exception as e:  # the group would wrap it
                failure = e
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if not results:
            raise typer.Exit(128 + ending.signal)
    return results[0]
