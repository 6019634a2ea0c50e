"""Make jobs of this version out of those that earlier versions left, under the same ids.

A living process of an earlier version keeps those of its version. A translated job stands in a
table of its own from before the old one is deleted until the new one is enqueued, so that no crash
loses it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ziggie_image_mcp.jobs import version_1, version_2
from ziggie_image_mcp.jobs.leases import Leases
from ziggie_image_mcp.jobs.records import UNREADABLE, JobOutcome, JobSpec, dump, load
from ziggie_image_mcp.jobs.workflow import VERSION, State, Workflow
from ziggie_image_mcp.storage.database import Database

if TYPE_CHECKING:
    from ziggie_image_mcp.jobs.device_queue_tables import Tables

OLD_VERSIONS = ("1", "2")

_OPEN: tuple[State, ...] = ("queued", "running")
_CLAIM = "jobs-of-version-"

_log = logging.getLogger(__name__)


class Upgrade:
    """The jobs of earlier versions in this database.

    Args:
        workflow: Keeps the jobs of all versions.
        leases: Tells which processes live.
        rows: The database of the device queue, which also keeps translated jobs for a moment.
    """

    def __init__(self, workflow: Workflow, leases: Leases, rows: Database[Tables]) -> None:
        self._workflow = workflow
        self._leases = leases
        self._rows = rows
        self.pending = set[str](OLD_VERSIONS)
        """The versions of which there may be jobs that have not ended."""

    def look_again(self, version: str) -> None:
        """A process of this version died: it may have left jobs."""
        self.pending.add(version)

    async def run(self) -> None:
        """Translate what a version left, where none of its processes lives that would take it.

        Raises:
            StorageError: The database cannot be used.
        """
        for version in sorted(self.pending):
            await self._run(version)

    async def _run(self, version: str) -> None:
        claim = _CLAIM + version
        interrupted = await self._rows.read(lambda tables: tables.translations())
        old = await self._workflow.select(states=_OPEN, version=version)
        if not old and not interrupted:
            self.pending.discard(version)
            return
        if await self._leases.version_lives(version) or not await self._leases.claim(claim):
            return
        for job_id, (text, due) in interrupted.items():
            await self._replace(job_id, text, due)
        for job in old:
            await self._leases.renew_claim(claim)  # there may be many
            await self._translate(job.id)

    async def _translate(self, job_id: str) -> None:
        """Put an earlier version's job back onto the queue as one of this one; its steps stay done.

        One that cannot be read ends with that as its reason.
        """
        job = await self._workflow.get(job_id)
        if job is None or job.version == VERSION:
            return
        if await self._rows.read(lambda tables: tables.cancels([job_id])):  # while its process died
            await self._workflow.cancel(job_id)
            return
        try:
            steps = await self._workflow.steps(job_id)
            spec = read_spec(job.input or "", job.version, steps)
        except UNREADABLE as e:
            _log.warning("Job %s of version %s cannot be read: %s", job_id, job.version, e)
            spec = version_2.unreadable(job_id, job.created)
        text, due = dump(spec), job.delayed_until
        await self._rows.write(lambda tables: tables.put_translation(job_id, text, due))
        await self._replace(job_id, text, due)
        _log.info("Job %s of version %s was taken up", job_id, job.version)

    async def _replace(self, job_id: str, text: str, due: int) -> None:
        """The new job in the place of the old one. May be done again at any point."""
        job = await self._workflow.get(job_id)
        if job is not None and job.version != VERSION:
            await self._workflow.delete([job_id])
        delay = due / 1000 - datetime.now(UTC).timestamp() if due else 0.0
        await self._workflow.enqueue(job_id, text, delay=max(0.0, delay))
        await self._rows.write(lambda tables: tables.drop_translation(job_id))


def read_spec(text: str, version: str, steps: Mapping[str, str] | None = None) -> JobSpec:
    """A job as a version recorded it, in today's form, with the steps that were done.

    Raises:
        UNREADABLE: The record is damaged.
    """
    if version == VERSION:
        return load(JobSpec, text)
    if version == "1":
        return version_1.job_spec(text, steps)
    return version_2.job_spec(text, steps)


def read_outcome(text: str, version: str) -> JobOutcome:
    """What became of a job, as a version recorded it, in today's form.

    Raises:
        UNREADABLE: The record is damaged.
    """
    if version == VERSION:
        return load(JobOutcome, text)
    return version_1.job_outcome(text) if version == "1" else version_2.job_outcome(text)
