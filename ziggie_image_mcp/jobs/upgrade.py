"""Make jobs of this version out of those that version 1 left, under the same ids.

A living process of version 1 keeps its own. A translated job stands in a table of its own from
before the old one is deleted until the new one is enqueued, so that no crash loses it.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ziggie_image_mcp.jobs import version_1
from ziggie_image_mcp.jobs.leases import Leases
from ziggie_image_mcp.jobs.records import UNREADABLE, dump
from ziggie_image_mcp.jobs.workflow import VERSION, State, Workflow
from ziggie_image_mcp.storage.database import Database

if TYPE_CHECKING:
    from ziggie_image_mcp.jobs.device_queue_tables import Tables

OLD_VERSION = "1"

_OPEN: tuple[State, ...] = ("queued", "running")
_CLAIM = "jobs-of-version-1"

_log = logging.getLogger(__name__)


class Upgrade:
    """The jobs of version 1 in this database.

    Args:
        workflow: Keeps the jobs of both versions.
        leases: Tells which processes live.
        rows: The database of the device queue, which also keeps translated jobs for a moment.
    """

    def __init__(self, workflow: Workflow, leases: Leases, rows: Database[Tables]) -> None:
        self._workflow = workflow
        self._leases = leases
        self._rows = rows
        self.pending = True
        """Whether there may be jobs of version 1 that have not ended."""

    def look_again(self) -> None:
        """A process of version 1 died: it may have left jobs."""
        self.pending = True

    async def run(self) -> None:
        """Translate what version 1 left, where none of its processes lives that would take it.

        Raises:
            StorageError: The database cannot be used.
        """
        if not self.pending:
            return
        interrupted = await self._rows.read(lambda tables: tables.translations())
        old = await self._workflow.select(states=_OPEN, version=OLD_VERSION)
        if not old and not interrupted:
            self.pending = False
            return
        if await self._leases.version_1_lives() or not await self._leases.claim(_CLAIM):
            return
        for job_id, (text, due) in interrupted.items():
            await self._replace(job_id, text, due)
        for job in old:
            await self._leases.renew_claim(_CLAIM)  # there may be many
            await self._translate(job.id)

    async def _translate(self, job_id: str) -> None:
        """Put a job of version 1 back onto the queue as one of this version; its steps stay done.

        One that cannot be read ends with that as its reason.
        """
        job = await self._workflow.get(job_id)
        if job is None or job.version == VERSION:
            return
        entries = await self._rows.read(lambda tables: tables.entries(job_id=job_id))
        if any(entry["cancel"] for entry in entries):  # asked for while its process died
            await self._workflow.cancel(job_id)
            return
        try:
            spec = version_1.job_spec(job.input or "", await self._workflow.steps(job_id))
        except UNREADABLE as e:
            _log.warning("Job %s of version 1 cannot be read: %s", job_id, e)
            spec = version_1.unreadable(job_id, job.created)
        text, due = dump(spec), job.delayed_until
        await self._rows.write(lambda tables: tables.put_translation(job_id, text, due))
        await self._replace(job_id, text, due)
        _log.info("Job %s of version 1 was taken up", job_id)

    async def _replace(self, job_id: str, text: str, due: int) -> None:
        """The new job in the place of the old one. May be done again at any point."""
        job = await self._workflow.get(job_id)
        if job is not None and job.version != VERSION:
            await self._workflow.delete([job_id])
        delay = due / 1000 - datetime.now(UTC).timestamp() if due else 0.0
        await self._workflow.enqueue(job_id, text, delay=max(0.0, delay))
        await self._rows.write(lambda tables: tables.drop_translation(job_id))
