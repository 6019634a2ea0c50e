"""Run the durable jobs of this process: their turns, their cancelling, and those of the dead."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import math
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from ziggie_image_mcp import jobs, orders, slots
from ziggie_image_mcp.errors import (
    InvalidRequest,
    JobCancelled,
    JobLost,
    OutcomeUnknown,
    StorageError,
)
from ziggie_image_mcp.jobs import Jobs
from ziggie_image_mcp.lines import Lines
from ziggie_image_mcp.maker import Desk
from ziggie_image_mcp.orders import Failure, JobStatus, JobView, Made, Order
from ziggie_image_mcp.slots import Slot
from ziggie_image_mcp.types import Candidate, Line, Progress

TICK_SECONDS = 0.25
"""How often a process that has jobs looks at their rows: for turns and for cancelling."""

BEAT_SECONDS = 1.0
DEAD_AFTER = timedelta(seconds=7)
"""A process on another host that was silent for so long is dead: its jobs move within ten seconds.
Those of this host are seen to be dead by their locks, at once."""

CLEAN_SECONDS = 24 * 3600.0

SOON_SECONDS = 0.005
LOOK_SECONDS = 0.3
"""How often the database is asked about a job that is not in hand here: soon, then less and less
often. It may be about to begin, or its end about to be written down."""

INTERACTIVE, BATCH = 10, 0
"""Priorities: what a person waits for goes before what runs over night."""

_ENDINGS: Mapping[str, JobStatus] = {
    JobCancelled.code: "cancelled",
    OutcomeUnknown.code: "unknown",
}
_CANCELLED = Made(failures=(Failure(code=JobCancelled.code, message="It was cancelled."),))

_log = logging.getLogger(__name__)

Make = Callable[[Order, Desk], Awaitable[Made]]


@dataclass
class _InHand:
    """A job that runs in this process."""

    id: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    granted: anyio.Event = field(default_factory=anyio.Event)
    moved: anyio.Event = field(default_factory=anyio.Event)
    joined: bool = False
    """It has a row in the lines."""
    lost: bool = False
    """Another process took this one for dead, and took the job up."""
    device: str = ""
    """For which it waits."""
    fraction: float = 0.0
    message: str = ""
    made: Made | None = None


class Office:
    """The jobs of this process, and what it may do to those of others.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres; None: files in `folder`.
        folder: The server's own folder. The processes of this host keep their lock files there.
        make: Carries an order out.
        hands: Whether orders run in this process, or are left to workers.
        listen: Whether it also takes the jobs that others left on the queue.
        keep: How long jobs are known after they have ended.
    """

    def __init__(
        self,
        database: str | None,
        folder: Path,
        make: Make,
        *,
        hands: bool = True,
        listen: bool = True,
        keep: timedelta = timedelta(days=30),
    ) -> None:
        self._shared = database is not None
        """Other hosts may be there, which see no locks but hear beats."""
        self._lines_database = database or folder / "lines.sqlite3"
        self._jobs_database = database or folder / "jobs.sqlite3"
        mark = hashlib.sha256((database or "").encode()).hexdigest()[:8]
        self._folder = folder / f"slots-{mark}"  # by database: its jobs are taken up from there
        self._make = make
        self._hands = hands
        self._listen = hands and listen
        self._keep = keep
        self._lock = anyio.Lock()
        self._slot: Slot | None = None
        self._lines: Lines | None = None
        self._jobs: Jobs | None = None
        self._pulse: asyncio.Task[None] | None = None
        self._in_hand: dict[str, _InHand] = {}

    @property
    def busy(self) -> bool:
        """Whether a job runs here."""
        return bool(self._in_hand)

    async def open(self) -> Jobs:
        """Start what keeps the jobs, at the first use.

        Raises:
            StorageError: The database or the lock files cannot be used.
        """
        async with self._lock:
            if self._jobs is None:
                slot = await anyio.to_thread.run_sync(Slot.take, self._folder)
                self._slot, self._lines = slot, Lines(self._lines_database, slot.executor)
                if self._shared:
                    await self._lines.beat(_now())
                found = Jobs(self._jobs_database, slot.executor, self._run, listen=self._listen)
                try:
                    await found.open()
                except Exception as e:  # whatever its database driver raises
                    raise StorageError(f"The jobs' database cannot be used: {e}") from e
                self._jobs = found
                self._pulse = asyncio.get_running_loop().create_task(self._beat())
        return self._jobs

    async def orphans(self) -> bool:
        """Whether a process of this host died with jobs in hand. Opens nothing."""
        return bool(await anyio.to_thread.run_sync(slots.orphans, self._folder))

    async def request(self, caller: str, request_id: str, key: str, job_id: str) -> str:
        """The id of the job that this caller's request_id stands for: `job_id` if it is new.

        Raises:
            InvalidRequest: It stands for another request, as `key` tells.
            StorageError: The database cannot be used.
        """
        await self.open()
        known, theirs = await self._its_lines().request(caller, request_id, key, job_id, _now())
        if theirs != key:
            fix = "it belongs to another request; give this one an id of its own"
            raise InvalidRequest("request_id", request_id, fix)
        return known

    async def submit(
        self, order: Order, *, priority: int = INTERACTIVE, at: datetime | None = None
    ) -> None:
        """Take a job on: from here on it is not lost. The same id again is the same job.

        Raises:
            StorageError: The database cannot be used; nothing was begun.
        """
        found = await self.open()
        text = orders.dump(order)
        if self._hands and priority == INTERACTIVE and at is None:
            await found.start(order.id, text)
        else:
            delay = 0.0 if at is None else max(0.0, (at - _now()).total_seconds())
            await found.enqueue(order.id, text, delay=delay)

    async def get(self, job_id: str) -> JobView | None:
        """What is known of a job now; None when there is none."""
        here = self._in_hand.get(job_id)
        if here is not None and here.made is None:
            status: JobStatus = "queued" if here.device else "running"
            return JobView(id=job_id, status=status, fraction=here.fraction, message=here.message)
        job = await (await self.open()).get(job_id)
        return None if job is None else await self._view(job)

    async def select(self, prefix: str = "", limit: int | None = None) -> list[JobView]:
        """The jobs whose ids begin so, newest first."""
        found = await (await self.open()).select(prefix, limit=limit, whole=True)
        return [await self._view(job) for job in found]

    async def open_among(self, prefix: str, job_ids: Collection[str]) -> list[str]:
        """Which of these jobs, whose ids begin so, have not ended."""
        found = await self.open()
        going: list[jobs.State] = ["queued", "running"]
        return [j.id for j in await found.select(prefix, states=going) if j.id in job_ids]

    async def clean(self, before: datetime) -> int:
        """Forget the jobs that had ended by then, and older request_ids; how many jobs.

        Pictures stay. A job that has not ended is never forgotten.
        """
        found = await self.open()
        ended: list[jobs.State] = ["ended", "cancelled", "broken"]
        old = [job.id for job in await found.select(states=ended, before=before)]
        if old:
            await found.delete(old)
        await self._its_lines().forget(before)
        return len(old)

    async def wait(self, job_id: str, seconds: float, progress: Progress) -> JobView | None:
        """What is known of a job when it has ended, or after so many seconds."""
        end = anyio.current_time() + seconds
        told: tuple[float, str] = (-1.0, "")
        pause = SOON_SECONDS
        while True:
            view = await self.get(job_id)
            left = end - anyio.current_time()
            if view is None or view.ended or left <= 0:
                return view
            if (view.fraction, view.message) != told:
                told = (view.fraction, view.message)
                await progress(view.fraction, view.message)
            here = self._in_hand.get(job_id)
            if here is None:
                await anyio.sleep(min(left, pause))
                pause = min(2 * pause, LOOK_SECONDS)
                continue
            pause = SOON_SECONDS
            if here.made is None:
                with anyio.move_on_after(left):
                    await here.moved.wait()
            else:
                await anyio.sleep(SOON_SECONDS)

    async def cancel(self, job_id: str) -> JobView | None:
        """Stop a job wherever it is, and say what it came to; None when there is none."""
        found = await self.open()
        here = self._in_hand.get(job_id)
        if here is not None:
            here.scope.cancel()
        else:
            view = await self.get(job_id)
            if view is None or view.ended:
                return view
            if not await self._its_lines().cancel(job_id):
                await found.cancel(job_id)
        return await self.wait(job_id, 10.0, _silent)

    async def lines(self) -> Mapping[str, Line]:
        """Who waits for which device of this host. Empty before the first job."""
        if self._lines is None:
            return {}
        own = f"{_host()}/"
        found = await self._lines.snapshot(_now())
        return {
            name: replace(line, device=name)
            for name, line in ((k.removeprefix(own), line) for k, line in found.items())
        }

    async def aclose(self) -> None:
        """Leave. Jobs in hand are dropped as they stand, for another process to take up."""
        async with self._lock:
            pulse, self._pulse = self._pulse, None
            found, self._jobs = self._jobs, None
            if pulse is not None:
                pulse.cancel()
                with suppress(asyncio.CancelledError):
                    await pulse
            if found is not None:
                await anyio.to_thread.run_sync(found.close)
            if self._lines is not None:
                await self._lines.aclose()
            if self._slot is not None:
                self._slot.release(name_too=not self._in_hand)
                self._slot = None

    # What runs in this process

    async def _run(self, job_id: str, text: str) -> str:
        """Carry out one job: DBOS calls this, here or after a restart somewhere else."""
        here = _InHand(job_id)
        self._in_hand[job_id] = here
        lines = self._its_lines()
        try:
            with here.scope:
                order = orders.loaded(Order, text)
                await lines.join(job_id, _priority(job_id), _now())
                here.joined = True
                here.made = await self._make(order, _Desk(self, here))
            if here.lost:
                raise asyncio.CancelledError  # so that nothing is recorded by this process
            if here.made is None:
                here.made = _CANCELLED
            with anyio.CancelScope(shield=True):
                await lines.leave(job_id)
            return orders.dump(here.made)
        finally:
            here.moved.set()
            if self._in_hand.get(job_id) is here:
                del self._in_hand[job_id]

    @asynccontextmanager
    async def turn(self, here: _InHand, candidate: Candidate) -> AsyncGenerator[None]:
        """Keep a device for the time of the block."""
        model, lines = candidate.model, self._its_lines()
        if not model.device:
            yield
            return
        here.device, here.granted = _everywhere(model.device), anyio.Event()
        try:
            seconds, now = candidate.seconds - candidate.wait_seconds, _now()
            if not await lines.wait(here.id, here.device, model.id, seconds, now):
                self.tell(here, 0.0, f"waiting for {model.device}")
                await here.granted.wait()
            here.device = ""
            yield
        finally:
            here.device = ""
            with anyio.CancelScope(shield=True):
                self._granted(await lines.release(here.id, _now()))

    def _granted(self, job_id: str | None) -> None:
        """Wake the job if it is one of this process; another process sees it in its rows."""
        if job_id is not None and job_id in self._in_hand:
            self._in_hand[job_id].granted.set()

    def tell(self, here: _InHand, fraction: float, message: str) -> None:
        """Wake those that wait in this process."""
        here.fraction, here.message = fraction, message
        here.moved.set()
        here.moved = anyio.Event()

    async def _beat(self) -> None:
        """Look at the rows of what is in hand; say that this process lives; bury the dead."""
        last, cleaned, told = -math.inf, -math.inf, dict[str, tuple[float, str]]()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                if self._in_hand:
                    await self._look(told)
                if anyio.current_time() - last >= BEAT_SECONDS:
                    last = anyio.current_time()
                    if self._shared:
                        await self._its_lines().beat(_now())
                    await self._reap()
                if anyio.current_time() - cleaned >= CLEAN_SECONDS:
                    cleaned = anyio.current_time()
                    await self.clean(_now() - self._keep)
            except Exception as e:  # one failed look must not end all later ones
                _log.warning("The jobs could not be looked after: %s", e)

    async def _look(self, told: dict[str, tuple[float, str]]) -> None:
        lines = self._its_lines()
        joined = [here for here in self._in_hand.values() if here.joined]
        rows = await lines.mine()
        for known in joined:
            if known.made is None and known.id not in {row.job_id for row in rows}:
                _log.warning("Job %s was taken up by another process", known.id)
                known.lost = True
                known.scope.cancel()
        for row in rows:
            here = self._in_hand.get(row.job_id)
            if here is None:
                continue
            if row.cancel:
                here.scope.cancel()
            if row.state == "running":
                here.granted.set()
        for device in {h.device for h in self._in_hand.values() if h.device}:
            self._granted(await lines.grant(device, _now()))
        for here in list(self._in_hand.values()):
            now = (here.fraction, here.message)
            if told.get(here.id, (0.0, "")) != now:
                told[here.id] = now
                await lines.progress(here.id, *now)
        for job_id in [known for known in told if known not in self._in_hand]:
            del told[job_id]

    async def _reap(self) -> None:
        """Take up the jobs of processes that are no more."""
        slot, lines, found = self._slot, self._its_lines(), self._jobs
        if slot is None or found is None:
            return
        dead = set(await anyio.to_thread.run_sync(slots.orphans, self._folder))
        for executor in await lines.stale(_now(), DEAD_AFTER):
            if await anyio.to_thread.run_sync(slot.alive, executor) is not True:
                dead.add(executor)
        for executor in dead - {slot.executor}:
            if await lines.claim(executor, _now(), DEAD_AFTER):
                for job in await found.select(states=["running"], executor=executor):
                    await found.resume(job.id)
                await lines.bury(executor)
                await anyio.to_thread.run_sync(slots.forget, self._folder, executor)

    def _its_lines(self) -> Lines:
        assert self._lines is not None, "the office is not open"
        return self._lines

    async def _view(self, job: jobs.Job) -> JobView:
        view = await self._state(job)
        order = None if job.input is None else orders.loaded(Order, job.input)
        return replace(view, created=job.created, order=order)

    async def _state(self, job: jobs.Job) -> JobView:
        if job.state == "ended" and job.output is not None:
            return _ended(job.id, orders.loaded(Made, job.output))
        if job.state == "cancelled":
            return _ended(job.id, _CANCELLED)
        if job.state == "broken":
            said = f"The job could not be finished. {job.error}"
            return _ended(job.id, Made(failures=(Failure(code=JobLost.code, message=said),)))
        row = await self._its_lines().find(job.id)
        if row is None:
            return JobView(id=job.id, status="queued", message="waiting to be taken")
        waits = row.state == "waiting" or job.state == "queued"
        status: JobStatus = "queued" if waits else "running"
        return JobView(id=job.id, status=status, fraction=row.fraction, message=row.message)


class _Desk:
    """What the office lends to the making of one job."""

    def __init__(self, office: Office, here: _InHand) -> None:
        self._office = office
        self._here = here

    async def step(self, name: str, work: Callable[[], Awaitable[str]]) -> str:
        return await jobs.step(name, work)

    @asynccontextmanager
    async def turn(self, candidate: Candidate) -> AsyncGenerator[None]:
        async with self._office.turn(self._here, candidate):
            yield

    async def progress(self, fraction: float, message: str) -> None:
        self._office.tell(self._here, fraction, message)


def _ended(job_id: str, made: Made) -> JobView:
    status: JobStatus = "done"
    if not made.results:
        status = _ENDINGS.get(made.failures[0].code, "failed")
    return JobView(id=job_id, status=status, fraction=1.0, made=made)


async def _silent(fraction: float, message: str) -> None:
    pass


def _now() -> datetime:
    return datetime.now(UTC)


def _priority(job_id: str) -> int:
    return BATCH if job_id.startswith("batch-") else INTERACTIVE


def _host() -> str:
    return socket.gethostname()


def _everywhere(device: str) -> str:
    """The device's name among all hosts: what is on loopback, or is no URL, belongs to this one."""
    name = urlsplit(device).hostname if "://" in device else None
    if name is not None:
        with suppress(ValueError):
            if not ipaddress.ip_address(name).is_loopback:
                return device
        if name != "localhost" and not name[:1].isdigit() and ":" not in name:
            return device
    return f"{_host()}/{device}"
