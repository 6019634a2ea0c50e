"""Run transactions on a database, one after another and off the event loop.

SQLAlchemy is imported on first use.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import anyio
import anyio.to_thread

from ziggie_image_mcp.errors import ImageError, StorageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")
TablesT = TypeVar("TablesT")
Tables_co = TypeVar("Tables_co", covariant=True)

REST_SECONDS = 60.0
"""How long a database that failed is left alone: requests must not wait for it again and again."""


def sqlite_file(database: str | Path) -> Path | None:
    """The file of an SQLite database; None for Postgres. Imports nothing heavy."""
    if isinstance(database, Path):
        return database
    scheme, slashes, path = database.partition("://")
    if scheme.partition("+")[0] != "sqlite" or not slashes:
        return None
    return Path(path.removeprefix("/").partition("?")[0]).expanduser()


def identity(file: Path | None) -> tuple[int, int] | None:
    """Which file stands under this name; None where none does."""
    try:
        found = None if file is None else file.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


class Schema(Protocol[Tables_co]):
    """A module that says in SQL what a database holds."""

    def prepare(self, connection: Connection) -> None:
        """Make the tables where there are none."""
        ...

    def lock_for_writing(self, connection: Connection) -> None:
        """Keep all others from writing until the transaction ends."""
        ...

    def Tables(self, connection: Connection) -> Tables_co:
        """What a transaction works on."""
        ...


class Database(Generic[TablesT]):
    """One connection, whose callers are served in order.

    Who waits for a lock of another process may be cancelled; what was begun is ended first.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        schema: Gives the module that makes its tables. It is called off the event loop, at the
            first transaction, because such a module imports SQLAlchemy.
        label: What it holds, for messages.
        lock_timeout: Seconds to wait while other processes write.
    """

    def __init__(
        self,
        database: str | Path,
        schema: Callable[[], Schema[TablesT]],
        label: str,
        *,
        lock_timeout: float = 30,
    ) -> None:
        self.held: str | None = None
        """Why it is being waited for just now: another process holds it and writes nothing."""
        self._database = database
        self._schema = schema
        self._label = label
        self._lock_timeout = lock_timeout
        self._engine: Engine | None = None
        self._file = sqlite_file(database)
        self._opened: tuple[int, int] | None = None
        """Which file of that name is open."""
        self._turn = anyio.CapacityLimiter(1)

    async def write(self, work: Callable[[TablesT], T]) -> T:
        """Do this in a transaction of its own, while nobody else writes.

        Raises:
            ConfigError: The URL makes no sense, or its driver is not installed.
            StorageError: The database cannot be used.
        """
        return await self._run(work, reads=False)

    async def read(self, work: Callable[[TablesT], T]) -> T:
        """The same for what writes nothing: it waits for nobody.

        Raises:
            ConfigError: The URL makes no sense, or its driver is not installed.
            StorageError: The database cannot be used.
        """
        return await self._run(work, reads=True)

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next transaction opens it again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await anyio.to_thread.run_sync(engine.dispose, limiter=self._turn)

    async def _run(self, work: Callable[[TablesT], T], *, reads: bool) -> T:
        deadline = time.monotonic() + self._lock_timeout
        begun = False

        def tracked(tables: TablesT) -> T:
            nonlocal begun
            begun = not reads
            return work(tables)

        while True:
            before = self._written()
            try:
                value = await anyio.to_thread.run_sync(
                    self._transact, tracked, reads, limiter=self._turn
                )
            except StorageError as e:
                from ziggie_image_mcp.storage import engine

                locked = engine.is_locked(e)
                self.held = str(e) if locked and self._written() == before else None
                if begun or not locked or time.monotonic() >= deadline:
                    raise
            else:
                self.held = None
                return value

    def _written(self) -> tuple[int, ...]:
        if self._engine is None:
            return ()
        from ziggie_image_mcp.storage import engine

        return engine.last_writes(self._database)

    def _transact(self, work: Callable[[TablesT], T], reads: bool) -> T:
        from ziggie_image_mcp.storage import engine

        schema = self._schema()
        with engine.storage_errors(self._database, self._label):
            if self._engine is not None and self._opened != identity(self._file):
                self._engine.dispose()  # it was deleted: what is written to it would be lost
                self._engine = None
            if self._engine is None:
                self._engine = engine.connect(
                    self._database,
                    min(self._lock_timeout, engine.SLICE_SECONDS),
                    schema.prepare,
                    idle_timeout=self._lock_timeout,
                )
                self._opened = identity(self._file)
            connectable = self._engine.execution_options(**{engine.READS: reads})
            with connectable.begin() as connection:
                if not reads:
                    schema.lock_for_writing(connection)
                return work(schema.Tables(connection))


class LossyDatabase(Generic[TablesT]):
    """A database of what may be lost: where it cannot be used, work goes on without it.

    What is read is then empty, what is written is dropped, and `trouble` says why.

    Args:
        rows: The database.
        consequence: What follows from it, in one sentence for people.
        clock: Gives seconds that only go up.
    """

    def __init__(
        self,
        rows: Database[TablesT],
        consequence: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trouble: str | None = None
        """Why nothing is read and kept just now; None while all is well."""
        self._rows = rows
        self._consequence = consequence
        self._clock = clock
        self._rests_until = -math.inf

    async def read(self, work: Callable[[TablesT], T], otherwise: T) -> T:
        """Read in a transaction; `otherwise` where the database cannot be used."""
        return await self._guarded(partial(self._rows.read, work), otherwise)

    async def write(self, work: Callable[[TablesT], T], otherwise: T) -> T:
        """Write in a transaction; `otherwise` where the database cannot be used."""
        return await self._guarded(partial(self._rows.write, work), otherwise)

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next transaction opens it again."""
        await self._rows.aclose()

    async def _guarded(self, transact: Callable[[], Awaitable[T]], otherwise: T) -> T:
        from sqlalchemy.exc import DBAPIError

        if self._clock() < self._rests_until:
            return otherwise
        try:
            value = await transact()
        except (ImageError, DBAPIError) as e:  # anything else is a bug, and not hidden
            message = str(e) if isinstance(e, ImageError) else type(e).__name__
            self.trouble = f"{self._consequence}: {message}"
            self._rests_until = self._clock() + REST_SECONDS
            await self._rows.aclose()
            return otherwise
        self.trouble = None
        return value
