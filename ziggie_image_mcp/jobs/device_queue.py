"""Keep who waits for which device, across all processes of one database.

A job is preparing, then waits for a device, then runs on it alone, and leaves. The next is chosen
by `queue_order.choose`: the model that is loaded goes first, until others have waited long enough.

A provider whose calls the config bounds (`concurrency`) is such a device too, on which as many run
at once, and which has no model that is loaded.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.jobs.leases import Leases
from ziggie_image_mcp.jobs.queue_order import QueueEntry, grant_next, stamp, statuses
from ziggie_image_mcp.jobs.retry import until_stored
from ziggie_image_mcp.jobs.running import RunningJob, RunningJobs
from ziggie_image_mcp.provider.addresses import names_this_machine
from ziggie_image_mcp.routing.types import (
    PROVIDER_QUEUE,
    Candidate,
    QueueStatus,
    queue_name,
)
from ziggie_image_mcp.storage.database import Database

if TYPE_CHECKING:
    from ziggie_image_mcp.jobs.device_queue_tables import Tables

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Entrance:
    """What is known of a job that enters the queue."""

    recoveries: int
    """How often it was taken up before, because its process had died."""
    cancelled: bool
    """Somebody asked to stop it, whoever ran it then."""


def utc_now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


class DeviceQueue:
    """The queue of all processes that use the same database. Each call is one transaction.

    A job is run by one process. Once another has taken it up, what the first still says of it is
    not heard, and its entry is no longer among its `own_entries`.

    Args:
        rows: The database, as `leases.queue_database` gives it.
        leases: This process' lease.
        running: The jobs of this process.
        clock: Gives the time, UTC.
        concurrency: How many calls of a provider may run at once, of those that are bounded.
    """

    def __init__(
        self,
        rows: Database[Tables],
        leases: Leases,
        running: RunningJobs,
        clock: Callable[[], datetime] = utc_now,
        *,
        concurrency: Mapping[str, int] | None = None,
    ) -> None:
        self.concurrency = concurrency or {}
        """By provider; may be exchanged."""
        self.trouble: str | None = None
        """Why it is not known who waits for which device; None while it is."""
        self._clock = clock
        self._rows = rows
        self._leases = leases
        self._running = running
        self._used = False
        self._owed: dict[str, Callable[[str], Awaitable[object]]] = {}

    @property
    def held(self) -> str | None:
        """Why the database is being waited for just now: another process holds it."""
        return self._rows.held

    @property
    def owes(self) -> bool:
        """Whether a job that has gone on could not be taken out, as the database was down."""
        return bool(self._owed)

    async def enter(self, job_id: str, priority: int) -> Entrance:
        """This process runs the job; the entry that a dead process left is taken over."""
        entry = {
            "executor": self._leases.owner,
            "device": "",
            "model": "",
            "priority": priority,
            "seconds": 0.0,
            "joined": stamp(self._clock()),
            "state": "preparing",
            "granted": 0,
            "cancel": False,
            "fraction": 0.0,
            "message": "",
        }
        self._used = True

        def work(tables: Tables) -> Entrance:
            cancelled = job_id in tables.cancels([job_id])
            tables.put_entry(job_id, **entry | {"cancel": cancelled})
            return Entrance(recoveries=tables.recoveries(job_id), cancelled=cancelled)

        return await self._rows.write(work)

    async def was_taken_up(self, job_id: str) -> bool:
        """Whether a process that worked on the job died."""
        return await self._rows.read(lambda tables: tables.recoveries(job_id) > 0)

    async def count_recoveries(self, job_ids: Sequence[str]) -> None:
        """These jobs are taken up again because the process that worked on them died."""

        def work(tables: Tables) -> None:
            for job_id in job_ids:
                tables.put_recoveries(job_id, tables.recoveries(job_id) + 1)

        await self._rows.write(work)

    @asynccontextmanager
    async def acquire(
        self, job: RunningJob, route: Candidate, *, sent: bool = False
    ) -> AsyncGenerator[None]:
        """Wait for the route's device or provider, and keep it for the time of the block.

        What was `sent` to a provider already waits for nobody: it is only fetched. A database that
        is down delays the job; what was made on the device is not lost by it.
        """
        model, most = route.model, self.concurrency.get(route.model.provider)
        if not model.device and (most is None or sent):
            yield
            return
        job.device = everywhere(model.device) if model.device else queue_name(model)
        job.granted = anyio.Event()
        try:
            seconds = route.seconds - route.wait_seconds
            loads = model.id if model.device else ""
            enqueue = partial(self.enqueue, job.id, job.device, loads, seconds)
            if not await until_stored(enqueue, job):
                bounded = f"{model.provider}, {most} at a time"
                job.report(0.0, f"waiting for {model.device or bounded}")
                await job.granted.wait()
            job.device = ""
            yield
        finally:
            job.device = ""
            with anyio.CancelScope(shield=True):
                await self._or_later(job.id, self._release_and_wake)

    def wake(self, job_id: str | None) -> None:
        """Tell a job of this process that the device is its own; others see it in their entries."""
        if job_id is not None and job_id in self._running:
            self._running[job_id].granted.set()

    async def enqueue(self, job_id: str, device: str, model: str, seconds: float) -> bool:
        """Wait for a device; True where it was free and the job may run at once."""
        owner = self._leases.owner
        self._owed.pop(job_id, None)

        def work(tables: Tables) -> bool:
            tables.change_entry(
                job_id, owner=owner, device=device, model=model, seconds=seconds, state="waiting"
            )
            return grant_next(tables, device, self._clock(), self._room(device)) == job_id

        return await self._rows.write(work)

    async def grant(self, device: str) -> str | None:
        """Let one of those that wait run, where the device is free; which one, of any process."""
        room = self._room(device)
        return await self._rows.write(
            lambda tables: grant_next(tables, device, self._clock(), room)
        )

    async def release(self, job_id: str) -> str | None:
        """Leave the device, or its queue; who runs on it next, when somebody does from now on."""
        owner = self._leases.owner

        def work(tables: Tables) -> str | None:
            entries = tables.entries(job_id=job_id, executor=owner)
            if not entries:
                return None
            tables.change_entry(job_id, owner=owner, device="", state="preparing")
            device = entries[0]["device"]
            return grant_next(tables, device, self._clock(), self._room(device))

        return await self._rows.write(work)

    def _room(self, device: str) -> float:
        """How many may run there at once."""
        if not device.startswith(PROVIDER_QUEUE):
            return 1
        return self.concurrency.get(device.removeprefix(PROVIDER_QUEUE), math.inf)

    async def _release_and_wake(self, job_id: str) -> None:
        self.wake(await self.release(job_id))

    async def leave(self, job_id: str) -> None:
        """The job has ended. Where the database is down, it leaves when it is up again."""
        await self._or_later(job_id, self._leave)

    async def catch_up(self) -> None:
        """Do what a database that was down did not take.

        Raises:
            StorageError: It still is.
        """
        for job_id, work in list(self._owed.items()):
            await work(job_id)
            if self._owed.get(job_id) == work:
                del self._owed[job_id]

    async def _or_later(self, job_id: str, work: Callable[[str], Awaitable[object]]) -> None:
        try:
            await work(job_id)
        except StorageError as e:
            _log.warning("Job %s leaves its device's queue later: %s", job_id, e)
            self._owed[job_id] = work

    async def _leave(self, job_id: str) -> None:
        owner = self._leases.owner

        def work(tables: Tables) -> None:
            tables.drop_entry(job_id, owner=owner)
            tables.drop_recoveries(job_id)
            tables.drop_remote_jobs([job_id])

        await self._rows.write(work)

    async def report(self, job_id: str, fraction: float, message: str) -> None:
        """Tell other processes how far the job is."""
        owner = self._leases.owner
        await self._rows.write(
            lambda tables: tables.change_entry(
                job_id, owner=owner, fraction=fraction, message=message
            )
        )

    async def cancel(self, job_id: str) -> str:
        """Have the job stopped by whoever runs it, now or later; who runs it, or nobody."""

        def work(tables: Tables) -> str:
            tables.put_cancel(job_id)
            tables.change_entry(job_id, cancel=True)
            entries = tables.entries(job_id=job_id)
            return str(entries[0]["executor"]) if entries else ""

        return await self._rows.write(work)

    async def cancelled(self, job_ids: Sequence[str]) -> set[str]:
        """Which of these jobs are to stop."""
        return await self._rows.read(lambda tables: tables.cancels(job_ids))

    async def find(self, job_id: str) -> QueueEntry | None:
        """One job's entry."""
        entries = await self._rows.read(lambda tables: tables.entries(job_id=job_id))
        return QueueEntry(**entries[0]) if entries else None

    async def own_entries(self) -> list[QueueEntry]:
        """The entries of this process' jobs."""
        return await self.entries_of(self._leases.owner)

    async def entries_of(self, owner: str) -> list[QueueEntry]:
        """The entries of the jobs of the process that has, or had, this lease."""
        entries = await self._rows.read(lambda tables: tables.entries(executor=owner))
        return [QueueEntry(**entry) for entry in entries]

    async def statuses(self) -> Mapping[str, QueueStatus]:
        """Who waits for which device of this host, and for which provider.

        Empty before this process had a job, and where the database is down, as `trouble` says: a
        job that waits a little longer than expected is better than none.
        """
        if not self._used:
            return {}
        own = f"{socket.gethostname()}/"
        try:
            by_device_everywhere = await self._rows.read(
                lambda tables: statuses(tables, self._clock(), self._leases.is_own, self._room)
            )
        except StorageError as e:
            self.trouble = f"How many jobs wait for each device is not known: {e}"
            return {}
        self.trouble = None
        local = (
            (device.removeprefix(own), status) for device, status in by_device_everywhere.items()
        )
        return {device: replace(status, device=device) for device, status in local}

    async def job_of_request(
        self, caller: str, request_id: str, fingerprint: str, job_id: str
    ) -> tuple[str, str]:
        """The job and the fingerprint that this request_id stands for; these, where it is new."""

        def work(tables: Tables) -> tuple[str, str]:
            known = tables.request(caller, request_id)
            if known is None:
                tables.put_request(
                    caller=caller,
                    request_id=request_id,
                    job_id=job_id,
                    fingerprint=fingerprint,
                    made=stamp(self._clock()),
                )
            return known or (job_id, fingerprint)

        return await self._rows.write(work)

    async def forget_jobs(self, job_ids: Sequence[str]) -> None:
        """Forget what was asked of jobs that are forgotten themselves."""
        await self._rows.write(lambda tables: tables.drop_cancels(job_ids))

    async def forget_requests(self, before: datetime) -> int:
        """Forget older request_ids; how many there were."""
        return await self._rows.write(lambda tables: tables.drop_requests_before(stamp(before)))

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next call of another method reopens."""
        await self._rows.aclose()


def everywhere(device: str) -> str:
    """The device's name among all hosts: what is on loopback, or is no URL, belongs to this one."""
    name = urlsplit(device).hostname if "://" in device else None
    if name is not None:
        with suppress(ValueError):
            ipaddress.ip_address(name)
            if not names_this_machine(name):
                return device
        if not names_this_machine(name) and not name[:1].isdigit() and ":" not in name:
            return device
    return f"{socket.gethostname()}/{device}"
