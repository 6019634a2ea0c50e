"""Look after the jobs of this process, and take up those of processes that died."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import anyio

from ziggie_image_mcp.jobs.device_queue import DeviceQueue
from ziggie_image_mcp.jobs.leases import Leases, version_of
from ziggie_image_mcp.jobs.remote_jobs import RemoteJobs
from ziggie_image_mcp.jobs.running import RunningJob, RunningJobs
from ziggie_image_mcp.jobs.upgrade import OLD_VERSIONS, Upgrade
from ziggie_image_mcp.jobs.workflow import VERSION, State, Workflow

TICK_SECONDS = 0.25
"""How often a process that runs jobs looks at their entries: for devices and for cancelling."""

HEARTBEAT_SECONDS = 1.0
CLEAN_SECONDS = 24 * 3600.0
WARN_SECONDS, MAX_WARN_SECONDS = 5.0, 3600.0
"""Between two warnings of the same trouble, at first and at most."""

_ENDED: tuple[State, ...] = ("ended", "cancelled", "broken")

_log = logging.getLogger(__name__)


class Monitor:
    """The background task of a process that has opened the jobs.

    Args:
        workflow: Keeps the jobs.
        queue: Of the devices.
        leases: Tells which processes live.
        running: The jobs of this process.
        upgrade: Translates the jobs of earlier versions.
        remote_jobs: What engines do for jobs.
        keep: How long jobs are known after they have ended.
    """

    def __init__(
        self,
        workflow: Workflow,
        queue: DeviceQueue,
        leases: Leases,
        running: RunningJobs,
        upgrade: Upgrade,
        remote_jobs: RemoteJobs,
        keep: timedelta,
    ) -> None:
        self._workflow = workflow
        self._queue = queue
        self._leases = leases
        self._running = running
        self._upgrade = upgrade
        self._remote_jobs = remote_jobs
        self.keep = keep
        self._task: asyncio.Task[None] | None = None
        self._reported: dict[str, tuple[float, str]] = {}
        self._quiet_until = -math.inf
        self._quiet = WARN_SECONDS

    def start(self) -> None:
        """Begin, once the jobs are open."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def aclose(self) -> None:
        """Stop. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def clean(self, before: datetime) -> int:
        """Forget the jobs that had ended by then, and older request_ids; how many jobs.

        Pictures stay. A job that has not ended is never forgotten.

        Raises:
            StorageError: The jobs' database cannot be used.
        """
        old = [job.id for job in await self._workflow.select(states=_ENDED, before=before)]
        if old:
            await self._workflow.delete(old)
            await self._queue.forget_jobs(old)
        await self._queue.forget_requests(before)
        return len(old)

    async def _watch(self) -> None:
        heartbeat, cleaned = -math.inf, -math.inf
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                if self._running or self._queue.owes:
                    await self._look()
                if anyio.current_time() - heartbeat >= HEARTBEAT_SECONDS:
                    heartbeat = anyio.current_time()
                    await self._leases.heartbeat()
                    await self._recover()
                if anyio.current_time() - cleaned >= CLEAN_SECONDS:
                    cleaned = anyio.current_time()
                    await self.clean(datetime.now(UTC) - self.keep)
            except Exception as e:  # one failed look must not end all later ones
                self._warn(e)

    def _warn(self, error: Exception) -> None:
        """Tell the operator, and less and less often as long as it lasts."""
        now = anyio.current_time()
        if now < self._quiet_until:
            return
        lasts = now < self._quiet_until + 2 * self._quiet
        self._quiet = min(4 * self._quiet, MAX_WARN_SECONDS) if lasts else WARN_SECONDS
        self._quiet_until = now + self._quiet
        _log.warning("The jobs could not be looked after: %s", error)

    async def _look(self) -> None:
        """Read the entries of the running jobs, and write down how far they are."""
        await self._queue.catch_up()
        entered = [job for job in self._running.values() if job.entered]
        entries = {entry.job_id: entry for entry in await self._queue.own_entries()}
        for job in entered:
            if job.outcome is None and job.id not in entries:
                await self._drop(job)
            elif job.id in entries and entries[job.id].cancel:
                job.scope.cancel()
            elif job.id in entries and entries[job.id].state == "running":
                job.granted.set()
        for device in {job.device for job in self._running.values() if job.device}:
            self._queue.wake(await self._queue.grant(device))
        for job in list(self._running.values()):
            state = (job.fraction, job.message)
            if self._reported.get(job.id, (0.0, "")) != state:
                self._reported[job.id] = state
                await self._queue.report(job.id, *state)
        for job_id in [known for known in self._reported if known not in self._running]:
            del self._reported[job_id]

    async def _drop(self, job: RunningJob) -> None:
        """Leave a job to whoever has it now; where somebody deleted the queue, it begins again."""
        record = await self._workflow.get(job.id)
        job.moved = True
        job.scope.cancel()
        if record is not None and (record.state, record.owner) == ("running", self._leases.owner):
            _log.warning("Job %s lost its place in the queue, and begins again", job.id)
            await self._workflow.resume([job.id])
        else:
            _log.warning("Job %s was taken up by another process", job.id)

    async def _recover(self) -> None:
        """Take up the jobs of processes that are no more."""
        dead = await self._leases.dead()
        for version in {version_of(owner) for owner in dead}.intersection(OLD_VERSIONS):
            self._upgrade.look_again(version)
        await self._upgrade.run()
        for owner in dead:
            if version_of(owner) in self._upgrade.pending:
                continue  # its jobs are still being taken up, here or by one of its version
            if not await self._leases.claim(owner):
                continue
            await self._resume_jobs(owner)
            await self._leases.forget_dead_process(owner)

    async def _resume_jobs(self, owner: str) -> None:
        """Put what a dead process ran back onto the queue, all at once: it may be hundreds."""
        records = await self._workflow.select(states=["running"], owner=owner)
        job_ids = [record.id for record in records if record.version == VERSION]
        entries = {entry.job_id: entry for entry in await self._queue.entries_of(owner)}
        flags = await self._queue.cancelled(job_ids)
        cancelled = [i for i in job_ids if i in flags]
        for job_id in cancelled:  # asked for while the process was dead
            await self._workflow.cancel(job_id)
        await self._remote_jobs.stop(cancelled)
        going = [i for i in job_ids if i not in cancelled]
        # One that only waited for its device has brought nothing down.
        at_work = [i for i in going if i not in entries or entries[i].state != "waiting"]
        if going:
            await self._queue.count_recoveries(at_work)
            await self._workflow.resume(going)
