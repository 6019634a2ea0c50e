"""Carry a batch out: a job per request, taken up again where an earlier run stopped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice

import anyio
import anyio.to_thread

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.jobs import prompts, version_1
from ziggie_image_mcp.jobs.batch_file import BatchInvalid, Item, batch_id
from ziggie_image_mcp.jobs.records import BATCH, JobSpec, JobStatus, JobView
from ziggie_image_mcp.routing.constraints import constraints_of
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import check_request
from ziggie_image_mcp.routing.route_rules import bulk_of
from ziggie_image_mcp.storage.contact_sheet import SIDE, Cell, sheets
from ziggie_image_mcp.storage.input_images import ANY_FILE

LOOK_SECONDS = 0.5
MOST_DOUBTS = 5
_LEFT_ALONE: tuple[JobStatus, ...] = ("done", "queued", "running", "unknown")
"""A request that failed or was cancelled is tried again when the batch is run again."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What of a batch takes one route, or finds none."""

    route: str
    """As openai/gpt-image-2; empty for what finds none."""
    rule: str = ""
    """The rule of `routes` by which it does."""
    requests: int = 0
    pictures: int = 0
    expected_micro_usd: int = 0
    micro_usd: int = 0
    """At most."""
    needs_budget: bool = False
    """Nobody has agreed to pay yet: the amounts are what it would cost with a yes."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a batch will be when each request takes the route that is best now."""

    shares: tuple[Share, ...]
    """By route, those with the most requests first."""
    closed: tuple[str, ...]
    """Why some would find no route now; a line each."""
    doubts: tuple[str, ...]
    """What looks like alternatives and is none, of the first lines that have it."""

    @property
    def total(self) -> Share:
        """All of it together."""
        return Share(
            route="",
            requests=sum(share.requests for share in self.shares),
            pictures=sum(share.pictures for share in self.shares),
            expected_micro_usd=sum(share.expected_micro_usd for share in self.shares),
            micro_usd=sum(share.micro_usd for share in self.shares),
            needs_budget=any(share.needs_budget for share in self.shares),
        )


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One request of a batch and what became of it."""

    item: Item
    job: JobView


async def completed(service: Service, items: Sequence[Item]) -> list[Item]:
    """The items with all that their styles and asset contracts say. They may name any file.

    Raises:
        BatchInvalid: Some name a style or an asset that cannot be had; all of them are told.
        StorageError: A style's pictures cannot be kept.
    """
    done, problems = list[Item](), dict[str, None]()
    for item in items:
        try:
            request = await service.completed(item.request, reach=ANY_FILE)
            done.append(replace(item, request=request))
        except InvalidRequest as e:
            problems[f"line {item.line}: {e}"] = None
    if problems:
        raise BatchInvalid(list(problems))
    return done


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
        self._bulk = bulk_of((item.request for item in items), batch=True)
        self.id = batch_id(items)
        problems: list[str] = []
        for item in items:
            try:
                check_request(item.request)
            except InvalidRequest as e:
                problems.append(f"line {item.line}: {e}")
        if problems:
            raise BatchInvalid(problems)

    async def estimate(self) -> Estimate:
        """Say what it will cost and where it will run. Nothing is made.

        Raises:
            ConfigError: A provider's section of the config is wrong.
        """
        kinds: dict[ImageRequest, list[ImageRequest]] = {}
        for item in self._items:
            request = self._request_of(item)
            kind = replace(request, prompt="x", seed=None, file_name="")
            kinds.setdefault(kind, []).append(request)
        shares, closed = dict[tuple[str, str, bool], Share](), dict[str, None]()
        for alike in kinds.values():  # of prompts the longest bounds what the others cost
            each = await self._share(max(alike, key=lambda r: len(r.prompt.encode())), closed)
            key = each.route, each.rule, each.needs_budget
            empty = Share(route=each.route, rule=each.rule, needs_budget=each.needs_budget)
            before, count = shares.get(key, empty), len(alike)
            shares[key] = replace(
                before,
                requests=before.requests + count,
                pictures=before.pictures + count * each.pictures,
                expected_micro_usd=before.expected_micro_usd + count * each.expected_micro_usd,
                micro_usd=before.micro_usd + count * each.micro_usd,
            )
        return Estimate(
            shares=tuple(sorted(shares.values(), key=lambda share: -share.requests)),
            closed=tuple(closed),
            doubts=tuple(islice(self._doubts(), MOST_DOUBTS)),
        )

    async def submit(self, at: datetime | None = None) -> dict[str, Item]:
        """Put what is not done yet onto the queue; the job of every request, by its id.

        Raises:
            StorageError: The jobs' database cannot be used.
        """
        scheduler = self._service.scheduler
        prefix = await self._resume()
        earlier: dict[str, list[JobView]] = {}
        for view in await scheduler.select(prefix):
            name = view.id.removeprefix(prefix).partition("~")[0]
            earlier.setdefault(name, []).append(view)
        jobs: dict[str, Item] = {}
        for item in self._items:
            before = earlier.get(item.name, [])
            existing = next((v.id for v in before if v.status in _LEFT_ALONE), None)
            if existing is None:
                again = f"~{len(before) + 1}" if before else ""
                existing = f"{prefix}{item.name}{again}"
                await scheduler.submit(self._job_spec(existing, item), at=at)
            jobs[existing] = item
        return jobs

    async def follow(self, jobs: Mapping[str, Item], tell: Tell) -> list[Ended]:
        """Wait until all have ended. When cancelled, what has not ended is cancelled too.

        Raises:
            StorageError: The jobs' database cannot be used.
        """
        scheduler = self._service.scheduler
        try:
            while pending := await scheduler.open_among(self._prefix, jobs):
                await tell(len(jobs) - len(pending), len(jobs))
                await anyio.sleep(LOOK_SECONDS)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                for job_id in await scheduler.open_among(self._prefix, jobs):
                    await scheduler.cancel(job_id)
            raise
        await tell(len(jobs), len(jobs))
        ended = {view.id: view for view in await scheduler.select(self._prefix)}
        return [Ended(item=item, job=ended[job_id]) for job_id, item in jobs.items()]

    async def left(self, jobs: Mapping[str, Item]) -> int:
        """How many of these are not done.

        Raises:
            StorageError: The jobs' database cannot be used.
        """
        views = await self._service.scheduler.select(self._prefix)
        return len(jobs) - len({v.id for v in views if v.status == "done"} & jobs.keys())

    async def contact_sheets(self, ended: Sequence[Ended]) -> list[bytes]:
        """The pages of a contact sheet, PNG; what failed is a grey square with its reason."""
        cells: list[Cell] = []
        for one in ended:
            outcome = one.job.outcome
            label = f"{one.item.name} {one.item.request.file_name or one.item.request.prompt}"
            if outcome is None or not outcome.results:
                code = outcome.failures[0].code if outcome else one.job.status
                cells.append(Cell(picture=None, caption=f"{one.item.name} {code}"))
                continue
            for result in outcome.results:
                for image in result.images:
                    shrink = partial(self._service.artifacts.thumbnail, image.id, SIDE)
                    small = await anyio.to_thread.run_sync(shrink)
                    cells.append(Cell(picture=small, caption=label))
        return await anyio.to_thread.run_sync(sheets, cells)

    async def _share(self, request: ImageRequest, closed: dict[str, None]) -> Share:
        """What one request takes; why it would find no route goes to `closed`."""
        none = Share(route="", requests=1, pictures=request.num_images)
        try:
            plan = await self._service.plan(request, self._bulk)
        except InvalidRequest as e:
            closed[str(e)] = None
            return none
        agreed = bool(plan.candidates)
        if not agreed:
            willing = replace(request, allow_paid=True)
            plan_if_paid = await self._service.plan(willing, self._bulk)
            plan = plan_if_paid if plan_if_paid.candidates else plan
        if not plan.candidates:
            reasons = [x for r in plan.rejected for x in r.reasons]
            target = request.model or request.provider or "any model"
            codes = ", ".join(dict.fromkeys(x.code for x in reasons)) or "there is no model"
            by = f" ({plan.rule})" if plan.rule else ""
            closed[f"no route now for {target}{by}: {codes}"] = None
            return none
        best = plan.candidates[0]
        return replace(
            none,
            route=f"{best.model.provider}/{best.model.id}",
            rule=plan.rule,
            expected_micro_usd=best.expected_micro_usd,
            micro_usd=best.cost_micro_usd,
            needs_budget=not agreed,
        )

    def _doubts(self) -> Iterator[str]:
        for item in self._items:
            if doubt := prompts.doubt(item.request.prompt):
                yield f"line {item.line}: {doubt}"

    def _request_of(self, item: Item) -> ImageRequest:
        return replace(item.request, allow_paid=self._budget is not None)

    def _job_spec(self, job_id: str, item: Item) -> JobSpec:
        return JobSpec(
            id=job_id,
            requests=(self._request_of(item),),
            constraints=constraints_of(self._service.config),
            accepted=datetime.now(UTC),
            group=self._prefix,
            group_micro_usd=self._budget,
            priority=BATCH,
            pictures=self._bulk.pictures,
        )

    @property
    def _prefix(self) -> str:
        """How the ids of this batch's jobs begin."""
        return f"batch-{self.id}-"

    async def _resume(self) -> str:
        """The prefix of the batch, which goes on under its old id where version 1 began it."""
        old = version_1.batch_id([(i.line, i.part, i.request) for i in self._items])
        if await self._service.scheduler.select(f"batch-{old}-", limit=1):
            self.id = old
        return self._prefix
