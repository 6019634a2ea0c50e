"""Take jobs on, and tell what is known of them: those of this process and those of others."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import anyio

from ziggie_image_mcp.errors import InvalidRequest, OutcomeUnknown, StorageError
from ziggie_image_mcp.jobs.database import LOCK_SECONDS
from ziggie_image_mcp.jobs.device_queue import DeviceQueue
from ziggie_image_mcp.jobs.errors import JobCancelled, JobLost
from ziggie_image_mcp.jobs.leases import Leases
from ziggie_image_mcp.jobs.monitor import Monitor
from ziggie_image_mcp.jobs.outcomes import failed_outcome
from ziggie_image_mcp.jobs.records import (
    INTERACTIVE,
    UNREADABLE,
    JobOutcome,
    JobSpec,
    JobStatus,
    JobView,
    dump,
)
from ziggie_image_mcp.jobs.remote_jobs import RemoteJobs
from ziggie_image_mcp.jobs.running import RunningJob, RunningJobs
from ziggie_image_mcp.jobs.upgrade import read_outcome, read_spec
from ziggie_image_mcp.jobs.workflow import Role, State, Workflow, WorkflowRecord
from ziggie_image_mcp.provider.nouns import Progress

SOON_SECONDS = 0.005
LOOK_SECONDS = 0.3
"""How often the database is asked about a job that does not run here: soon, then less and less
often. It may be about to begin, or its end about to be written down."""

DIED = "its process died; the next one takes it up"
LATE_SECONDS = 0.7
"""So long a look may take after the time to wait is over."""

CANCEL_SECONDS = 5.0
"""How long the record of a job that is stopped may take: what stops it is written down before."""

CLOSE_SECONDS = 3.0
LAST_JOBS = 1000
LATEST_JOBS = 200
"""Among which the one of a picture is looked for."""

T = TypeVar("T")

LEAVING_SECONDS = 0.05
"""A process that loses its client cancels the calls and learns that it is to end in any order."""

_log = logging.getLogger(__name__)

_OPEN: tuple[State, ...] = ("queued", "running")
_ENDED: tuple[State, ...] = ("ended",)
_ENDINGS: Mapping[str, JobStatus] = {
    JobCancelled.code: "cancelled",
    OutcomeUnknown.code: "unknown",
}


class Scheduler:
    """The jobs of this process, and what it may do to those of others.

    Args:
        workflow: Keeps the jobs, and has them executed.
        queue: Of the devices.
        leases: This process' lease.
        running: The jobs that run in this process.
        monitor: Looks after them.
        remote_jobs: What engines do for jobs.
        role: Whether jobs run in this process, or are left to others.
    """

    def __init__(
        self,
        workflow: Workflow,
        queue: DeviceQueue,
        leases: Leases,
        running: RunningJobs,
        monitor: Monitor,
        remote_jobs: RemoteJobs,
        role: Role,
    ) -> None:
        self._workflow = workflow
        self._queue = queue
        self._leases = leases
        self._running = running
        self._monitor = monitor
        self._remote_jobs = remote_jobs
        self._role = role
        self._opening = anyio.Lock()
        self._opened = self._closed = False
        self.stuck = False
        """Threads could not be ended, because another process holds the database."""
        self._accepted: deque[str] = deque(maxlen=LAST_JOBS)
        """The last jobs that this process took on."""
        self._withdrawn: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a job runs here."""
        return bool(self._running)

    def leave(self) -> None:
        """This process is to end: it sends nothing more that costs money."""
        self._running.leaving = True

    def freeze(self) -> None:
        """The process ends now: what its jobs come to from here on is not recorded."""
        for job in self._running.values():
            job.moved = True

    def paying(self) -> list[RunningJob]:
        """The jobs of this process that wait for an answer that is paid for."""
        return [job for job in self._running.values() if job.is_paying]

    @property
    def leaves_work(self) -> bool:
        """Whether other processes execute the jobs, who may have other models than are here."""
        return not self._role.runs

    @property
    def trouble(self) -> str | None:
        """What is not known of the devices' queues just now, and why."""
        return self._queue.trouble

    async def open(self) -> None:
        """Start what keeps the jobs, at the first use.

        Raises:
            StorageError: The database or the lock files cannot be used.
        """
        async with self._opening:
            if self._closed:
                raise StorageError("This process is ending: its jobs go on in the next one.")
            if self._opened and not self._running and self._workflow.database.lost:
                _log.warning("The jobs' database was deleted, and is made anew")
                await self._close()
            if not self._opened:
                with anyio.CancelScope(shield=True):  # what is half open cannot be opened again
                    await self._open()

    async def _open(self) -> None:
        await self._leases.acquire()
        await self._leases.heartbeat()
        try:
            await self._workflow.open()
        except StorageError:
            raise
        except Exception as e:  # whatever else its database driver raises
            raise StorageError(f"The jobs' database cannot be used: {e}") from e
        self._opened = True
        self._monitor.start()

    async def orphaned(self) -> bool:
        """Whether a process of this host died with jobs. Opens nothing."""
        return await self._leases.orphaned()

    async def job_of_request(
        self,
        caller: str,
        request_id: str,
        fingerprints: Collection[str],
        job_id: str,
        patience: float = LOCK_SECONDS,
    ) -> str:
        """The id of the job that this caller's request_id stands for: `job_id` if it is new.

        `fingerprints` are those of the request, the newest version's first.

        Raises:
            InvalidRequest: It stands for another request.
            StorageError: The database cannot be used within `patience` seconds.
        """
        newest = next(iter(fingerprints))

        async def ask() -> tuple[str, str]:
            await self.open()
            return await self._queue.job_of_request(caller, request_id, newest, job_id)

        known, theirs = await self._within(patience, ask())
        if theirs not in fingerprints:
            fix = "it belongs to another request; give this one an id of its own"
            raise InvalidRequest("request_id", request_id, fix)
        return known

    async def submit(
        self,
        spec: JobSpec,
        *,
        at: datetime | None = None,
        patience: float = LOCK_SECONDS,
        known: bool = False,
    ) -> None:
        """Take a job on: from here on it is not lost. The same id again is the same job.

        A caller that leaves before it was taken on leaves none behind, unless it is `known` to
        the caller under another name.

        Raises:
            StorageError: The database cannot be used within `patience` seconds.
        """
        await self._within(patience, self._ready())
        begun = asyncio.get_running_loop().create_task(self._begin(spec, at))
        try:
            await self._within(patience, asyncio.shield(begun))
        except BaseException:
            if not begun.done():
                withdrawal = asyncio.create_task(self._withdraw(spec.id, begun, known))
                self._withdrawn.add(withdrawal)
                withdrawal.add_done_callback(self._withdrawn.discard)
            raise
        self._accepted.append(spec.id)

    async def _ready(self) -> None:
        await self.open()
        await self._workflow.database.unlocked(writes=True)

    async def _within(self, seconds: float, work: Awaitable[T], *, writes: bool = True) -> T:
        """What a database answers, which may take longer than so many seconds unless it is held.

        Raises:
            StorageError: Another process holds it, or it does not answer at all.
        """
        scope, end = anyio.CancelScope(), anyio.current_time() + seconds + LOCK_SECONDS
        task = asyncio.get_running_loop().create_task(_run(work, scope))
        task.add_done_callback(_heard)
        try:
            while True:
                with anyio.move_on_after(max(0.0, seconds)):
                    return await asyncio.shield(task)
                reason = self._queue.held or await self._workflow.database.trouble(writes=writes)
                if reason is not None:
                    raise StorageError(reason)
                if anyio.current_time() > end:
                    raise StorageError("The jobs' database does not answer: try again.")
                seconds = LATE_SECONDS
        finally:
            scope.cancel()

    async def _withdraw(self, job_id: str, begun: asyncio.Task[None], known: bool) -> None:
        """Stop a job that was begun after its caller had left; one that is known goes on."""
        try:
            await begun
            if not known:
                await self.cancel(job_id)
        except StorageError as e:
            _log.warning("Job %s was left by its caller: %s", job_id, e)

    async def _begin(self, spec: JobSpec, at: datetime | None) -> None:
        text = dump(spec)
        if self._role.runs and spec.priority == INTERACTIVE and at is None:
            await self._workflow.start(spec.id, text)
        else:
            delay = 0.0 if at is None else max(0.0, (at - datetime.now(UTC)).total_seconds())
            await self._workflow.enqueue(spec.id, text, delay=delay)

    async def get(self, job_id: str) -> JobView | None:
        """What is known of a job now; None when there is none."""
        view = self._running_view(job_id)
        if view is not None:
            return view
        await self.open()
        record = await self._workflow.get(job_id)
        if record is None:
            return None
        return await self._view(record)

    def _running_view(self, job_id: str) -> JobView | None:
        job = self._running.get(job_id)
        if job is None and job_id in self._accepted and self._workflow.database.held is not None:
            return JobView(id=job_id, status="running", message=self._workflow.database.held)
        if job is None or job.outcome is not None:
            return None
        status: JobStatus = "queued" if job.device else "running"
        return JobView(id=job_id, status=status, fraction=job.fraction, message=job.message)

    async def select(
        self, prefix: str = "", limit: int | None = None, *, only_open: bool = False
    ) -> list[JobView]:
        """The jobs whose ids begin so, newest first; `only_open`: that have not ended."""
        await self.open()
        states = _OPEN if only_open else ()
        records = await self._workflow.select(prefix, states=states, limit=limit, whole=True)
        return [await self._view(record) for record in records]

    async def job_of_picture(
        self, image_id: str, made: datetime, prefix: str = ""
    ) -> JobView | None:
        """The job that made a picture, when it has ended.

        None where it is forgotten, or was not among the LATEST_JOBS that had begun by then.
        """
        await self.open()
        until = made + timedelta(seconds=1)  # earlier versions told it to the second
        records = await self._workflow.select(
            prefix, states=_ENDED, before=until, limit=LATEST_JOBS, whole=True
        )
        quoted = f'"{image_id}"'
        record = next((r for r in records if r.output is not None and quoted in r.output), None)
        return None if record is None else await self._view(record)

    async def open_among(self, prefix: str, job_ids: Collection[str]) -> list[str]:
        """Which of these jobs, whose ids begin so, have not ended."""
        await self.open()
        records = await self._workflow.select(prefix, states=_OPEN)
        return [record.id for record in records if record.id in job_ids]

    async def clean(self, before: datetime) -> int:
        """Forget the jobs that had ended by then, and older request_ids; how many jobs.

        Raises:
            StorageError: The database cannot be used.
        """
        await self.open()
        return await self._monitor.clean(before)

    def show_previews(self, show: Callable[[str, bytes], None] | None) -> None:
        """Give pictures of the unfinished work of jobs of this process to whoever looks at them.

        Args:
            show: Gets a job's id, and a picture as its engine made it, JPEG or PNG; quick. None
                ends it.
        """
        self._running.show = show

    async def wait(self, job_id: str, seconds: float, progress: Progress) -> JobView | None:
        """What is known of a job when it has ended, or after so many seconds."""
        end = anyio.current_time() + seconds
        reported: tuple[float, str] = (-1.0, "")
        pause, ran_here = SOON_SECONDS, False
        while True:
            view = await self._look(job_id, end - anyio.current_time())
            if view is not None and not view.ended:  # it may have begun here in the meantime
                view = self._running_view(job_id) or view
            remaining = end - anyio.current_time()
            if view is None or view.ended or remaining <= 0:
                return view
            job = self._running.get(job_id)
            ran_here = ran_here or job is not None
            ending = ran_here if job is None else job.outcome is not None  # not recorded yet
            if not ending and (view.fraction, view.message) != reported:
                reported = (view.fraction, view.message)
                await progress(view.fraction, view.message)
            if job is None:
                await anyio.sleep(min(remaining, pause))
                pause = min(2 * pause, LOOK_SECONDS)
                continue
            pause = SOON_SECONDS
            if job.outcome is None:
                with anyio.move_on_after(remaining):
                    await job.changed.wait()
            else:
                await anyio.sleep(SOON_SECONDS)

    async def _look(self, job_id: str, seconds: float) -> JobView | None:
        """What is known of a job, or why that cannot be told of one that was taken on here.

        Raises:
            StorageError: Nobody here knows whether there is such a job.
        """
        try:
            seconds = max(0.0, seconds) + LATE_SECONDS
            return await self._within(seconds, self.get(job_id), writes=False)
        except StorageError as e:
            if job_id not in self._accepted:
                raise
            return JobView(id=job_id, status="running", message=str(e))

    async def cancel(self, job_id: str) -> JobView | None:
        """Stop a job wherever it is, and say what it came to; None when there is none.

        Raises:
            StorageError: It could not be written down that it is to stop.
        """
        job = self._running.get(job_id)
        if job is not None:
            job.scope.cancel()
        view = await self._look(job_id, CANCEL_SECONDS)
        if view is None or view.ended:
            return view
        # First of all, for it holds whoever takes the job up.
        owner = await self._within(CANCEL_SECONDS, self._queue.cancel(job_id))
        if not owner or await self._leases.alive(owner) is False:
            try:
                await self._within(CANCEL_SECONDS, self._workflow.cancel(job_id))
            except StorageError as e:
                return JobView(id=job_id, status="running", message=f"it stops later: {e}")
            await self._remote_jobs.stop([job_id])
        return await self.wait(job_id, 10.0, silent)

    async def abandon(self, job_id: str, *, lost: bool = False) -> None:
        """Its caller left before it was told the job's id: stop it.

        What is paid for is finished where nobody stopped it, but the caller was `lost` to a broken
        connection, or this process ends.

        Raises:
            StorageError: The jobs' database cannot be used.
        """
        await anyio.sleep(LEAVING_SECONDS)
        job = self._running.get(job_id)
        if job is None:
            if self._running.leaving:
                return
        elif job.is_paying and (lost or self._running.leaving):
            return
        await self.cancel(job_id)

    async def aclose(self) -> None:
        """Leave. Running jobs are dropped as they stand, for another process to take up."""
        self.freeze()
        if self._withdrawn:
            await asyncio.wait(self._withdrawn, timeout=CLOSE_SECONDS)
        async with self._opening:
            self._closed = True  # whoever still wanted something would open it again
            await self._close()

    async def _close(self) -> None:
        opened, self._opened = self._opened, False
        await self._monitor.aclose()
        if opened:
            with anyio.move_on_after(CLOSE_SECONDS) as scope:  # its threads may wait for a lock
                await anyio.to_thread.run_sync(self._workflow.close, abandon_on_cancel=True)
                self._workflow.give_back()
            self.stuck = scope.cancelled_caught
        await self._queue.aclose()
        self._leases.release(leaves_jobs=bool(self._running) or self._running.left_some)

    async def _view(self, record: WorkflowRecord) -> JobView:
        try:
            view, spec = await self._state(record), _spec(record)
        except UNREADABLE as e:
            _log.warning("The record of job %s is damaged: %s", record.id, e)
            lost = JobLost("The job's record is damaged and cannot be read.")
            return replace(_ended(record.id, failed_outcome(lost)), created=record.created)
        running = None if view.ended else self._running_view(record.id)  # it knows better
        return replace(running or view, created=record.created, spec=spec)

    async def _state(self, record: WorkflowRecord) -> JobView:
        if record.state == "ended" and record.output is not None:
            return _ended(record.id, read_outcome(record.output, record.version))
        if record.state == "cancelled":
            return _ended(record.id, failed_outcome(JobCancelled("It was cancelled.")))
        if record.state == "broken":
            message = f"The job could not be finished. {record.error}"
            return _ended(record.id, failed_outcome(JobLost(message)))
        try:
            entry = await self._queue.find(record.id)
        except StorageError as e:  # how far it is cannot be told, and that it goes on can
            going: JobStatus = "queued" if record.state == "queued" else "running"
            return JobView(id=record.id, status=going, message=str(e))
        if entry is None:
            orphaned = await self._queue.was_taken_up(record.id)
            message = DIED if orphaned else "waiting to be taken"
            return JobView(id=record.id, status="queued", message=message)
        if await self._leases.alive(entry.executor) is False:
            return JobView(id=record.id, status="queued", message=DIED)
        waits = entry.state == "waiting" or record.state == "queued"
        status: JobStatus = "queued" if waits else "running"
        return JobView(id=record.id, status=status, fraction=entry.fraction, message=entry.message)


async def _run(work: Awaitable[T], scope: anyio.CancelScope) -> T:
    with scope:
        return await work
    raise asyncio.CancelledError  # nobody waits for it any more


def _heard(task: asyncio.Task[Any]) -> None:
    """An error that comes when nobody waits any more is not to be warned of."""
    if not task.cancelled():
        task.exception()


def _spec(record: WorkflowRecord) -> JobSpec | None:
    if record.input is None:
        return None
    return read_spec(record.input, record.version)


def _ended(job_id: str, outcome: JobOutcome) -> JobView:
    status: JobStatus = "done"
    if not outcome.results:
        status = _ENDINGS.get(outcome.failures[0].code, "failed")
    return JobView(id=job_id, status=status, fraction=1.0, outcome=outcome)


async def silent(fraction: float, message: str) -> None:
    """Report progress to nobody."""
