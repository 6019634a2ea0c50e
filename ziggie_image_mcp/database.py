"""Run transactions on a database, one after another and off the event loop.

SQLAlchemy is imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")


class Schema(Protocol):
    """A module that says in SQL what a database holds."""

    def prepare(self, connection: Connection) -> None:
        """Make the tables where there are none."""
        ...

    def pass_gate(self, connection: Connection) -> None:
        """Keep all others from writing until the transaction ends."""
        ...

    def Tables(self, connection: Connection) -> Any:
        """What a transaction works on."""
        ...


class Database:
    """One connection, whose callers are served in order.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        schema: The module that makes its tables.
        what: What it holds, for messages.
        lock_timeout: Seconds to wait while other processes write.
    """

    def __init__(
        self, database: str | Path, schema: str, what: str, *, lock_timeout: float = 30
    ) -> None:
        self._database = database
        self._schema = schema
        self._what = what
        self._lock_timeout = lock_timeout
        self._engine: Engine | None = None
        self._turn = anyio.CapacityLimiter(1)

    async def write(self, work: Callable[[Any], T]) -> T:
        """Do this in a transaction of its own, while nobody else writes.

        Raises:
            ConfigError: The URL makes no sense, or its driver is not installed.
            StorageError: The database cannot be used.
        """
        return await anyio.to_thread.run_sync(self._transact, work, False, limiter=self._turn)

    async def read(self, work: Callable[[Any], T]) -> T:
        """The same for what writes nothing: it waits for nobody.

        Raises:
            ConfigError: The URL makes no sense, or its driver is not installed.
            StorageError: The database cannot be used.
        """
        return await anyio.to_thread.run_sync(self._transact, work, True, limiter=self._turn)

    async def aclose(self) -> None:
        """Close the connection. May be called twice; the next transaction opens it again."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await anyio.to_thread.run_sync(engine.dispose, limiter=self._turn)

    def _transact(self, work: Callable[[Any], T], reads: bool) -> T:
        from ziggie_image_mcp import database_engine

        schema = cast(Schema, import_module(f"ziggie_image_mcp.{self._schema}"))
        with database_engine.storage_errors(self._database, self._what):
            if self._engine is None:
                self._engine = database_engine.connect(
                    self._database, self._lock_timeout, schema.prepare
                )
            engine = self._engine.execution_options(**{database_engine.READS: reads})
            with engine.begin() as connection:
                if not reads:
                    schema.pass_gate(connection)
                return work(schema.Tables(connection))
