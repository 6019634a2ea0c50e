"""Take jobs on, and tell what is known of them: those of this process and those of others."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import anyio

from ziggie_image_mcp.errors import InvalidRequest, OutcomeUnknown, StorageError
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
from ziggie_image_mcp.jobs.running import RunningJobs
from ziggie_image_mcp.jobs.upgrade import read_outcome, read_spec
from ziggie_image_mcp.jobs.workflow import Role, State, Workflow, WorkflowRecord
from ziggie_image_mcp.provider.nouns import Progress

SOON_SECONDS = 0.005
LOOK_SECONDS = 0.3
"""How often the database is asked about a job that does not run here: soon, then less and less
often. It may be about to begin, or its end about to be written down."""

_log = logging.getLogger(__name__)

_OPEN: tuple[State, ...] = ("queued", "running")
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
        self._opened = False

    @property
    def busy(self) -> bool:
        """Whether a job runs here."""
        return bool(self._running)

    @property
    def leaves_work(self) -> bool:
        """Whether other processes execute the jobs, who may have other models than are here."""
        return not self._role.runs

    async def open(self) -> None:
        """Start what keeps the jobs, at the first use.

        Raises:
            StorageError: The database or the lock files cannot be used.
        """
        async with self._opening:
            if not self._opened:
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
        self, caller: str, request_id: str, fingerprints: Collection[str], job_id: str
    ) -> str:
        """The id of the job that this caller's request_id stands for: `job_id` if it is new.

        `fingerprints` are those of the request, the newest version's first.

        Raises:
            InvalidRequest: It stands for another request.
            StorageError: The database cannot be used.
        """
        await self.open()
        newest = next(iter(fingerprints))
        known, theirs = await self._queue.job_of_request(caller, request_id, newest, job_id)
        if theirs not in fingerprints:
            fix = "it belongs to another request; give this one an id of its own"
            raise InvalidRequest("request_id", request_id, fix)
        return known

    async def submit(self, spec: JobSpec, *, at: datetime | None = None) -> None:
        """Take a job on: from here on it is not lost. The same id again is the same job.

        Raises:
            StorageError: The database cannot be used; nothing was begun.
        """
        await self.open()
        text = dump(spec)
        if self._role.runs and spec.priority == INTERACTIVE and at is None:
            await self._workflow.start(spec.id, text)
        else:
            delay = 0.0 if at is None else max(0.0, (at - datetime.now(UTC)).total_seconds())
            await self._workflow.enqueue(spec.id, text, delay=delay)

    async def get(self, job_id: str) -> JobView | None:
        """What is known of a job now; None when there is none."""
        job = self._running.get(job_id)
        if job is not None and job.outcome is None:
            status: JobStatus = "queued" if job.device else "running"
            return JobView(id=job_id, status=status, fraction=job.fraction, message=job.message)
        await self.open()
        record = await self._workflow.get(job_id)
        return None if record is None else await self._view(record)

    async def select(self, prefix: str = "", limit: int | None = None) -> list[JobView]:
        """The jobs whose ids begin so, newest first."""
        await self.open()
        records = await self._workflow.select(prefix, limit=limit, whole=True)
        return [await self._view(record) for record in records]

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

    async def wait(self, job_id: str, seconds: float, progress: Progress) -> JobView | None:
        """What is known of a job when it has ended, or after so many seconds."""
        end = anyio.current_time() + seconds
        reported: tuple[float, str] = (-1.0, "")
        pause, ran_here = SOON_SECONDS, False
        while True:
            view = await self.get(job_id)
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

    async def cancel(self, job_id: str) -> JobView | None:
        """Stop a job wherever it is, and say what it came to; None when there is none."""
        await self.open()
        job = self._running.get(job_id)
        if job is not None:
            job.scope.cancel()
        else:
            view = await self.get(job_id)
            if view is None or view.ended:
                return view
            entry = await self._queue.find(job_id)
            dead = entry is not None and await self._leases.alive(entry.executor) is False
            if dead or not await self._queue.cancel(job_id):
                await self._workflow.cancel(job_id)
                await self._remote_jobs.stop([job_id])
        return await self.wait(job_id, 10.0, silent)

    async def aclose(self) -> None:
        """Leave. Running jobs are dropped as they stand, for another process to take up."""
        async with self._opening:
            opened, self._opened = self._opened, False
            await self._monitor.aclose()
            if opened:
                await anyio.to_thread.run_sync(self._workflow.close)
            await self._queue.aclose()
            self._leases.release(leaves_jobs=bool(self._running))

    async def _view(self, record: WorkflowRecord) -> JobView:
        try:
            view, spec = await self._state(record), _spec(record)
        except UNREADABLE as e:
            _log.warning("The record of job %s is damaged: %s", record.id, e)
            lost = JobLost("The job's record is damaged and cannot be read.")
            return replace(_ended(record.id, failed_outcome(lost)), created=record.created)
        return replace(view, created=record.created, spec=spec)

    async def _state(self, record: WorkflowRecord) -> JobView:
        if record.state == "ended" and record.output is not None:
            return _ended(record.id, read_outcome(record.output, record.version))
        if record.state == "cancelled":
            return _ended(record.id, failed_outcome(JobCancelled("It was cancelled.")))
        if record.state == "broken":
            message = f"The job could not be finished. {record.error}"
            return _ended(record.id, failed_outcome(JobLost(message)))
        entry = await self._queue.find(record.id)
        if entry is None:
            return JobView(id=record.id, status="queued", message="waiting to be taken")
        if await self._leases.alive(entry.executor) is False:
            message = "its process died; the next one takes it up"
            return JobView(id=record.id, status="queued", message=message)
        waits = entry.state == "waiting" or record.state == "queued"
        status: JobStatus = "queued" if waits else "running"
        return JobView(id=record.id, status=status, fraction=entry.fraction, message=entry.message)


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
