"""Tell whether the database of the jobs can be used, before DBOS is asked, which would wait."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from ziggie_image_mcp.errors import StorageError
from ziggie_image_mcp.storage.database import identity

LOCK_SECONDS = 30.0
"""How long a database is waited for that another process holds."""
BUSY_SECONDS = 5.0
"""So long others may write, one after another, on a machine with much to do."""
WAIT_SECONDS, MAX_WAIT_SECONDS = 0.1, 5.0
"""Before a database that could not be written is tried again, at first and at most."""

_WHAT = "jobs' database"
_log = logging.getLogger(__name__)


class JobsDatabase:
    """The file of the jobs; of Postgres nothing is asked beforehand.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
    """

    def __init__(self, database: str | Path) -> None:
        self.held: str | None = None
        """Why what became of a job cannot be recorded just now."""
        self._database = database
        self._opened: tuple[int, int] | None = None

    @property
    def place(self) -> str | Path:
        """Where the jobs are kept."""
        return place_of(self._database)

    def opened(self) -> None:
        """The file is open from now on."""
        place = self.place
        self._opened = identity(place) if isinstance(place, Path) else None

    @property
    def lost(self) -> bool:
        """Whether the file that is open was deleted: what is written to it would be lost."""
        place = self.place
        return isinstance(place, Path) and identity(place) != self._opened

    def errors(self) -> AbstractContextManager[None]:
        """Word what a database or a disk can do to us in this block.

        Raises:
            StorageError: Says what happened, and what to do.
        """
        from ziggie_image_mcp.storage import engine

        return engine.storage_errors(self.place, _WHAT)

    @asynccontextmanager
    async def usable(self, *, writes: bool) -> AsyncGenerator[None]:
        """Ask DBOS in this block, where the database can be used; else it is a StorageError.

        DBOS itself would wait for a locked one in a thread, without end.
        """
        await self.unlocked(writes=writes)
        with self.errors():
            yield

    async def unlocked(self, *, writes: bool) -> None:
        """Wait until no other process locks the database. It may be cancelled.

        Raises:
            StorageError: It cannot be used.
        """
        place, deadline = self.place, time.monotonic() + LOCK_SECONDS
        while isinstance(place, Path):
            try:
                return await anyio.to_thread.run_sync(_check, place, writes)
            except StorageError as e:
                from ziggie_image_mcp.storage import engine

                if not engine.is_locked(e) or time.monotonic() >= deadline:
                    raise

    async def until_writable(self) -> None:
        """Wait until the database can be written, however long it cannot."""
        from ziggie_image_mcp.storage import engine

        place, wait, since, warned = self.place, WAIT_SECONDS, time.monotonic(), False
        while isinstance(place, Path) and not self.lost:
            try:
                await anyio.to_thread.run_sync(_check, place, True)
            except StorageError as e:
                busy = engine.is_locked(e) and time.monotonic() - since < BUSY_SECONDS
                if not (busy or warned or self.held):
                    _log.warning("The jobs wait: %s", e)
                    warned = True
                self.held = None if busy else str(e)
                await anyio.sleep(wait)
                wait = min(2 * wait, MAX_WAIT_SECONDS)
            else:
                break
        self.held = None

    async def trouble(self, *, writes: bool) -> str | None:
        """Why the database cannot be used just now; None where it is only busy."""
        from ziggie_image_mcp.storage import engine

        place = self.place
        if isinstance(place, Path):
            before = engine.last_writes(place)
            try:
                await anyio.to_thread.run_sync(_check, place, writes)
            except StorageError as e:
                if not engine.is_locked(e) or engine.last_writes(place) == before:
                    return str(e)
        return None


def _check(file: Path, writes: bool) -> None:
    from ziggie_image_mcp.storage import engine

    with engine.storage_errors(file, _WHAT):
        engine.check_sqlite(file, writes=writes)


def place_of(database: str | Path) -> str | Path:
    """Where DBOS keeps its tables: in a Postgres, or in an SQLite file beside the named one.

    DBOS opens SQLite in its own way, so it does not share a file with the other tables.
    """
    from ziggie_image_mcp.storage import engine as database_engine

    url = database_engine.parsed(database)
    if url.drivername != "sqlite":
        return str(database)
    file = Path(str(url.database)).absolute()
    return file.with_name(f"{file.stem}-jobs{file.suffix}") if isinstance(database, str) else file
