"""Connect to a database, SQLite or Postgres, so that transactions are durable and see each other.

Imports SQLAlchemy, so `database` imports this module only when it is first used.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc

from ziggie_image_mcp.errors import ConfigError, StorageError, in_utf8
from ziggie_image_mcp.provider.installing import install_command
from ziggie_image_mcp.provider.redaction import hidden

TablesT = TypeVar("TablesT")

READS = "ziggie_reads"
"""The execution option of a transaction that writes nothing, and so waits for nobody."""

SLICE_SECONDS = 0.5
"""So long a thread waits for a lock at once: in between, its caller may give up."""

ROOM_BYTES = 64 * 1024
"""What a transaction may need on the disk."""

IDLE_SECONDS = 5.0
"""At least so long may a process on a busy machine pause inside a transaction."""

_creation = threading.Lock()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def stamp(moment: datetime) -> int:
    """A moment as the tables hold it: microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(stamp: int) -> datetime:
    """The moment that a table holds, in UTC."""
    return _EPOCH + stamp * _MICROSECOND


def connect(
    database: str | Path,
    lock_timeout: float,
    prepare: Callable[[sa.Connection], None],
    *,
    idle_timeout: float = 0.0,
) -> sa.Engine:
    """Connect, and prepare the database in a transaction of its own.

    Args:
        database: An SQLAlchemy URL of SQLite or Postgres, or the path of an SQLite file.
        lock_timeout: Seconds to wait while other processes write; then the error `is_locked`.
        prepare: Makes the tables where there are none.
        idle_timeout: Seconds after which Postgres gives up on who pauses inside a transaction, if
            they are more than the above and IDLE_SECONDS.

    Raises:
        ConfigError: The URL makes no sense, or its driver is not installed.
    """
    url = parsed(database)
    sqlite = url.drivername == "sqlite"
    engine = _sqlite(Path(str(url.database)), lock_timeout) if sqlite else _postgres(url)
    if not sqlite:
        _set_up_postgres_sessions(engine, lock_timeout, max(lock_timeout, idle_timeout))
    try:
        with engine.begin() as connection:
            prepare(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def is_locked(error: StorageError) -> bool:
    """Whether it was only that another process holds the database."""
    return _says_locked(str(error.__cause__))


def _says_locked(message: str) -> bool:
    return "locked" in message or "lock timeout" in message


def last_writes(database: str | Path) -> tuple[int, ...]:
    """Changes whenever anybody commits to an SQLite file: what is only busy is not held."""
    url = parsed(database)
    times: list[int] = []
    for suffix in ("", "-wal") if url.drivername == "sqlite" else ():
        with suppress(OSError):
            times.append(Path(f"{url.database}{suffix}").stat().st_mtime_ns)
    return tuple(times)


def examine(database: str | Path, what: str) -> str:
    """Read a database from end to end, changing nothing; what it is, in words.

    Raises:
        ConfigError: The URL makes no sense, or its driver is not installed.
        StorageError: It cannot be used, or is damaged.
    """
    url = parsed(database)
    if url.drivername != "sqlite":
        with storage_errors(database, what):
            engine = _postgres(url)
            try:
                with engine.begin() as connection:
                    connection.execute(sa.select(1))
            finally:
                engine.dispose()
        return f"{what} {name(database)}: the server answers"
    file = Path(str(url.database))
    if not file.exists():
        return f"{what} {file}: none yet"
    with storage_errors(database, what):
        check_sqlite(file, writes=True)
        address = f"{file.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True, timeout=SLICE_SECONDS)) as connection:
            damage = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    if damage != "ok":
        raise StorageError(
            f"The {what} {file} is damaged: {' '.join(damage.split())}. Put a copy of it back, or "
            "move it away: a new one is made."
        )
    return f"{what} {file}: {file.stat().st_size / 1e6:.1f} MB, undamaged"


def check_sqlite(file: Path, *, writes: bool) -> None:
    """Find out whether an SQLite file can be read, or written, and is not locked.

    Raises:
        sqlite3.Error: It cannot, or another process holds it for longer than SLICE_SECONDS.
        OSError: There is no room for what would be written.
    """
    if writes and file.exists():
        with tempfile.TemporaryFile(dir=file.parent) as room:
            room.write(bytes(ROOM_BYTES))
            room.flush()
    address = f"{file.as_uri()}?mode=rw"
    with closing(
        sqlite3.connect(address, uri=True, timeout=SLICE_SECONDS, isolation_level=None)
    ) as connection:
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master")
        connection.execute("ROLLBACK")


def hold_lock(connection: sa.Connection, lock: int) -> None:
    """Wait until no other process writes, and keep the others out until the transaction ends.

    `lock` is Postgres' advisory lock of the one that writes. On SQLite, BEGIN IMMEDIATE has
    already done its work.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))


def storable(text: str) -> str:
    """What both databases take: file names and messages may hold NUL or half a surrogate pair."""
    return in_utf8(text).replace("\0", "\\0")


class TableRows:
    """Rows in and out of tables, inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        rows = self._connection.execute(query).mappings()
        return [{str(key): value for key, value in row.items()} for row in rows]

    def _put(self, table: sa.Table, key: dict[str, str], **values: Any) -> None:
        """Take the row out and put it in again: nobody else writes in the meantime."""
        clean = {name: storable(value) for name, value in key.items()}
        where = [table.c[name] == value for name, value in clean.items()]
        self._connection.execute(table.delete().where(*where))
        self._connection.execute(table.insert().values(**clean, **values))


class LockedSchema(Generic[TablesT]):
    """Tables of which one transaction at a time writes.

    Args:
        metadata: The tables.
        lock: Postgres' advisory lock of the one that writes. On SQLite, BEGIN IMMEDIATE does its
            work.
        tables: What a transaction works on.
    """

    def __init__(
        self, metadata: sa.MetaData, lock: int, tables: Callable[[sa.Connection], TablesT]
    ) -> None:
        self._metadata = metadata
        self._lock = lock
        self._tables = tables

    def prepare(self, connection: sa.Connection) -> None:
        """Make the tables where there are none, one process at a time."""
        self.lock_for_writing(connection)
        self._metadata.create_all(connection)

    def lock_for_writing(self, connection: sa.Connection) -> None:
        """Wait until no other process writes, and keep others out until the transaction ends."""
        hold_lock(connection, self._lock)

    def Tables(self, connection: sa.Connection) -> TablesT:
        """What a transaction works on."""
        return self._tables(connection)


def name(database: str | Path) -> str:
    """The database as messages may show it: no password, no query."""
    url = parsed(database)
    if url.drivername == "sqlite":
        return str(url.database)
    return f"{url.host or url.query.get('host', 'localhost')}/{url.database or ''}"


@contextmanager
def storage_errors(database: str | Path, what: str = "ledger") -> Generator[None]:
    """Turn what a database or a disk can do to us into StorageError.

    `what` is what messages call the thing that the database holds.

    Raises:
        StorageError: Says what happened to which database, and what to do.
    """
    try:
        yield
    except (exc.IntegrityError, exc.DataError):
        raise  # our bug, not the disk's
    except (exc.DBAPIError, exc.TimeoutError, sqlite3.Error, OSError) as e:
        message = str(getattr(e, "orig", None) or e).strip().partition("\n")[0].rstrip(".")
        raise StorageError(
            f"The {what} {name(database)} cannot be used: {hidden(message)}. "
            f"{_fix(database, message)}"
        ) from e


def _fix(database: str | Path, message: str) -> str:
    if _says_locked(message):
        return "Another process holds it: try again, and end the one that hangs."
    if "disk is full" in message or "No space" in message:
        return "Free some disk space, then try again."
    if parsed(database).drivername == "sqlite":
        return (
            "See that its folder and file can be written and are undamaged, or set `database` in "
            "config.json to another place."
        )
    return "See that the server runs, and that `database` in config.json names it and its user."


def parsed(database: str | Path) -> sa.URL:
    """The database as SQLAlchemy names it.

    Raises:
        ConfigError: It makes no sense, or is of a kind that cannot be used.
    """
    if isinstance(database, Path):
        return sa.URL.create("sqlite", database=str(database.absolute()))
    try:
        url = sa.make_url(database)
    except exc.ArgumentError as e:
        raise ConfigError(
            "`database` in config.json is no SQLAlchemy URL, as sqlite:////home/me/ledger.sqlite3 "
            "or postgresql://user@host/name."
        ) from e
    kind = url.get_backend_name()
    if kind == "sqlite":
        path = Path(url.database or "")
        with suppress(RuntimeError):  # no such user: it is no whole path, as said below
            path = path.expanduser()
        if not path.is_absolute():
            raise ConfigError(
                f"`database` in config.json must name a file with its whole path, not "
                f"{url.database or 'memory'!r}: every server must see the same ledger."
            )
        return sa.URL.create("sqlite", database=str(path))
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise ConfigError(
        f"`database` in config.json names {kind}, and only sqlite and postgresql can be used."
    )


def _sqlite(path: Path, lock_timeout: float) -> sa.Engine:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _create(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        connect_args={
            "timeout": lock_timeout,
            "isolation_level": None,  # the driver sends no BEGIN of its own; `begin` does
            "check_same_thread": False,
        },
        pool_size=1,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: object) -> None:
        _switch_to_wal(connection, lock_timeout)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")  # macOS: fsync alone does not reach the disk

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get(READS, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _create(path: Path) -> None:
    """Make the file for its user alone where there is none; SQLite gives its log the same mode.

    A file that is there is not opened: closing it would drop the locks that this process' other
    connections have on it, and another process could then take itself for the last, and remove
    the log with what is committed in it.
    """
    with _creation, suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _switch_to_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Set the journal mode, again and again: this one pragma does not wait for a lock itself."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as e:
            if "locked" not in str(e) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _postgres(url: sa.URL) -> sa.Engine:
    try:
        return sa.create_engine(
            url,
            # Anything stricter would add up the caps in a snapshot older than the gate.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_size=1,
            max_overflow=0,
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": 10},
        )
    except ModuleNotFoundError as e:
        raise ConfigError(
            "`database` in config.json names Postgres, and its driver is not installed: "
            f"{install_command('ziggie-image-mcp[postgres]')}."
        ) from e


def _set_up_postgres_sessions(engine: sa.Engine, lock_timeout: float, idle: float) -> None:
    milliseconds = int(lock_timeout * 1000)
    idle_milliseconds = int(max(idle, IDLE_SECONDS) * 1000)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {milliseconds}")
            # A host that vanished inside a transaction must not keep the gate shut.
            cursor.execute(f"SET idle_in_transaction_session_timeout = {idle_milliseconds}")
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()
