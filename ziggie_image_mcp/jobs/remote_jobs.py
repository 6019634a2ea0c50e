"""Remember what engines work on, so that another process finds it, or has it stopped.

For what costs nothing: of what costs money the ledger keeps the ids.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import anyio

from ziggie_image_mcp.inventory.registry import Registry
from ziggie_image_mcp.provider import bulkhead
from ziggie_image_mcp.provider.contract import CANCEL_SECONDS
from ziggie_image_mcp.storage.database import Database

if TYPE_CHECKING:
    from ziggie_image_mcp.jobs.device_queue_tables import Tables


class RemoteJobs:
    """The requests that engines were sent by the processes of one database.

    Args:
        rows: The database, as `leases.queue_database` gives it.
        registry: The providers.
    """

    def __init__(self, rows: Database[Tables], registry: Registry) -> None:
        self._rows = rows
        self._registry = registry

    async def remember(self, key: str, job_id: str, provider: str, remote_id: str) -> None:
        """Keep the engine's id of a request, before anybody waits for it.

        Raises:
            StorageError: The database cannot be used.
        """
        await self._rows.write(
            lambda tables: tables.put_remote_job(key, job_id, provider, remote_id)
        )

    async def find(self, key: str) -> str:
        """The engine's id of a request; empty where none is known.

        Raises:
            StorageError: The database cannot be used.
        """
        return await self._rows.read(lambda tables: tables.remote_id(key))

    async def stop(self, job_ids: Collection[str]) -> None:
        """Have the engines stop what they do for these jobs, for which nobody waits any more.

        Raises:
            StorageError: The database cannot be used.
        """
        remote = await self._rows.read(lambda tables: tables.remote_jobs(job_ids))
        if not remote:
            return
        await self._registry.open()
        for provider_name, remote_id in remote:
            provider = self._registry.providers().get(provider_name)
            if provider is None:
                continue
            with anyio.move_on_after(CANCEL_SECONDS):
                await bulkhead.cancel(provider, remote_id)
        await self._rows.write(lambda tables: tables.drop_remote_jobs(job_ids))
