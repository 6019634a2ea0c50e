"""Carry a batch out: a job per request, taken up again where an earlier run stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import anyio

from ziggie_image_mcp import policy, terms
from ziggie_image_mcp.batchfile import BatchInvalid, Item, batch_id
from ziggie_image_mcp.contact import Cell, sheets
from ziggie_image_mcp.errors import ImageError, InvalidRequest
from ziggie_image_mcp.office import BATCH, Office
from ziggie_image_mcp.orders import JobStatus, JobView, Order
from ziggie_image_mcp.service import Service
from ziggie_image_mcp.types import ImageRequest

LOOK_SECONDS = 0.5
_LEFT_ALONE: tuple[JobStatus, ...] = ("done", "queued", "running", "unknown")
"""A request that failed or was cancelled is tried again when the batch is run again."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a batch will be, before anything is made."""

    requests: int
    pictures: int
    micro_usd: int
    """At most, when each request takes the route that is best now."""
    routes: Mapping[str, int]
    """How many requests take which."""
    closed: tuple[str, ...]
    """Why some would find no route now; a line each."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One request of a batch and what became of it."""

    item: Item
    job: JobView


Tell = Callable[[int, int], Awaitable[None]]
"""How many have ended, and of how many."""


class Batch:
    """One batch on one service.

    Raises:
        BatchInvalid: A request asks for what nobody can do; all of them are told.
    """

    def __init__(self, service: Service, items: Sequence[Item], budget: int | None = None) -> None:
        self._service = service
        self._items = list(items)
        self._budget = budget
        self.id = batch_id(items)
        self._prefix = f"batch-{self.id}-"
        problems: list[str] = []
        for item in items:
            try:
                policy.check(item.request)
            except InvalidRequest as e:
                problems.append(f"line {item.line}: {e}")
        if problems:
            raise BatchInvalid(problems)

    async def estimate(self) -> Estimate:
        """Say what it will cost and where it will run. Nothing is made.

        Raises:
            ConfigError: A provider's section of the config is wrong.
        """
        known: dict[ImageRequest, tuple[str, int]] = {}
        routes, closed, total = Counter[str](), dict[str, None](), 0
        for item in self._items:
            alike = replace(self._wish(item), prompt="x", seed=None, file_name="")
            if alike not in known:
                known[alike] = await self._route(alike, closed)
            route, cost = known[alike]
            routes[route] += 1
            total += cost
        return Estimate(
            requests=len(self._items),
            pictures=sum(item.request.num_images for item in self._items),
            micro_usd=total,
            routes=routes,
            closed=tuple(closed),
        )

    async def submit(self, at: datetime | None = None) -> dict[str, Item]:
        """Put what is not done yet onto the queue; the job of every request, by its id.

        Raises:
            StorageError: The jobs' database cannot be used.
        """
        office = self._office()
        earlier: dict[str, list[JobView]] = {}
        for view in await office.select(self._prefix):
            earlier.setdefault(view.id.removeprefix(self._prefix).partition("~")[0], []).append(
                view
            )
        found: dict[str, Item] = {}
        for item in self._items:
            before = earlier.get(item.name, [])
            kept = next((v.id for v in before if v.status in _LEFT_ALONE), None)
            if kept is None:
                again = f"~{len(before) + 1}" if before else ""
                kept = f"{self._prefix}{item.name}{again}"
                await office.submit(self._order(kept, item), priority=BATCH, at=at)
            found[kept] = item
        return found

    async def follow(self, jobs: Mapping[str, Item], tell: Tell) -> list[Ended]:
        """Wait until all have ended. When cancelled, what has not ended is cancelled too.

        Raises:
            StorageError: The jobs' database cannot be used.
        """
        office = self._office()
        try:
            while left := await office.open_among(self._prefix, jobs):
                await tell(len(jobs) - len(left), len(jobs))
                await anyio.sleep(LOOK_SECONDS)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                for job_id in await office.open_among(self._prefix, jobs):
                    await office.cancel(job_id)
            raise
        await tell(len(jobs), len(jobs))
        ended = {view.id: view for view in await office.select(self._prefix)}
        return [Ended(item=item, job=ended[job_id]) for job_id, item in jobs.items()]

    async def contact_sheets(self, ended: Sequence[Ended]) -> list[bytes]:
        """The pages of a contact sheet, PNG; what failed is a grey square with its reason."""
        cells: list[Cell] = []
        for one in ended:
            made = one.job.made
            label = f"{one.item.name} {one.item.request.file_name or one.item.request.prompt}"
            if made is None or not made.results:
                code = made.failures[0].code if made else one.job.status
                cells.append(Cell(data=None, caption=f"{one.item.name} {code}"))
                continue
            for result in made.results:
                for image in result.images:
                    small = await self._service.preview(image.id, side=192)
                    cells.append(Cell(data=small.data, caption=label))
        return await anyio.to_thread.run_sync(sheets, cells)

    async def _route(self, request: ImageRequest, closed: dict[str, None]) -> tuple[str, int]:
        try:
            plan = await self._service.plan(request)
        except InvalidRequest as e:
            closed[str(e)] = None
            return "none", 0
        if not plan.candidates:
            reasons = [x for r in plan.rejected for x in r.reasons]
            asked = request.model or request.provider or "any model"
            codes = ", ".join(dict.fromkeys(x.code for x in reasons)) or "there is no model"
            closed[f"no route now for {asked}: {codes}"] = None
            return "none", 0
        best = plan.candidates[0]
        return f"{best.model.provider}/{best.model.id}", best.cost_micro_usd

    def _wish(self, item: Item) -> ImageRequest:
        return replace(item.request, allow_paid=self._budget is not None)

    def _order(self, job_id: str, item: Item) -> Order:
        return Order(
            id=job_id,
            requests=(self._wish(item),),
            terms=terms.of(self._service.config),
            accepted=datetime.now(UTC),
            group=self._prefix,
            group_micro_usd=self._budget,
        )

    def _office(self) -> Office:
        if self._service.office is None:
            raise ImageError("A batch needs a database of jobs.")
        return self._service.office
